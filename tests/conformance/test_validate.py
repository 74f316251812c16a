"""`$validate` against the reference validator: 64 published cases, sent as they are.

Where we disagree, the reason stands here as data and in docs/spec-notes.md; a disagreement that
goes away, or a new one, fails. Source: core specification, "$validate".
"""

from __future__ import annotations

import json
import re

import pytest

from tests.conformance.data import DATA

FOLDER = DATA / "validate"
CASES = json.loads((FOLDER / "cases.json").read_text(encoding="utf-8"))

UNKNOWN_EXTENSION = "an extension whose url is unknown is accepted"
NOT_HELD = "SNOMED CT is not held by the box: nothing, or a warning at most"
COMMENTS = "JSON has no comments: the body is refused with 400"
DISAGREEMENTS = {
    "vs-bad-code": NOT_HELD,
    "obs-temp-code2": NOT_HELD,
    "pat-dob-ext": UNKNOWN_EXTENSION,
    "target-ref-profile-empty": UNKNOWN_EXTENSION,
    "pat-example-extensions": UNKNOWN_EXTENSION,
    "nested-questionnaire-nested-valueset": UNKNOWN_EXTENSION,
    "obs-vs-1": UNKNOWN_EXTENSION,
    "maiden-name-extension": "where an extension may stand is not checked",
    "json-comments-1-yes": COMMENTS,
    "json-comments-2-yes": COMMENTS,
    "bad-markdown-no-html": "HTML in markdown is a warning; the case runs with a stricter option",
    "contained-resource-bad-id-ignore": "the same file is an error without the case's option",
    "vs-params-2": "expressions in extensions of a filter are not evaluated",
}

UNSEEN = {
    "supplement-2": {"CodeSystem.concept[0]"},  # LOINC is not held
    "bundle-id-3": {"Bundle.entry[0].resource.vaccineCode.coding[0].display"},  # nor CVX
    "versioned-extension": {
        "Patient.extension[1][url='http://hl7.org/fhir/StructureDefinition/patient-congregation|4.0.0']"
    },  # we report the url itself, as the second of its errors does
    "ext-ccuk": {"StructureDefinition", "StructureDefinition.differential.element[0]"},
    # no snapshot is generated; sdf-20 is found
    "obs-quantity-us": {"Observation.value.ofType(Quantity)"},  # slices of bp are not closed
    "obs-vs-2": {"Observation.extension[0]", "Observation.code"},  # as in obs-vs-1
    "json-comments-2-no": {"Patient.id", "Patient.gender"},  # refused before there is a resource
    "json-no-quotes-2": {"Patient.name[0].given[0]", "Patient.address[0]"},
}
"""Places of theirs that we do not name, in cases where both find something."""
_TYPE = re.compile(r'"resourceType"\s*:\s*"(\w+)"')
_COMMENT = re.compile(r"/\*.*?\*/")


async def outcome_of(box, case):
    content = (FOLDER / case["file"]).read_bytes()
    type_name = _TYPE.search(content.decode())[1]
    if type_name == "Parameters":
        # Parameters are the operation's input, so those to be judged stand inside.
        start = b'{"resourceType":"Parameters","parameter":[{"name":"resource","resource":'
        content = start + content + b"}]}"
    answer = await box.client.post(
        f"/fhir/{type_name}/$validate",
        content=content,
        headers={"content-type": "application/fhir+json"},
    )
    assert answer.status_code in {200, 400}, answer.text
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"]
    return outcome


def errors(outcome):
    return [issue for issue in outcome["issue"] if issue["severity"] in {"fatal", "error"}]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_both_find_an_error_or_neither_does(box, case):
    found = errors(await outcome_of(box, case))
    agrees = bool(found) == case["expectError"]
    assert agrees is (case["name"] not in DISAGREEMENTS), found


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case["expectError"] and case["name"] not in DISAGREEMENTS],
    ids=lambda case: case["name"],
)
async def test_both_find_it_at_the_same_places(box, case):
    ours = {
        place
        for issue in errors(await outcome_of(box, case))
        for place in issue.get("expression", ())
    }
    theirs = {
        _COMMENT.sub("", place) for error in case["errors"] for place in error["expression"] or ()
    }
    assert ours <= theirs, "more than the reference validator finds"
    assert theirs - ours == UNSEEN.get(case["name"], set())


def test_the_lists_name_cases():
    names = {case["name"] for case in CASES}
    assert len(names) == 64
    assert DISAGREEMENTS.keys() | UNSEEN.keys() <= names
    assert not DISAGREEMENTS.keys() & UNSEEN.keys()
