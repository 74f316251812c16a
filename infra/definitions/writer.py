"""Renders the definitions as stable JSON: one type, parameter, rule or value set per line.

So a change of the generator, or of a definition, reads well in a diff.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infra.definitions.package import Json

LISTED = (
    "types",
    "valueSets",
    "searchParameters",
    "compartments",
    "constraints",
    "extensions",
    "codeSystems",
)


def render(definitions: Json) -> str:
    """Return the file's text. Keys inside a line keep their order (that of the elements)."""
    parts = []
    for key, value in definitions.items():
        if key in LISTED:
            lines = [f"{_compact(name)}:{_compact(item)}" for name, item in sorted(value.items())]
            text = "{\n" + ",\n".join(lines) + "\n}" if lines else "{}"
        else:
            text = _compact(value)
        parts.append(f"{_compact(key)}:{text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def render_report(module: str, left_out: dict[str, dict[str, str]]) -> str:
    """Return what could not be compiled, one line each with its reason."""
    lines = [f"What {module}.json leaves out, and why."]
    for part, reasons in left_out.items():
        lines += ["", f"{part}: {len(reasons)}"]
        lines += [f"  {name}: {reason}" for name, reason in sorted(reasons.items())]
    return "\n".join(lines) + "\n"
