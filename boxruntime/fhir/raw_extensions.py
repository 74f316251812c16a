"""Links to other entries of a transaction inside extensions that are kept as received.

Raw extensions are never converted, but every reference to an entry of the same transaction is
replaced, wherever it stands. Source: FHIR R4, RESTful API, "Transaction Processing Rules"; core
specification, "Batch and transaction".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

_Value = TypeVar("_Value")
_MEMBERS = ("extension", "modifierExtension")


def rewrite_extensions(
    value: _Value, rewrite: Mapping[str, str], *, inside: bool = False
) -> _Value:
    """Return the value with references inside extensions replaced by `rewrite`.

    In FHIR's form that is `valueReference.reference`, in Aidbox's `value.Reference.uri`. Copies only along changed paths; the same object comes back when nothing changed.
    """
    changed: Any = None
    if isinstance(value, dict):
        for key, item in value.items():
            new: Any
            if inside and key == "reference" and isinstance(item, str):
                new = rewrite.get(item, item)
            elif inside and key == "Reference" and _is_named(item, rewrite):
                resource_type, _, id_ = rewrite[item["uri"]].partition("/")
                rest = {name: member for name, member in item.items() if name != "uri"}
                new = {"resourceType": resource_type, "id": id_, **rest}
            elif isinstance(item, (dict, list)):
                new = rewrite_extensions(item, rewrite, inside=inside or key in _MEMBERS)
            else:
                continue
            if new is not item:
                changed = changed if changed is not None else dict(value)
                changed[key] = new
    elif isinstance(value, list):
        for index, item in enumerate(value):
            new = rewrite_extensions(item, rewrite, inside=inside)
            if new is not item:
                changed = changed if changed is not None else list(value)
                changed[index] = new
    return value if changed is None else changed


def _is_named(item: Any, rewrite: Mapping[str, str]) -> bool:
    return isinstance(item, dict) and isinstance(item.get("uri"), str) and item["uri"] in rewrite
