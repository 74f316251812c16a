"""What a profile says of single elements becomes a finding at the element.

Source: FHIR R4, ElementDefinition.
"""

from __future__ import annotations

import pytest

from tests.unit.fhir.profiles.making import CANONICAL, FHIR, Rules, declaring, element, profile


def found(type_name, elements, resource, *supporting):
    rules = Rules(*supporting, profile(type_name, *elements))
    return rules.found(declaring({"resourceType": type_name, **resource}))


OBSERVATION = {"status": "final", "code": {"text": "x"}}
QUANTITY = {"type": [{"code": "Quantity"}]}

CASES = [
    # cardinality, at any depth
    ("Patient", [element("Patient.name", min=1)], {}, ("Patient", "Property name is required")),
    (
        "Patient", [element("Patient.name.family", min=1)], {"name": [{"text": "x"}]},
        ("Patient.name[0]", "Property family is required"),
    ),
    (
        "Patient", [element("Patient.contact.name.given", min=2)],
        {"contact": [{"name": {"given": ["x"]}}]}, ("Patient.contact[0].name.given", "too few items"),
    ),
    (
        "Patient", [element("Patient.name", max="1")], {"name": [{"text": "x"}, {"text": "y"}]},
        ("Patient.name", "too many items"),
    ),
    (
        "Questionnaire", [element("Questionnaire.item.item.text", min=1)],
        {"status": "draft", "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "2", "type": "group"}]}]},
        ("Questionnaire.item[0].item[0]", "Property text is required"),
    ),
    # prohibited
    ("Patient", [element("Patient.photo", max="0")], {"photo": [{"title": "x"}]}, ("Patient.photo", "not allowed here")),
    (
        "Patient", [element("Patient.deceased[x]", max="0")], {"deceasedBoolean": False},
        ("Patient.deceased", "not allowed here"),
    ),
    (
        "Patient", [element("Patient.birthDate", max="0")],
        {"_birthDate": {"extension": [{"url": "http://e.x/a", "valueCode": "x"}]}},
        ("Patient.birthDate", "not allowed here"),
    ),
    (
        "Patient", [element("Patient.extension", max="0")], {"extension": [{"url": "http://e.x/a", "valueCode": "x"}]},
        ("Patient.extension", "not allowed here"),
    ),
    # types of choices
    (
        "Observation", [element("Observation.value[x]", **QUANTITY)], {**OBSERVATION, "valueString": "x"},
        ("Observation.value.ofType(string)", "not allowed here"),
    ),
    (
        "Observation", [element("Observation.value[x]", min=1)], OBSERVATION,
        ("Observation", "Property value is required"),
    ),
    (
        "Observation", [element("Observation.value[x].unit", min=1), element("Observation.value[x]", **QUANTITY)],
        {**OBSERVATION, "valueQuantity": {"value": 1}},
        ("Observation.value.ofType(Quantity)", "Property unit is required"),
    ),
    (
        "Observation", [element("Observation.valueQuantity", min=1)], {**OBSERVATION, "valueString": "x"},
        ("Observation.value", "Property Quantity is required"),
    ),
    (
        "Observation", [element("Observation.component.value[x]", **QUANTITY)],
        {**OBSERVATION, "component": [{"code": {"text": "x"}, "valueInteger": 1}]},
        ("Observation.component[0].value.ofType(integer)", "not allowed here"),
    ),
    # targets of references
    (
        "Observation",
        [element("Observation.subject", type=[{"code": "Reference", "targetProfile": [f"{FHIR}Patient"]}])],
        {**OBSERVATION, "subject": {"reference": "Group/g"}},
        ("Observation.subject", "expected reference to Patient"),
    ),
    (
        "Observation",
        [element("Observation.performer", type=[{"code": "Reference", "targetProfile": [f"{FHIR}Patient"]}])],
        {**OBSERVATION, "performer": [{"reference": "Patient/p"}, {"reference": "Practitioner/p"}]},
        ("Observation.performer[1]", "expected reference to Patient"),
    ),
    (
        "Observation", [element("Observation.subject.reference", min=1)],
        {**OBSERVATION, "subject": {"display": "x"}},
        ("Observation.subject", "Property reference is required"),
    ),
    (
        "Observation", [element("Observation.subject.identifier", min=1)],
        {**OBSERVATION, "subject": {"reference": "Patient/p"}},
        ("Observation.subject", "Property identifier is required"),
    ),
    # fixed and pattern
    ("Patient", [element("Patient.gender", fixedCode="male")], {"gender": "other"}, ("Patient.gender", "expected one of male")),
    ("Patient", [element("Patient.active", fixedBoolean=True)], {"active": False}, ("Patient.active", "expected one of True")),
    (
        "Observation", [element("Observation.value[x]", fixedInteger=3)], {**OBSERVATION, "valueInteger": 4},
        ("Observation.value.ofType(integer)", "expected one of 3"),
    ),
    (
        "Observation", [element("Observation.code", fixedCodeableConcept={"coding": [{"code": "a"}]})],
        {**OBSERVATION, "code": {"coding": [{"code": "a", "display": "A"}]}},
        ("Observation.code.coding[0].display", "extra property"),
    ),
    (
        "Observation", [element("Observation.code", fixedCodeableConcept={"coding": [{"code": "a"}]})],
        {**OBSERVATION, "code": {"coding": [{"code": "a"}, {"code": "b"}]}},
        ("Observation.code.coding", "too many items"),
    ),
    (
        "Observation", [element("Observation.code", patternCodeableConcept={"coding": [{"system": "s", "code": "a"}]})],
        {**OBSERVATION, "code": {"coding": [{"system": "s", "code": "b"}]}},
        ("Observation.code.coding", "expected an item with system s, code a"),
    ),
    (
        "Observation", [element("Observation.value[x]", patternQuantity={"code": "mg"})],
        {**OBSERVATION, "valueQuantity": {"value": 1, "code": "g"}},
        ("Observation.value.ofType(Quantity).code", "expected one of mg"),
    ),
    (
        "Observation", [element("Observation.subject", patternReference={"reference": "Patient/a"})],
        {**OBSERVATION, "subject": {"reference": "Patient/b"}},
        ("Observation.subject.reference", "expected one of a"),
    ),
    # limits
    ("Patient", [element("Patient.name.family", maxLength=3)], {"name": [{"family": "Long"}]}, ("Patient.name[0].family", "too long")),
    (
        "Observation", [element("Observation.valueQuantity.value", minValueDecimal=0)],
        {**OBSERVATION, "valueQuantity": {"value": -1}},
        ("Observation.value.ofType(Quantity).value", "too small"),
    ),
    (
        "Bundle", [element("Bundle.entry.resource", type=[{"code": "Patient"}])],
        {"type": "collection", "entry": [{"resource": {"resourceType": "Group", "type": "person", "actual": True}}]},
        ("Bundle.entry[0].resource.resourceType", "expected one of Patient"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CASES)))
def test_a_violation_is_the_only_finding_and_at_its_element(number):
    type_name, elements, resource, expected = CASES[number]
    assert found(type_name, elements, resource) == [expected]


FINE = [
    ("Patient", [element("Patient.name.family", min=1)], {}),
    ("Patient", [element("Patient.name", max="1")], {"name": [{"text": "x"}]}),
    (
        "Patient", [element("Patient.birthDate", min=1)],
        {"_birthDate": {"extension": [{"url": "http://e.x/a", "valueCode": "x"}]}},
    ),
    ("Observation", [element("Observation.value[x]", **QUANTITY)], {**OBSERVATION, "valueQuantity": {"value": 1}}),
    ("Observation", [element("Observation.value[x]", fixedInteger=3)], {**OBSERVATION, "valueString": "x"}),
    (
        "Observation",
        [element("Observation.subject", type=[{"code": "Reference", "targetProfile": [f"{FHIR}Patient"]}])],
        {**OBSERVATION, "subject": {"reference": "https://other.example/fhir/Patient/1"}},
    ),
    (
        "Observation", [element("Observation.subject", patternReference={"reference": "Patient/a"})],
        {**OBSERVATION, "subject": {"reference": "Patient/a", "display": "A"}},
    ),
    (
        "Observation", [element("Observation.code", patternCodeableConcept={"coding": [{"code": "a"}]})],
        {**OBSERVATION, "code": {"text": "A", "coding": [{"code": "b"}, {"code": "a", "display": "A"}]}},
    ),
    (
        "Observation", [element("Observation.value[x]", patternQuantity={"value": 1})],
        {**OBSERVATION, "valueQuantity": {"value": 1, "unit": "mg"}},
    ),
    ("Patient", [element("Patient.name", mustSupport=True)], {}),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(FINE)))
def test_what_a_profile_allows_passes(number):
    type_name, elements, resource = FINE[number]
    assert found(type_name, elements, resource) == []


def test_a_profile_says_only_what_its_base_does_not():
    base_says = [
        element("Observation.status", min=1, max="1", type=[{"code": "code"}]),
        element("Observation.category", min=0, max="*"),
        element("Observation.value[x]", min=0, max="1"),
    ]
    (made,) = Rules(profile("Observation", *base_says)).conversion.profiles
    assert made["schema"].keys() == {"$schema"}


def test_an_element_that_the_type_does_not_have_is_told():
    rules = Rules(profile("Patient", element("Patient.colour", min=1)))
    (note,) = rules.conversion.notes
    assert note.place == "Patient.colour"
    assert rules.found(declaring({"resourceType": "Patient"})) == []


# Profiles on profiles and on data types


def test_a_profile_on_a_profile_holds_both():
    base = profile("Patient", element("Patient.name", min=1, max="3"), id="base")
    derived = profile(
        "Patient",
        element("Patient.name", max="1"),
        element("Patient.gender", min=1),
        baseDefinition=f"{base['url']}|1.0",
    )
    rules = Rules(base, derived)
    assert rules.found(declaring({"resourceType": "Patient"})) == [
        ("Patient", "Property gender is required"),
        ("Patient", "Property name is required"),
    ]
    names = {"name": [{"text": "x"}, {"text": "y"}]}
    assert rules.found(declaring({"resourceType": "Patient", **names}, "base")) == []
    assert rules.found(declaring({"resourceType": "Patient", "gender": "male", **names})) == [
        ("Patient.name", "too many items")
    ]


def test_a_snapshot_stands_in_for_bases_that_are_not_known():
    whole = [{"id": "Patient", "path": "Patient"}, element("Patient.name", min=1)]
    derived = profile(
        "Patient",
        element("Patient.gender", min=1),
        baseDefinition="http://e.x/unknown",
        snapshot={"element": [*whole, element("Patient.gender", min=1)]},
    )
    assert len(Rules(derived).found(declaring({"resourceType": "Patient"}))) == 2


def test_a_profile_on_a_data_type_holds_where_it_is_named():
    full = profile("HumanName", element("HumanName.family", min=1), id="full", kind="complex-type")
    use = element("Patient.name", type=[{"code": "HumanName", "profile": [f"{CANONICAL}full"]}])
    assert found("Patient", [use], {"name": [{"text": "x"}]}, full) == [
        ("Patient.name[0]", "Property family is required")
    ]


def test_a_profile_on_a_resource_inside_holds_where_it_is_named():
    named = profile("Patient", element("Patient.name", min=1), id="named")
    use = element("Bundle.entry.resource", type=[{"code": "Patient", "profile": [named["url"]]}])
    body = {"type": "collection", "entry": [{"resource": {"resourceType": "Patient"}}]}
    assert found("Bundle", [use], body, named) == [
        ("Bundle.entry[0].resource", "Property name is required")
    ]


def test_one_of_several_profiles_on_a_type_must_be_satisfied():
    full = profile("HumanName", element("HumanName.family", min=1), id="full", kind="complex-type")
    short = profile("HumanName", element("HumanName.text", min=1), id="short", kind="complex-type")
    urls = [full["url"], short["url"]]
    use = element("Patient.name", type=[{"code": "HumanName", "profile": urls}])
    body = {"name": [{"family": "x"}, {"text": "x"}, {"given": ["x"]}]}
    assert found("Patient", [use], body, full, short) == [
        ("Patient.name[2]", f"expected one of the profiles {', '.join(urls)}")
    ]
    assert found("Patient", [use], body, full) == []  # the other one allows anything


def test_each_type_of_a_resource_inside_has_its_own_profiles():
    named = profile("Patient", element("Patient.name", min=1), id="named")
    coded = profile("Group", element("Group.code", min=1), id="coded")
    types = [
        {"code": "Patient", "profile": [named["url"]]},
        {"code": "Group", "profile": [coded["url"]]},
    ]
    use = element("Bundle.entry.resource", type=types)
    group = {"resourceType": "Group", "type": "person", "actual": True}
    body = {
        "type": "collection",
        "entry": [{"resource": group}, {"resource": {"resourceType": "Patient"}}],
    }
    assert found("Bundle", [use], body, named, coded) == [
        ("Bundle.entry[0].resource", "Property code is required"),
        ("Bundle.entry[1].resource", "Property name is required"),
    ]


# Bindings


def value_set(url="http://e.x/vs", **compose):
    return {
        "resourceType": "ValueSet",
        "url": url,
        "status": "active",
        "compose": compose or {"include": [{"system": "s", "concept": [{"code": "a"}]}]},
    }


def bound(path, strength="required", url="http://e.x/vs", **facts):
    return element(path, binding={"strength": strength, "valueSet": f"{url}|1.0"}, **facts)


BOUND = [
    (
        "Patient", bound("Patient.maritalStatus"), {"maritalStatus": {"coding": [{"system": "s", "code": "b"}]}},
        ("Patient.maritalStatus.coding", "expected a code of http://e.x/vs"),
    ),
    (
        "Patient", bound("Patient.maritalStatus"), {"maritalStatus": {"text": "x"}},
        ("Patient.maritalStatus", "Property coding is required"),
    ),
    ("Patient", bound("Patient.language"), {"language": "b"}, ("Patient.language", "expected one of a")),
    (
        "Encounter", bound("Encounter.class"),
        {"status": "planned", "class": {"system": "other", "code": "a"}},
        ("Encounter.class.system", "expected one of s"),
    ),
    (
        "Observation", bound("Observation.valueQuantity"),
        {**OBSERVATION, "valueQuantity": {"value": 1, "system": "s", "code": "b"}},
        ("Observation.value.ofType(Quantity).code", "expected one of a"),
    ),
    (
        "Observation", bound("Observation.value[x]", type=[{"code": "CodeableConcept"}]),
        {**OBSERVATION, "valueCodeableConcept": {"coding": [{"system": "s", "code": "b"}]}},
        ("Observation.value.ofType(CodeableConcept).coding", "expected a code of http://e.x/vs"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(BOUND)))
def test_a_required_binding_holds(number):
    type_name, use, resource, expected = BOUND[number]
    assert found(type_name, [use], resource, value_set()) == [expected]
    weaker = {**use, "binding": {**use["binding"], "strength": "extensible"}}
    assert found(type_name, [weaker], resource, value_set()) == []


CODES = {
    "resourceType": "CodeSystem", "url": "s", "status": "active", "content": "complete",
    "concept": [{"code": "a", "concept": [{"code": "b", "concept": [{"code": "c"}]}]}, {"code": "d"}],
}  # fmt: skip
EXPANSIONS = [
    ({"include": [{"system": "s"}]}, "abcd"),
    ({"include": [{"system": "s", "filter": [{"property": "concept", "op": "is-a", "value": "b"}]}]}, "bc"),
    ({"include": [{"system": "s", "filter": [{"property": "concept", "op": "descendent-of", "value": "a"}]}]}, "bc"),
    ({"include": [{"system": "s"}], "exclude": [{"system": "s", "concept": [{"code": "d"}]}]}, "abc"),
    ({"include": [{"system": "s", "valueSet": ["http://e.x/two"]}]}, "ab"),
    ({"include": [{"valueSet": ["http://e.x/two", "http://e.x/three"]}]}, "b"),
    ({"include": [{"valueSet": ["http://e.x/two"]}, {"system": "s", "concept": [{"code": "d"}]}]}, "abd"),
]  # fmt: skip
UNKNOWN = [
    {"include": [{"system": "s", "filter": [{"property": "x", "op": "=", "value": "b"}]}]},
    {"include": [{"system": "elsewhere"}]},
    {"include": [{"valueSet": ["http://e.x/vs"]}]},
    {"include": [{"valueSet": ["http://e.x/nowhere"]}]},
    {"include": [{"system": "s"}], "exclude": [{"system": "elsewhere"}]},
]


def concepts(letters):
    return {"include": [{"system": "s", "concept": [{"code": letter} for letter in letters]}]}


OTHERS = (
    value_set("http://e.x/two", **concepts("ab")),
    value_set("http://e.x/three", **concepts("bc")),
)


@pytest.mark.parametrize("number", range(len(EXPANSIONS)))
def test_the_codes_of_a_value_set(number):
    compose, expected = EXPANSIONS[number]
    use = bound("Patient.language")
    rules = Rules(CODES, value_set(**compose), *OTHERS, profile("Patient", use))
    assert rules.conversion.notes == []
    for letter in "abcd":
        issues = rules.found(declaring({"resourceType": "Patient", "language": letter}))
        assert (issues == []) == (letter in expected), letter


@pytest.mark.parametrize("number", range(len(UNKNOWN)))
def test_a_value_set_whose_codes_are_not_known_is_told_and_not_enforced(number):
    use = bound("Patient.language")
    rules = Rules(CODES, value_set(**UNKNOWN[number]), *OTHERS, profile("Patient", use))
    assert [note.place for note in rules.conversion.notes] == ["Patient.language"]
    assert rules.found(declaring({"resourceType": "Patient", "language": "x"})) == []


def test_a_whole_expansion_tells_the_codes_and_a_page_of_one_does_not():
    contains = [{"system": "s", "code": "a"}, {"system": "s", "abstract": True, "code": "x"}]
    filtered = {
        "include": [{"system": "s", "filter": [{"property": "x", "op": "=", "value": "y"}]}]
    }
    for total, notes in ((1, 0), (2, 1)):
        expanded = {**value_set(**filtered), "expansion": {"total": total, "contains": contains}}
        rules = Rules(expanded, profile("Patient", bound("Patient.language")))
        assert len(rules.conversion.notes) == notes
