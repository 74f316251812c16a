"""Source: FHIR R4 Bundle, "Resolving references in Bundles"; core specification, "Batch and transaction"."""

from __future__ import annotations

from boxruntime.api.bundle import Entry
from boxruntime.api.entry_references import has_query, relative_targets
from tests.unit.api.making import call


def entry(full_url):
    return Entry(index=0, full_url=full_url, call=call())


def test_relative_references_mean_entries_under_the_same_root():
    rewrite = {
        "http://a.test/fhir/Patient/1": "Patient/new1",
        "http://b.test/fhir/Patient/1": "Patient/new2",
        "urn:uuid:x": "Patient/new3",
    }
    entries = [
        entry("http://a.test/fhir/Goal/9"),
        entry("http://b.test/fhir/Goal/9"),
        entry("urn:uuid:x"),
        entry(None),
    ]
    relative_targets(entries, rewrite)
    first, second, third, fourth = (each.call.rewrite or {} for each in entries)
    assert first["Patient/1"] == "Patient/new1"
    assert second["Patient/1"] == "Patient/new2"
    assert "Patient/1" not in third
    assert "Patient/1" not in fourth
    assert first["urn:uuid:x"] == "Patient/new3"


def test_many_entries_share_one_mapping_a_root():
    entries = [entry(f"http://a.test/fhir/Goal/{n}") for n in range(3)]
    relative_targets(entries, {"http://a.test/fhir/Patient/1": "Patient/new1"})
    assert entries[0].call.rewrite is entries[2].call.rewrite


def test_references_by_query():
    assert has_query({"subject": {"reference": "Patient?identifier=1"}})
    assert has_query({"a": [{"b": {"reference": "Patient?identifier=1"}}]})
    assert not has_query({"subject": {"reference": "Patient/1"}, "note": "why?"})
    assert not has_query({"reference": {"reference": "Patient/1"}})
    assert not has_query("?")
