"""Extensions that profiles name: stored first-class, held to their rules in either form.

Source: core specification, "First-class extensions"; FHIR R4, Defining Extensions.
"""

from __future__ import annotations

import pytest

from boxruntime.fhir.formats import accept_aidbox, to_fhir
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.validation import validate
from tests.unit.fhir.profiles.making import (
    BASE,
    CANONICAL,
    Rules,
    declaring,
    element,
    profile,
)

URL = f"{CANONICAL}tribe"


def extension(*elements, id_="tribe", root=None, **more):
    """Return the definition of an extension; it may occur once unless `root` says more."""
    found = profile("Extension", *elements, id=id_, kind="complex-type", **more)
    found["differential"]["element"][0] |= {"max": "1", **(root or {})}
    found["differential"]["element"].append(element("Extension.url", fixedUri=CANONICAL + id_))
    return found


def of_type(*types, **facts):
    return element("Extension.value[x]", type=[{"code": name} for name in types], **facts)


def use(path, name="tribe", url=URL, **facts):
    return element(
        f"{path}:{name}", slice=name, type=[{"code": "Extension", "profile": [url]}], **facts
    )


def attributes(rules):
    return {one["id"]: one for one in rules.conversion.attributes}


def text(value="Oaks", url=URL, **more):
    return {"url": url, "valueString": value, **more}


def patient(*extensions, **members):
    found = {"resourceType": "Patient", **members}
    return declaring({**found, "extension": list(extensions)} if extensions else found)


TRIBE = extension(of_type("string", min=1))


def test_a_slice_makes_an_attribute_where_it_stands():
    rules = Rules(TRIBE, profile("Patient", use("Patient.extension")))
    (made,) = rules.conversion.attributes
    assert made == {
        "resourceType": "Attribute",
        "id": "Patient.tribe",
        "resource": {"resourceType": "Entity", "id": "Patient"},
        "path": ["tribe"],
        "type": {"resourceType": "Entity", "id": "string"},
        "extensionUrl": URL,
        "order": made["order"],
        "module": "profiles",
    }
    assert rules.stored(patient(text()))["tribe"] == "Oaks"
    assert rules.round_trip(patient(text())) == patient(text())


PLACES = [
    ("Patient.contact.extension", {"contact": [{"extension": [text()]}]}, "Patient.contact.tribe"),
    ("Patient.name.extension", {"name": [{"extension": [text()]}]}, "Patient.name.tribe"),
    ("Patient.contact.name.extension", {"contact": [{"name": {"extension": [text()]}}]}, "Patient.contact.name.tribe"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(PLACES)))
def test_below_the_top_it_stands_at_that_place_only(number):
    path, members, id_ = PLACES[number]
    rules = Rules(TRIBE, profile("Patient", use(path)))
    assert list(attributes(rules)) == [id_]
    assert rules.found(patient(**members)) == []
    assert rules.round_trip(patient(**members)) == patient(**members)
    assert "extension" not in str(rules.stored(patient(**members)))


def test_one_that_may_repeat_is_an_array_however_often_a_profile_allows_it():
    many = extension(of_type("string"), root={"max": "*"})
    rules = Rules(many, profile("Patient", use("Patient.extension", max="1")))
    assert attributes(rules)["Patient.tribe"]["isCollection"] is True
    assert rules.found(patient(text())) == []
    assert rules.stored(patient(text()))["tribe"] == ["Oaks"]
    assert rules.found(patient(text("a"), text("b"))) == [
        (f"Patient.extension.where(url = '{URL}').value", "too many items")
    ]
    twice = patient(text("a"), text("b"))
    del twice["meta"]
    assert rules.found(twice) == []
    assert rules.round_trip(twice) == twice


def test_a_modifier_extension_stays_one():
    rules = Rules(TRIBE, profile("Patient", use("Patient.modifierExtension", min=1)))
    assert attributes(rules)["Patient.tribe"]["isModifier"] is True
    body = patient(modifierExtension=[text()])
    assert rules.stored(body)["tribe"] == "Oaks"
    assert rules.round_trip(body) == body
    assert rules.found(body) == []
    assert rules.found(patient(text())) == [("Patient", "Extension tribe is required")]
    assert rules.stored(patient(text()))["extension"] == [text()]


def test_one_url_as_extension_and_modifier_has_one_element():
    both = profile("Patient", use("Patient.extension"), use("Patient.modifierExtension", min=1))
    rules = Rules(TRIBE, both)
    assert list(attributes(rules)) == ["Patient.tribe"]
    body = patient(text("a"), modifierExtension=[text("b")])
    assert rules.stored(body)["modifierExtension"] == [text("b")]
    assert rules.round_trip(body) == body
    assert rules.found(body) == []
    assert rules.found(patient(text("a"))) == [("Patient", "Extension tribe is required")]


def test_profiles_share_the_element_of_an_extension():
    first = profile("Patient", use("Patient.extension", min=1), id="first")
    second = profile("Patient", use("Patient.extension", "clan"), id="second")
    rules = Rules(TRIBE, first, second)
    assert list(attributes(rules)) == ["Patient.tribe"]
    later = Rules(TRIBE, second, metadata=rules.metadata)
    assert later.conversion.attributes == []
    assert later.stored(patient(text()))["tribe"] == "Oaks"


def test_an_attribute_that_people_made_is_used():
    own = BASE.with_records(
        [],
        [
            {
                "id": "Patient.people",
                "resource": {"id": "Patient"},
                "path": ["people"],
                "type": {"id": "string"},
                "extensionUrl": URL,
            }
        ],
    )
    rules = Rules(TRIBE, profile("Patient", use("Patient.extension", min=1)), metadata=own)
    assert rules.conversion.attributes == []
    assert rules.found(patient(text())) == []
    assert rules.found(patient()) == [("Patient", "Extension tribe is required")]


NAMES = [
    ("name", "nameExtension"),
    ("us-core tribe", "usCoreTribe"),
    ("2nd", "extension2nd"),
    ("_x", "x"),
    ("a/b", "aB"),
]


@pytest.mark.parametrize(("wished", "expected"), NAMES)
def test_the_name_of_an_element(wished, expected):
    sliced = {**use("Patient.extension"), "sliceName": wished, "id": f"Patient.extension:{wished}"}
    rules = Rules(TRIBE, profile("Patient", sliced))
    assert [one["path"] for one in rules.conversion.attributes] == [[expected]]
    assert rules.round_trip(patient(text())) == patient(text())


def test_an_extension_by_itself_stands_where_its_context_says():
    contexts = [
        {"type": "element", "expression": "Patient"},
        {"type": "element", "expression": "Patient.contact"},
        {"type": "element", "expression": "HumanName"},
        {"type": "element", "expression": "Element"},
        {"type": "element", "expression": "Patient.birthDate"},
        {"type": "element", "expression": "Patient.nowhere"},
        {"type": "fhirpath", "expression": "Patient.photo"},
    ]
    rules = Rules(extension(of_type("string"), context=contexts))
    assert list(attributes(rules)) == ["Patient.tribe", "Patient.contact.tribe", "HumanName.tribe"]
    body = {"resourceType": "Practitioner", "name": [{"text": "x", "extension": [text()]}]}
    assert rules.stored(body)["name"] == [{"text": "x", "tribe": "Oaks"}]


RAW = {
    "two types": [of_type("string", "integer")],
    "no type": [],
    "value and parts": [of_type("string"), element("Extension.extension:a", slice="a")],
}


@pytest.mark.parametrize("name", RAW)
def test_what_has_no_single_type_stays_raw_and_is_held_to_its_rules(name):
    rules = Rules(
        extension(*RAW[name]), profile("Patient", use("Patient.extension", min=1, max="1"))
    )
    assert rules.conversion.attributes == []
    assert rules.found(patient(text())) == []
    assert rules.round_trip(patient(text())) == patient(text())
    assert rules.found(patient()) == [("Patient", "Extension tribe is required")]
    other = text(url="http://e.x/other")
    assert rules.found(patient(other)) == [("Patient.extension", "Extension tribe is required")]
    assert rules.found(patient(text(), text())) == [
        ("Patient.extension", "extension tribe allows at most 1")
    ]


def test_the_types_of_a_raw_value():
    rules = Rules(
        extension(of_type("string", "integer")), profile("Patient", use("Patient.extension"))
    )
    assert rules.found(patient({"url": URL, "valueBoolean": True})) == [
        ("Patient.extension[0]", "expected valueInteger or valueString")
    ]


def test_an_unknown_extension_is_counted_by_its_url():
    rules = Rules(profile("Patient", use("Patient.extension", min=1, max="1")))
    assert rules.conversion.attributes == []
    assert rules.found(patient(text())) == []
    assert rules.found(patient()) == [("Patient", "Extension tribe is required")]


def test_a_prohibited_extension():
    rules = Rules(TRIBE, profile("Patient", use("Patient.extension", max="0")))
    assert rules.conversion.attributes == []
    assert rules.found(patient(text())) == [
        ("Patient.extension[0]", "extension tribe is not allowed here")
    ]


def test_a_prohibited_extension_that_is_first_class_elsewhere():
    allowing = profile("Patient", use("Patient.extension"), id="allowing")
    rules = Rules(TRIBE, allowing, profile("Patient", use("Patient.extension", max="0")))
    assert rules.found(patient(text())) == [
        (f"Patient.extension.where(url = '{URL}').value", "not allowed here")
    ]


def test_an_extension_of_a_primitive_stays_raw():
    rules = Rules(
        TRIBE,
        profile(
            "Patient",
            use("Patient.birthDate.extension", min=1),
            element("Patient.birthDate", min=1),
        ),
    )
    assert rules.conversion.attributes == []
    body = patient(birthDate="2000", _birthDate={"extension": [text()]})
    assert rules.found(body) == []
    assert rules.round_trip(body) == body
    assert rules.found(patient(birthDate="2000")) == [("Patient", "Property extension is required")]
    wrong = {"extension": [{"url": URL, "valueInteger": 1}]}
    assert rules.found(patient(birthDate="2000", _birthDate=wrong)) == [
        ("Patient.birthDate.extension[0]", "expected valueString")
    ]


def test_extensions_of_repeated_primitives():
    rules = Rules(TRIBE, profile("Patient", use("Patient.name.given.extension", max="1")))
    body = patient(name=[{"given": ["a", "b"], "_given": [None, {"extension": [text()]}]}])
    assert rules.found(body) == []
    assert rules.round_trip(body) == body
    twice = patient(name=[{"given": ["a", "b"], "_given": [None, {"extension": [text(), text()]}]}])
    assert rules.found(twice) == [
        ("Patient.name[0].given[1].extension", "extension tribe allows at most 1")
    ]


def test_a_reference_is_stored_as_one_and_its_target_checked():
    target = {
        "code": "Reference",
        "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Group"],
    }
    definition = extension(element("Extension.value[x]", type=[target]))
    rules = Rules(definition, profile("Patient", use("Patient.extension")))
    good = patient({"url": URL, "valueReference": {"reference": "Group/g"}})
    assert rules.stored(good)["tribe"] == {"resourceType": "Group", "id": "g"}
    assert rules.found(good) == []
    assert rules.found(patient({"url": URL, "valueReference": {"reference": "Patient/g"}})) == [
        (f"Patient.extension.where(url = '{URL}').value", "expected reference to Group")
    ]


GROUP = extension(
    element("Extension.extension:kind", slice="kind", min=1, max="1"),
    element("Extension.extension:kind.url", fixedUri="kind"),
    element("Extension.extension:kind.value[x]", type=[{"code": "code"}], min=1),
    element("Extension.extension:place", slice="place", max="*"),
    element("Extension.extension:place.url", fixedUri="place"),
    element("Extension.extension:place.extension:name", slice="name", max="1"),
    element("Extension.extension:place.extension:name.url", fixedUri="name"),
    element("Extension.extension:place.extension:name.value[x]", type=[{"code": "string"}]),
    element("Extension.value[x]", max="0"),
)


def place(*names):
    return {"url": "place", "extension": [{"url": "name", "valueString": name} for name in names]}


def grouped(*parts):
    return patient({"url": URL, "extension": list(parts)})


KIND = {"url": "kind", "valueCode": "a"}
AT = f"Patient.extension.where(url = '{URL}')"


def test_groups_within_groups():
    rules = Rules(GROUP, profile("Patient", use("Patient.extension")))
    body = grouped(KIND, place("x"), place("y"))
    assert rules.found(body) == []
    assert rules.stored(body)["tribe"] == {"kind": "a", "place": [{"name": "x"}, {"name": "y"}]}
    assert rules.round_trip(body) == body
    assert rules.found(grouped(place("x"))) == [(AT, "Extension kind is required")]


def test_a_wrong_value_within_a_group():
    rules = Rules(GROUP, profile("Patient", use("Patient.extension")))
    found = rules.found(grouped({"url": "kind", "valueString": "a"}))
    assert (f"{AT}.extension.where(url = 'kind').value", "expected type of code") in found


def test_what_a_profile_adds_to_an_extension_holds_too():
    rules = Rules(
        TRIBE,
        profile(
            "Patient",
            use("Patient.extension"),
            element("Patient.extension:tribe.value[x]", patternString="Oaks"),
        ),
    )
    assert rules.found(patient(text("Elms"))) == [(f"{AT}.value", "expected one of Oaks")]
    assert rules.found(patient(text("Elms", id="x"))) == [
        ("Patient.extension[0].value.ofType(string)", "expected one of Oaks")
    ]


def test_root_sends_the_element_or_the_extension():
    """A raw extension at root stays raw, in FHIR's form or in Aidbox's; both are looked into."""
    required = {
        "strength": "required",
        "valueSet": "http://hl7.org/fhir/ValueSet/administrative-gender",
    }
    definition = extension(of_type("code", min=1, binding=required))
    rules = Rules(definition, profile("Patient", use("Patient.extension", min=1)))

    def at_root(**members):
        accepted = accept_aidbox(rules.metadata, "Patient", patient(**members))
        issues = validate(
            rules.metadata, "Patient", accepted.resource, Dialect.AIDBOX, rules.profiles
        )
        return [issue.expression for issue in issues]

    assert at_root(tribe="male") == []
    assert at_root(extension=[{"url": URL, "valueCode": "male"}]) == []
    assert at_root(extension=[{"url": URL, "value": {"code": "male"}}]) == []
    assert at_root(tribe="x") == ["Patient.tribe"]
    assert at_root(extension=[{"url": URL, "valueCode": "x"}]) == ["Patient.extension.0.valueCode"]
    assert at_root(extension=[{"url": URL, "value": {"code": "x"}}]) == [
        "Patient.extension.0.value.code"
    ]
    assert at_root() == ["Patient"]


def test_an_extension_within_itself_ends():
    inner = element(
        "Extension.extension:again", slice="again",
        type=[{"code": "Extension", "profile": [URL]}],
    )  # fmt: skip
    rules = Rules(extension(inner), profile("Patient", use("Patient.extension")))
    body = patient({"url": URL, "extension": [text()]})
    assert to_fhir(rules.metadata, rules.stored(body)) == body


def test_closed_slicing_lets_no_other_extension_in():
    closed = element(
        "Patient.extension",
        slicing={"discriminator": [{"type": "value", "path": "url"}], "rules": "closed"},
    )
    clan = extension(of_type("string"), id_="clan")
    allowing = profile("Patient", use("Patient.extension", "clan", f"{CANONICAL}clan"), id="all")
    rules = Rules(TRIBE, clan, allowing, profile("Patient", closed, use("Patient.extension")))
    assert rules.found(patient(text())) == []
    assert rules.found(patient(text(id="x"))) == []
    assert rules.found(patient(text(), text(url="http://e.x/other"))) == [
        ("Patient.extension[0]", "extension is not allowed here")
    ]
    assert rules.found(patient(text(url=f"{CANONICAL}clan"))) == [
        (f"Patient.extension.where(url = '{CANONICAL}clan').value", "not allowed here")
    ]
