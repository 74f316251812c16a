"""Compiles the hand-written description of Aidbox's own types, `aidbox.yaml`.

The result has the form of a FHIR version's definitions. Elements that only the YAML form has:
`object` is a group with `isOpen`, `any` has `isOpen` and neither type nor group, allowed values
are `enum`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

if TYPE_CHECKING:
    from pathlib import Path

    from infra.definitions.package import Json


class AidboxSourceError(Exception):
    """The YAML source does not follow its own rules."""


_ELEMENT = re.compile(
    r"(?P<type>[A-Za-z0-9]+)(?:\((?P<list>[^()]+)\))?(?P<array>\*)?(?P<required>!)?"
)


def read_source(path: Path) -> Json:
    """Return the parsed YAML."""
    source: Json = YAML(typ="safe", pure=True).load(path)
    return source


def compile_aidbox(source: Json) -> Json:
    """Return the definitions. Raises AidboxSourceError naming the type and element at fault."""
    types: dict[str, Json] = {
        name: {"kind": "primitive"} | facts for name, facts in source["primitives"].items()
    }
    parameters: dict[str, Json] = {}
    for name, row in source["types"].items():
        types[name] = compile_type(name, row, source.get("groups", {}))
        for code, written in row.get("search", {}).items():
            parameters[f"{name}.{code}"] = compile_parameter(name, code, written, types[name])
    return {
        "module": source["module"],
        "sources": [],
        "types": types,
        "valueSets": {},
        "searchParameters": parameters,
        "compartments": {},
    }


def compile_type(name: str, row: Json, groups: dict[str, Json]) -> Json:
    """Return one type; `like` groups get their shared elements."""
    elements: dict[str, Json] = {}
    for path, written in row["elements"].items():
        elements[path] = compile_element(f"{name}.{path}", written)
        if isinstance(written, dict) and "like" in written:
            for child, shared in groups[written["like"]].items():
                elements[f"{path}.{child}"] = compile_element(f"{name}.{path}.{child}", shared)
    for path in elements:
        parent = path.rpartition(".")[0]
        if parent and "group" not in elements.get(parent, {}):
            raise AidboxSourceError(f"{name}.{path} is not inside a group")
    kept = ("base", "text", "module", "isOpen", "isMeta", "history")
    return {"kind": "resource"} | {k: row[k] for k in kept if k in row} | {"elements": elements}


def compile_element(place: str, written: str | Json) -> Json:
    """Return the facts of one element from its short or long form."""
    long: Json = {"is": written} if isinstance(written, str) else written
    match = _ELEMENT.fullmatch(re.sub(r"\s", "", long["is"]))
    if match is None:
        raise AidboxSourceError(f"{place}: cannot read {long['is']}")
    facts = _shape(place, match["type"], (match["list"] or "").split("|"))
    if match["array"]:
        facts["array"] = True
    if match["required"]:
        facts["required"] = True
    return facts | {key: long[key] for key in ("isOpen", "schema", "text") if key in long}


def _shape(place: str, kind: str, listed: list[str]) -> Json:
    match kind:
        case "group":
            return {"group": "Element"}
        case "object":
            return {"group": "Element", "isOpen": True}
        case "any":
            return {"isOpen": True}
        case "union":
            return {"union": listed}
        case "ref":
            return {"contentRef": listed[0]}
        case "Reference":
            return {"type": kind, "refers": sorted(listed)} if listed[0] else {"type": kind}
        case _ if not listed[0]:
            return {"type": kind}
        case "code" | "string":
            return {"type": kind, "enum": listed}
        case _:
            raise AidboxSourceError(f"{place}: {kind} takes no list")


def compile_parameter(owner: str, code: str, written: str, definition: Json) -> Json:
    """Return a search parameter; its paths must exist, or lie inside an open group."""
    kind, _, paths = written.partition(" ")
    expression = [path.strip().split(".") for path in paths.split(",")]
    targets: set[str] = set()
    for path in expression:
        element = _find(definition["elements"], path)
        if element is None:
            raise AidboxSourceError(f"{owner}.{code}: no element {'.'.join(path)}")
        targets.update(element.get("refers", ()))
    entry: Json = {"name": code, "resource": owner, "type": kind, "expression": expression}
    if kind == "reference" and targets:
        entry["target"] = sorted(targets)
    return entry


def _find(elements: dict[str, Json], path: list[str]) -> Json | None:
    """Return the element at a path, or the open or typed one that holds it."""
    for length in range(len(path), 0, -1):
        element = elements.get(".".join(path[:length]))
        if element is not None:
            inside = length < len(path)
            free = element.get("isOpen") or element.get("type") == "Reference"
            return None if inside and not free else element
    return None
