"""Source: authentication specification, "Decision algorithm"; platform specification, "Box settings and team"."""

from __future__ import annotations

import itertools

import pytest

from boxruntime.access.policies import PolicySet
from boxruntime.access.principal import ANONYMOUS, Kind, Principal

CLIENT = Principal(kind=Kind.CLIENT, client={"resourceType": "Client", "id": "c"})


def link(resource_type, id_):
    return {"resourceType": resource_type, "id": id_}


def policy(id_="p", **more):
    return {"resourceType": "AccessPolicy", "id": id_, "engine": "allow", **more}


def decide(
    policies, principal=CLIENT, *, operation="Read", method="GET", public=False, administers=False
):
    grant = PolicySet(policies).decide(
        principal, operation_id=operation, method=method, public=public, administers=administers
    )
    return grant and grant.by


def test_nothing_without_policies():
    assert decide([]) is None
    assert decide([], ANONYMOUS) is None


def test_public_operations_need_none():
    assert decide([], ANONYMOUS, public=True) == "public"


def test_a_policy_without_link_is_global():
    assert decide([policy()], ANONYMOUS) == "p"


@pytest.mark.parametrize(
    ("links", "allows"),
    [
        ([link("Client", "c")], True),
        ([link("Client", "other")], False),
        ([link("User", "c")], False),
        ([link("Operation", "Read")], True),
        ([link("Operation", "Create")], False),
        ([link("Client", "x"), link("Client", "c")], True),
        ([], False),
        ([{"id": "c"}], False),
        ([{"resourceType": "Client"}], False),
        ([{"resourceType": ["Client"], "id": {"x": 1}}], False),
        (["c", None, 5], False),
        ({"resourceType": "Client", "id": "c"}, False),
        ("Client/c", False),
    ],
)
def test_links(links, allows):
    assert (decide([policy(link=links)]) is not None) is allows


@pytest.mark.parametrize(
    "changes",
    [
        {"engine": "matcho"},
        {"engine": "sql"},
        {"engine": None},
        {"engine": ["allow"]},
        {"roleName": "nurse"},
    ],
)
def test_what_is_not_evaluated_is_false(changes):
    assert (
        decide([policy(**changes), policy("linked", **changes, link=[link("Client", "c")])]) is None
    )


def test_one_yes_among_many_is_enough():
    assert decide([policy("a", engine="sql"), policy("b", link=[link("Client", "c")])]) == "b"


ROLES = ("owner", "admin", "writer", "reader", None, "god")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@pytest.mark.parametrize(
    ("role", "method", "administers"), list(itertools.product(ROLES, METHODS, (True, False)))
)
def test_participants(role, method, administers):
    person = Principal(kind=Kind.PORTAL, user={"id": "7"}, role=role)
    reads = method in {"GET", "HEAD"}
    expected = (
        role in {"owner", "admin"}
        or (role == "writer" and not administers)
        or (role == "reader" and reads and not administers)
    )
    granted = decide([policy()], person, method=method, administers=administers)
    if role == "god":
        # No token can say so (ROLES of portal tokens); reading is the most it could get.
        assert granted is None or (reads and not administers)
    else:
        assert granted == (f"participant:{role}" if expected else None)
