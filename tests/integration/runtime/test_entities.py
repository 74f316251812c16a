"""Entity and Attribute: custom types take effect at once, and nothing unusable gets in.

Source: core specification, "Entity", "Attribute", "Custom resources".
"""

from __future__ import annotations

import pytest

from tests.integration.runtime.defining import attribute, named, new_type
from tests.integration.runtime.making import BASES, batch, entry, outcome, transaction


async def make(box, name, **more):
    answer = await box.client.post("/Entity", json={"id": name, "type": "resource", **more})
    assert answer.status_code == 201, answer.text


async def test_a_custom_type_works_at_once(box):
    name = new_type()
    outcome(await box.client.get(f"/{name}"), 404)
    await make(box, name, isOpen=True)
    made = await box.client.post(f"/{name}", json={"mood": "calm"})
    assert made.status_code == 201
    path = f"{name}/{made.json()['id']}"
    assert (await box.client.get(f"/fhir/{path}")).json()["mood"] == "calm"
    assert (await box.client.put(f"/fhir/{path}", json={"mood": "tense"})).status_code == 200
    assert (await box.client.get(f"/{path}/_history")).json()["total"] == 2
    assert (await box.client.get(f"/{name}?_id={made.json()['id']}")).json()["total"] == 1
    types = [
        item["type"]
        for item in (await box.client.get("/fhir/metadata")).json()["rest"][0]["resource"]
    ]
    assert name in types
    answer = await box.client.post("/", json=transaction(entry("POST", name, {"mood": "calm"})))
    assert answer.status_code == 200
    indexes = await box.sql("SELECT indexname FROM pg_indexes WHERE tablename = $1", name.lower())
    assert len(indexes) > 1


async def test_attributes_tighten_a_type(box):
    name = new_type()
    await make(box, name, isOpen=False)
    outcome(await box.client.post(f"/{name}", json={"mood": "calm"}), 422)
    body = attribute(name, "mood", type=named("string"), enum=["calm", "tense"])
    assert (await box.client.put(f"/Attribute/{name}.mood", json=body)).status_code == 201
    assert (await box.client.post(f"/{name}", json={"mood": "calm"})).status_code == 201
    refused = outcome(await box.client.post(f"/{name}", json={"mood": "sad"}), 422)
    assert refused["issue"][0]["expression"] == [f"{name}.mood"]
    assert (await box.client.delete(f"/Attribute/{name}.mood")).status_code == 200
    outcome(await box.client.post(f"/{name}", json={"mood": "calm"}), 422)


async def test_custom_types_are_reference_targets(box):
    name = new_type()
    await make(box, name, isOpen=False)
    await box.client.put(
        "/",
        json=[
            attribute(name, "about", type=named("Reference"), refers=["Patient"]),
        ],
    )
    refused = await box.client.post(
        f"/{name}", json={"about": {"resourceType": "Patient", "id": "nobody"}}
    )
    outcome(refused, 422)
    bundle = transaction(
        entry("POST", "Patient", {}, fullUrl="urn:p"),
        entry("POST", name, {"about": {"uri": "urn:p"}}),
    )
    assert (await box.client.post("/", json=bundle)).status_code == 200


@pytest.mark.parametrize(
    "id_", ["visitNote", "Visit_Note", "Visit.Note", "1Visit", "Visit-Note", "V" * 60, "PATIENT"]
)
async def test_names_that_no_type_may_have(box, id_):
    refused = outcome(await box.client.put(f"/Entity/{id_}", json={"type": "resource"}), 422)
    assert refused["issue"][0]["expression"] == ["Entity.id"]
    assert (await box.client.get(f"/Entity/{id_}")).status_code == 404


@pytest.mark.parametrize(
    ("id_", "kind"), [("myprimitive", "primitive"), ("HumanName", "resource"), ("Patient", "type")]
)
async def test_kinds_that_cannot_be(box, id_, kind):
    outcome(await box.client.put(f"/Entity/{id_}", json={"type": kind}), 422)


@BASES
async def test_what_entries_of_a_batch_define_holds_for_the_next(box, base):
    name = new_type()
    body = (
        await box.client.post(
            f"{base}/",
            json=batch(
                entry("POST", "Entity", {"id": name, "type": "resource", "isOpen": True}),
                entry("POST", name, {"mood": "calm"}),
            ),
        )
    ).json()
    assert [item["response"]["status"] for item in body["entry"]] == ["201", "201"]


async def test_a_rolled_back_entity_leaves_no_table(box):
    name = new_type()
    bundle = transaction(
        entry("POST", "Entity", {"id": name, "type": "resource"}),
        entry("GET", "Patient/nobody"),
    )
    outcome(await box.client.post("/", json=bundle), 404)
    (row,) = await box.sql("SELECT to_regclass($1) IS NULL AS gone", f'"{name.lower()}"')
    assert row["gone"]
    assert (await box.client.get(f"/{name}")).status_code == 404


async def test_a_deleted_entity_takes_its_routes_but_not_its_rows(box):
    name = new_type()
    await make(box, name, isOpen=True)
    await box.client.post(f"/{name}", json={"mood": "calm"})
    assert (await box.client.delete(f"/Entity/{name}")).status_code == 200
    outcome(await box.client.get(f"/{name}"), 404)
    assert (await box.sql(f'SELECT count(*) AS n FROM "{name.lower()}"'))[0]["n"] == 1
    await make(box, name, isOpen=True)
    assert (await box.client.get(f"/{name}")).json()["total"] == 1


UNUSABLE = [
    {"type": {"display": "x"}},
    {"union": [{"display": "x"}]},
    {"type": named("string"), "schema": {"type": "nonsense"}},
    {"type": named("string"), "schema": {"pattern": "("}},
    {"type": named("string"), "schema": {"$ref": "#/definitions/Nowhere"}},
    {"type": named("string"), "schema": 5},
    {"contentRef": ["nowhere"]},
]


@pytest.mark.parametrize("number", range(len(UNUSABLE)))
async def test_metadata_that_cannot_be_used_is_refused_or_harmless(box, number):
    """Whatever is saved: the type, and the box at its next start, must still work."""
    name = new_type()
    await make(box, name, isOpen=True)
    body = attribute(name, "odd", **UNUSABLE[number])
    answer = await box.client.put(f"/Attribute/{name}.odd", json=body)
    assert answer.status_code in {201, 422}, answer.text
    assert (await box.client.post(f"/{name}", json={"free": 1})).status_code == 201
    await box.application.reload(None)
    assert (await box.client.post(f"/{name}", json={"free": 1})).status_code == 201
    await box.client.delete(f"/Attribute/{name}.odd")


async def test_metadata_broken_by_sql_leaves_the_box_as_it_was(box):
    await box.sql(
        "INSERT INTO attribute (id, txid, status, resource) VALUES "
        "('zz.broken', nextval('transaction_id_seq'), 'created', '{\"path\": 5}')"
    )
    await box.application.reload(None)
    assert (await box.client.post("/Patient", json={})).status_code == 201
    await box.sql("DELETE FROM attribute WHERE id = 'zz.broken'")
    await box.application.reload(None)
    events = box.expect_errors()
    assert events
    assert all(event["ctx"] == "metadata" for event in events)
