"""What an Attribute must say to be usable, beyond what the schema of Attribute asks for.

Looked at when everything a transaction writes is there, so that the order does not matter.
Source: core specification, "Attribute", "First-class extensions", "Choice types".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from boxruntime.fhir.compile import fhir_type
from boxruntime.fhir.outcome import Issue, Path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from boxruntime.fhir.metadata import Element, ElementPath, Metadata, Record

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
"""Keys that begin with an underscore are free in every object; dots divide paths."""
_WITHOUT_OWN = frozenset({"Element", "BackboneElement", "Extension"})
"""What groups and extensions are made of; they do not look there again."""
_NOT_CONVERTED = frozenset({"Reference", "Resource"})
"""Types whose objects are not searched for extensions: they may have none, or keep them raw."""
_SECRETS = frozenset({"password", "secret"})

Finding = tuple[Path, str]


def form_issues(record: Record) -> list[Issue]:
    """Return what is wrong with an Attribute whatever else there is."""
    return _issues(_form_findings(record))


def attribute_issues(metadata: Metadata, record: Record) -> list[Issue]:
    """Return what makes an Attribute unusable in `metadata`, which has it laid over.

    The record has no `form_issues`.
    """
    findings = list(_path_findings(metadata, record))
    if not findings:
        owner, path = record["resource"]["id"], tuple(record["path"])
        findings += _content_ref_findings(metadata, owner, record)
        findings += _refers_findings(metadata, record)
        findings += _extension_findings(metadata, owner, path, record)
        if record.get("isUnique"):
            findings += _unique_findings(metadata, owner, path)
    return _issues(findings)


def _issues(findings: Iterable[Finding]) -> list[Issue]:
    return [Issue(message=text, path=place, type_name="Attribute") for place, text in findings]


def unique_elements(metadata: Metadata, type_name: str) -> tuple[Element, ...]:
    """Return the elements of a resource type whose values are unique across the type."""
    cache = metadata.artefacts("unique")
    found: tuple[Element, ...] | None = cache.get(type_name)
    if found is None:
        type_def = metadata.find_type(type_name)
        found = tuple(_unique_below(type_def.elements)) if type_def is not None else ()
        cache[type_name] = found
    return found


def _unique_below(elements: dict[str, Element]) -> Iterator[Element]:
    for element in elements.values():
        if element.array:
            continue
        if element.unique:
            yield element
        yield from _unique_below(element.children)


def _form_findings(record: Record) -> Iterator[Finding]:
    for index, name in enumerate(record["path"]):
        if _NAME.fullmatch(name) is None:
            yield ("path", index), "expected a letter, then letters, digits, '_' or '-'"
    stated = [key for key in ("type", "union", "contentRef") if record.get(key)]
    if len(stated) > 1:
        yield (stated[1],), f"expected not to stand beside {stated[0]}"
    if record.get("union") and record.get("isCollection"):
        yield ("isCollection",), "a choice is a single value"
    for place, reference in _entity_references(record):
        if _id_of(reference) is None:
            yield place, "expected a reference to an Entity"


def _path_findings(metadata: Metadata, record: Record) -> Iterator[Finding]:
    path = record["path"]
    owner = metadata.find_type(record["resource"]["id"])
    if owner is None or owner.kind == "primitive" or owner.name in _WITHOUT_OWN:
        yield ("resource",), "expected a resource or complex type that has elements of its own"
        return
    for depth in range(1, len(path)):
        above = metadata.find_element(owner.name, path[:depth])
        if above is None:
            return
        if above.union and path[depth] not in above.union:
            yield ("path", depth), f"expected one of {', '.join(above.union)}"
            return
        type_def = metadata.find_type(above.type) if above.type else None
        if type_def is not None and type_def.kind == "primitive":
            yield ("path", depth), f"{above.name} has no elements: it is a {above.type}"
            return


def _entity_references(record: Record) -> Iterator[tuple[Path, Any]]:
    yield ("resource",), record["resource"]
    if record.get("type"):
        yield ("type",), record["type"]
    for index, reference in enumerate(record.get("union") or ()):
        yield ("union", index), reference


def _content_ref_findings(metadata: Metadata, owner: str, record: Record) -> Iterator[Finding]:
    path = record.get("contentRef")
    if not path:
        return
    target = metadata.find_element(owner, path)
    if target is None or target.type or target.union or target.content_ref:
        yield ("contentRef",), "expected the path of a group of the same Entity"


def _refers_findings(metadata: Metadata, record: Record) -> Iterator[Finding]:
    for index, name in enumerate(record.get("refers") or ()):
        if name not in metadata.resource_types:
            yield ("refers", index), "unknown resource type"


def _extension_findings(
    metadata: Metadata, owner: str, path: ElementPath, record: Record
) -> Iterator[Finding]:
    url = record.get("extensionUrl")
    if url is None:
        return
    holder, siblings = _siblings(metadata, owner, path)
    if record.get("union") or record.get("contentRef"):
        yield ("extensionUrl",), "an extension has one type, or is a group"
    elif holder in _NOT_CONVERTED:
        yield ("extensionUrl",), f"extensions of {holder} stay as they are"
    elif not _is_extension_type(metadata, record):
        yield ("extensionUrl",), "no extension can have this type"
    elif any(one.extension_url == url and one.name != path[-1] for one in siblings.values()):
        yield ("extensionUrl",), "another element has this extension"


def _is_extension_type(metadata: Metadata, record: Record) -> bool:
    """Whether value[x] of an Extension can carry it; a group is made of extensions."""
    name = _id_of(record.get("type"))
    value = metadata.find_element("Extension", ("value",))
    return name is None or value is None or fhir_type(name) in value.union


def _siblings(
    metadata: Metadata, owner: str, path: ElementPath
) -> tuple[str | None, dict[str, Element]]:
    """Return the type whose object holds the element (None: a group), and all elements there."""
    type_def = metadata.types[owner]
    if len(path) == 1:
        return owner, type_def.elements
    above = metadata.find_element(owner, path[:-1])
    if above is None:
        return None, {}
    return above.type, metadata.children_of(owner, above)[1]


def _unique_findings(metadata: Metadata, owner: str, path: ElementPath) -> Iterator[Finding]:
    if metadata.types[owner].kind != "resource":
        yield ("isUnique",), "expected an element of a resource type"
        return
    for depth in range(1, len(path) + 1):
        element = metadata.find_element(owner, path[:depth])
        if element is not None and element.array:
            yield ("isUnique",), f"{element.name} is a collection: it has no single value"
            return
        if element is not None and element.type in _SECRETS:
            yield ("isUnique",), f"the stored form of a {element.type} says nothing of its value"
            return


def _id_of(reference: Any) -> str | None:
    found = reference.get("id") if isinstance(reference, dict) else None
    return found if isinstance(found, str) else None
