"""A profile's JSON Schema, compiled, and its errors in our words.

Draft 7 unless `$schema` names another draft: slices are counted with `minContains`, which came
with 2019-09. `message` beside keywords replaces the text of their errors; converted profiles name
slices, extensions and value sets with it.
Source: core specification, "AidboxProfile"; JSON Schema drafts 7, 2019-09 and 2020-12.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema_rs

from boxruntime.fhir.validators import WHOLE, Whole, enforced, schema_issues

if TYPE_CHECKING:
    from collections.abc import Mapping

    from boxruntime.fhir.outcome import Issue

MESSAGE = "message"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
"""What converted profiles are written in."""
_DRAFTS = {
    "http://json-schema.org/draft-06/schema": jsonschema_rs.Draft6Validator,
    "http://json-schema.org/draft-07/schema": jsonschema_rs.Draft7Validator,
    "https://json-schema.org/draft/2019-09/schema": jsonschema_rs.Draft201909Validator,
    DRAFT: jsonschema_rs.Draft202012Validator,
}
_DEFAULT = "http://json-schema.org/draft-07/schema"
_TEXTS = {
    "anyOf": "none of the alternatives fits",
    "oneOf": "not exactly one of the alternatives fits",
    "not": "not allowed here",
    "propertyNames": "a name that is not allowed here",
}
"""Where the types' own schemas mean choice types by these keywords, a profile may mean anything."""


class ProfileValidator:
    """The compiled schema of one profile."""

    __slots__ = ("_schema", "_validator")

    def __init__(self, schema: Any, validator: Any) -> None:
        self._schema = schema
        self._validator = validator

    def issues(self, resource: Any, type_name: str, formats: Mapping[str, str]) -> list[Issue]:
        """Return all findings; [] after 1-20 us when there are none."""
        if self._validator.is_valid(resource):
            return []
        return schema_issues(self._validator, resource, type_name, formats, self._message)

    def _message(self, error: jsonschema_rs.ValidationError) -> str | None:
        """Return the text that the schema itself gives for an error, or ours for a profile's."""
        node = self._schema
        try:
            for step in list(error.schema_path)[:-1]:
                node = node[step]
            text = node.get(MESSAGE)
        except (AttributeError, KeyError, IndexError, TypeError):
            text = None  # through a $ref
        return text if isinstance(text, str) else _TEXTS.get(error.kind.name)


def compile_profile(schema: Any) -> ProfileValidator:
    """Return the validator of a profile's schema.

    Raises ValueError for one that is none, saying why without a line break.
    """
    draft = schema.get("$schema", _DEFAULT) if isinstance(schema, dict) else _DEFAULT
    make = _DRAFTS.get(draft.rstrip("#")) if isinstance(draft, str) else None
    if make is None:
        raise ValueError("$schema is of no draft that is known here")
    try:
        validator = make(enforced(schema), keywords={WHOLE: Whole}, offline=True)
    except ValueError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return ProfileValidator(schema, validator)
