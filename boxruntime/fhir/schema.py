"""Metadata as JSON Schema: what GET /$json-schema serves and what every write is held to.

Draft 7, Aidbox format. Source: core specification, "Generated schema".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.metadata import SHADOW
from boxruntime.fhir.overlay import uses_of

if TYPE_CHECKING:
    from boxruntime.fhir.metadata import Element, ElementPath, Metadata, TypeDef

Schema = dict[str, Any]

FREE_KEYS = "^(_.*|fhir_.*)"
"""Always allowed, unvalidated. Source: "Meta and primitive extensions"."""


def json_schema(metadata: Metadata, type_name: str) -> Schema:
    """Return the definition of one type, as it stands under `definitions` of the whole schema.

    Raises KeyError for an unknown type.
    """
    home = metadata.home_of(type_name)
    cache = home.artefacts("json_schema")
    schema: Schema | None = cache.get(type_name)
    if schema is None:
        schema = cache[type_name] = _Definition(home, home.types[type_name]).build()
    return schema


def whole_schema(metadata: Metadata) -> Schema:
    """Return the schema of all types: {"definitions": {…}}."""
    names = [name for name, type_def in metadata.types.items() if type_def.kind != "shadow"]
    return {"definitions": {name: json_schema(metadata, name) for name in names}}


def find_in_schema(metadata: Metadata, path: list[str]) -> Any:
    """Return what stands at a path of the whole schema: ["definitions", "Patient"].

    Builds only the definition that the path enters. Raises LookupError where nothing is.
    """
    if path[:1] == ["definitions"] and len(path) > 1:
        type_def = metadata.types[path[1]]
        if type_def.kind == "shadow":
            raise KeyError(path[1])
        found: Any = json_schema(metadata, path[1])
        rest = path[2:]
    else:
        found, rest = whole_schema(metadata), path
    for step in rest:
        if isinstance(found, dict):
            found = found[step]
        elif isinstance(found, list) and step.isdecimal():
            found = found[int(step)]
        else:
            raise KeyError(step)
    return found


def reachable_types(metadata: Metadata, type_name: str) -> list[str]:
    """Return the type and all complex types its definition refers to, at any depth."""
    found = {type_name: None}
    todo = [type_name]
    while todo:
        for used in sorted(uses_of(metadata.types[todo.pop()])):
            type_def = metadata.find_type(used)
            if used not in found and type_def is not None and type_def.kind != "primitive":
                found[used] = None
                todo.append(used)
    return list(found)


def enforced_schema(metadata: Metadata, type_name: str) -> Schema:
    """Return the complete schema that resources of one type are held to."""
    names = reachable_types(metadata, type_name)
    return {
        "$ref": f"#/definitions/{type_name}",
        "definitions": {name: json_schema(metadata, name) for name in names},
    }


def primitive_schema(type_def: TypeDef) -> Schema:
    """Return the JSON Schema of one value of a primitive type."""
    schema: Schema = {"type": type_def.json or "string"}
    if type_def.pattern is not None:
        schema["pattern"] = type_def.pattern
    if type_def.minimum is not None:
        schema["minimum"] = type_def.minimum
    if type_def.maximum is not None:
        schema["maximum"] = type_def.maximum
    return schema


class _Definition:
    """Builds the definition of one type; groups inside it stand inline."""

    def __init__(self, metadata: Metadata, type_def: TypeDef) -> None:
        self._metadata = metadata
        self._type = type_def

    def build(self) -> Schema:
        type_def = self._type
        if type_def.kind == "primitive":
            return primitive_schema(type_def)
        if type_def.name == "Extension":
            return _extension(type_def)
        if type_def.name == "Resource":
            return {"type": "object", "required": ["resourceType"]}
        first: Schema = {}
        if type_def.kind in ("resource", "shadow"):
            # The id has its own rule, checked apart: ids of rows may come in by SQL.
            first["id"] = {"type": "string"}
            first["resourceType"] = {
                "type": "string",
                "constant": type_def.name.removeprefix(SHADOW),
            }
        schema = self._object(type_def.elements, first, is_open=type_def.is_open)
        schema = {"type": "object", "minProperties": 1, **schema}
        if type_def.schema:
            return {**_naming(schema, type_def.schema), "allOf": [type_def.schema]}
        return schema

    def _object(self, elements: dict[str, Element], first: Schema, *, is_open: bool) -> Schema:
        properties = dict(first)
        required = []
        for name, element in elements.items():
            if name not in properties:
                properties[name] = self._element(element)
            if element.required:
                required.append(name)
        schema: Schema = {
            "type": "object",
            "patternProperties": {FREE_KEYS: {}},
            "properties": properties,
        }
        if required:
            schema["required"] = required
        if not is_open:
            schema["additionalProperties"] = False
        return schema

    def _element(self, element: Element) -> Schema:
        if element.schema and _is_bare(element):
            item = element.schema  # in place of attributes
        else:
            item = self._item(element)
            if element.schema:
                item = {"allOf": [_naming(item, element.schema), element.schema]}
        if not element.array:
            return item
        schema: Schema = {"type": "array", "items": item}
        if element.max_items is not None:
            schema["maxItems"] = element.max_items
        return schema

    def _item(self, element: Element) -> Schema:
        if element.union:
            return self._union(element)
        if element.content_ref is not None:
            return {"$ref": self._pointer(element.content_ref)}
        if element.type is None and element.is_open and not element.children:
            return {}  # any JSON value
        if element.type is None:
            return self._object(element.children, {}, is_open=element.is_open)
        if element.type == "Resource":
            return {"type": "object", "required": ["resourceType"]}
        type_def = self._metadata.find_type(element.type)
        if type_def is None:
            return {}  # an Entity that is not there (yet): anything
        if self._type.name == "Reference" and element.name == "localRef":
            return {"type": "string"}  # "" is the resource around it: FHIR's "#"
        if type_def.kind == "primitive":
            schema = primitive_schema(type_def)
            if element.codes is not None:
                schema.pop("pattern", None)  # the list says more
                schema["enum"] = sorted(element.codes)
            return schema
        if element.children:
            _, children = self._metadata.children_of(self._type.name, element)
            return self._object(children, {}, is_open=type_def.is_open or element.is_open)
        if element.is_open and not type_def.is_open:
            return self._object(type_def.elements, {}, is_open=True)
        return {"$ref": f"#/definitions/{element.type}"}

    def _union(self, element: Element) -> Schema:
        """A closed object with exactly one alternative, `_`-members not counted."""
        names = list(element.union)
        return {
            "type": "object",
            "minProperties": 1,
            "patternProperties": {FREE_KEYS: {}},
            "properties": {name: self._element(element.children[name]) for name in names},
            "additionalProperties": False,
            # One member is the rule and is settled at once; only beside `_x` is it looked into.
            "anyOf": [
                {"maxProperties": 1},
                {"oneOf": [{"required": [name]} for name in names]},
            ],
        }

    def _pointer(self, path: ElementPath) -> str:
        pointer = f"#/definitions/{self._type.name}"
        for depth, name in enumerate(path):
            pointer += f"/properties/{name}"
            element = self._metadata.find_element(self._type.name, path[: depth + 1])
            if element is not None and element.array:
                pointer += "/items"
        return pointer


def _is_bare(element: Element) -> bool:
    """Whether nothing but its schema says what the element holds."""
    return not (
        element.type or element.union or element.content_ref or element.children or element.is_open
    )


def _naming(generated: Schema, own: Schema) -> Schema:
    """Return a generated schema in which members are known that a schema of one's own describes."""
    members = own.get("properties")
    if "properties" not in generated or not isinstance(members, dict):
        return generated
    return {**generated, "properties": {**{key: {} for key in members}, **generated["properties"]}}


def _extension(type_def: TypeDef) -> Schema:
    """Open: it holds both raw FHIR values and nested ones. Source: "Generated schema"."""
    return {
        "type": "object",
        "minProperties": 1,
        "properties": {
            "id": {"type": "string"},
            "url": {"type": "string"},
            "extension": {"type": "array", "items": {"$ref": "#/definitions/Extension"}},
        },
        "required": ["url"] if "url" in type_def.elements else [],
    }
