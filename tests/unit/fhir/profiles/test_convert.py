"""What a conversion refuses, and the ids of what it makes."""

from __future__ import annotations

import pytest

from boxruntime.fhir.profiles.convert import convert, profile_id
from boxruntime.fhir.profiles.library import ConversionError, Library
from boxruntime.fhir.profiles.registry import ProfileSet
from tests.unit.fhir.profiles.making import BASE, CANONICAL, Rules, element, profile


def doubling(depth, type_name, make):
    """Return definitions that each name two others one step further on."""
    for number in range(depth):
        below = [f"{CANONICAL}e{number + 1}{side}" for side in "ab"]
        for side in "ab":
            yield profile(type_name, *make(below), id=f"e{number}{side}", kind="complex-type")


def extensions(below):
    for name, url in zip("ab", below, strict=True):
        use = [{"code": "Extension", "profile": [url]}]
        yield element(f"Extension.extension:{name}", slice=name, type=use)


def identifiers(below):
    yield element("Identifier.assigner.identifier", type=[{"code": "Identifier", "profile": below}])


@pytest.mark.parametrize(
    ("type_name", "make", "path", "message"),
    [
        ("Extension", extensions, "Patient.extension:a", "more than"),
        ("Identifier", identifiers, "Patient.identifier", "too large"),
    ],
)
def test_definitions_that_double_at_each_step_are_refused(type_name, make, path, message):
    use = element(path, slice="a", type=[{"code": type_name, "profile": [f"{CANONICAL}e0a"]}])
    with pytest.raises(ConversionError, match=message):
        Rules(*doubling(40, type_name, make), profile("Patient", use))


def test_a_chain_without_end_is_refused():
    deep = "Questionnaire" + ".item" * 5_000 + ".text"
    with pytest.raises(ConversionError, match="cannot be read"):
        Rules(profile("Questionnaire", element(deep, min=1)))


IDS = [
    ({"id": "us-core-patient", "url": "http://e.x/other"}, "us-core-patient"),
    ({"url": "http://e.x/StructureDefinition/p1"}, "p1"),
    ({"url": "http://e.x/p1/"}, "p1"),
    ({"url": "urn:oid:1.2.3"}, "urn-oid-1.2.3"),
    ({"id": "not an id", "url": "http://e.x/p 1"}, "p-1"),
    ({"url": "http://e.x/ü"}, "profile-10ae2be4"),
]


@pytest.mark.parametrize("number", range(len(IDS)))
def test_the_id_of_a_profile(number):
    definition, expected = IDS[number]
    assert profile_id(definition) == expected


def test_ids_that_another_url_has_are_told_apart():
    first = profile("Patient", id="p")
    second = {**profile("Patient", id="p"), "url": "http://e.x/second"}
    made = convert(Library(BASE, [first, second]), [first, second]).profiles
    assert made[0]["id"] == "p"
    assert made[1]["id"].startswith("p-")
    known = ProfileSet([{**made[0], "url": "http://e.x/third"}])
    (again,) = convert(Library(BASE, [first]), [first], known).profiles
    assert again["id"].startswith("p-")
    (same,) = convert(Library(BASE, [first]), [first], ProfileSet(made)).profiles
    assert same["id"] == "p"
