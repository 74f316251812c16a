"""Slicing by each kind of discriminator: counted, held to their rules, closed.

Source: FHIR R4, Profiling (Slicing, Discriminator).
"""

from __future__ import annotations

import pytest

from tests.unit.fhir.profiles.making import CANONICAL, FHIR, Rules, declaring, element, profile


def sliced(path, *discriminators, rules="open", **facts):
    found = [{"type": kind, "path": place} for kind, place in discriminators]
    return element(path, slicing={"discriminator": found, "rules": rules}, **facts)


def identifier(*items):
    return {"resourceType": "Patient", "identifier": [dict(item) for item in items]}


MRN = {"system": "http://e.x/mrn", "value": "1"}
SSN = {"system": "http://e.x/ssn", "value": "2"}
OTHER = {"system": "http://e.x/other", "value": "3"}
BY_SYSTEM = [
    sliced("Patient.identifier", ("value", "system")),
    element("Patient.identifier:mrn", slice="mrn", min=1, max="1"),
    element("Patient.identifier:mrn.system", fixedUri="http://e.x/mrn"),
    element("Patient.identifier:mrn.value", min=1, maxLength=4),
    element("Patient.identifier:ssn", slice="ssn", max="1"),
    element("Patient.identifier:ssn.system", patternUri="http://e.x/ssn"),
]


def found(elements, resource, *supporting):
    return Rules(*supporting, profile(resource["resourceType"], *elements)).found(
        declaring(resource)
    )


def test_slices_are_counted():
    assert found(BY_SYSTEM, identifier(MRN, SSN, OTHER, OTHER)) == []
    assert found(BY_SYSTEM, identifier(SSN)) == [
        ("Patient.identifier", "slice mrn needs at least 1")
    ]
    assert found(BY_SYSTEM, identifier(MRN, MRN)) == [
        ("Patient.identifier", "slice mrn allows at most 1")
    ]
    assert found(BY_SYSTEM, identifier(MRN, SSN, SSN)) == [
        ("Patient.identifier", "slice ssn allows at most 1")
    ]


def test_a_required_slice_makes_its_element_required():
    assert found(BY_SYSTEM, {"resourceType": "Patient"}) == [
        ("Patient", "Property identifier is required")
    ]
    inner = [
        sliced("Patient.contact.telecom", ("value", "system")),
        element("Patient.contact.telecom:mail", slice="mail", min=1),
        element("Patient.contact.telecom:mail.system", fixedCode="email"),
    ]
    assert found(inner, {"resourceType": "Patient"}) == []
    assert found(inner, {"resourceType": "Patient", "contact": [{"name": {"text": "x"}}]}) == [
        ("Patient.contact[0]", "Property telecom is required")
    ]


def test_items_are_held_to_the_rules_of_their_slice_and_to_no_other():
    assert found(BY_SYSTEM, identifier(OTHER, {**MRN, "value": "12345"})) == [
        ("Patient.identifier[1].value", "too long")
    ]
    assert found(BY_SYSTEM, identifier({"system": "http://e.x/mrn"}, {"system": "x"})) == [
        ("Patient.identifier[0]", "Property value is required")
    ]
    assert found(BY_SYSTEM, identifier(MRN, {**OTHER, "value": "12345"})) == []


def test_closed_slicing_lets_nothing_else_in():
    closed = [sliced("Patient.identifier", ("value", "system"), rules="closed"), *BY_SYSTEM[1:]]
    assert found(closed, identifier(MRN, SSN)) == []
    assert found(closed, identifier(MRN, OTHER)) == [
        ("Patient.identifier[1]", "expected one of the slices mrn, ssn")
    ]


def test_a_prohibited_slice():
    elements = [*BY_SYSTEM, element("Patient.identifier:ssn", max="0")]
    assert found(elements, identifier(MRN, SSN)) == [
        ("Patient.identifier[1]", "slice ssn is not allowed here")
    ]


@pytest.mark.parametrize("kind", ["value", "pattern"])
def test_a_pattern_tells_by_the_discriminators_path_only(kind):
    coding = {"coding": [{"system": "s", "code": "a", "display": "A"}]}
    elements = [
        sliced("Observation.category", (kind, "coding.code")),
        element("Observation.category:a", slice="a", min=1, patternCodeableConcept=coding),
    ]
    body = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    assert found(elements, {**body, "category": [coding]}) == []
    differing = [{"coding": [{"system": "s", "code": "a", "display": "B"}]}]
    assert found(elements, {**body, "category": differing}) == [
        ("Observation.category[0].coding", "expected an item with system s, code a, display A")
    ]


def test_a_binding_tells_a_slice():
    codes = {
        "resourceType": "ValueSet", "url": "http://e.x/vs", "status": "active",
        "compose": {"include": [{"system": "s", "concept": [{"code": "a"}]}]},
    }  # fmt: skip
    bound = {"strength": "required", "valueSet": "http://e.x/vs"}
    elements = [
        sliced("Patient.communication", ("value", "language")),
        element("Patient.communication:a", slice="a", min=1),
        element("Patient.communication:a.language", binding=bound),
        element("Patient.communication:a.preferred", min=1),
    ]
    spoken = {"language": {"coding": [{"system": "s", "code": "a"}]}}
    other = {"language": {"coding": [{"system": "s", "code": "b"}]}}
    body = {"resourceType": "Patient", "communication": [other, spoken]}
    assert found(elements, body, codes) == [
        ("Patient.communication[1]", "Property preferred is required")
    ]
    body = {"resourceType": "Patient", "communication": [other]}
    assert found(elements, body, codes) == [("Patient.communication", "slice a needs at least 1")]


def test_slices_by_what_exists():
    elements = [
        sliced("Patient.contact", ("exists", "organization")),
        element("Patient.contact:company", slice="company", max="1"),
        element("Patient.contact:company.organization", min=1),
        element("Patient.contact:person", slice="person", min=1),
        element("Patient.contact:person.organization", max="0"),
        element("Patient.contact:person.name", min=1),
    ]
    company = {"organization": {"display": "x"}}
    person = {"name": {"text": "x"}}
    assert found(elements, {"resourceType": "Patient", "contact": [company, person]}) == []
    assert found(elements, {"resourceType": "Patient", "contact": [company, company]}) == [
        ("Patient.contact", "slice company allows at most 1"),
        ("Patient.contact", "slice person needs at least 1"),
    ]
    assert found(elements, {"resourceType": "Patient", "contact": [{"gender": "male"}]}) == [
        ("Patient.contact[0]", "Property name is required")
    ]


BODY = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}


def test_slices_of_a_choice_by_type():
    elements = [
        sliced("Observation.value[x]", ("type", "$this"), rules="closed", min=1),
        element("Observation.value[x]:valueQuantity", slice="valueQuantity", type=[{"code": "Quantity"}]),
        element("Observation.value[x]:valueQuantity.unit", min=1),
        element("Observation.value[x]:valueString", slice="valueString", type=[{"code": "string"}]),
    ]  # fmt: skip
    assert found(elements, {**BODY, "valueString": "x"}) == []
    assert found(elements, {**BODY, "valueQuantity": {"value": 1}}) == [
        ("Observation.value.ofType(Quantity)", "Property unit is required")
    ]
    assert found(elements, {**BODY, "valueInteger": 1}) == [
        ("Observation.value.ofType(integer)", "not allowed here")
    ]
    assert found(elements, BODY) == [("Observation", "Property value is required")]


def test_slices_by_the_type_of_a_choice_inside():
    elements = [
        sliced("Observation.component", ("type", "value")),
        element("Observation.component:text", slice="text", min=1),
        element("Observation.component:text.value[x]", type=[{"code": "string"}]),
        element("Observation.component:text.interpretation", min=1),
    ]
    text = {"code": {"text": "x"}, "valueString": "x"}
    number = {"code": {"text": "x"}, "valueInteger": 1}
    assert found(elements, {**BODY, "component": [number, text]}) == [
        ("Observation.component[1]", "Property interpretation is required")
    ]
    assert found(elements, {**BODY, "component": [number]}) == [
        ("Observation.component", "slice text needs at least 1")
    ]


@pytest.mark.parametrize("kind", ["type", "profile"])
def test_slices_by_the_type_of_a_target(kind):
    doctor = profile("Practitioner", id="doctor")
    elements = [
        sliced("Observation.performer", (kind, "resolve()")),
        element(
            "Observation.performer:doctor", slice="doctor", min=1, max="1",
            type=[{"code": "Reference", "targetProfile": [f"{CANONICAL}doctor"]}],
        ),
        element("Observation.performer:doctor.display", min=1),
    ]  # fmt: skip
    patient = {"reference": "Patient/p"}
    practitioner = {"reference": "Practitioner/p"}
    assert found(elements, {**BODY, "performer": [patient, practitioner]}, doctor) == [
        ("Observation.performer[1]", "Property display is required")
    ]
    assert found(elements, {**BODY, "performer": [patient]}, doctor) == [
        ("Observation.performer", "slice doctor needs at least 1")
    ]


@pytest.mark.parametrize("kind", ["type", "profile"])
def test_slices_by_the_type_of_a_resource_inside(kind):
    named = profile("Patient", element("Patient.name", min=1), id="named")
    elements = [
        sliced("Bundle.entry", (kind, "resource")),
        element("Bundle.entry:patient", slice="patient", min=1, max="1"),
        element(
            "Bundle.entry:patient.resource",
            type=[{"code": "Patient", "profile": [f"{CANONICAL}named"]}],
        ),
    ]
    group = {"resourceType": "Group", "type": "person", "actual": True}
    bundle = {"resourceType": "Bundle", "type": "collection"}
    assert found(elements, {**bundle, "entry": [{"resource": group}]}, named) == [
        ("Bundle.entry", "slice patient needs at least 1")
    ]
    entries = [{"resource": group}, {"resource": {"resourceType": "Patient"}}]
    assert found(elements, {**bundle, "entry": entries}, named) == [
        ("Bundle.entry[1].resource", "Property name is required")
    ]


def test_several_discriminators_all_tell():
    elements = [
        sliced("Patient.telecom", ("value", "system"), ("value", "use")),
        element("Patient.telecom:work", slice="work", min=1, max="1"),
        element("Patient.telecom:work.system", fixedCode="phone"),
        element("Patient.telecom:work.use", fixedCode="work"),
    ]
    home = {"system": "phone", "use": "home"}
    work = {"system": "phone", "use": "work"}
    assert found(elements, {"resourceType": "Patient", "telecom": [home, home, work]}) == []
    assert found(elements, {"resourceType": "Patient", "telecom": [home]}) == [
        ("Patient.telecom", "slice work needs at least 1")
    ]


def test_a_discriminator_into_a_choice():
    elements = [
        sliced("Observation.component", ("value", "value.ofType(Quantity).code")),
        element("Observation.component:mass", slice="mass", min=1),
        element("Observation.component:mass.value[x]", type=[{"code": "Quantity"}]),
        element("Observation.component:mass.value[x].code", fixedCode="mg"),
    ]
    mass = {"code": {"text": "x"}, "valueQuantity": {"value": 1, "code": "mg"}}
    volume = {"code": {"text": "x"}, "valueQuantity": {"value": 1, "code": "ml"}}
    assert found(elements, {**BODY, "component": [volume, mass]}) == []
    assert found(elements, {**BODY, "component": [volume]}) == [
        ("Observation.component", "slice mass needs at least 1")
    ]


def test_without_discriminators_the_content_tells():
    elements = [
        element("Observation.category", slicing={"rules": "open"}),
        element("Observation.category:a", slice="a", min=1, patternCodeableConcept={"text": "a"}),
    ]
    assert found(elements, {**BODY, "category": [{"text": "a"}]}) == []
    assert found(elements, {**BODY, "category": [{"text": "b"}]}) == [
        ("Observation.category", "slice a needs at least 1")
    ]


@pytest.mark.parametrize(
    "discriminator",
    [
        ("value", "system"),
        ("value", "nowhere"),
        ("value", "system.exists()"),
        ("position", "$this"),
    ],
)
def test_slices_that_nothing_tells_are_told_and_not_enforced(discriminator):
    elements = [
        sliced("Patient.identifier", discriminator),
        element("Patient.identifier:mrn", slice="mrn", min=1),
    ]
    rules = Rules(profile("Patient", *elements))
    assert [note.place for note in rules.conversion.notes] == ["Patient.identifier:mrn"]
    assert rules.found(declaring(identifier(OTHER))) == []


def test_a_derived_profile_refines_slices_of_its_base():
    base = profile("Patient", *BY_SYSTEM, id="base")
    derived = profile(
        "Patient",
        element("Patient.identifier:mrn.assigner", min=1),
        element("Patient.identifier:ssn", slice="ssn", min=1),
        element("Patient.identifier:own", slice="own", max="1"),
        element("Patient.identifier:own.system", fixedUri="http://e.x/own"),
        baseDefinition=base["url"],
    )
    rules = Rules(base, derived)
    own = {"system": "http://e.x/own"}
    assert rules.found(declaring(identifier(MRN, own, own))) == [
        ("Patient.identifier", "slice own allows at most 1"),
        ("Patient.identifier", "slice ssn needs at least 1"),
        ("Patient.identifier[0]", "Property assigner is required"),
    ]


def test_elements_without_ids_are_placed_by_their_order():
    elements = [{k: v for k, v in one.items() if k != "id"} for one in BY_SYSTEM]
    elements.append({"path": "Patient.name", "min": 1})
    assert found(elements, identifier(SSN, SSN)) == [
        ("Patient", "Property name is required"),
        ("Patient.identifier", "slice mrn needs at least 1"),
        ("Patient.identifier", "slice ssn allows at most 1"),
    ]


def test_targets_stay_those_of_the_base_where_nothing_is_said():
    use = element(
        "Observation.performer", type=[{"code": "Reference", "targetProfile": [f"{FHIR}Resource"]}]
    )
    assert found([use], {**BODY, "performer": [{"reference": "Practitioner/p"}]}) == []


def test_slices_of_an_element_that_does_not_repeat():
    def by_target(rules, **facts):
        named = {"code": "Reference", "targetProfile": [f"{FHIR}Group"]}
        return [
            sliced("Observation.subject", ("type", "resolve()"), rules=rules),
            element("Observation.subject:group", slice="group", type=[named], **facts),
            element("Observation.subject:group.display", min=1),
        ]

    group = {**BODY, "subject": {"reference": "Group/g"}}
    patient = {**BODY, "subject": {"reference": "Patient/p"}}
    assert found(by_target("open"), patient) == []
    assert found(by_target("open"), group) == [
        ("Observation.subject", "Property display is required")
    ]
    assert found(by_target("open", min=1), patient) == [
        ("Observation.subject", "slice group needs at least 1")
    ]
    assert found(by_target("closed"), patient) == [
        ("Observation.subject", "expected one of the slices group")
    ]
    assert found(by_target("open", max="0"), group) == [
        ("Observation.subject", "slice group is not allowed here")
    ]
