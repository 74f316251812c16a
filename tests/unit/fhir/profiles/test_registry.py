"""Which profiles hold for a resource. Source: core specification, "AidboxProfile"."""

from __future__ import annotations

import pytest

from boxruntime.fhir.profiles.registry import NO_PROFILES, ProfileSet
from tests.unit.fhir.profiles.making import BASE

URL = "http://example.org/p"


def row(id_, wanted="a", bound="Patient", **more):
    schema = {"required": [wanted]}
    return {"id": id_, "bind": {"id": bound}, "schema": schema, **more}


def found(profiles, resource, type_name="Patient", extra=()):
    issues = profiles.issues(BASE, type_name, resource, extra)
    return [(issue.profile, issue.path, issue.message) for issue in issues]


def test_nothing_holds_where_there_are_no_profiles():
    assert not NO_PROFILES
    assert found(NO_PROFILES, {"meta": {"profile": [URL]}}) == []


def test_one_without_url_holds_for_its_type_only():
    profiles = ProfileSet([row("one"), row("two", "b")])
    assert found(profiles, {}) == [
        ("one", (), "Property a is required"),
        ("two", (), "Property b is required"),
    ]
    assert found(profiles, {}, "Group") == []


def test_one_with_url_holds_where_it_is_declared():
    profiles = ProfileSet([row("one", url=URL)])
    assert found(profiles, {}) == []
    declared = {"meta": {"profile": [URL, f"{URL}|1"]}}
    assert found(profiles, declared) == [("one", (), "Property a is required")]


@pytest.mark.parametrize("profile", [None, {}, "x", [5], [None], [{"a": 1}], [""]])
def test_a_declaration_of_the_wrong_shape_is_not_our_finding(profile):
    profiles = ProfileSet([row("one", url=URL)])
    assert found(profiles, {"meta": {"profile": profile}}) == []
    assert found(profiles, {"meta": profile}) == []


def test_versions():
    rows = [row("old", url=URL, version="1"), row("new", url=URL, version="2")]
    profiles = ProfileSet(rows)
    assert profiles.find(URL).id == "new"
    assert profiles.find(f"{URL}|1").id == "old"
    assert profiles.find(f"{URL}|3") is None
    assert profiles.find("http://example.org/other") is None
    assert ProfileSet([row("one", url=URL)]).find(f"{URL}|3").id == "one"


def test_a_profile_can_be_asked_for_without_a_declaration():
    profiles = ProfileSet([row("one", url=URL)])
    extra = (profiles.find(URL),)
    assert found(profiles, {}, extra=extra) == [("one", (), "Property a is required")]
    declared = {"meta": {"profile": [URL]}}
    assert found(profiles, declared, extra=extra) == [("one", (), "Property a is required")]
    assert found(profiles, {"a": 1}, extra=extra) == []


def test_a_declared_profile_of_another_type_is_a_finding():
    profiles = ProfileSet([row("one", url=URL)])
    assert found(profiles, {"meta": {"profile": [URL]}}, "Group") == [
        ("one", ("meta", "profile"), f"the profile {URL} is for Patient")
    ]


def test_a_schema_that_cannot_be_used_lets_nothing_pass():
    profiles = ProfileSet([{**row("one"), "schema": {"type": "nonsense"}}])
    assert found(profiles, {"a": 1}) == [("one", (), "the profile cannot be used")]


def test_an_id_is_free_for_its_own_url_only():
    profiles = ProfileSet([row("one", url=URL), row("two")])
    assert profiles.is_free("one", URL)
    assert profiles.is_free("three", URL)
    assert not profiles.is_free("one", "http://example.org/other")
    assert not profiles.is_free("two", URL)
