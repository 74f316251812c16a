"""The shorthand of `App.entities` and `POST /$metadata`: from nested names to Entity and Attribute.

Source: core specification, "App.entities shorthand", "$metadata".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from boxruntime.fhir.base_rows import attribute_document, entity_document
from boxruntime.fhir.outcome import Issue, Path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boxruntime.fhir.metadata import ElementPath, Metadata

_ENTITY_FACTS = frozenset(
    {"type", "isOpen", "schema", "history", "isMeta", "module", "description", "text"}
)
_KEPT = frozenset({"attrs", "hooks", "profiles"})
"""Members beside the facts; hooks and profiles are stored with the manifest only."""
_ATTRIBUTE_FACTS = frozenset(
    {
        "type", "isCollection", "isRequired", "isOpen", "isUnique", "isModifier", "isSummary",
        "union", "enum", "refers", "extensionUrl", "valueSet", "schema", "contentRef", "order",
        "module", "description", "text", "source",
    }
)  # fmt: skip


class Definition(msgspec.Struct, frozen=True):
    """One resource that a manifest stands for; `place` is where it stands in the manifest."""

    type: str
    id: str
    resource: dict[str, Any]
    place: Path


class Expansion(msgspec.Struct):
    """What a manifest stands for, outermost first, and everything wrong with its form."""

    definitions: list[Definition] = []
    findings: list[tuple[Path, str]] = []

    def issues(self, type_name: str) -> list[Issue]:
        """Return the findings as issues whose paths start at a resource of that type."""
        return [
            Issue(message=text, path=place, type_name=type_name) for place, text in self.findings
        ]


def expand_entities(
    base: Metadata,
    entities: Any,
    place: Path,
    *,
    foreign: Mapping[str, str],
    module: str | None,
) -> Expansion:
    """Return the Entity and Attribute resources of `{Type: {attrs: {name: {...}}, ...flags}}`.

    `base` is what every box has: its types and elements take over the flags that are given, and
    are left alone where there are none. `foreign` names the kind of each other type that somebody
    else made; what is in neither becomes a resource type. `module` marks what is made.
    """
    expansion = Expansion()
    if not _is_object(entities, place, expansion):
        return expansion
    for name, spec in entities.items():
        here = (*place, name)
        if not _is_object(spec, here, expansion):
            continue
        for key in sorted(spec.keys() - _ENTITY_FACTS - _KEPT):
            expansion.findings.append(((*here, key), "extra property"))
        facts = {key: value for key, value in spec.items() if key in _ENTITY_FACTS}
        known = base.find_type(name)
        if known is not None:
            if facts:
                resource = {**entity_document(known), **facts}
                expansion.definitions.append(Definition("Entity", name, resource, here))
        elif name in foreign:
            if facts:
                resource = {"type": foreign[name], **facts}
                expansion.definitions.append(Definition("Entity", name, resource, here))
        else:
            resource = {"type": "resource", **_marked(module), **facts}
            expansion.definitions.append(Definition("Entity", name, resource, here))
        if "attrs" in spec:
            attributes = _Attributes(base, name, module, expansion)
            attributes.expand(spec["attrs"], (), (*here, "attrs"))
    return expansion


class _Attributes:
    def __init__(
        self, base: Metadata, owner: str, module: str | None, expansion: Expansion
    ) -> None:
        self._base = base
        self._owner = owner
        self._module = module
        self._expansion = expansion

    def expand(self, attrs: Any, above: ElementPath, place: Path) -> None:
        if not _is_object(attrs, place, self._expansion):
            return
        for position, (name, spec) in enumerate(attrs.items()):
            here = (*place, name)
            if _is_object(spec, here, self._expansion):
                self._attribute(spec, (*above, name), here, position)

    def _attribute(
        self, spec: dict[str, Any], path: ElementPath, place: Path, position: int
    ) -> None:
        for key in sorted(spec.keys() - _ATTRIBUTE_FACTS - {"attrs", "search"}):
            self._expansion.findings.append(((*place, key), "extra property"))
        facts = {key: value for key, value in spec.items() if key in _ATTRIBUTE_FACTS}
        known = self._base.find_element(self._owner, path)
        if known is None:
            union = self._add({"order": position, **_marked(self._module), **facts}, path, place)
            self._alternatives(union, facts, path, place)
        elif facts:
            built_in = attribute_document(self._base.types[self._owner], path, known)
            if "type" in facts or "union" in facts:
                built_in = {k: v for k, v in built_in.items() if k not in {"type", "union"}}
            self._add({**built_in, **facts}, path, place)
        if "search" in spec:
            self._search_parameter(spec["search"], path, (*place, "search"))
        if "attrs" in spec:
            self.expand(spec["attrs"], path, (*place, "attrs"))

    def _add(self, facts: dict[str, Any], path: ElementPath, place: Path) -> list[Any]:
        """Add the Attribute and return its choices."""
        resource = {"resource": _entity(self._owner), "path": list(path), **facts}
        if "type" in facts:
            resource["type"] = self._named(facts["type"], (*place, "type"))
        union = facts.get("union")
        if isinstance(union, list):
            resource["union"] = [
                self._named(item, (*place, "union", index)) for index, item in enumerate(union)
            ]
        self._append(path, resource, place)
        return resource["union"] if isinstance(union, list) else []

    def _alternatives(
        self, union: list[Any], facts: dict[str, Any], path: ElementPath, place: Path
    ) -> None:
        """A choice also has one Attribute per alternative."""
        for index, type_ in enumerate(union):
            name = type_["id"]
            refers = name == "Reference" and "refers" in facts
            resource = {
                "resource": _entity(self._owner),
                "path": [*path, name],
                "type": type_,
                "order": index,
                **_marked(self._module),
                **({"refers": facts["refers"]} if refers else {}),
            }
            self._append((*path, name), resource, (*place, "union", index))

    def _search_parameter(self, spec: Any, path: ElementPath, place: Path) -> None:
        if not _is_object(spec, place, self._expansion):
            return
        name = spec.get("name", path[-1])
        resource = {
            "expression": [list(path)],
            **_marked(self._module),
            **spec,
            "name": name,
            "resource": _entity(self._owner),
        }
        id_ = f"{self._owner}.{name}"
        self._expansion.definitions.append(Definition("SearchParameter", id_, resource, place))

    def _append(self, path: ElementPath, resource: dict[str, Any], place: Path) -> None:
        id_ = ".".join((self._owner, *path))
        self._expansion.definitions.append(Definition("Attribute", id_, resource, place))

    def _named(self, name: Any, place: Path) -> dict[str, str]:
        """Return the reference to an Entity that a plain name stands for."""
        if isinstance(name, dict) and isinstance(name.get("id"), str):
            return _entity(name["id"])
        if not isinstance(name, str):
            self._expansion.findings.append((place, "expected the name of a type"))
        return _entity(str(name))


def expand_resources(resources: Any, place: Path) -> Expansion:
    """Return the resources of `{Type: {id: body}}`."""
    expansion = Expansion()
    if not _is_object(resources, place, expansion):
        return expansion
    for name, bodies in resources.items():
        if not _is_object(bodies, (*place, name), expansion):
            continue
        if name == "App":
            expansion.findings.append(((*place, name), "an App cannot bring another"))
            continue
        for id_, body in bodies.items():
            here = (*place, name, id_)
            if _is_object(body, here, expansion):
                expansion.definitions.append(Definition(name, id_, body, here))
    return expansion


def _is_object(value: Any, place: Path, expansion: Expansion) -> bool:
    if isinstance(value, dict):
        return True
    expansion.findings.append((place, "expected type of object"))
    return False


def _marked(module: str | None) -> dict[str, str]:
    return {} if module is None else {"module": module}


def _entity(name: str) -> dict[str, str]:
    return {"resourceType": "Entity", "id": name}
