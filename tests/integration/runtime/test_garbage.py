"""What no client should send: the right status, an OperationOutcome, nothing stored.

Source: core specification, "HTTP surface", "Errors"; authentication specification, "Request object".
"""

from __future__ import annotations

import gzip
import json

import pytest

from tests.integration.runtime.making import BASES, OAK, fresh

JSON = {"content-type": "application/json"}


async def rows(box):
    (row,) = await box.sql("SELECT count(*) AS n, coalesce(max(txid), 0) AS newest FROM patient")
    return row["n"], row["newest"]


def look_at(status, headers, body, base, expected):
    assert status == expected, body[:500]
    found = json.loads(body)
    assert found["resourceType"] == "OperationOutcome"
    assert found["issue"]
    media = "application/fhir+json" if base else "application/json"
    assert headers["content-type"].startswith(media)
    for leak in ("Traceback", "asyncpg", "SELECT", "boxruntime", 'File "'):
        assert leak not in body.decode()
    return found


BODIES = [
    (b"{", 400), (b"nonsense", 400), (b'{"name": [}', 400), (b'{"a": 1,}', 400), (b"// x\n{}", 400),
    (b"{a: 1}", 400), (b"{'a': 1}", 400), (b'{"active": TRUE}', 400), (b'{"active": NaN}', 400),
    (b'{"multipleBirthInteger": 01}', 400), (b'{"multipleBirthInteger": +1}', 400),
    (b'{"active": true} {}', 400), (b"\xff\xfe{}", 400), (b'"\xed\xa0\x80"', 400),
    (b'{"name": [{"family": "\\ud800"}]}', 400), (b'{"name": [{"family": "\\udc00x"}]}', 400),
    (b'{"name": [{"family": "a\nb"}]}', 400), (b"[" * 100_000, 400), (b'{"a":' * 5000 + b"1" + b"}" * 5000, 400),
    (b"[]", 400), (b"5", 400), (b'"x"', 400), (b"null", 400), (b"[{}]", 400),
    (b'{"name": 5}', 422), (b'{"name": {"family": "x"}}', 422), (b'{"name": ["x"]}', 422),
    (b'{"name": [{"family": ["x"]}]}', 422), (b'{"active": "yes"}', 422), (b'{"active": 1}', 422),
    (b'{"gender": "unknowable"}', 422), (b'{"birthDate": "yesterday"}', 422), (b'{"birthDate": 1990}', 422),
    (b'{"birthDate": "2023-02-30"}', 422), (b'{"zzz": 1}', 422), (b'{"": 1}', 422), (b'{"id": 5}', 422), (b'{"id": {"a": 1}}', 422),
    (b'{"id": null, "zzz": 1}', 422), (b'{"name": [{"family": ""}]}', 422),
    (b'{"name": [{"family": "a\\u0000b"}]}', 422), (b'{"na\\u0000me": 1}', 422),
    (b'{"extension": [{"url": "urn:x", "valueString": "a\\u0000b"}]}', 422),
    (b'{"multipleBirthInteger": 99999999999999999999999999}', 422), (b'{"multipleBirthInteger": 1e99}', 422),
    (b'{"multipleBirthInteger": 1.5}', 422), (b'{"meta": 5}', 422), (b'{"meta": {"tag": 5}}', 422),
    (b'{"resourceType": "Zzz"}', 422), (b'{"resourceType": 5}', 422), (b'{"resourceType": ["Patient"]}', 422),
    (b'{"contained": [5]}', 422), (b'{"contained": [{"resourceType": "Zzz"}]}', 422), (b'{"contained": 5}', 422),
    (b'{"link": [{"other": {"reference": 5}, "type": "seealso"}]}', 422),
    (b'{"extension": [{"url": "urn:x", "valueDecimal": 1e999999999}]}', 422),
    (b'{"multipleBirthInteger": 1e999999999}', 422), (b'{"active": 1e99999999999999999999}', 422),
    (b'{"extension": [{"url": "urn:x", "valueDecimal": ' + b"9" * 200_000 + b"}]}", 422),
    (b'{"extension": [{"url": "urn:x", "valueDecimal": 1e1001}]}', 422),
    (b'{"extension": [{"url": "urn:x", "valueDecimal": 0e-1001}]}', 422),
    (b'{"active": Infinity}', 400), (b'{"active": true}\x00', 400), (b"/**/{}", 400),
]  # fmt: skip


@BASES
@pytest.mark.parametrize("number", range(len(BODIES)))
async def test_bodies(box, base, number):
    body, expected = BODIES[number]
    before = await rows(box)
    for method, path in (("POST", "/Patient"), ("PUT", f"/Patient/{fresh()}")):
        answer = await box.raw(method, f"{base}{path}".encode(), JSON, body)
        look_at(*answer, base, expected)
    assert await rows(box) == before
    assert (await box.client.get("/health")).status_code == 200


@BASES
async def test_a_byte_order_mark_is_no_garbage(box, base):
    answer = await box.raw(
        "POST", f"{base}/Patient".encode(), JSON, b'\xef\xbb\xbf{"active": true}'
    )
    assert (answer[0], json.loads(answer[2])["active"]) == (201, True)


@BASES
@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_bodies_inside_of_bundles(box, base, kind):
    before = await rows(box)
    for body, expected in BODIES:
        if expected == 400 or b"99999999999" in body or b"999999999}" in body or b"1001}" in body:
            continue
        bundle = (
            b'{"type":"%b","entry":[{"request":{"method":"POST","url":"Patient"},"resource":%b}]}'
            % (kind.encode(), body)
        )
        status, _, answer = await box.raw("POST", f"{base}/".encode(), JSON, bundle)
        found = json.loads(answer)
        if kind == "batch":
            assert (status, found["entry"][0]["response"]["status"]) == (200, "422"), body
        else:
            assert (status, found["resourceType"]) == (422, "OperationOutcome"), body
    assert await rows(box) == before


@pytest.mark.parametrize(
    "target",
    [
        b"/fhir/../Patient", b"/fhir/Patient/..", b"/fhir/Patient/../Goal", b"/fhir/./Patient",
        b"/fhir//Patient", b"//fhir/Patient", b"/fhir/Patient//x", b"/fhir/Patient/%2e%2e", b"/fhir/%2E/Patient",
        b"/fhir/Patient/a%2fb", b"/fhir/Patient/a%2Fb", b"/fhir/Patient/%5cx", b"/fhir/Patient/a\\b",
        b"/fhir/Patient/%00", b"/fhir/Patient/a%0d%0ab", b"/fhir/Patient/%ff", b"/fhir/Patient/%C0%AF",
        b"/fhir/Patient/%7f", b"fhir/Patient", b"/fhir/Patient?a=%ff", b"/fhir/Patient?a=%00",
        b"/fhir/Patient//",
    ],
)  # fmt: skip
async def test_path_tricks(box, target):
    status, headers, body = await box.raw("GET", target)
    base = "/fhir" if target.startswith((b"/fhir", b"/%66hir")) else ""
    look_at(status, headers, body, base, 400)


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", b"/fhir/Nothing", 404), ("GET", b"/Nothing/x", 404), ("POST", b"/fhir/patient", 404),
        ("GET", b"/_history", 404), ("GET", b"/fhir/Patient/x/_history/1/2", 404),
        ("GET", b"/fhir/Patient/$nothing", 404), ("GET", b"/fhirPatient", 404), ("GET", b"/fhir/fhir/Patient", 404),
        ("DELETE", b"/fhir/metadata", 405), ("BREW", b"/fhir/Patient", 405), ("GET", b"/fhir/Patient/a%20b", 404),
        ("GET", b"/fhir/Patient/" + b"x" * 3000, 404), ("PUT", b"/fhir/Patient/a%20b", 422),
        ("PUT", b"/fhir/Patient/_history", 405), ("GET", b"/fhir/Patient/\xc3\xbc", 404),
        ("GET", b"/fhir/Patient/..a", 404), ("GET", b"/fhir/Patient/%252e%252e", 404),
    ],
)  # fmt: skip
async def test_what_is_not_there(box, method, target, status):
    answer = await box.raw(
        method, target, JSON if method == "PUT" else None, b"{}" if method == "PUT" else b""
    )
    look_at(*answer, "/fhir" if target.startswith(b"/fhir/") else "", status)
    if status == 405:
        assert answer[1]["allow"]


async def test_an_encoded_prefix_is_the_fhir_api_too(box):
    status, headers, _ = await box.raw("GET", b"/%66hir/Patient?_count=0")
    assert status == 200
    assert headers["content-type"].startswith("application/fhir+json")


async def test_bodies_too_large(make_box):
    async with make_box(BOX_WEB_MAX_BODY="4096") as box:
        big = json.dumps({"name": [{"family": "x" * 5000}]}).encode()
        for body, headers in (
            (big, JSON),
            (gzip.compress(big), {**JSON, "content-encoding": "gzip"}),
            (gzip.compress(b"[" + b" " * 50_000_000), {**JSON, "content-encoding": "gzip"}),
        ):
            answer = await box.raw("POST", b"/fhir/Patient", headers, body)
            look_at(*answer, "/fhir", 413)
        assert (await box.client.post("/fhir/Patient", json=OAK)).status_code == 201


async def test_compressed_bodies(box):
    packed = gzip.compress(json.dumps(OAK).encode())
    headers = {**JSON, "content-encoding": "gzip"}
    status, _, body = await box.raw("POST", b"/fhir/Patient", headers, packed)
    assert (status, json.loads(body)["name"]) == (201, OAK["name"])
    for broken in (packed[:-4], packed + b"x", b"nonsense", packed[:8]):
        answer = await box.raw("POST", b"/fhir/Patient", headers, broken)
        look_at(*answer, "/fhir", 400)
    answer = await box.raw("POST", b"/fhir/Patient", {**JSON, "content-encoding": "br"}, packed)
    look_at(*answer, "/fhir", 415)


async def test_answers_are_compressed_for_those_who_ask(box):
    plain = await box.raw("GET", b"/fhir/metadata")
    packed = await box.raw("GET", b"/fhir/metadata", {"accept-encoding": "gzip, br"})
    assert packed[1]["content-encoding"] == "gzip"
    assert "accept-encoding" in packed[1]["vary"]
    assert gzip.decompress(packed[2]) == plain[2]
    assert len(packed[2]) < len(plain[2]) / 4


MEDIA = [
    ("application/json", 201), ("application/fhir+json", 201), ("application/json+fhir", 201),
    ("application/json; charset=utf-8", 201), ("APPLICATION/JSON", 201), ("text/json", 201), ("", 201), (None, 201),
    ("text/yaml", 201), ("application/x-yaml", 201), ("application/fhir+json; fhirVersion=4.0", 201),
    ("text/plain", 415), ("application/xml", 415), ("application/x-www-form-urlencoded", 415), ("x", 415),
]  # fmt: skip


@BASES
@pytest.mark.parametrize(("media", "status"), MEDIA)
async def test_types_of_bodies(box, base, media, status):
    headers = {} if media is None else {"content-type": media}
    answer = await box.raw(
        "POST", f"{base}/Patient".encode(), headers, b'{"name": [{"family": "Oak"}]}'
    )
    assert answer[0] == status
    if status == 415:
        look_at(*answer, base, 415)


async def test_a_content_type_counts_only_with_a_body(box):
    form = {"content-type": "application/x-www-form-urlencoded"}
    made = (await box.client.post("/fhir/Patient", json=OAK)).json()
    for method in ("GET", "DELETE"):
        assert (await box.raw(method, f"/fhir/Patient/{made['id']}".encode(), form))[0] == 200
    assert (await box.raw("POST", b"/fhir/Patient", form))[0] == 201


ACCEPTS = [
    (None, "json"), ("*/*", "json"), ("application/json", "json"), ("application/fhir+json", "json"),
    ("text/yaml", "yaml"), ("text/html, application/json;q=0.9", "json"), ("text/yaml;q=0.4, application/json;q=0.5", "json"),
    ("text/yaml;q=0.6, application/json;q=0.5", "yaml"), ("text/html,*/*;q=0.1", "json"), ("text/plain", None),
    ("application/xml", None), ("image/png", None), ("application/json;q=0", None), ("application/json;q=0, */*", "yaml"),
    ("application/json;q=x", None), ("", "json"), ("application/fhir+xml, application/fhir+json", "json"),
]  # fmt: skip


@BASES
@pytest.mark.parametrize(("accept", "form"), ACCEPTS)
async def test_types_of_answers(box, base, accept, form):
    headers = {} if accept is None else {"accept": accept}
    status, answered, body = await box.raw("GET", f"{base}/Patient?_count=0".encode(), headers)
    if form is None:
        look_at(status, answered, body, base, 406)
    else:
        assert status == 200
        json_type = "application/fhir+json" if base else "application/json"
        expected = "text/yaml" if form == "yaml" else json_type
        assert answered["content-type"] == f"{expected}; charset=utf-8"


@pytest.mark.parametrize(
    ("format_", "status"),
    [
        ("json", 200), ("yaml", 200), ("application/json", 200), ("application/fhir+json", 200),
        ("application%2Ffhir%2Bjson", 200), ("text/yaml", 200), ("text/json", 200), ("xml", 406),
        ("edn", 406), ("transit", 406), ("text/html", 406), ("zzz", 406), ("", 200),
    ],
)  # fmt: skip
async def test_the_format_parameter_beats_accept(box, format_, status):
    target = f"/fhir/Patient?_count=0&_format={format_}".encode()
    accept = "text/plain" if status == 200 and format_ else "application/json"
    answer = await box.raw("GET", target, {"accept": accept})
    assert answer[0] == status
    wanted = "text/yaml" if "yaml" in format_ else "application/fhir+json"
    assert answer[1]["content-type"].startswith(wanted)


async def test_yaml_bodies(box):
    text = "name:\n- family: No\n  given: [off, 22:30]\nbirthDate: 1990-10-10\nactive: true\n"
    headers = {"content-type": "text/yaml", "accept": "text/yaml"}
    made = await box.client.post("/fhir/Patient", content=text, headers=headers)
    assert made.status_code == 201
    body = (await box.client.get("/fhir/Patient?name=no&birthdate=1990-10-10")).json()
    (name,) = body["entry"][0]["resource"]["name"]
    assert name == {"family": "No", "given": ["off", "22:30"]}
    for broken in (
        "a: [",
        "a: &x [*x]",
        "a: &x {b: *x}",
        "a: !!python/object:os.system x",
        "\t- a",
        "a: 1\na: 2\n---\nb: 1",
        "? [a]\n: b",
    ):
        answer = await box.raw(
            "POST", b"/fhir/Patient", {"content-type": "text/yaml"}, broken.encode()
        )
        look_at(*answer, "/fhir", 400)
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(8)
    )
    answer = await box.raw("POST", b"/fhir/Patient", {"content-type": "text/yaml"}, bomb.encode())
    look_at(*answer, "/fhir", 400)
    huge = ("- x\n" * 1_000_000).encode()
    answer = await box.raw("POST", b"/fhir/Patient", {"content-type": "text/yaml"}, huge)
    look_at(*answer, "/fhir", 400)


async def test_a_raw_binary(box):
    picture = bytes(range(256))
    made = await box.raw("POST", b"/fhir/Binary", {"content-type": "image/png"}, picture)
    assert made[0] == 201
    body = json.loads(made[2])
    assert body["contentType"] == "image/png"
    path = f"/fhir/Binary/{body['id']}".encode()
    for accept in ("image/png", "*/*", "text/html"):
        status, headers, content = await box.raw("GET", path, {"accept": accept})
        assert (status, content, headers["content-type"]) == (200, picture, "image/png")
        assert "sandbox" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    status, headers, content = await box.raw("GET", path, {"accept": "application/fhir+json"})
    assert json.loads(content)["contentType"] == "image/png"
    assert (
        json.loads((await box.raw("GET", path + b"?_format=json"))[2])["resourceType"] == "Binary"
    )
    replaced = await box.raw("PUT", path, {"content-type": "text/plain"}, b"hello")
    assert replaced[0] == 200
    assert (await box.raw("GET", path))[2] == b"hello"
    empty = (await box.client.post("/fhir/Binary", json={"contentType": "image/png"})).json()["id"]
    assert (await box.raw("GET", f"/fhir/Binary/{empty}".encode()))[0] == 204
    assert (await box.client.get(f"/Binary/{empty}")).json()["resourceType"] == "Binary"


@pytest.mark.parametrize(
    "header",
    [
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-none-exist",
        "prefer",
        "x-audit",
        "aidbox-validation-skip",
        "x-http-method-override",
        "host",
        "origin",
        "cookie",
        "x-request-id",
    ],
)
async def test_headers_of_any_kind_do_no_harm(box, header):
    for value in ("", "\xff\x00\xfe", "x" * 5000, "*", '"', "W/", "a=b;c", "?&=%zz", "%00", ",,,"):
        for method, path in (
            ("GET", b"/fhir/Patient/none"),
            ("POST", b"/fhir/Patient"),
            ("PUT", b"/fhir/Patient/hdr"),
        ):
            answer = await box.raw(method, path, {header: value, **JSON}, b"{}")
            assert answer[0] < 500, (header, value, answer)
