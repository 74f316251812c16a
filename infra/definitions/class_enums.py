"""Reads the code lists of required bindings from the Python classes of `fhir.resources`.

For R4B and R5 no package has the value sets. The classes repeat the codes that an element's
short description lists ("planned | active | +"): a list that ends in + is not complete and is
not taken. The source is parsed and never run.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from infra.definitions.package import Json

_TYPE = re.compile(r"fhirtypes\.(\w+)Type\b")
_CODE = re.compile(r"[^\s+…]+")


@dataclass(frozen=True, slots=True)
class _Field:
    type_name: str | None
    codes: list[str] | None


@dataclass(frozen=True, slots=True)
class _Class:
    base: str | None
    fields: dict[str, _Field]


def read_code_lists(
    modules: Iterable[str], structures: Iterable[Json]
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return value set -> codes for the required bindings, and value set -> why it has none.

    Where elements with one binding list different codes, all of them are allowed.
    """
    classes: dict[str, _Class] = {}
    for module in modules:
        classes |= _read_classes(module)
    found: dict[str, list[str]] = {}
    incomplete: dict[str, str] = {}
    for path, url in _required_codes(structures):
        codes = _find_codes(classes, path)
        if codes is None:
            incomplete.setdefault(url, "no package lists its codes")
        elif not all(_CODE.fullmatch(code) for code in codes):
            incomplete[url] = "the codes are listed in part only"
        else:
            known = found.setdefault(url, [])
            known += [code for code in codes if code not in known]
    for url in incomplete:
        found.pop(url, None)
    return found, incomplete


def _required_codes(structures: Iterable[Json]) -> Iterable[tuple[list[str], str]]:
    for structure in structures:
        if structure["kind"] == "primitive-type" or structure.get("derivation") == "constraint":
            continue
        for element in structure["snapshot"]["element"]:
            binding = element.get("binding", {})
            is_code = [entry["code"] for entry in element.get("type", [])] == ["code"]
            is_own = element["base"]["path"] == element["path"]
            if is_code and is_own and binding.get("strength") == "required":
                yield element["path"].split("."), binding["valueSet"].partition("|")[0]


def _read_classes(module: str) -> dict[str, _Class]:
    found = {}
    for node in ast.parse(module).body:
        if isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
            fields = dict(
                _read_field(statement.target.id, statement.annotation, statement.value)
                for statement in node.body
                if isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(statement.value, ast.Call)
            )
            found[node.name] = _Class(bases[0] if bases else None, fields)
    return found


def _read_field(name: str, annotation: ast.expr, call: ast.Call) -> tuple[str, _Field]:
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    alias = keywords.get("alias")
    if isinstance(alias, ast.Constant):
        name = str(alias.value)
    codes = None
    extra = keywords.get("json_schema_extra")
    if isinstance(extra, ast.Dict):
        for key, value in zip(extra.keys, extra.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "enum_values":
                codes = ast.literal_eval(value)
    match = _TYPE.search(ast.unparse(annotation))
    return name, _Field(match[1] if match else None, codes)


def _find_codes(classes: Mapping[str, _Class], path: list[str]) -> list[str] | None:
    owner: str | None = path[0]
    field: _Field | None = None
    for step in path[1:]:
        field = None
        while field is None and owner is not None and owner in classes:
            field = classes[owner].fields.get(step)
            owner = classes[owner].base
        if field is None:
            return None
        owner = field.type_name
    return field.codes if field is not None else None
