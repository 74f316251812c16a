"""Source: core specification, "Media types"."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxruntime.http.messages import RequestError
from boxruntime.http.negotiation import Format, answer_format, names_fhir, request_format


@pytest.mark.parametrize(
    ("accept", "format_"),
    [
        (None, "json"), ("", "json"), ("*/*", "json"), ("application/json", "json"), ("text/yaml", "yaml"),
        ("application/fhir+json;fhirVersion=4.0", "json"), ("APPLICATION/JSON", "json"), ("text/*", "yaml"),
        ("application/*", "json"), ("text/yaml, application/json", "yaml"), ("text/yaml;q=0.1,*/*;q=0.2", "json"),
        ("text/html, */*;q=0.1", "json"), ("application/json;q=0,*/*", "yaml"), ("text/yaml;q=0,*/*", "json"),
        ("application/json ; q = 0.5 , text/yaml;q=0.7", "yaml"), ("application/json;q=1.0;x=y", "json"),
    ],
)  # fmt: skip
def test_the_best_supported_entry_wins(accept, format_):
    assert answer_format(accept, None) == format_


@pytest.mark.parametrize(
    "accept",
    ["text/plain", "image/png, text/html", "application/json;q=0", "application/json;q=nan",
     "application/json;q=x", "json", "application/json;q=0, application/*"],
)  # fmt: skip
def test_nothing_supported_is_406(accept):
    with pytest.raises(RequestError) as refused:
        answer_format(accept, None)
    assert refused.value.status == 406


def test_the_parameter_beats_the_header_and_a_plus_may_be_a_space():
    assert answer_format("text/yaml", "json") is Format.JSON
    assert answer_format("text/plain", "application/fhir json") is Format.JSON
    assert answer_format("text/plain", "text/yaml; charset=utf-8") is Format.YAML
    assert answer_format("text/yaml", "") is Format.YAML
    for unknown in ("xml", "edn", "transit", "application/fhir xml", "JSON5"):
        with pytest.raises(RequestError):
            answer_format("application/json", unknown)


@pytest.mark.parametrize(
    ("content_type", "found"),
    [(None, None), ("", None), ("application/json", "json"), ("application/json+fhir", "json"),
     ("application/x-yaml", "yaml"), ("Text/YAML; charset=UTF-8", "yaml")],
)  # fmt: skip
def test_the_format_of_a_body(content_type, found):
    assert request_format(content_type) == found


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "image/png", ";", "json"]
)
def test_other_bodies_are_415(content_type):
    if content_type == ";":
        assert request_format(content_type) is None
        return
    with pytest.raises(RequestError) as refused:
        request_format(content_type)
    assert refused.value.status == 415


@pytest.mark.parametrize(
    ("accept", "named"),
    [(None, False), ("*/*", False), ("image/png", False), ("application/fhir+json", True),
     ("text/html, application/json;q=0.1", True), ("application/json;q=0", False)],
)  # fmt: skip
def test_whether_a_fhir_type_is_named(accept, named):
    assert names_fhir(accept) is named


@given(st.text(max_size=60))
def test_any_header_has_an_answer(accept):
    try:
        found = answer_format(accept, None)
    except RequestError as refused:
        status = refused.status
    else:
        assert found in Format
        return
    assert status == 406
