"""The pure parts of pages: addresses, JSON as HTML, one-line summaries."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from controlplane.addresses import access_url, box_url
from controlplane.console.json_view import render_json
from controlplane.console.summary import summarize
from controlplane.environment import read_environment

LOCAL = read_environment({"DATABASE_URL": "postgresql:///x"}, project=Path("/nowhere"))
HOSTED = read_environment(
    {
        "DATABASE_URL": "postgresql:///x",
        "AIDBOX_BASE_URL": "https://console.example.org",
        "AIDBOX_CLUSTER_DOMAIN": "boxes.example.org",
    },
    project=Path("/nowhere"),
)


def test_a_box_url_has_scheme_and_port_of_the_console():
    assert box_url("clinic1", LOCAL) == "http://clinic1.localhost:8888"
    assert box_url("clinic1", HOSTED) == "https://clinic1.boxes.example.org"


def test_an_access_url_keeps_token_and_path_apart():
    url = access_url("clinic1", "a.b+c", "/x?y=1&z=2", LOCAL)
    assert url == (
        "http://clinic1.localhost:8888/__sudo?token=a.b%2Bc&redirect-uri=/x%3Fy%3D1%26z%3D2"
    )


def plain(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1.00, "b": [true, null, "x\\"<script>alert(1)</script>"], "c": {}}',
        '{"reference": "Patient/1", "div": "<div onclick=\\"x\\">\\u0026</div>"}',
        "[-1e-3, 0.10, false]",
    ],
)
def test_json_keeps_every_character_and_makes_none_active(text: str):
    html = render_json(text, "/boxes/clinic1/resources")
    assert plain(html) == text
    assert set(re.findall(r"<([a-z]+)", html)) <= {"span", "a"}


def test_local_references_are_links_and_other_texts_are_not():
    html = render_json(
        '{"reference": "Patient/p-1", "display": "Patient/p-2", "x": {"reference": "http://a/b"}}',
        "/boxes/clinic1/resources",
    )
    assert re.findall(r'href="([^"]*)"', html) == ["/boxes/clinic1/resources/Patient/p-1"]


@pytest.mark.parametrize(
    ("resource", "line"),
    [
        (
            {"name": [{"given": ["Ada", "M."], "family": "Byron"}], "birthDate": "1815-12-10"},
            "Ada M. Byron · 1815-12-10",
        ),
        (
            {
                "code": {"coding": [{"display": "Body height"}]},
                "valueQuantity": {"value": 171, "unit": "cm"},
                "effectiveDateTime": "2020-01-02T10:00:00Z",
                "status": "final",
            },
            "Body height · 171 cm · 2020-01-02 · final",
        ),
        ({"name": "General hospital"}, "General hospital"),
        ({}, ""),
        ({"name": 5, "code": "x", "period": []}, "x"),
    ],
)
def test_a_summary_tells_resources_apart(resource: dict, line: str):
    assert summarize(resource) == line


def test_a_summary_is_one_short_line():
    assert len(summarize({"title": "x" * 500})) == 120
