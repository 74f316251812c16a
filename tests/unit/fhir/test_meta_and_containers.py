"""Meta, `_x` members, and resources inside resources.

Source: core specification, "Meta and primitive extensions", "Containers".
"""

from __future__ import annotations

import pytest

from boxruntime.fhir.formats import accept_aidbox, to_aidbox, to_fhir
from boxruntime.fhir.metadata import base_metadata
from boxruntime.fhir.outcome import Dialect
from boxruntime.fhir.validation import validate

METADATA = base_metadata("4.0.1")
TIME = "2020-01-05T10:11:12.123456Z"
PROFILE = {"profile": ["http://e.x/p"]}


def test_created_at_is_an_extension_of_meta_at_fhir():
    meta = {"versionId": "3", "lastUpdated": TIME, "createdAt": TIME, **PROFILE}
    fhir = to_fhir(METADATA, {"resourceType": "Patient", "id": "p", "meta": meta})
    assert fhir["meta"] == {
        "versionId": "3",
        "lastUpdated": TIME,
        **PROFILE,
        "extension": [{"url": "ex:createdAt", "valueInstant": TIME}],
    }


@pytest.mark.parametrize("url", ["ex:createdAt", "ax:createdAt"])
def test_what_the_server_says_is_ignored_on_input(url):
    own = {"url": "http://e.x/own", "valueString": "x"}
    meta = {
        "versionId": "bad version!",
        "lastUpdated": "no date",
        "extension": [{"url": url, "valueInstant": TIME}, own],
        **PROFILE,
    }
    converted = to_aidbox(METADATA, "Patient", {"meta": meta})
    assert converted.resource["meta"] == {"extension": [own], **PROFILE}
    only = {"versionId": "1", "extension": [{"url": url, "valueInstant": TIME}]}
    assert "meta" not in to_aidbox(METADATA, "Patient", {"meta": only}).resource
    sent = {"versionId": "1", "lastUpdated": TIME, "createdAt": TIME, **PROFILE}
    assert accept_aidbox(METADATA, "Patient", {"meta": sent}).resource["meta"] == PROFILE


def test_to_format_keeps_meta():
    meta = {"versionId": "1", "extension": [{"url": "ex:createdAt", "valueInstant": TIME}]}
    converted = to_aidbox(METADATA, "Patient", {"meta": meta}, keep_meta=True)
    assert converted.resource["meta"] == {"versionId": "1", "createdAt": TIME}
    assert to_fhir(METADATA, {**converted.resource, "resourceType": "Patient"})["meta"] == meta


def test_meta_of_resources_inside_is_content():
    inner = {"resourceType": "Patient", "id": "c", "meta": {"versionId": "7", "lastUpdated": TIME}}
    for document, type_name in (
        ({"contained": [inner]}, "Observation"),
        ({"type": "collection", "entry": [{"resource": inner}]}, "Bundle"),
        ({"parameter": [{"name": "n", "resource": inner}]}, "Parameters"),
    ):
        converted = to_aidbox(METADATA, type_name, document)
        assert converted.resource == {"resourceType": type_name, **document}
        assert to_fhir(METADATA, converted.resource) == {"resourceType": type_name, **document}


def test_underscored_members_are_kept_verbatim():
    document = {
        "resourceType": "Patient",
        "birthDate": "2000",
        "_birthDate": {"extension": [{"url": "u", "valueString": "x"}]},
        "name": [
            {
                "given": [None, "B"],
                "_given": [{"extension": [{"url": "u", "valueCode": "x"}]}, None],
            }
        ],
    }
    converted = to_aidbox(METADATA, "Patient", document)
    assert converted.issues == []
    assert converted.resource == document
    assert validate(METADATA, "Patient", converted.resource, Dialect.FHIR) == []
    assert to_fhir(METADATA, converted.resource) == document


def test_root_allows_free_members_and_keeps_them():
    document = {
        "_x": {"any": [1]},
        "fhir_comments": ["x"],
        "_valueString": {"id": "e"},
        "code": {"_text": 5, "text": "t"},
        "status": "final",
    }
    converted = accept_aidbox(METADATA, "Observation", document)
    assert converted.resource == {"resourceType": "Observation", **document}
    assert validate(METADATA, "Observation", converted.resource, Dialect.AIDBOX) == []


def test_the_type_is_filled_in():
    assert to_aidbox(METADATA, "Patient", {}).resource == {"resourceType": "Patient"}
    assert accept_aidbox(METADATA, "Patient", {}).resource == {"resourceType": "Patient"}


INNER_FHIR = {
    "resourceType": "Observation",
    "id": "o",
    "status": "final",
    "code": {"text": "t"},
    "valueQuantity": {"value": 1},
    "subject": {"reference": "Patient/p"},
}
INNER_AIDBOX = {
    "resourceType": "Observation",
    "id": "o",
    "status": "final",
    "code": {"text": "t"},
    "value": {"Quantity": {"value": 1}},
    "subject": {"resourceType": "Patient", "id": "p"},
}
CONTAINERS = [
    ("Patient", lambda inner: {"contained": [inner]}, "contained.0", "contained[0]", True),
    (
        "Bundle",
        lambda inner: {"type": "collection", "entry": [{"resource": inner}]},
        "entry.0.resource",
        "entry[0].resource",
        False,
    ),
    (
        "Parameters",
        lambda inner: {"parameter": [{"name": "a", "part": [{"name": "b", "resource": inner}]}]},
        "parameter.0.part.0.resource",
        "parameter[0].part[0].resource",
        False,
    ),
]


@pytest.mark.parametrize(("type_name", "wrap", "_path", "_fhirpath", "checked"), CONTAINERS)
def test_a_resource_inside_is_converted_by_its_own_type(type_name, wrap, _path, _fhirpath, checked):
    converted = to_aidbox(METADATA, type_name, wrap(INNER_FHIR))
    assert converted.issues == []
    assert converted.resource == {"resourceType": type_name, **wrap(INNER_AIDBOX)}
    assert validate(METADATA, type_name, converted.resource, Dialect.FHIR) == []
    assert len(converted.references) == checked
    assert to_fhir(METADATA, converted.resource) == {
        "resourceType": type_name,
        **wrap(INNER_FHIR),
    }
    accepted = accept_aidbox(METADATA, type_name, wrap(INNER_AIDBOX))
    assert accepted.resource == converted.resource
    assert len(accepted.references) == checked


@pytest.mark.parametrize(("type_name", "wrap", "path", "fhirpath", "_checked"), CONTAINERS)
def test_a_resource_inside_is_validated_by_its_own_type(type_name, wrap, path, fhirpath, _checked):
    bad = {**INNER_AIDBOX, "value": {"Quantity": {"value": "x"}}, "nothing": 1}
    resource = {"resourceType": type_name, **wrap(bad)}
    at_root = validate(METADATA, type_name, resource, Dialect.AIDBOX)
    assert [(i.expression, i.message) for i in at_root] == [
        (f"{type_name}.{path}.nothing", "extra property"),
        (f"{type_name}.{path}.value.Quantity.value", "expected type of number"),
    ]
    at_fhir = validate(METADATA, type_name, resource, Dialect.FHIR)
    assert [i.expression for i in at_fhir] == [
        f"{type_name}.{fhirpath}.nothing",
        f"{type_name}.{fhirpath}.value.ofType(Quantity).value",
    ]


def test_a_resource_inside_needs_a_known_type():
    resource = {"resourceType": "Patient", "contained": [{"id": "a"}, {"resourceType": "No"}]}
    found = validate(METADATA, "Patient", resource, Dialect.AIDBOX)
    assert [(i.expression, i.message) for i in found] == [
        ("Patient.contained.0", "Property resourceType is required"),
        ("Patient.contained.1.resourceType", "unknown resource type"),
    ]


@pytest.mark.parametrize(
    "url", ["Observation", "/Observation", "Observation/o", "/Observation?a=b"]
)
def test_an_entry_takes_its_type_from_the_request(url):
    resource = {key: value for key, value in INNER_FHIR.items() if key != "resourceType"}
    entry = {"resource": resource, "request": {"method": "POST", "url": url}}
    document = {"type": "transaction", "entry": [entry]}
    converted = to_aidbox(METADATA, "Bundle", document)
    assert converted.resource["entry"][0]["resource"] == INNER_AIDBOX
    assert "resourceType" not in resource


def test_links_inside_a_stored_bundle_look_into_their_own_entry():
    target = {"resourceType": "Patient", "id": "m1"}
    good = {**INNER_FHIR, "subject": {"reference": "#m1"}, "contained": [target]}
    bundle = {"type": "collection", "entry": [{"resource": good}]}
    assert to_aidbox(METADATA, "Bundle", bundle).issues == []
    bad = {**INNER_FHIR, "subject": {"reference": "#m1"}}
    bundle = {"type": "collection", "contained": [target], "entry": [{"resource": bad}]}
    (issue,) = to_aidbox(METADATA, "Bundle", bundle).issues
    assert issue.expression == "Bundle.entry[0].resource.subject"


def test_a_fhir_search_parameter_inside_is_fhirs_own():
    inner = {
        "resourceType": "SearchParameter",
        "url": "http://e.x/s",
        "name": "n",
        "status": "draft",
        "description": "d",
        "code": "c",
        "base": ["Patient"],
        "type": "string",
        "useContext": [
            {"code": {"code": "focus"}, "valueQuantity": {"value": 1}},
        ],
    }
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": inner}]}
    converted = to_aidbox(METADATA, "Bundle", bundle)
    assert validate(METADATA, "Bundle", converted.resource, Dialect.FHIR) == []
    assert to_fhir(METADATA, converted.resource) == bundle
    own = METADATA.fhir_type("SearchParameter")
    assert validate(METADATA, own, to_aidbox(METADATA, own, inner).resource, Dialect.FHIR) == []
    assert METADATA.fhir_type("Patient") == "Patient"
