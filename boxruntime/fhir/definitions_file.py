"""Reads the generated definitions into `Metadata`.

The files hold each element at its own type only, as a dotted path; here inherited elements are
merged in, groups get the elements of their base, and unions one child per alternative.
Source: `infra/definitions`, which writes the files.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from msgspec import structs

from boxruntime.fhir.json_text import decode_json
from boxruntime.fhir.metadata import SHADOW, Element, ElementPath, Metadata, TypeDef


def read_definitions(fhir_version: str) -> Metadata:
    """Return the metadata of one FHIR version plus the types every box has."""
    folder = files("boxruntime.fhir.definitions")
    source = folder / f"fhir-{fhir_version}.json"
    if not source.is_file():
        message = f"no definitions for FHIR {fhir_version}"
        raise ValueError(message)
    content = decode_json(source.read_bytes())
    module = content["module"]
    rows: dict[str, dict[str, Any]] = {
        name: {**row, "module": row.get("module", module)} for name, row in content["types"].items()
    }
    value_sets = dict(content.get("valueSets", {}))
    parameters = dict(content.get("searchParameters", {}))
    compartments = dict(content.get("compartments", {}))
    own = folder / "aidbox.json"
    if own.is_file():
        boxed = decode_json(own.read_bytes())
        own_module = boxed.get("module", "box")
        for name, row in boxed["types"].items():
            if name in rows:
                rows[SHADOW + name] = {**rows[name], "kind": "shadow"}
            fitted = _in_version(row, content["types"])
            rows[name] = {**fitted, "module": row.get("module", own_module)}
        value_sets.update(boxed.get("valueSets", {}))
        # An Aidbox type replaces the FHIR type of the same name with its search parameters.
        replaced = set(boxed["types"])
        parameters = {k: p for k, p in parameters.items() if p["resource"] not in replaced}
        parameters.update(boxed.get("searchParameters", {}))
    return Metadata(
        fhir_version=fhir_version,
        module=module,
        types=_Reader(rows, value_sets).read(),
        search_parameters={(p["resource"], p["name"]): p for p in parameters.values()},
        compartments=compartments,
    )


def _in_version(row: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Return a type of ours with the primitives that the FHIR version lacks replaced.

    `url` and `canonical` came with R4: before, such values are of type uri.
    """
    missing = {name for name in ("url", "canonical") if name not in known}
    if not missing or "elements" not in row:
        return row
    elements = {}
    for path, element in row["elements"].items():
        if element.get("type") in missing:
            elements[path] = {**element, "type": "uri"}
        elif missing.intersection(element.get("union", ())):
            union = [name for name in element["union"] if name not in missing]
            elements[path] = {**element, "union": union}
        else:
            elements[path] = element
    return {**row, "elements": elements}


class _Reader:
    def __init__(self, rows: dict[str, dict[str, Any]], value_sets: dict[str, Any]) -> None:
        self._rows = rows
        self._codes = {url: _codes_of(entry) for url, entry in value_sets.items()}
        self._types: dict[str, TypeDef] = {}

    def read(self) -> dict[str, TypeDef]:
        for name in self._rows:
            self._type(name)
        self._types["Reference"] = _aidbox_reference(self._types["Reference"])
        self._types["Meta"] = _aidbox_meta(self._types["Meta"])
        if "CompartmentDefinition" in self._types:
            compartment = self._types["CompartmentDefinition"]
            self._types["CompartmentDefinition"] = _open_compartment(compartment)
        return {name: self._types[name] for name in self._rows}

    def _type(self, name: str) -> TypeDef:
        known = self._types.get(name)
        if known is not None:
            return known
        row = self._rows[name]
        base_name = row.get("base")
        base = self._type(base_name) if base_name in self._rows else None
        elements: dict[str, Element] = {}
        if row["kind"] == "primitive":
            pass  # what `_x` may hold stands in the FHIR rules, not in the type
        elif base is not None:
            elements.update(base.elements)
        elif row["kind"] == "resource":
            # Types of ours that name no base have what each resource in a box has.
            common = {**self._type("Resource").elements, **self._type("DomainResource").elements}
            elements.update({n: common[n] for n in RESOURCE_ELEMENTS})
        elements.update(self._children(row.get("elements", {})))
        type_def = TypeDef(
            name=name,
            kind=row["kind"],
            base=base_name,
            module=row["module"],
            text=row.get("text"),
            is_open=row.get("isOpen", False),
            is_meta=row.get("isMeta", False),
            history=row.get("history") != "none",
            elements=elements,
            pattern=row.get("pattern") or (base.pattern if base is not None else None),
            json=row.get("json") or (base.json if base is not None else None),
            minimum=row.get("minimum"),
            maximum=row.get("maximum"),
            schema=row.get("schema"),
        )
        self._types[name] = type_def
        return type_def

    def _children(self, rows: dict[str, dict[str, Any]]) -> dict[str, Element]:
        """Turn {"a": …, "a.b": …} into a tree, parents before children as in the file."""
        below: dict[ElementPath, list[tuple[ElementPath, dict[str, Any], int]]] = {}
        for order, (dotted, row) in enumerate(rows.items()):
            path = tuple(dotted.split("."))
            below.setdefault(path[:-1], []).append((path, row, order))

        def build(parent: ElementPath) -> dict[str, Element]:
            found: dict[str, Element] = {}
            for path, row, order in below.get(parent, ()):
                inner = build(path)
                found[path[-1]] = self._element(path, row, order, inner)
            return found

        return build(())

    def _element(
        self,
        path: ElementPath,
        row: dict[str, Any],
        order: int,
        inner: dict[str, Element],
    ) -> Element:
        union = tuple(row.get("union", ()))
        group = row.get("group")
        children = inner
        refers = frozenset(row["refers"]) if row.get("refers") else None
        if union:
            children = {
                alternative: Element(
                    name=alternative,
                    path=(*path, alternative),
                    type=alternative,
                    refers=refers if alternative == "Reference" else None,
                )
                for alternative in union
            } | inner
        elif group is not None:
            children = {**self._type(group).elements, **inner}
        elif row.get("type") == "CodeableReference" and refers is not None:
            # The targets are those of the Reference inside.
            narrowed = Element(
                name="reference", path=(*path, "reference"), type="Reference", refers=refers
            )
            children = {"reference": narrowed, **inner}
            refers = None
        codes = frozenset(row["enum"]) if row.get("enum") else None
        value_set = row.get("valueSet")
        if codes is None and row.get("strength") == "required" and row.get("type") == "code":
            codes = self._codes.get(value_set or "")
        ref = row.get("contentRef")
        if isinstance(ref, str):
            ref = tuple(ref.split("."))
        bound = row.get("max")
        return Element(
            name=path[-1],
            path=path,
            type=row.get("type"),
            union=union,
            array=row.get("array", False),
            required=row.get("required", False),
            refers=None if union else refers,
            codes=codes,
            value_set=value_set,
            strength=row.get("strength"),
            content_ref=tuple(ref) if ref else None,
            children=children,
            summary=row.get("summary", False),
            modifier=row.get("modifier", False),
            unique=row.get("unique", False),
            is_open=row.get("isOpen", False),
            extension_url=row.get("extensionUrl"),
            order=order,
            text=row.get("text"),
            max_items=int(bound) if bound else None,
            schema=row.get("schema"),
        )


RESOURCE_ELEMENTS = ("id", "meta", "extension", "modifierExtension")
"""What a resource type without a base has beside its own elements.

Source: core specification, "Generated schema" (the example of a custom resource).
"""


def _codes_of(entry: Any) -> frozenset[str] | None:
    codes = entry.get("codes") if isinstance(entry, dict) else entry
    return frozenset(codes) if codes else None


def _aidbox_reference(fhir: TypeDef) -> TypeDef:
    """Reference as it is stored. Source: core specification, "References"."""
    own = {
        name: Element(name=name, path=(name,), type=type_name, order=order)
        for order, (name, type_name) in enumerate(
            (
                ("resourceType", "string"),
                ("id", "string"),
                ("uri", "string"),
                ("localRef", "string"),
            )
        )
    }
    kept = {
        name: element
        for name, element in fhir.elements.items()
        if name in ("extension", "type", "identifier", "display")
    }
    return structs.replace(fhir, elements={**own, **kept}, is_open=True)


def _aidbox_meta(fhir: TypeDef) -> TypeDef:
    """Meta with the first creation, and the id of the source it was captured from.

    Source: core specification, "Storage model", "Structured data capture".
    """
    own = {
        name: Element(name=name, path=(name,), type=type_name, order=order)
        for name, type_name, order in (("createdAt", "instant", 99), ("sourceId", "string", 100))
        if name not in fhir.elements
    }
    return structs.replace(fhir, elements={**fhir.elements, **own})


def _open_compartment(fhir: TypeDef) -> TypeDef:
    """CompartmentDefinition for compartments and members of any type, custom ones too.

    FHIR knows five. Source: core specification, "Compartments and `$lastn`".
    """
    rows = fhir.elements["resource"]
    member = structs.replace(rows.children["code"], codes=None, strength="extensible")
    code = structs.replace(fhir.elements["code"], codes=None, strength="extensible")
    rows = structs.replace(rows, children={**rows.children, "code": member})
    return structs.replace(fhir, elements={**fhir.elements, "code": code, "resource": rows})
