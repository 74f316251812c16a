"""CompartmentDefinitions reduced to what a search needs.

Types without `param` are kept: a listed type that is not in the compartment answers an empty
result, an unlisted one 404 (core specification, Compartments).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from infra.definitions.package import Json


def compile_compartments(definitions: Iterable[Json]) -> dict[str, Json]:
    """Return code -> {"url", "resource": [{"code", "param"?}]}; examples are left out."""
    return {
        definition["code"]: {
            "url": definition["url"],
            "resource": [
                {key: entry[key] for key in ("code", "param") if entry.get(key)}
                for entry in sorted(definition["resource"], key=lambda each: str(each["code"]))
            ],
        }
        for definition in sorted(definitions, key=lambda each: str(each["code"]))
        if definition["id"] != "example"
    }
