"""Source: FHIR R4 Bundle, "Resolving references in Bundles"; core specification, "Batch and transaction"."""

from __future__ import annotations

from boxruntime.api.bundle import Entry
from boxruntime.api.entry_references import refers_to, relative_targets
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


def test_where_a_document_refers_to():
    document = {
        "subject": {"uri": "urn:a"},
        "member": [{"entity": {"reference": "urn:b"}}],
        "note": "urn:c",
    }
    assert refers_to(document, {"urn:a"})
    assert refers_to(document, {"urn:b"})
    assert not refers_to(document, {"urn:c"})
    assert not refers_to(5, {"urn:c"})
