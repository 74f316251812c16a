"""Whom a request reaches through the edge, and as what."""

from __future__ import annotations

import pytest

from tests.fixtures_edge import EchoServer, assert_outcome


@pytest.mark.parametrize(
    "host",
    ["clinica.box.local", "clinica.box.local:8888", "ClinicA.BOX.Local:1", "clinica.box.local."],
)
def test_the_host_names_the_box_in_any_case_with_any_port(edge, host):
    answer = edge.send(host, "/fhir/Patient?name=x")
    assert (answer.status, answer.body["server"]) == (200, "clinica")
    assert answer.body["path"] == "/fhir/Patient?name=x"


@pytest.mark.parametrize("host", ["box.local", "box.local:99", "127.0.0.1", "[::1]:8", "BOX.local"])
@pytest.mark.parametrize("header", ["x-box", "X-BOX", "Box-Name"])
def test_on_the_shared_host_a_header_names_the_box(edge, host, header):
    answer = edge.send(host, headers={header: "clinicb"})
    assert (answer.status, answer.body["server"]) == (200, "clinicb")


def test_the_newer_header_wins_over_the_older(edge):
    answer = edge.send("box.local", headers={"x-box": "clinica", "Box-Name": "clinicb"})
    assert answer.body["server"] == "clinica"


def test_a_header_that_agrees_with_the_host_changes_nothing(edge):
    answer = edge.send("clinica.box.local", headers={"x-box": "clinica", "Box-Name": "clinica"})
    assert answer.body["server"] == "clinica"


@pytest.mark.parametrize("header", ["x-box", "Box-Name"])
@pytest.mark.parametrize("name", ["clinicb", "nosuchbox", "../console", "x"])
def test_a_header_that_disagrees_with_the_host_is_refused(edge, header, name):
    assert_outcome(edge.send("clinica.box.local", headers={header: name}), 400, "invalid")


@pytest.mark.parametrize(
    "host", ["nosuchbox.box.local", "x.box.local", "a.clinica.box.local", "-.box.local"]
)
def test_an_unknown_box_in_the_host_is_not_found(edge, host):
    assert_outcome(edge.send(host), 404, "not-found")


@pytest.mark.parametrize("host", ["..box.local", "a/b.box.local", "clinica.box.local:8888:1/x"])
def test_a_host_that_is_none_is_refused(edge, host):
    assert_outcome(edge.send(host), 400, "invalid")


@pytest.mark.parametrize(
    "name", ["nosuchbox", "../console", "x", "clinica.sock", "clinica,clinicb", "CLINICA", "*"]
)
@pytest.mark.parametrize("header", ["x-box", "Box-Name"])
def test_an_unknown_box_in_a_header_is_not_found(edge, name, header):
    assert_outcome(edge.send("box.local", headers={header: name}), 404, "not-found")


@pytest.mark.parametrize("host", ["box.local", "127.0.0.1:1", "platform.example", "other.example"])
def test_without_a_box_the_control_plane_answers(edge, host):
    answer = edge.send(host, "/boxes/")
    assert (answer.status, answer.body["server"]) == (200, "console")
    assert answer.body["headers"]["host"] == host


def test_headers_on_any_other_host_name_no_box(edge):
    assert edge.send("other.example", headers={"x-box": "clinica"}).body["server"] == "console"
    assert edge.send("platform.example", headers={"x-box": "clinica"}).body["server"] == "clinica"


def test_what_a_client_claims_about_its_origin_is_replaced(edge):
    claims = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "X-Real-IP": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
    }
    headers = edge.send("clinica.box.local:88", headers=claims).body["headers"]
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-host"] == "clinica.box.local:88"
    assert "x-real-ip" not in headers
    assert "forwarded" not in headers


def test_a_box_is_reachable_exactly_while_its_socket_exists(edge, edge_run):
    assert_outcome(edge.send("newbox.box.local"), 404, "not-found")
    server = EchoServer(edge_run / "boxes" / "newbox.sock")
    try:
        assert edge.send("newbox.box.local").body["server"] == "newbox"
    finally:
        server.close()
        (edge_run / "boxes" / "newbox.sock").unlink()
    assert_outcome(edge.send("newbox.box.local"), 404, "not-found")


@pytest.mark.parametrize(
    "path",
    [
        "/fhir/Patient/%2e%2e/x",
        "/a%2Fb",
        "/a//b",
        "/fhir/$op?a=%20b",
        "/a/../b",
        "/box",
        "/refused",
        "/?a=|&b=%c3%bc",
    ],
)
def test_paths_reach_the_box_as_they_were_sent(edge, path):
    assert edge.send("clinica.box.local", path).body["path"] == path


def test_a_header_passes_whatever_its_name_is(edge):
    sent = {"some_header": "1", "some.header": "2"}
    assert edge.send("clinica.box.local", headers=sent).body["headers"].items() >= sent.items()


def test_the_target_of_a_request_says_more_than_its_host_header(edge):
    answer = edge.send("clinicb.box.local", "http://clinica.box.local/x?y")
    assert (answer.body["server"], answer.body["path"]) == ("clinica", "/x?y")
    assert answer.body["headers"]["host"] == "clinica.box.local"
