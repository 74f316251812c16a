"""A quick look at the `_x` members of a document: surely right, or to be examined by `shape`.

Source: core specification, "FHIR JSON rules at /fhir" (`_x`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.fhir_members import Kind, table_of

if TYPE_CHECKING:
    from boxruntime.fhir.fhir_members import Table
    from boxruntime.fhir.metadata import Metadata

_BESIDE = frozenset({"id", "extension"})


def are_shadows_right(metadata: Metadata, type_name: str, document: dict[str, Any]) -> bool:
    """Tell whether each `_x` is surely right; False also where only a longer look could tell.

    15 us for a 2 kB Patient, where `check_shape` takes 60. The extensions inside `_x` are the
    business of `are_extensions_right`.
    """
    return _is_right(metadata, table_of(metadata, (type_name, ())), document)


def _is_right(metadata: Metadata, table: Table, source: dict[str, Any]) -> bool:
    members = table.members
    for key, value in source.items():
        member = members.get(key)
        if member is None:
            if key[0:1] == "_" and not _is_right_shadow(table, source, key, value):
                return False
            if key.startswith("fhir_"):
                return False
            continue
        kind = member.kind
        if kind is Kind.PRIMITIVE or kind is Kind.FREE:
            continue
        for item in value if type(value) is list else (value,):
            if type(item) is not dict:
                continue  # the schema says what is wrong
            below = member.below
            if kind is Kind.RESOURCE:
                below = metadata.fhir_type(str(item.get("resourceType"))), ()
            if not _is_right(metadata, table_of(metadata, below), item):
                return False
    return True


def _is_right_shadow(table: Table, source: dict[str, Any], key: str, value: Any) -> bool:
    """Tell whether an `_x` beside a single primitive is right; of an array nothing is sure."""
    member = table.members.get(key[1:])
    extensions = value.get("extension", []) if type(value) is dict else None
    return (
        member is not None
        and member.has_shadow
        and not member.array
        and type(value) is dict
        and value.keys() <= _BESIDE
        and type(value.get("id", "")) is str
        and value.get("id") != ""
        and type(extensions) is list
        and all(type(item) is dict for item in extensions)
        and ("extension" in value or key[1:] in source)
    )
