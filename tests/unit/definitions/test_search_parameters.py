"""Whole FHIR SearchParameters -> entries with their extra facts."""

from __future__ import annotations

from infra.definitions.search_parameters import compile_search_parameters, part_of_base

TYPES = {
    "decimal": {"kind": "primitive"},
    "boolean": {"kind": "primitive"},
    "dateTime": {"kind": "primitive"},
    "Period": {"kind": "type", "elements": {}},
    "Quantity": {"kind": "type", "elements": {}},
    "CodeableConcept": {"kind": "type", "elements": {}},
    "Reference": {"kind": "type", "elements": {}},
    "Patient": {"kind": "resource", "elements": {"deceased": {"union": ["boolean", "dateTime"]}}},
    "Group": {"kind": "resource", "elements": {}},
    "Note": {
        "kind": "resource",
        "elements": {
            "code": {"type": "CodeableConcept"},
            "effective": {"union": ["dateTime", "Period", "CodeableConcept"]},
            "subject": {"type": "Reference", "refers": ["Group", "Patient"]},
            "focus": {"union": ["CodeableConcept", "Reference"], "refers": ["Group"]},
            "any": {"type": "Reference"},
            "part": {"group": "CodeableConcept", "array": True},
            "part.code": {"type": "CodeableConcept"},
            "part.value": {"union": ["Quantity", "CodeableConcept"]},
            "value": {"union": ["Quantity", "CodeableConcept"]},
        },
    },
}


def definition(code, kind, expression=None, *, base=("Note",), **more):
    found = {
        "id": f"Note-{code}",
        "url": f"urn:sp:{code}",
        "code": code,
        "type": kind,
        "base": list(base),
    }
    if expression is not None:
        found["expression"] = expression
    return found | more


def compiled(*definitions, extensions=None):
    return compile_search_parameters(definitions, TYPES, extensions or {})


def entry(*definitions, key, **more):
    found = compiled(*definitions, **more)
    assert found.left_out == {}
    return found.parameters[key]


def test_a_choice_is_cut_to_the_datatypes_of_the_parameter_type():
    found = entry(definition("date", "date", "Note.effective"), key="Note.date")
    assert found["expression"] == [["effective", "dateTime"], ["effective", "Period"]]


def test_targets_are_narrowed_by_guard_and_element():
    everything = ["Group", "Note", "Patient"]
    guarded = definition(
        "patient", "reference", "Note.subject.where(resolve() is Patient)", target=everything
    )
    found = entry(guarded, key="Note.patient")
    assert found["target"] == ["Patient"]
    assert found["guards"] == [{"types": ["Patient"]}]
    plain = entry(
        definition("subject", "reference", "Note.subject", target=everything), key="Note.subject"
    )
    assert plain["target"] == ["Group", "Patient"]
    assert "guards" not in plain
    choice = definition("focus", "reference", "(Note.focus as Reference)", target=everything)
    assert entry(choice, key="Note.focus")["target"] == ["Group"]
    free = definition("any", "reference", "Note.any", target=everything)
    assert "target" not in entry(free, key="Note.any")


def test_existence_spreads_over_every_alternative():
    found = entry(
        definition(
            "deceased",
            "token",
            "Patient.deceased.exists() and Patient.deceased != false",
            base=("Patient",),
        ),
        key="Patient.deceased",
    )
    assert found["exists"] is True
    assert found["expression"] == [["deceased", "boolean"], ["deceased", "dateTime"]]


def test_components_are_relative_to_the_base_nodes():
    found = entry(
        definition("code", "token", "Note.code"),
        definition("value", "quantity", "(Note.value as Quantity)"),
        definition(
            "code-value",
            "composite",
            "Note | Note.part",
            component=[
                {"definition": "urn:sp:code", "expression": "code"},
                {"definition": "urn:sp:value", "expression": "value.as(Quantity)"},
            ],
        ),
        key="Note.code-value",
    )
    assert found["expression"] == [[], ["part"]]
    assert found["components"] == [
        {"name": "code", "type": "token", "expression": [["code"]]},
        {"name": "value", "type": "quantity", "expression": [["value", "Quantity"]]},
    ]


def test_an_extension_is_found_in_both_spellings():
    found = entry(
        definition("tribe", "token", "Note.extension('urn:tribe')"),
        key="Note.tribe",
        extensions={"urn:tribe": ["code"]},
    )
    assert found["expression"] == [
        ["extension", {"url": "urn:tribe"}, "valueCode"],
        ["extension", {"url": "urn:tribe"}, "value", "code"],
    ]
    assert found["guards"] == [{"raw": "code"}, {"raw": "code"}]


def test_a_shared_parameter_keeps_the_parts_of_each_base():
    found = compiled(
        definition("code", "token", "Note.code | Patient.deceased", base=("Note", "Patient"))
    )
    assert found.parameters["Note.code"]["expression"] == [["code"]]
    assert found.parameters["Note.code"]["fhirpath"] == "Note.code"
    assert found.parameters["Patient.code"]["expression"] == [["deceased", "boolean"]]


def test_a_shared_description_is_cut_to_the_base():
    text = "Multiple Resources: \r\n\r\n* [Note](note.html): What\r\n* [Patient](patient.html): Who\r\n"
    found = entry(definition("code", "token", "Note.code", description=text), key="Note.code")
    assert found["text"] == "What"


def test_what_cannot_be_compiled_is_reported_with_a_reason():
    found = compiled(
        definition("age", "number"),
        definition("bad", "token", "Note.nothing"),
        definition("loose", "token", "Note.code", base=()),
        definition("number", "number", "Note.effective"),
    )
    assert found.parameters == {}
    assert found.left_out == {
        "urn:sp:age (Note)": "the definition has no expression",
        "urn:sp:bad (Note)": "no element nothing in Note",
        "urn:sp:loose": "the definition names no base type",
        "urn:sp:number (Note)": "no alternative of ('effective',) is a number",
    }


def test_parameters_with_rules_of_their_own_have_no_path():
    assert entry(definition("_text", "string"), key="Note._text")["expression"] == []


def test_examples_are_not_parameters():
    example = definition("subject", "reference", "Note.subject") | {"id": "example-reference"}
    assert compiled(example).parameters == {}


def test_alternatives_of_other_bases_are_dropped_from_the_expression():
    shared = "Patient.name | (Note.focus as Reference) | Note.subject"
    assert part_of_base(shared, "Note") == "(Note.focus as Reference) | Note.subject"
    assert part_of_base("name | alias", "InsurancePlan") == "name | alias"
