"""AccessPolicy resources that are written: one form is stored, and what cannot work is refused.

Source: authentication specification, "Access policies", "Resource".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boxruntime.access.engines.sql_text import SqlText
from boxruntime.access.engines.values import PolicyError
from boxruntime.access.policy import Policy, engine_of
from boxruntime.fhir.outcome import Fault, Issue, OutcomeError
from boxruntime.storage.policy_queries import PolicyQueryError, check_syntax

if TYPE_CHECKING:
    from collections.abc import Iterator

    from boxruntime.fhir.outcome import Path
    from boxruntime.storage.database import Database

_TYPE = "AccessPolicy"


def policy_issues(document: dict[str, Any], resource: dict[str, Any]) -> list[Issue]:
    """Return why a policy cannot be used; bring older spellings into the stored form, in place.

    `document` is the policy as it was sent: an empty `link` would be dropped, and the policy
    become one for everybody.
    """
    if document.get("link") == []:
        return [_issue("expected at least one link", ("link",))]
    if engine_of(resource) == "matcho":
        if resource.get("type") == "matcho":
            del resource["type"]
        resource["engine"] = "matcho"
        if "match" in resource:
            match = resource.pop("match")
            resource.setdefault("matcho", match)
    try:
        Policy({"id": "", **resource})
    except PolicyError as error:
        return [_issue(error.message, error.path)]
    return []


async def check_statements(database: Database, resource: dict[str, Any]) -> None:
    """Return if PostgreSQL can read the statements of a policy that is right otherwise.

    Raises OutcomeError UNPROCESSABLE. Identifiers that a request brings cannot be looked at.
    """
    for path, query in _statements(resource, ()):
        text = SqlText(query)
        if text.has_names:
            continue
        try:
            await check_syntax(database, text.statement({}).sql)
        except PolicyQueryError:
            issue = _issue("the statement has a syntax error", (*path, "sql", "query"))
            raise OutcomeError(Fault.UNPROCESSABLE, issue) from None


def _statements(policy: dict[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    if policy.get("engine") == "sql":
        yield path, policy["sql"]["query"]
    elif policy.get("engine") == "complex":
        name = "and" if "and" in policy else "or"
        for index, part in enumerate(policy[name]):
            yield from _statements(part, (*path, name, index))


def _issue(message: str, path: Path) -> Issue:
    return Issue(message=message, path=path, type_name=_TYPE)
