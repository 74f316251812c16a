"""Source: platform specification, "Manifest" (a literal path segment wins over a parameter)."""

from __future__ import annotations

import pytest

from boxruntime.http.router import Router


def router():
    made = Router({"type": {"Patient", "Goal"}.__contains__})
    for method, template in (
        ("GET", "/{type}/{id}"),
        ("GET", "/{type}/_search"),
        ("POST", "/{type}/_search"),
        ("PUT", "/{type}/{id}"),
        ("GET", "/Patient/$weekly"),
        ("GET", "/Goal/x/y"),
        ("GET", "/{type}/{id}/{part}"),
        ("GET", "/{anything}"),
        ("GET", "/"),
    ):
        made.add(method, template, f"{method} {template}")
    return made


@pytest.mark.parametrize(
    ("method", "path", "target", "parameters"),
    [
        ("GET", "Patient/p1", "GET /{type}/{id}", {"type": "Patient", "id": "p1"}),
        ("GET", "Patient/_search", "GET /{type}/_search", {"type": "Patient"}),
        ("PUT", "Patient/_search", "PUT /{type}/{id}", {"type": "Patient", "id": "_search"}),
        ("GET", "Patient/$weekly", "GET /Patient/$weekly", {}),
        ("GET", "Goal/x/y", "GET /Goal/x/y", {}),
        ("GET", "Goal/x/z", "GET /{type}/{id}/{part}", {"type": "Goal", "id": "x", "part": "z"}),
        ("GET", "Zzz", "GET /{anything}", {"anything": "Zzz"}),
        ("GET", "", "GET /", {}),
    ],
)
def test_a_literal_wins_and_dead_ends_are_left(method, path, target, parameters):
    segments = tuple(step for step in path.split("/") if step)
    assert router().find(method, segments) == (target, parameters)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "Patient"), ("GET", "Zzz/x"), ("GET", "Goal/x/y/z")]
)
def test_what_fits_nothing(method, path):
    assert router().find(method, tuple(path.split("/"))) is None


def test_the_methods_of_a_path():
    assert router().methods(("Patient", "_search")) == ["GET", "POST", "PUT"]
    assert router().methods(("Zzz", "x")) == []


def test_a_route_is_added_once():
    made = router()
    with pytest.raises(ValueError, match="routed twice"):
        made.add("GET", "/{type}/{id}", "again")
