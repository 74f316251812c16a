"""Writes every generated file below a root directory, and compares two such roots."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from infra.definitions.aidbox import compile_aidbox, read_source
from infra.definitions.build import build_version
from infra.definitions.fetch import fetch
from infra.definitions.pins import VERSIONS
from infra.definitions.writer import render, render_report

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path("boxruntime/fhir/definitions")
REPORTS = Path("infra/definitions/reports")
AIDBOX_SOURCE = Path(__file__).with_name("aidbox.yaml")


def project_root() -> Path:
    return Path(__file__).resolve().parents[2]


def generate(root: Path, *, progress: Callable[[str], None]) -> list[Path]:
    """Write all files below `root` and return their paths.

    Repeatable; a file is replaced only once its text is complete. Raises FetchError.
    """
    texts: dict[Path, str] = {
        DATA / "aidbox.json": render(compile_aidbox(read_source(AIDBOX_SOURCE)))
    }
    with tempfile.TemporaryDirectory(prefix="definitions-sources-") as directory:
        for pins in VERSIONS:
            files = []
            for source in pins.sources:
                progress(f"fetching {source.name} {source.version}")
                files.append(fetch(source, Path(directory)))
            progress(f"compiling {pins.module}")
            built = build_version(pins.read(files), pins)
            texts[DATA / f"{pins.module}.json"] = render(built.definitions)
            texts[DATA / f"{pins.module}-rules.json"] = render(built.rules)
            texts[REPORTS / f"{pins.module}.txt"] = render_report(pins.module, built.left_out)
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text(text, encoding="utf-8", newline="\n")
        partial.replace(path)
    return [root / name for name in texts]


def differences(fresh: Path, committed: Path) -> list[str]:
    """Return the names of generated files that are not byte for byte the committed ones."""
    return [
        str(name)
        for name in sorted(path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file())
        if not (committed / name).is_file()
        or (fresh / name).read_bytes() != (committed / name).read_bytes()
    ]
