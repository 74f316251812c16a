"""Elements of type `secret`: ciphertext everywhere but in $decrypt.

Source: core specification, "Encryption of `secret` attributes".
"""

from __future__ import annotations

import json
import uuid

import pytest

from tests.integration.runtime.making import OAK, batch, entry, fresh, outcome, transaction
from tests.integration.runtime.test_access import bearer

KEY = "AB" * 32
WORD = "the word nobody reads"


@pytest.fixture
async def vault(box, make_box):
    """A box with a key, and the name of a type with secrets at several depths."""
    name = f"Vault{uuid.uuid4().hex[:10]}"
    part = f"{name}Part"
    attributes = [
        (name, ["pin"], {"type": "secret"}),
        (name, ["doors"], {"isCollection": True}),
        (name, ["doors", "code"], {"type": "secret", "isCollection": True}),
        (name, ["part"], {"type": part, "isCollection": True}),
        (name, ["tree", "leaf"], {"type": "secret"}),
        (name, ["tree", "kids"], {"contentRef": ["tree"], "isCollection": True}),
        (name, ["note"], {"type": "string"}),
        (part, ["inner"], {"type": "secret"}),
    ]
    async with make_box(AIDBOX_ENCRYPT_KEY=KEY) as other:
        client = other.client
        await client.put(f"/Entity/{name}", json={"type": "resource"})
        await client.put(f"/Entity/{part}", json={"type": "type"})
        for owner, path, more in attributes:
            if "type" in more:
                more["type"] = {"id": more["type"], "resourceType": "Entity"}
            body = {"resource": {"id": owner, "resourceType": "Entity"}, "path": path, **more}
            answer = await client.put(f"/Attribute/{owner}.{'.'.join(path)}", json=body)
            assert answer.status_code == 201, answer.text
        yield other, name
        for owner, path, _ in reversed(attributes):
            await client.delete(f"/Attribute/{owner}.{'.'.join(path)}")
        await client.delete(f"/Entity/{part}")
        await client.delete(f"/Entity/{name}")


def secrets_of(resource):
    """Return all secrets of a resource in order."""
    found = [resource["pin"]] if "pin" in resource else []
    for door in resource.get("doors", ()):
        found += door["code"]
    found += [part["inner"] for part in resource.get("part", ())]
    tree = resource.get("tree", {})
    return [*found, *(node["leaf"] for node in (tree, *tree.get("kids", ())) if node)]


def body_of(word=WORD):
    return {
        "pin": word,
        "doors": [{"code": [word, f"{word} 2"]}],
        "part": [{"inner": word}],
        "tree": {"leaf": word, "kids": [{"leaf": f"{word} 3"}]},
        "note": "plain",
    }


def is_cipher(text):
    return text.startswith("$") and len(text) >= 57 and bytes.fromhex(text[1:])


async def test_every_depth_is_encrypted_and_decrypted(vault):
    box, name = vault
    made = await box.client.post(f"/{name}", json=body_of())
    assert made.status_code == 201, made.text
    assert WORD not in made.text
    stored = secrets_of(made.json())
    assert len(stored) == 6
    assert len(set(stored)) == 6
    assert all(map(is_cipher, stored))
    id_ = made.json()["id"]
    for path in (
        f"/{name}/{id_}", f"/fhir/{name}/{id_}", f"/{name}", f"/{name}/{id_}/_history",
        f"/fhir/{name}/_history", "/fhir/_history",
    ):  # fmt: skip
        answer = await box.client.get(path)
        assert answer.status_code == 200
        assert WORD not in answer.text
        assert stored[0] in answer.text
    plain = (await box.client.get(f"/$decrypt/{name}/{id_}")).json()
    assert secrets_of(plain) == [WORD, WORD, f"{WORD} 2", WORD, WORD, f"{WORD} 3"]
    assert {**plain, **body_of()} == {**plain}
    rows = await box.sql(f'SELECT resource::text AS text FROM "{name.lower()}"')
    assert all(WORD not in row["text"] for row in rows)
    box.application.log.drain()
    assert WORD not in box.log.read_text()
    assert KEY.lower() not in box.log.read_text().lower()


async def test_every_way_to_write_encrypts(vault):
    box, name = vault
    client = box.client
    id_ = fresh()
    answers = [
        await client.put(f"/{name}/{id_}", json={"pin": WORD}),
        await client.put(f"/{name}/{id_}", json={"pin": f"{WORD} again"}),
        await client.put(f"/fhir/{name}/{fresh()}", json={"resourceType": name, "pin": WORD}),
        await client.put("/", json=[{"resourceType": name, "id": fresh(), "pin": WORD}]),
        await client.post("/", json=batch(entry("POST", name, {"pin": WORD}))),
        await client.post(
            "/", json=transaction(*(entry("POST", name, {"pin": WORD}) for _ in range(3)))
        ),
        await client.post(
            "/fhir", json=transaction(entry("PUT", f"{name}/{fresh()}", {"pin": WORD}))
        ),
        await client.post(f"/{name}?_id={fresh()}", json={"pin": WORD}),
        await client.put(f"/{name}?_id={id_}", json={"pin": WORD}),
        await client.patch(f"/{name}/{id_}", json={"pin": WORD, "note": "merged"}),
        await client.patch(
            f"/fhir/{name}/{id_}",
            content=json.dumps([{"op": "add", "path": "/tree", "value": {"leaf": WORD}}]),
            headers={"Content-Type": "application/json-patch+json"},
        ),
    ]
    for answer in answers:
        assert answer.status_code < 300, answer.text
        assert WORD not in answer.text
    history = await client.get(f"/{name}/_history?_count=50")
    assert WORD not in history.text
    assert history.json()["total"] == 13
    assert (await client.get(f"/$decrypt/{name}/{id_}")).json()["pin"] == WORD
    tree = (await client.get(f"/$decrypt/{name}/{id_}")).json()["tree"]
    assert tree == {"leaf": WORD}


async def test_what_was_read_can_be_written_again(vault):
    box, name = vault
    made = (await box.client.post(f"/{name}", json=body_of())).json()
    again = await box.client.put(f"/{name}/{made['id']}", json={**made, "note": "new"})
    assert secrets_of(again.json()) == secrets_of(made)
    plain = (await box.client.get(f"/$decrypt/{name}/{made['id']}")).json()
    assert (plain["pin"], plain["note"]) == (WORD, "new")


async def test_a_secret_inside_a_contained_resource_is_encrypted(vault):
    box, name = vault
    patient = {**OAK, "contained": [{"resourceType": name, "id": "a", "pin": WORD}]}
    made = await box.client.post("/Patient", json=patient)
    assert made.status_code == 201, made.text
    assert is_cipher(made.json()["contained"][0]["pin"])
    plain = (await box.client.get(f"/$decrypt/Patient/{made.json()['id']}")).json()
    assert plain["contained"][0]["pin"] == WORD


async def test_without_a_key_and_with_another_nothing_can_be_read_or_written(vault, make_box):
    box, name = vault
    made = (await box.client.post(f"/{name}", json=body_of())).json()
    for key in ("", "CD" * 32):
        async with make_box(AIDBOX_ENCRYPT_KEY=key) as other:
            refused = outcome(await other.client.get(f"/$decrypt/{name}/{made['id']}"), 422)
            assert refused["issue"][0]["expression"] == [f"{name}.pin"]
            assert (await other.client.get(f"/{name}/{made['id']}")).json() == made
            outcome(await other.client.put(f"/{name}/{made['id']}", json=made), 422)
            if not key:
                answer = await other.client.post(f"/{name}", json={"doors": [{"code": [WORD]}]})
                refused = outcome(answer, 422)
                assert refused["issue"][0]["expression"] == [f"{name}.doors.0.code.0"]
                assert (await other.client.post(f"/{name}", json={"note": "x"})).status_code == 201
    assert (await box.client.get(f"/{name}/{made['id']}")).json() == made


async def test_only_administrators_decrypt(vault):
    box, name = vault
    made = (await box.client.post(f"/{name}", json={"pin": WORD})).json()
    path = f"/$decrypt/{name}/{made['id']}"
    async with box.client_of() as person:
        outcome(await person.get(path), 403)
        for role in ("reader", "writer"):
            outcome(await person.get(path, headers=bearer(role=role)), 403)
        answer = await person.get(path, headers=bearer(role="owner"))
        assert answer.json()["pin"] == WORD
        assert answer.headers["cache-control"] == "no-store"


async def test_what_is_not_there_cannot_be_decrypted(vault):
    box, name = vault
    outcome(await box.client.get(f"/$decrypt/{name}/none"), 404)
    outcome(await box.client.get("/$decrypt/Nothing/none"), 404)
    outcome(await box.client.get(f"/fhir/$decrypt/{name}/none"), 404)


async def test_a_fresh_key_is_64_capital_digits(box):
    answer = await box.client.post("/$encrypt-key", headers={"Accept": "text/plain"})
    assert answer.headers["content-type"].startswith("text/plain")
    assert len(bytes.fromhex(answer.text)) == 32
    assert answer.text == answer.text.upper()
    assert answer.text != (await box.client.post("/$encrypt-key")).text
