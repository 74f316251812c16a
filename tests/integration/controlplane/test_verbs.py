"""What may be asked for, by whom, and what it leaves in the tables."""

from __future__ import annotations

import threading

import pytest
from django.db import IntegrityError, connection, transaction

from controlplane import boxes as verbs
from tenants import selectors
from tenants.errors import (
    BoxLimitError,
    BoxNameTakenError,
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    NoSuchBoxError,
)
from tenants.models import Account, AuditRecord, Box, Membership, Role, Tier
from tenants.services import accounts, boxes, team
from tenants.services.boxes import FirstSecret
from tests.fixtures_django import PASSWORD
from tests.integration.controlplane.making import ask_for_box, draft

SECRET = FirstSecret("__sha256:" + "0" * 64, "")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "www"}, "name"),
        ({"name": "postgres"}, "name"),
        ({"purpose": "fun"}, "purpose"),
        ({"tier": "gold"}, "tier"),
        ({"description": "x" * 501}, "description"),
        ({"environment": {"pghost": "x"}}, "env"),
    ],
)
def test_a_wrong_field_is_named(ada, fields, field):
    with pytest.raises(InvalidRequestError) as caught:
        ask_for_box(ada, **fields)
    assert caught.value.field == field
    assert not Box.objects.exists()


def test_only_versions_with_a_template_are_offered(ada):
    from tenants.services.boxes import BoxDraft

    with pytest.raises(InvalidRequestError, match=r"4\.0\.1"):
        boxes.request_box(
            ada, BoxDraft(name="clinic1", fhir_version="1.4.0"), SECRET, ports=range(0)
        )


@pytest.mark.parametrize(
    ("written", "meant"),
    [("fhir-5.0.0", "5.0.0"), ("3.0.1", "3.0.2"), ("fhir-4.0.0", "4.0.1"), ("1.0.2", "1.0.2")],
)
def test_a_version_is_named_in_any_of_its_spellings(ada, written, meant):
    assert ask_for_box(ada, fhir_version=written).box.fhir_version == meant


def test_versions_in_use_are_the_default_and_those_of_boxes(ada):
    assert selectors.fhir_versions_in_use() == ["4.0.1"]
    ask_for_box(ada, fhir_version="1.0.2")
    assert selectors.fhir_versions_in_use() == ["4.0.1", "1.0.2"]


def test_a_name_is_taken_for_everyone(ada, eve):
    ask_for_box(ada, "clinic1")
    for account in (ada, eve):
        with pytest.raises(BoxNameTakenError, match="Box clinic1 already exists"):
            ask_for_box(account, "clinic1")


def test_a_tier_limits_the_boxes_of_an_account(ada, eve):
    limit = Tier.objects.get(pk="free").boxes_per_account
    for _ in range(limit):
        ask_for_box(ada)
    with pytest.raises(BoxLimitError):
        ask_for_box(ada)
    ask_for_box(eve)
    ask_for_box(ada, tier="standard")


def test_every_box_has_a_loopback_port_of_its_own(ada):
    made = [
        boxes.request_box(ada, draft(), SECRET, ports=range(20000, 20002))[0].loopback_port
        for _ in range(3)
    ]
    assert made == [20000, 20001, None]


def test_a_box_has_exactly_one_owner(ada, eve):
    box = ask_for_box(ada).box
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.create(box=box, account=eve, role=Role.OWNER)
    with pytest.raises(InvalidRequestError):
        team.add_collaborator(ada, box.name, eve.pk, "owner")
    with pytest.raises(InvalidRequestError):
        team.add_collaborator(ada, box.name, ada.pk, "reader")
    assert selectors.owner_of(box) == ada


@pytest.mark.parametrize("role", ["admin", "writer", "reader"])
def test_only_the_owner_deletes(ada, eve, role):
    box = ask_for_box(ada).box
    team.add_collaborator(ada, box.name, eve.pk, role)
    with pytest.raises(ForbiddenError, match="Only owner can delete box"):
        verbs.delete_box(eve, box.name)
    assert AuditRecord.objects.filter(actor=eve.pk, result="forbidden").exists()
    box.refresh_from_db()
    assert box.state == "requested"


def test_a_foreign_box_looks_like_none(ada, eve):
    name = ask_for_box(ada).box.name
    said = []
    verdicts = (
        lambda wanted: verbs.delete_box(eve, wanted),
        lambda wanted: verbs.reveal_secret(eve, wanted),
        lambda wanted: verbs.retry_box(eve, wanted),
        lambda wanted: verbs.add_collaborator(eve, wanted, ada.pk, "reader"),
    )
    for wanted in (name, "nosuchbox"):
        for verb in verdicts:
            with pytest.raises(NoSuchBoxError) as caught:
                verb(wanted)
            said.append(str(caught.value).replace(wanted, "BOX"))
    assert len(set(said)) == 1


@pytest.mark.parametrize(("role", "allowed"), [("admin", True), ("writer", False)])
def test_managers_see_the_secret_and_add_collaborators(ada, eve, make_account, role, allowed):
    grace = make_account("grace")
    box = ask_for_box(ada).box
    team.add_collaborator(ada, box.name, eve.pk, role)
    if allowed:
        assert verbs.reveal_secret(eve, box.name)
        verbs.add_collaborator(eve, box.name, grace.pk, "reader")
    else:
        with pytest.raises(ForbiddenError):
            verbs.reveal_secret(eve, box.name)
        with pytest.raises(ForbiddenError):
            verbs.add_collaborator(eve, box.name, grace.pk, "reader")


def test_a_collaborator_is_found_by_exact_email_only(ada, eve):
    box = ask_for_box(ada).box
    for text in ("eve", "eve@example", "@example.org", eve.pk[:10], ""):
        with pytest.raises(InvalidRequestError, match="No such user"):
            team.add_collaborator(ada, box.name, text, "reader")
    team.add_collaborator(ada, box.name, "Eve@example.org", "reader")
    assert selectors.role_in(eve, box) == Role.READER


def test_managers_restart_a_box_that_is_ready(ada, eve):
    box = ask_for_box(ada).box
    team.add_collaborator(ada, box.name, eve.pk, "writer")
    with pytest.raises(ForbiddenError):
        verbs.restart_box(eve, box.name)
    with pytest.raises(ConflictError):
        verbs.restart_box(ada, box.name)
    Box.objects.filter(pk=box.pk).update(state="ready")
    generation = Box.objects.get(pk=box.pk).generation
    job, _ = verbs.restart_box(ada, box.name)
    assert (job.kind, job.state) == ("repair", "queued")
    assert Box.objects.get(pk=box.pk).generation == generation + 1


@pytest.mark.parametrize(("role", "allowed"), [("admin", True), ("writer", False)])
def test_managers_remove_collaborators_and_anyone_leaves(ada, eve, make_account, role, allowed):
    grace = make_account("grace")
    box = ask_for_box(ada).box
    team.add_collaborator(ada, box.name, eve.pk, role)
    team.add_collaborator(ada, box.name, grace.pk, "reader")
    if allowed:
        team.remove_collaborator(eve, box.name, grace.pk)
        team.remove_collaborator(eve, box.name, grace.pk)
        with pytest.raises(NoSuchBoxError):
            selectors.get_box(grace, box.name)
    else:
        with pytest.raises(ForbiddenError):
            team.remove_collaborator(eve, box.name, grace.pk)
    generation = Box.objects.get(pk=box.pk).generation
    team.remove_collaborator(eve, box.name, eve.pk)
    assert Box.objects.get(pk=box.pk).generation == generation + 1, "the process must be told"
    assert selectors.role_in(eve, box) is None
    with pytest.raises(InvalidRequestError):
        team.remove_collaborator(ada, box.name, ada.pk)
    assert selectors.owner_of(box) == ada


def test_the_owner_alone_hands_a_box_over_and_stays_as_an_admin(ada, eve, make_account):
    grace = make_account("grace")
    box = ask_for_box(ada).box
    team.add_collaborator(ada, box.name, eve.pk, "admin")
    with pytest.raises(ForbiddenError):
        team.transfer_ownership(eve, box.name, eve.pk)
    for nobody in (grace.pk, ada.pk, "none"):
        with pytest.raises(InvalidRequestError):
            team.transfer_ownership(ada, box.name, nobody)
    team.transfer_ownership(ada, box.name, eve.pk)
    assert selectors.owner_of(box) == eve
    assert selectors.role_in(ada, box) == Role.ADMIN
    record = AuditRecord.objects.filter(subject=box.name).first()
    assert (record.result, record.detail["account"]) == ("handed over", eve.pk)


def test_nobody_is_handed_more_boxes_than_the_tier_allows(ada, eve):
    box = ask_for_box(ada).box
    team.add_collaborator(ada, box.name, eve.pk, "admin")
    Tier.objects.filter(pk=box.tier_id).update(boxes_per_account=1)
    ask_for_box(eve)
    with pytest.raises(BoxLimitError):
        team.transfer_ownership(ada, box.name, eve.pk)
    assert selectors.owner_of(box) == ada


def test_deletion_is_asked_for_once(ada):
    name = ask_for_box(ada).box.name
    first, _ = verbs.delete_box(ada, name)
    again, _ = verbs.delete_box(ada, name)
    assert first.pk == again.pk


def test_only_a_failed_box_is_tried_again(ada):
    with pytest.raises(ConflictError):
        verbs.retry_box(ada, ask_for_box(ada).box.name)


def test_without_a_broker_the_job_is_recorded_and_the_caller_is_told(ada):
    created = ask_for_box(ada)
    assert created.sent is False
    assert selectors.progress_of(created.box).job == created.job


def test_a_token_is_the_persons_and_not_the_superusers(ada, eve):
    from joserfc import jwt
    from joserfc.jwk import OctKey

    from controlplane.provisioning.platform import cluster_key

    box = ask_for_box(ada).box
    team.add_collaborator(ada, box.name, eve.pk, "reader")
    token = verbs.grant_access(eve, box).token
    key = OctKey.import_key(bytes.fromhex(cluster_key().access_key(box.name)))
    claims = jwt.decode(token, key).claims
    assert (claims["sub"], claims["role"], claims["aud"]) == (eve.pk, "reader", box.name)


def test_signing_up_again_before_confirming_replaces_the_password(tiers):
    first = accounts.register_account("new@example.org", "first one here")
    second = accounts.register_account("New@Example.org", "second one here")
    assert first == second
    second.refresh_from_db()
    assert second.check_password("second one here")


def test_signing_up_with_a_taken_address_changes_nothing(ada):
    assert accounts.register_account("ADA@example.org", "another password") is None
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)


@pytest.mark.django_db(transaction=True)
def test_two_requests_for_one_name_make_one_box(make_account):
    people = [make_account("ada"), make_account("eve")]
    outcomes = []

    def ask(account):
        try:
            boxes.request_box(account, draft("racebox"), SECRET, ports=range(20000, 20010))
            outcomes.append("made")
        except BoxNameTakenError:
            outcomes.append("taken")
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=[person]) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made", "taken"]
    assert Box.objects.filter(name="racebox").count() == 1
    assert Account.objects.count() == 2
