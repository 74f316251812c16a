"""Entity and Attribute resources that many tests write."""

from __future__ import annotations

import itertools
from typing import Any

_numbers = itertools.count()


def new_type() -> str:
    """Return the name of a type that no other test has."""
    return f"Visit{next(_numbers)}Note"


def named(name: str) -> dict[str, str]:
    return {"id": name, "resourceType": "Entity"}


def entity(name: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Entity", "id": name, "type": "resource", **more}


def attribute(owner: str, *path: str, **more: Any) -> dict[str, Any]:
    """Return an Attribute; `type` and `union` are plain names."""
    if isinstance(more.get("type"), str):
        more["type"] = named(more["type"])
    if "union" in more:
        more["union"] = [named(name) for name in more["union"]]
    return {
        "resourceType": "Attribute",
        "id": ".".join((owner, *path)),
        "resource": named(owner),
        "path": list(path),
        **more,
    }


async def define(box: Any, *resources: dict[str, Any]) -> None:
    """Store metadata in one go."""
    answer = await box.client.put("/", json=list(resources))
    assert answer.status_code == 200, answer.text
