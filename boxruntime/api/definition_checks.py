"""Whether the metadata can be used, with all that a transaction wrote of it, before it commits.

So an Attribute may come before its Entity, and nothing gets in that would make a type, or the whole
box, unusable. Source: core specification, "Entity", "Attribute"; search specification,
"SearchParameter meta-resource".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from boxruntime.api.entities import UNUSABLE, own_metadata, owner_of, try_out
from boxruntime.fhir.definition_rules import attribute_issues, unique_elements
from boxruntime.fhir.outcome import Fault, Issue, OutcomeError
from boxruntime.fhir.schema import reachable_types
from boxruntime.fhir.search.parameters import find_parameter
from boxruntime.fhir.validators import compile_schema
from boxruntime.storage.meta import load_all
from boxruntime.storage.unique import ensure_unique

if TYPE_CHECKING:
    from collections.abc import Sequence

    from boxruntime.api.box import Box, WrittenDefinition
    from boxruntime.fhir.metadata import Metadata


class DefinitionError(OutcomeError):
    """An Entity or Attribute that cannot be used, and which it was."""

    def __init__(self, written: WrittenDefinition, issues: list[Issue]) -> None:
        super().__init__(Fault.UNPROCESSABLE, issues)
        self.written = written


async def check_definitions(box: Box, definitions: Sequence[WrittenDefinition]) -> None:
    """Return if the metadata, with what the transaction wrote, can be used; make its indexes.

    A schema that does not compile would otherwise make the type, or the whole box, unusable.
    Raises DefinitionError UNPROCESSABLE, which names the written resource.
    """
    if not definitions:
        return
    metadata = await _loaded(box, definitions)
    await _check_unused(box, metadata, definitions)
    for written in definitions:
        if written.type == "Attribute" and not written.is_deletion:
            record = {**written.resource, "id": written.id}
            issues = attribute_issues(metadata, record)
            if issues:
                raise DefinitionError(written, issues)
        elif written.type == "SearchParameter" and not written.is_deletion:
            _check_parameter(metadata, written)
    for owner, group in _by_owner(metadata, definitions).items():
        _check_compiles(metadata, owner, group)
        if owner in metadata.resource_types:
            try:
                elements = unique_elements(metadata, owner)
                await ensure_unique(box.store.runner, owner, elements)
            except OutcomeError as error:
                guilty = next((one for one in group if one.resource.get("isUnique")), group[-1])
                raise DefinitionError(guilty, error.issues) from None


def _by_owner(
    metadata: Metadata, definitions: Sequence[WrittenDefinition]
) -> dict[str, list[WrittenDefinition]]:
    found: dict[str, list[WrittenDefinition]] = {}
    for written in definitions:
        owner = owner_of(written.type, written.id, written.resource)
        if owner is not None and owner in metadata.types:
            found.setdefault(owner, []).append(written)
    return found


def _check_compiles(metadata: Metadata, owner: str, group: list[WrittenDefinition]) -> None:
    """Return if the type, and those that use a data type, can be compiled."""
    try:
        try_out(metadata, owner)
        if metadata.types[owner].kind != "resource":
            for name in sorted(metadata.changed - {owner}):
                if owner in reachable_types(metadata, name):
                    try_out(metadata, name)
    except UNUSABLE:
        guilty = next((one for one in group if _has_wrong_schema(one)), group[-1])
        issue = Issue(
            message="the type cannot be used: its schema is not right",
            path=("schema",) if guilty.resource.get("schema") else (),
            type_name=guilty.type,
        )
        raise DefinitionError(guilty, [issue]) from None


def _has_wrong_schema(written: WrittenDefinition) -> bool:
    schema = written.resource.get("schema")
    if not isinstance(schema, dict):
        return schema is not None
    try:
        compile_schema(schema)
    except UNUSABLE:
        return True
    return False


async def _loaded(box: Box, definitions: Sequence[WrittenDefinition]) -> Metadata:
    try:
        return await own_metadata(box, (), ())
    except UNUSABLE:
        issue = Issue(message="the metadata cannot be used: a type or path is not right")
        raise DefinitionError(definitions[-1], [issue]) from None


def _check_parameter(metadata: Metadata, written: WrittenDefinition) -> None:
    name = written.resource.get("name")
    owner = owner_of(written.type, written.id, written.resource)
    if not isinstance(written.resource.get("expression"), list) or owner is None:
        return  # in FHIR's shape
    if not written.resource["expression"] or not all(written.resource["expression"]):
        message = "expected at least one path, and none of them empty"
    else:
        try:
            find_parameter(metadata, owner, str(name))
        except UNUSABLE:
            message = "the search parameter cannot be used"
        else:
            return
    issue = Issue(message=message, path=("expression",), type_name=written.type)
    raise DefinitionError(written, [issue])


async def _check_unused(
    box: Box, metadata: Metadata, definitions: Sequence[WrittenDefinition]
) -> None:
    """Return if no Attribute of a type that stays has a type that was deleted."""
    gone = {
        one.id: one
        for one in definitions
        if one.type == "Entity" and one.is_deletion and one.id not in metadata.types
    }
    if not gone:
        return
    for attribute in await load_all(box.store.runner, "Attribute", own_only=True):
        owner = owner_of("Attribute", attribute["id"], attribute)
        if owner not in metadata.types:
            continue
        for used in (attribute.get("type"), *(attribute.get("union") or ())):
            name = used.get("id") if isinstance(used, dict) else None
            if name in gone:
                message = f"Attribute {attribute['id']} has this type"
                issue = Issue(message=message, path=("id",), type_name="Entity")
                raise DefinitionError(gone[name], [issue])
