"""Source: core specification, "Batch and transaction"."""

from __future__ import annotations

from boxruntime.api.entry_identities import later_reference


def test_references_to_later_entries():
    document = {
        "subject": {"uri": "urn:a"},
        "member": [{"entity": {"reference": "urn:b"}}],
        "note": "urn:c",
    }
    assert later_reference(document, {"urn:a": 3}, 2) == "urn:a"
    assert later_reference(document, {"urn:b": 3}, 2) == "urn:b"
    assert later_reference(document, {"urn:a": 2, "urn:b": 1}, 2) is None
    assert later_reference(document, {"urn:c": 3}, 2) is None
    assert later_reference(5, {"urn:c": 3}, 2) is None
