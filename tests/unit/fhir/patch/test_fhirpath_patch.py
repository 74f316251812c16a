"""FHIRPath Patch beyond the published cases.

Source: FHIR R4, "FHIRPath Patch", and its JSON form of primitives and choices.
"""

from __future__ import annotations

import copy
import time

import pytest

from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Fault, OutcomeError
from boxruntime.fhir.patch.fhirpath_operations import parse_fhirpath_patch
from boxruntime.fhir.patch.fhirpath_patch import apply_fhirpath_patch

METADATA = base_metadata("4.0.1")
OAK = {
    "resourceType": "Patient",
    "id": "p1",
    "name": [
        {"use": "official", "family": "Oak", "given": ["Ann", "Bo"]},
        {"use": "usual", "given": ["Annie"], "_given": [{"id": "g"}]},
    ],
    "_birthDate": {"extension": [{"url": "urn:x", "valueString": "unknown"}]},
    "deceasedBoolean": False,
    "contained": [{"resourceType": "Organization", "id": "o", "name": "A", "alias": ["B"]}],
    "extension": [
        {"url": "urn:a", "valueString": "1"},
        {"url": "urn:b", "extension": [{"url": "c", "valueCoding": {"code": "x"}}]},
    ],
}
TEXTS = {"type": "valueCode", "path": "valueString", "name": "valueString"}


def operation(kind, path, name=None, value=None, **numbers):
    """Return one parameter; `value` are the members of the value part."""
    parts = [{"name": "type", "valueCode": kind}, {"name": "path", "valueString": path}]
    if name is not None:
        parts.append({"name": "name", "valueString": name})
    if value is not None:
        parts.append({"name": "value", **value})
    parts += [{"name": key, "valueInteger": number} for key, number in numbers.items()]
    return {"name": "operation", "part": parts}


def parameters(*operations):
    return {"resourceType": "Parameters", "parameter": list(operations)}


def patched(document, *operations):
    parsed = parse_fhirpath_patch(METADATA, parameters(*operations))
    found = copy.deepcopy(document)
    return apply_fhirpath_patch(found, parsed, METADATA, document["resourceType"])


def changes(document, *operations):
    """Return the members that differ after the operations, and what they are then."""
    after = patched(document, *operations)
    return {
        key: after.get(key) for key in {**document, **after} if document.get(key) != after.get(key)
    }


def refused(document, *operations):
    with pytest.raises(OutcomeError) as failure:
        patched(document, *operations)
    assert failure.value.fault is Fault.INVALID
    return failure.value.issues[0]


STRING = {"valueString": "new"}


@pytest.mark.parametrize(
    "path",
    [
        "Patient.name[0].family", "name[0].family", "Patient.name.first().family",
        "Patient.name.where(use = 'official').family", "%resource.name.family",
        "Patient.name.where(given.exists($this = 'Bo')).family",
        "Patient.name.where(use = 'official' and given.count() = 2).family",
        "Patient.name.where(use != 'usual').family", "$this.name.skip(0).take(1).family",
        "Patient.name.where(family.startsWith('O') and use.endsWith('al')).family",
        "Patient.name.where(family.contains('a')).family",
        "Patient.name.where('Bo' in given).family", "Patient.name.where(given contains 'Bo').family",
        "Patient.name.where((use = 'none' or use = 'official') and (use = 'usual').not()).family",
        "Patient.name.where(use in ('official')).family", "DomainResource.name[0].family",
        "Patient . name [ 0 ] // the official one\n . family", "Patient.name /* x */ [0].`family`",
        "Patient.name.where(period.empty() and family.hasValue()).family",
        "Patient.name.where(family.upper() = 'OAK' and family.lower() = 'oak').family",
        "Patient.name.where(family ~ 'oAK').family", "Patient.name.select(family)",
        "Patient.name.ofType(HumanName).family.ofType(FHIR.string)", "Patient.name.tail().last().family",
    ],
)  # fmt: skip
def test_paths_that_name_one_element(path):
    if path.endswith("tail().last().family"):
        document = {**OAK, "name": [OAK["name"][1], OAK["name"][0]]}
        after = patched(document, operation("replace", path, value=STRING))
        assert after["name"][1]["family"] == "new"
    else:
        after = patched(OAK, operation("replace", path, value=STRING))
        assert after["name"][0]["family"] == "new"


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("birthDate = @1990-03-04", True), ("birthDate = @1990-03", False),
        ("birthDate > @1989", True), ("birthDate >= @1990-03-04", True),
        ("birthDate < @1990", False), ("birthDate <= @1990-12-31", True),
        ("birthDate > @1990", False), ("(birthDate > @1990).empty()", True),
        ("meta.lastUpdated < @2020-01-01T01:00:00+01:00", False),
        ("meta.lastUpdated <= @2020-01-01T01:00:00+01:00", True),
        ("multipleBirth > 2", True), ("multipleBirth >= 3.0", True), ("multipleBirth = -3", False),
        ("meta.lastUpdated = @2020-01-01T00:00:00.000Z", True),
        ("meta.lastUpdated = @2020-01-01T00:00:00.1Z", False),
        ("(meta.lastUpdated = @2020-01-01T00:00Z).empty()", True),
        ("@T10:30 < @T11:00", True), ("(@T10:30 < @T10:30:00).empty()", True),
        ("gender.is(string)", False), ("name.first().is(HumanName)", True),
        ("multipleBirth is integer", True), ("multipleBirth is boolean", False),
        ("active xor false", True), ("active implies false", False), ("{} implies true", True),
        ("(active and {}).empty()", True), ("active or {}", True), ("gender = {}", False),
        ("name.given = 'Ann'", False), ("name.all(use.exists())", True),
    ],
)  # fmt: skip
def test_conditions(condition, holds):
    document = {
        **OAK, "birthDate": "1990-03-04", "multipleBirthInteger": 3, "active": True,
        "meta": {"lastUpdated": "2020-01-01T00:00:00Z"},
    }  # fmt: skip
    after = patched(document, operation("delete", f"Patient.where({condition}).deceased"))
    assert ("deceasedBoolean" not in after) is holds


@pytest.mark.parametrize(
    "path",
    [
        "", ".", "Patient.", "Patient.name[", "Patient.name['a']", "Patient.name[0.5]", "Patient.name[9999999999]",
        "Patient.name[{}]", "Patient.name[true]", "Patient..name",
        "Patient.name.where(", "Patient.name.where()", "Patient.name.frobnicate()",
        "Patient.name.ofType(System.String)", "Patient.name.is(HumanName)", "Patient.name(",
        "Patient.name.where(use = 'x)", "Patient.name | Patient.contact", "%ucum", "1 + 1", "a'b",
        "Patient.nonsense", "Patient.name.nonsense", "Patient.name.ofType(Nonsense)",
        "Patient.name.ofType('x')", "Patient.name.given.single()", "Patient.name[0].given > 5",
        "Patient.name.where(use = 'a' 'b')", "(" * 60 + "Patient" + ")" * 60, "a." * 500 + "a",
        "x" * 5000, "@nodate", "Patient.name.extension(5)", "Patient.name.take('x')",
    ],
)  # fmt: skip
def test_paths_that_are_refused(path):
    issue = refused(OAK, operation("delete", "Patient.gender"), operation("delete", path or "-"))
    assert issue.expression == "Parameters.parameter[1]"


def test_only_a_deletion_may_name_nothing():
    nothing = "Patient.name.where(use = 'old')"
    assert changes(OAK, operation("delete", nothing)) == {}
    assert changes(OAK, operation("delete", "Patient.gender")) == {}
    issue = refused(OAK, operation("replace", "Patient.gender", value={"valueCode": "male"}))
    assert issue.expression == "Parameters.parameter[0]"
    refused(OAK, operation("add", nothing, "family", STRING))
    refused(OAK, operation("insert", "Patient.telecom", value=STRING, index=0))
    refused(OAK, operation("move", "Patient.telecom", source=0, destination=0))


@pytest.mark.parametrize(
    "what",
    [
        operation("delete", "Patient.name"), operation("replace", "Patient.name", value=STRING),
        operation("add", "Patient.name", "family", STRING),
        operation("delete", "Patient.name.given"),
    ],
)  # fmt: skip
def test_several_elements_are_refused(what):
    assert refused(OAK, what).message == "The path names several elements."


def test_items_of_a_primitive_list_keep_their_extensions():
    usual = "Patient.name.where(use='usual')"
    before = operation("insert", f"{usual}.given", value={"valueString": "A"}, index=0)
    assert changes(OAK, before)["name"][1] == {
        "use": "usual", "given": ["A", "Annie"], "_given": [None, {"id": "g"}],
    }  # fmt: skip
    moved = operation("move", f"{usual}.given", source=1, destination=0)
    assert changes(OAK, before, moved)["name"][1] == {
        "use": "usual", "given": ["Annie", "A"], "_given": [{"id": "g"}, None],
    }  # fmt: skip
    gone = operation("delete", f"{usual}.given[0]")
    assert changes(OAK, gone)["name"][1] == {"use": "usual"}
    added = operation("add", usual, "given", {"_valueString": {"id": "h"}})
    assert changes(OAK, added)["name"][1] == {
        "use": "usual", "given": ["Annie", None], "_given": [{"id": "g"}, {"id": "h"}],
    }  # fmt: skip
    only = operation("add", "Patient.name[0].given[1]", "id", {"valueString": "b"})
    assert changes(OAK, only)["name"][0]["_given"] == [None, {"id": "b"}]


def test_a_primitive_that_has_extensions_only():
    assert changes(OAK, operation("delete", "Patient.birthDate")) == {"_birthDate": None}
    assert changes(OAK, operation("delete", "Patient.birthDate.extension('urn:x')")) == {
        "_birthDate": {}
    }
    replaced = operation("replace", "Patient.birthDate", value={"valueDate": "2000-01-01"})
    assert changes(OAK, replaced) == {"birthDate": "2000-01-01", "_birthDate": None}
    kept = {"valueDate": "2000", "_valueDate": {"id": "b"}}
    assert changes(OAK, operation("replace", "Patient.birthDate", value=kept)) == {
        "birthDate": "2000", "_birthDate": {"id": "b"},
    }  # fmt: skip
    refused(OAK, operation("add", "Patient", "birthDate", {"valueDate": "2000"}))
    extension = {"valueExtension": {"url": "x"}}
    refused(OAK, operation("add", "Patient.name[0].family", "extension", extension))
    parts = {"part": [{"name": "url", "valueUri": "x"}, {"name": "value", "valueInteger": 5}]}
    named = changes(OAK, operation("add", "Patient.name[0].family", "extension", parts))
    assert named["name"][0]["_family"] == {"extension": [{"url": "x", "valueInteger": 5}]}


def test_choices():
    assert changes(OAK, operation("delete", "Patient.deceased")) == {"deceasedBoolean": None}
    for path in ("Patient.deceased", "Patient.deceased.ofType(boolean)", "Patient.deceasedBoolean"):
        switched = operation("replace", path, value={"valueDateTime": "2020"})
        assert changes(OAK, switched) == {"deceasedBoolean": None, "deceasedDateTime": "2020"}
    refused(OAK, operation("replace", "Patient.deceased", value={"valueQuantity": {}}))
    refused(OAK, operation("add", "Patient", "deceased", {"valueDateTime": "2020"}))
    alive = {key: value for key, value in OAK.items() if key != "deceasedBoolean"}
    for name in ("deceased", "deceasedDateTime"):
        added = operation("add", "Patient", name, {"valueDateTime": "2020"})
        assert changes(alive, added) == {"deceasedDateTime": "2020"}
    refused(alive, operation("add", "Patient", "deceasedBoolean", {"valueDateTime": "2020"}))
    assert changes(OAK, operation("delete", "Patient.deceased as dateTime")) == {}


def test_extensions_and_contained_resources():
    first = operation("replace", "Patient.extension('urn:a').value", value={"valueInteger": 1})
    assert changes(OAK, first)["extension"][0] == {"url": "urn:a", "valueInteger": 1}
    deep = "Patient.extension('urn:b').extension('c').value.code"
    after = changes(OAK, operation("replace", deep, value={"valueCode": "y"}))
    assert after["extension"][1]["extension"][0]["valueCoding"] == {"code": "y"}
    inner = operation("add", "Patient.contained[0]", "alias", STRING)
    assert changes(OAK, inner)["contained"][0]["alias"] == ["B", "new"]
    refused(OAK, operation("add", "Patient.contained[0]", "gender", STRING))
    organization = {"resource": {"resourceType": "Organization", "id": "q"}}
    added = changes(OAK, operation("add", "Patient", "contained", organization))
    assert [each["id"] for each in added["contained"]] == ["o", "q"]


def test_anonymous_types_within_each_other():
    value = {
        "part": [
            {"name": "relationship", "valueCodeableConcept": {"text": "N"}},
            {"name": "relationship", "valueCodeableConcept": {"text": "O"}},
            {"name": "name", "part": [{"name": "given", "valueString": "Bo"}]},
        ]
    }
    assert changes(OAK, operation("add", "Patient", "contact", value)) == {
        "contact": [{"relationship": [{"text": "N"}, {"text": "O"}], "name": {"given": ["Bo"]}}]
    }
    refused(OAK, operation("add", "Patient", "contact", {"part": [{"name": "x", **STRING}]}))
    twice = {"part": [{"name": "gender", **STRING}, {"name": "gender", **STRING}]}
    refused(OAK, operation("add", "Patient", "contact", twice))


@pytest.mark.parametrize(
    "body",
    [
        None, [], {}, {"resourceType": "Patient"}, {"resourceType": "Parameters", "parameter": {}},
        parameters(5), parameters({}), parameters({"name": "operation"}),
        parameters({"name": "other", "part": []}), parameters(operation("spam", "Patient")),
        parameters({"name": "operation", "part": [{"name": "type", "valueCode": "delete"}]}),
        parameters(operation("add", "Patient", "gender")), parameters(operation("add", "Patient")),
        parameters(operation("replace", "Patient.gender")),
        parameters(operation("insert", "Patient.name", value=STRING)),
        parameters(operation("move", "Patient.name", source=1)),
        parameters(operation("delete", "Patient", value={})),
        parameters(operation("delete", "Patient", value={"valueSpam": 1})),
        parameters(operation("replace", "Patient.gender", value={"valueCode": None})),
        parameters(operation("delete", "Patient", value={"valueString": "a", "valueCode": "b"})),
        parameters({"name": "operation", "part": [{"name": "spam", "valueString": "x"}]}),
        parameters({"name": "operation", "part": [{"name": "type", "valueCode": "add"}] * 2}),
        parameters({"name": "operation", "part": [{"name": "path", "valueInteger": 1}]}),
        parameters({"name": "operation", "part": ["x"]}), parameters({"name": "operation", "part": 1}),
        parameters(operation("add", "Patient", "contact", {"part": [{"valueString": "x"}]})),
        parameters(operation("add", "Patient", "contact", {"part": "x"})),
    ],
)  # fmt: skip
def test_what_is_no_fhirpath_patch(body):
    with pytest.raises(OutcomeError) as failure:
        parse_fhirpath_patch(METADATA, body)
    assert failure.value.fault is Fault.INVALID


@pytest.mark.parametrize(
    "what",
    [
        operation("insert", "Patient.name", value=STRING, index=3),
        operation("insert", "Patient.name", value=STRING, index=-1),
        operation("insert", "Patient.name[0]", value=STRING, index=0),
        operation("insert", "Patient.gender", value=STRING, index=0),
        operation("move", "Patient.name", source=2, destination=0),
        operation("move", "Patient.name", source=0, destination=2),
        operation("move", "Patient.name", source=-1, destination=0),
        operation("delete", "Patient"), operation("replace", "Patient", value=STRING),
        operation("delete", "'x'"), operation("add", "Patient", "spam", STRING),
    ],
)  # fmt: skip
def test_operations_that_do_not_fit(what):
    refused(OAK, what)


def test_a_patch_can_be_applied_again():
    parsed = parse_fhirpath_patch(
        METADATA,
        parameters(
            operation("add", "Patient", "name", {"valueHumanName": {"given": ["A"]}}),
            operation("add", "Patient.name.last()", "given", {"valueString": "B"}),
        ),
    )
    for _ in range(2):
        document = {"resourceType": "Patient"}
        after = apply_fhirpath_patch(document, parsed, METADATA, "Patient")
        assert after["name"] == [{"given": ["A", "B"]}]


@pytest.mark.parametrize(
    "slow",
    [
        operation("delete", "Patient.name.where(given.exists($this = 'y')).family"),
        operation("delete", "Patient.where($this != %resource).name"),
        operation("delete", "Patient.language.where($this.upper() = 'x')"),
        operation("move", "Patient.name", source=0, destination=999),
        operation("add", "Patient", "name", {"valueHumanName": {"text": "x"}}),
    ],
    ids=["steps", "comparisons", "long texts", "moves", "lists"],
)
def test_work_without_end_is_stopped(slow):
    document = {
        "resourceType": "Patient", "name": [{"given": ["x"] * 100}] * 1000, "language": "x" * 10**7
    }  # fmt: skip
    started = time.monotonic()
    with pytest.raises(OutcomeError) as failure:
        patched(document, *([slow] * 1000))
    assert failure.value.fault is Fault.TOO_LARGE
    assert time.monotonic() - started < 10
