"""JSON, YAML, UTF-8 and gzip, both ways and under both bases.

Source: core specification, "Media types"; platform specification, "REST Console" (YAML dialect).
"""

from __future__ import annotations

import gzip
import json

import pytest

from tests.integration.runtime.making import BASES, OAK, batch, entry, linked, stored_patient

JSON = {"content-type": "application/json"}


@BASES
async def test_every_kind_of_answer_comes_as_yaml_too(box, base):
    id_, version = await stored_patient(box)
    for method, path, more in (
        ("GET", f"/Patient/{id_}", {}), ("GET", f"/Patient?_id={id_}", {}), ("GET", f"/Patient/{id_}/_history", {}),
        ("GET", f"/Patient/{id_}/_history/{version}", {}), ("GET", "/metadata", {}), ("GET", "/Nothing", {}),
        ("PUT", f"/Patient/{id_}", {"json": OAK}), ("POST", "/Patient", {"json": {"zzz": 1}}),
        ("POST", "/", {"json": batch(entry("GET", f"Patient/{id_}"))}), ("POST", "/Patient", {"content": b"{"}),
    ):  # fmt: skip
        glue = "&" if "?" in path else "?"
        for accept, format_ in (("text/yaml", ""), ("text/plain", f"{glue}_format=yaml")):
            answer = await box.client.request(
                method, f"{base}{path}{format_}", headers={"Accept": accept}, **more
            )
            assert answer.headers["content-type"] == "text/yaml; charset=utf-8", path
            assert answer.text.startswith("resourceType:"), path


@pytest.mark.parametrize(
    "text",
    [
        "name: [{family: off, given: [no, 22:30, '007', 1990-10-10]}]\n",
        "name:\n- family: off\n  given: [no, 22:30, 007, 1990-10-10]\n",
        "---\n# a comment\nname:\n  - given: ['no', '22:30', \"007\", '1990-10-10']\n    family: 'off'\n...\n",
        '{"name": [{"family": "off", "given": ["no", "22:30", "007", "1990-10-10"]}]}',
        "name:\n- &n\n  family: off\n  given:\n  - no\n  - 22:30\n  - 007\n  - 1990-10-10\n",
    ],
)  # fmt: skip
@BASES
@pytest.mark.parametrize(
    "media", ["text/yaml", "application/x-yaml", "text/yaml; charset=utf-8", ""]
)
async def test_yaml_keeps_words_times_and_leading_zeros(box, base, text, media):
    headers = {"content-type": media} if media else {}
    status, _, body = await box.raw("POST", f"{base}/Patient".encode(), headers, text.encode())
    assert status == 201, body
    name = {"family": "off", "given": ["no", "22:30", "007", "1990-10-10"]}
    assert json.loads(body)["name"] == [name]
    yaml = {"accept": "text/yaml"}
    _, _, answer = await box.raw("GET", f"{base}/Patient/{json.loads(body)['id']}".encode(), yaml)
    for quoted in ("'off'", "'no'", "'22:30'", "'007'", "'1990-10-10'"):
        assert quoted in answer.decode()


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/object:os.system x", "a: !foo 1", "a: 1\na: 2", "a: [", "\ta: 1", "a: &x [*x]", "a: 1\n---\nb: 2",
        'a: "\\ud800"', "? [a]\n: b", "a: *none", "name: \x07",
    ],
)  # fmt: skip
@BASES
async def test_yaml_that_is_refused(box, base, text):
    headers = {"content-type": "text/yaml"}
    status, answered, body = await box.raw(
        "POST", f"{base}/Patient".encode(), headers, text.encode("utf-8", "surrogatepass")
    )
    assert (status, json.loads(body)["resourceType"]) == (400, "OperationOutcome")
    assert "json" in answered["content-type"]


@BASES
async def test_text_is_utf_8_both_ways(box, base):
    name = "Ünïcödé 😀 \u2028 \x7f"
    text = json.dumps({"name": [{"family": name}]}, ensure_ascii=False)
    for media in (
        "application/json",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
    ):
        status, headers, body = await box.raw(
            "POST", f"{base}/Patient".encode(), {"content-type": media}, text.encode()
        )
        assert status == 201
        assert json.loads(body.decode("utf-8"))["name"][0]["family"] == name
        assert headers["content-type"].endswith("; charset=utf-8")
    escaped = json.dumps({"name": [{"family": name}]}).encode()
    status, _, body = await box.raw("POST", f"{base}/Patient".encode(), JSON, escaped)
    assert json.loads(body)["name"][0]["family"] == name
    for other in ("utf-16", "utf-32", "latin-1"):
        media = {"content-type": f"application/json; charset={other}"}
        body = '{"name": [{"family": "ü"}]}'.encode(other)
        assert (await box.raw("POST", f"{base}/Patient".encode(), media, body))[0] == 400


@BASES
async def test_pretty_is_for_people(box, base):
    id_, _ = await stored_patient(box)
    for path in (f"/Patient/{id_}", "/Nothing", f"/Patient?_id={id_}"):
        glue = "&" if "?" in path else "?"
        plain = await box.client.get(f"{base}{path}")
        pretty = await box.client.get(f"{base}{path}{glue}_pretty=true")
        assert pretty.text.startswith("{\n  ")
        assert "\n" not in plain.text
        assert pretty.status_code == plain.status_code
        if path != f"/Patient?_id={id_}":
            assert pretty.json() == plain.json()


async def test_repeated_names_in_json_count_last(box):
    body = b'{"active": true, "active": false}'
    status, _, answer = await box.raw("POST", b"/fhir/Patient", JSON, body)
    assert (status, json.loads(answer)["active"]) == (201, False)


@BASES
async def test_gzip_both_ways(box, base):
    patient = {**OAK, "name": [{"family": "x" * 3000}]}
    packed = gzip.compress(json.dumps(patient).encode())
    headers = {**JSON, "content-encoding": "gzip", "accept-encoding": "gzip"}
    status, answered, body = await box.raw("POST", f"{base}/Patient".encode(), headers, packed)
    assert (status, answered["content-encoding"]) == (201, "gzip")
    assert json.loads(gzip.decompress(body))["name"] == patient["name"]
    headers["accept-encoding"] = "gzip;q=0"
    status, answered, body = await box.raw("POST", f"{base}/Patient".encode(), headers, packed)
    assert "content-encoding" not in answered
    bundle = gzip.compress(json.dumps(batch(entry("POST", "Patient", patient))).encode())
    status, answered, body = await box.raw("POST", f"{base}/".encode(), headers, bundle)
    assert json.loads(body)["entry"][0]["response"]["status"] == "201"


@BASES
async def test_a_transaction_in_yaml(box, base):
    link = "reference" if base else "uri"
    text = f"""
type: transaction
entry:
- fullUrl: urn:p
  request: {{method: POST, url: Patient}}
  resource: {{name: [{{family: Oak}}]}}
- request: {{method: POST, url: Encounter}}
  resource:
    status: planned
    class: {{code: AMB}}
    subject: {{{link}: 'urn:p'}}
"""
    headers = {"content-type": "text/yaml", "accept": "application/json"}
    status, _, body = await box.raw("POST", f"{base}/".encode(), headers, text.encode())
    assert status == 200, body
    patient, visit = (item["resource"] for item in json.loads(body)["entry"])
    assert linked(base, visit) == f"Patient/{patient['id']}"
