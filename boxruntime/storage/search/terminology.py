"""Value sets and code systems of the box, put into a Query in place of their names.

Source: search specification, 4.4 token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.fhir.json_text import decode_json
from boxruntime.fhir.search.errors import invalid
from boxruntime.fhir.search.query import Condition, InValueSet, Query, SetMatch, Subsumption
from boxruntime.fhir.search.terminology import Library, UnknownValueSetError, expand, related
from boxruntime.fhir.search.visit import conditions_of, replace_conditions
from boxruntime.storage.search.places import table_of

if TYPE_CHECKING:
    from boxruntime.fhir.search.values import Token
    from boxruntime.storage.database import Runner


async def resolve_terminology(runner: Runner, query: Query) -> Query:
    """Return the query with all value sets expanded and hierarchies walked.

    Raises OutcomeError INVALID for a value set that is not stored.
    """
    open_ends = {
        condition
        for condition in conditions_of(query)
        if isinstance(condition, InValueSet | Subsumption)
    }
    if not open_ends:
        return query
    library = _library(runner)
    resolved: dict[Condition, Condition] = {}
    for condition in open_ends:
        tokens: set[Token]
        if isinstance(condition, InValueSet):
            try:
                tokens = await expand(library, condition.value_set)
            except UnknownValueSetError:
                raise invalid(condition.parameter.name, "the value set is not known here") from None
        else:
            tokens = await related(library, condition.token, below=condition.below)
        ordered = sorted(tokens, key=lambda token: (token.system or "", token.code or ""))
        resolved[condition] = SetMatch(condition.parameter, tuple(ordered))
    return replace_conditions(query, resolved)


def _library(runner: Runner) -> Library:
    async def value_set(url: str) -> dict[str, Any] | None:
        if url.startswith("ValueSet/"):
            sql = f"SELECT resource::text AS text FROM {table_of('ValueSet')} WHERE id = $1"
            records = await runner.run(sql, url.removeprefix("ValueSet/"))
            return decode_json(records[0]["text"]) if records else None
        return await by_url("ValueSet", url)

    async def by_url(type_name: str, url: str) -> dict[str, Any] | None:
        bare, _, version = url.partition("|")
        sql = (
            f"SELECT resource::text AS text FROM {table_of(type_name)} "
            "WHERE resource @> jsonb_build_object('url', $1::text) "
            "AND ($2::text = '' OR resource ->> 'version' = $2::text) "
            "ORDER BY resource ->> 'version' DESC NULLS LAST, ts DESC LIMIT 1"
        )
        records = await runner.run(sql, bare, version)
        return decode_json(records[0]["text"]) if records else None

    async def code_system(url: str) -> dict[str, Any] | None:
        (record,) = await runner.run("SELECT to_regclass('codesystem') IS NOT NULL AS known")
        if record["known"]:
            return await by_url("CodeSystem", url)
        # DSTU2 has no such resource: a code system stands inside the value set that lists it.
        sql = (
            f"SELECT (resource -> 'codeSystem')::text AS text FROM {table_of('ValueSet')} "
            "WHERE resource @> jsonb_build_object('codeSystem', "
            "jsonb_build_object('system', $1::text)) ORDER BY ts DESC LIMIT 1"
        )
        records = await runner.run(sql, url)
        return decode_json(records[0]["text"]) if records else None

    return Library(value_set, code_system)
