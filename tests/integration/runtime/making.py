"""Small resources, fresh ids and the checks that many tests share."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

BASES = pytest.mark.parametrize("base", ["", "/fhir"])
OAK: dict[str, Any] = {"resourceType": "Patient", "name": [{"family": "Oak"}]}


def fresh() -> str:
    """Return an id that nothing has."""
    return f"t-{uuid.uuid4().hex[:12]}"


def outcome(response: Any, status: int | None = None) -> dict[str, Any]:
    """Return the OperationOutcome that a failure is, after looking at its form."""
    if status is not None:
        assert response.status_code == status, response.text
    body = response.json()
    assert body["resourceType"] == "OperationOutcome"
    assert body["issue"]
    assert all(issue["severity"] == "fatal" and issue["diagnostics"] for issue in body["issue"])
    return body


def entry(method: str, url: str, resource: Any = None, **more: Any) -> dict[str, Any]:
    """Return a Bundle entry; `fullUrl` stands in the entry, all else in the request."""
    full_url = more.pop("fullUrl", None)
    found: dict[str, Any] = {"request": {"method": method, "url": url, **more}}
    if full_url is not None:
        found["fullUrl"] = full_url
    if resource is not None:
        found["resource"] = resource
    return found


def transaction(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def batch(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "batch", "entry": list(entries)}


ENCOUNTER = {"resourceType": "Encounter", "status": "planned", "class": {"code": "AMB"}}


def encounter(base, target, **more):
    link = {"reference": target} if base else {"uri": target}
    return {**ENCOUNTER, "subject": link, **more}


def linked(base, resource):
    """Return what an Encounter's subject points at, as Type/id."""
    subject = resource["subject"]
    return subject["reference"] if base else f"{subject['resourceType']}/{subject['id']}"


async def post(box, base, bundle):
    return await box.client.post(f"{base}/", json=bundle)


async def stored_patient(box):
    """Return id and version of a new Patient."""
    id_ = fresh()
    answer = await box.client.put(f"/Patient/{id_}", json=OAK)
    return id_, answer.json()["meta"]["versionId"]


async def made(box: Any, base: str = "", **more: Any) -> tuple[str, dict[str, Any]]:
    """Create a Patient and return its path and itself."""
    path = f"{base}/Patient/{fresh()}"
    answer = await box.client.put(path, json={**OAK, **more})
    assert answer.status_code == 201, answer.text
    return path, answer.json()
