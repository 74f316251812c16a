"""Jobs on real boxes: made, cut short, repeated, repaired, deleted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from controlplane import boxes as verbs
from controlplane.boxclient import Health, check_health
from controlplane.provisioning import run as runner
from controlplane.provisioning.lock import try_lock
from controlplane.provisioning.plan import Step
from controlplane.provisioning.run import run_job
from controlplane.provisioning.steps import StepError
from controlplane.provisioning.sweep import sweep
from infra.boxhost import LocalBoxRuntime
from infra.postgres import PostgresCluster
from tenants.models import AuditRecord, Box, Job
from tenants.states import BoxState, JobState
from tests.integration.controlplane.making import ask_for_box, make_box, traces_of

MAKING = [Step.CREDENTIALS, Step.TEMPLATE, Step.ROLE, Step.DATABASE, Step.START, Step.ANSWER]


class Killed(BaseException):
    """The worker dies here."""


@pytest.fixture
def sent(monkeypatch) -> list:
    """The ids of jobs handed to the broker."""
    ids = []
    monkeypatch.setattr(
        "controlplane.provisioning.queue.send", lambda job_id, **_: ids.append(job_id) or True
    )
    return ids


def test_a_box_is_made_and_answers_its_first_client(ada, platform, sent):
    created = ask_for_box(ada, "makeme1", environment={"box-web-thread": "2"})
    run_job(created.job.id, platform)
    created.box.refresh_from_db()
    created.job.refresh_from_db()
    assert (created.box.state, created.job.state) == (BoxState.READY, JobState.DONE)
    steps = list(created.job.steps.all())
    assert [step.name for step in steps] == MAKING
    assert all(step.finished_at >= step.started_at for step in steps)
    transport = httpx.HTTPTransport(uds=str(platform.environment.box_socket("makeme1")))
    with httpx.Client(transport=transport, base_url="http://makeme1.localhost") as box:
        assert box.get("/fhir/Patient").status_code == 403
        answer = box.get("/fhir/Patient", auth=("root", created.secret))
        assert answer.status_code == 200, answer.text
        assert box.get("/fhir/Patient", auth=("root", "wrong")).status_code == 401


def test_the_row_keeps_secrets_sealed_and_the_first_secret_until_shown(ada, platform, sent):
    created = ask_for_box(ada, "sealed1")
    run_job(created.job.id, platform)
    row = Box.objects.filter(name="sealed1").values().get()
    assert created.secret not in str(row)
    assert "PRIVATE KEY" not in str(row)
    assert verbs.reveal_secret(ada, "sealed1") == created.secret
    assert verbs.reveal_secret(ada, "sealed1") == ""


def test_deletion_leaves_nothing(ada, platform, sent):
    box = make_box(ada, platform, "gonebox")
    assert {"database", "role", "host"} <= set(traces_of("gonebox", platform))
    job, _ = verbs.delete_box(ada, "gonebox")
    run_job(job.id, platform)
    assert traces_of("gonebox", platform) == []
    assert not Box.objects.filter(pk=box.pk).exists()
    job.refresh_from_db()
    assert (job.state, job.box_id, job.box_name) == (JobState.DONE, None, "gonebox")
    again = make_box(ada, platform, "gonebox")
    assert again.pk != box.pk


@pytest.fixture
def killed_after(monkeypatch):
    """Let the worker die once after each of the given steps, whatever run it is in."""

    def arrange(*steps: Step) -> set[Step]:
        left = set(steps)
        real = runner.take_step

        def die(step, box, platform):
            real(step, box, platform)
            if step in left:
                left.remove(step)
                raise Killed

        monkeypatch.setattr(runner, "take_step", die)
        return left

    return arrange


def run_until_it_survives(job, platform) -> int:
    """Run the job again and again; return how often the worker died."""
    for deaths in range(20):
        try:
            run_job(job.id, platform)
        except Killed:
            continue
        return deaths
    raise AssertionError("It always died.")


def test_killed_after_every_step_and_run_again_a_box_is_made(ada, platform, sent, killed_after):
    created = ask_for_box(ada)
    left = killed_after(*MAKING)
    assert run_until_it_survives(created.job, platform) == len(MAKING)
    created.box.refresh_from_db()
    created.job.refresh_from_db()
    assert not left
    assert (created.box.state, created.job.attempts) == (BoxState.READY, len(MAKING) + 1)
    assert check_health(platform.environment.box_socket(created.box.name)) is Health.PASS


def test_killed_within_a_step_it_is_taken_again(ada, platform, sent, monkeypatch):
    """Between the database's copy and its handover, where most is half done."""
    created = ask_for_box(ada)
    real = PostgresCluster._hand_over

    def die(self, database, role):
        raise Killed

    monkeypatch.setattr(PostgresCluster, "_hand_over", die)
    with pytest.raises(Killed):
        run_job(created.job.id, platform)
    monkeypatch.setattr(PostgresCluster, "_hand_over", real)
    run_job(created.job.id, platform)
    created.box.refresh_from_db()
    assert created.box.state == BoxState.READY


def test_killed_after_every_step_and_run_again_a_deletion_leaves_nothing(
    ada, platform, sent, killed_after
):
    box = make_box(ada, platform)
    job, _ = verbs.delete_box(ada, box.name)
    killed_after(Step.STOP, Step.DROP_DATABASE, Step.DROP_ROLE)
    assert run_until_it_survives(job, platform) == 3
    assert traces_of(box.name, platform) == []
    assert not Box.objects.filter(pk=box.pk).exists()


def test_a_failed_attempt_is_made_again_later_and_given_up_at_last(
    ada, platform, sent, monkeypatch
):
    created = ask_for_box(ada)

    real = runner.take_step

    def refuse(step, box, platform):
        raise StepError("box:template:failed", "no")

    monkeypatch.setattr(runner, "take_step", refuse)
    delays = []
    for _ in range(3):
        run_job(created.job.id, platform)
        created.job.refresh_from_db()
        assert created.job.state == JobState.QUEUED
        delays.append(round((created.job.due_at - timezone.now()).total_seconds()))
    assert delays == [2, 4, 8]
    run_job(created.job.id, platform)
    created.job.refresh_from_db()
    created.box.refresh_from_db()
    assert created.job.state == JobState.FAILED
    assert (created.box.state, created.box.fault_code) == (BoxState.FAILED, "box:template:failed")
    monkeypatch.setattr(runner, "take_step", real)
    verbs.retry_box(ada, created.box.name)
    run_job(Job.objects.get(box=created.box, state=JobState.QUEUED).id, platform)
    created.box.refresh_from_db()
    assert (created.box.state, created.box.fault_code) == (BoxState.READY, "")


def test_a_bug_in_a_step_is_logged_and_counted_as_an_attempt(
    ada, platform, sent, monkeypatch, caplog
):
    created = ask_for_box(ada)
    monkeypatch.setattr(runner, "take_step", lambda *_: 1 // 0)
    run_job(created.job.id, platform)
    created.job.refresh_from_db()
    assert created.job.fault_code == "box:platform:error"
    assert "ZeroDivisionError" in caplog.text


def test_a_box_asked_to_go_while_it_is_made_goes(ada, platform, sent, monkeypatch):
    created = ask_for_box(ada)
    real = runner.take_step

    def delete_midway(step, box, platform):
        real(step, box, platform)
        if step == Step.DATABASE:
            verbs.delete_box(ada, created.box.name)

    monkeypatch.setattr(runner, "take_step", delete_midway)
    run_job(created.job.id, platform)
    monkeypatch.setattr(runner, "take_step", real)
    created.job.refresh_from_db()
    assert created.job.state == JobState.DROPPED
    deletion = Job.objects.get(box=created.box, kind="delete")
    assert sent[-1] == deletion.id, "whoever held the lock starts the next job"
    run_job(deletion.id, platform)
    assert traces_of(created.box.name, platform) == []


def in_another_session(function):
    """Run with a database connection of its own."""
    results = []

    def body():
        try:
            results.append(function())
        finally:
            connection.close()

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    return results[0]


def test_one_box_is_worked_on_by_one_worker(ada, platform, sent):
    created = ask_for_box(ada)

    def hold_and(act):
        with try_lock(created.box.id) as held:
            assert held
            return act()

    def held_elsewhere():
        with try_lock(created.box.id) as held:
            return held

    assert hold_and(lambda: in_another_session(held_elsewhere)) is False
    assert in_another_session(held_elsewhere) is True


def test_the_sweep_restores_what_the_box_host_lost(ada, platform, sent):
    box = make_box(ada, platform)
    platform.runtime.remove(box.name)
    sweep(platform, timezone.now())
    job = Job.objects.get(box=box, kind="repair")
    assert job.id in sent
    run_job(job.id, platform)
    box.refresh_from_db()
    assert box.state == BoxState.READY
    assert [step.name for step in job.steps.all()] == [Step.ROLE, Step.START]
    assert platform.runtime.status(box.name).pid is None, "repairing woke the box"
    assert check_health(platform.environment.box_socket(box.name)) is Health.PASS


def repair(box: Box, platform) -> list[str]:
    """Sweep, run the repair it asks for; return the steps that were taken."""
    sweep(platform, timezone.now())
    job = Job.objects.get(box=box, kind="repair", state=JobState.QUEUED)
    run_job(job.id, platform)
    box.refresh_from_db()
    assert box.state == BoxState.READY, box.fault_code
    assert check_health(platform.environment.box_socket(box.name)) is Health.PASS
    return [step.name for step in job.steps.all()]


def test_the_sweep_restores_a_lost_socket(ada, platform, sent):
    box = make_box(ada, platform)
    platform.environment.box_socket(box.name).unlink()
    assert repair(box, platform) == [Step.ROLE, Step.START]


def test_the_sweep_lets_a_role_in_that_was_shut_out(ada, platform, sent):
    box = make_box(ada, platform)
    platform.runtime.sleep(box.name)
    with platform.cluster.connect() as admin:
        admin.execute(f"ALTER ROLE box_{box.name} NOLOGIN")
    assert repair(box, platform) == [Step.ROLE, Step.START, Step.ANSWER]


def test_a_restart_gives_a_box_its_own_password_again(ada, platform, sent):
    box = make_box(ada, platform)
    platform.runtime.sleep(box.name)
    with platform.cluster.connect() as admin:
        admin.execute(f"ALTER ROLE box_{box.name} PASSWORD 'another'")
    socket_path = platform.environment.box_socket(box.name)
    assert check_health(socket_path) is not Health.PASS
    job, _ = verbs.restart_box(ada, box.name)
    run_job(job.id, platform)
    assert check_health(socket_path) is Health.PASS
    assert [step.name for step in job.steps.all()][:2] == [Step.ROLE, Step.START]


@pytest.fixture
def ports() -> Iterator[range]:
    """Some ports, the first of which is in use."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        yield range(port, port + 20)


def test_a_box_whose_port_is_refused_gets_another(ada, platform, sent, ports):
    platform = replace(platform, environment=replace(platform.environment, loopback_ports=ports))
    created = ask_for_box(ada)
    Box.objects.filter(pk=created.box.pk).update(loopback_port=ports.start)
    run_job(created.job.id, platform)
    created.box.refresh_from_db()
    box = created.box
    assert (box.state, box.generation > 1) == (BoxState.READY, True)
    assert box.loopback_port in ports[1:]
    socket.create_connection(("127.0.0.1", box.loopback_port), timeout=5).close()
    assert platform.runtime.status(box.name).generation == box.generation


def test_a_box_for_which_every_port_is_refused_does_without(ada, platform, sent, ports):
    only = replace(platform.environment, loopback_ports=ports[:1])
    created = ask_for_box(ada)
    Box.objects.filter(pk=created.box.pk).update(loopback_port=ports.start)
    run_job(created.job.id, replace(platform, environment=only))
    created.box.refresh_from_db()
    assert (created.box.state, created.box.loopback_port) == (BoxState.READY, None)


def test_the_sweep_leaves_healthy_boxes_and_boxes_at_work_alone(ada, platform, sent):
    make_box(ada, platform)
    ask_for_box(ada)
    before = Job.objects.count()
    sent.clear()
    sweep(platform, timezone.now())
    assert (Job.objects.count(), sent) == (before, [])


def test_the_sweep_sends_a_lost_job_again(ada, platform, sent):
    created = ask_for_box(ada)
    sent.clear()
    sweep(platform, timezone.now() + timedelta(seconds=30))
    assert sent == [created.job.id]


def test_the_sweep_of_a_new_worker_sends_a_job_that_just_lost_its_worker(ada, platform, sent):
    created = ask_for_box(ada)
    sent.clear()
    sweep(platform, timezone.now())
    assert sent == []
    sweep(platform, timezone.now(), left_lying_s=0)
    assert sent == [created.job.id]


@pytest.mark.django_db(transaction=True)
def test_the_sweep_leaves_a_job_alone_that_a_worker_is_doing(ada, platform, sent):
    created = ask_for_box(ada)
    sent.clear()
    with try_lock(created.box.id):
        in_another_session(lambda: sweep(platform, timezone.now() + timedelta(seconds=30)))
    assert sent == []


def test_the_sweep_ends_processes_of_boxes_that_are_no_more(ada, platform, sent):
    box = make_box(ada, platform)
    Box.objects.filter(pk=box.pk).delete()
    sweep(platform, timezone.now())
    assert platform.runtime.status(box.name) is None
    assert "database" in traces_of(box.name, platform), "a sweep never drops data"


def test_a_lost_database_is_reported_and_never_replaced(ada, platform, sent):
    box = make_box(ada, platform)
    platform.cluster.drop_database(box.name)
    sweep(platform, timezone.now())
    run_job(Job.objects.get(box=box, kind="repair").id, platform)
    box.refresh_from_db()
    assert (box.state, box.fault_code) == (BoxState.FAILED, "box:database:lost")
    assert "database" not in traces_of(box.name, platform)
    sent.clear()
    sweep(platform, timezone.now())
    assert sent == [], "a person decides"


def test_a_new_collaborator_reaches_the_running_box(ada, eve, platform, sent):
    box = make_box(ada, platform)
    assert check_health(platform.environment.box_socket(box.name)) is Health.PASS
    verbs.add_collaborator(ada, box.name, "eve@example.org", "reader")
    run_job(Job.objects.get(box=box, kind="repair").id, platform)
    assert platform.runtime.status(box.name).generation == 2
    assert verbs.open_client(eve, box).list_page("Patient", page=1, size=5).resources == []


def test_a_box_host_that_is_away_fails_the_attempt_by_name(ada, platform, sent, tmp_path):
    created = ask_for_box(ada)
    broken = replace(platform, runtime=LocalBoxRuntime(tmp_path / "none.sock"))
    run_job(created.job.id, broken)
    created.job.refresh_from_db()
    assert created.job.fault_code == "box:host:unavailable"


def test_a_database_server_that_is_away_fails_the_attempt_by_name(ada, platform, sent, tmp_path):
    created = ask_for_box(ada)
    broken = replace(platform, cluster=PostgresCluster(f"postgresql:///x?host={tmp_path}"))
    run_job(created.job.id, broken)
    created.job.refresh_from_db()
    assert created.job.fault_code == "box:database:failed"


def test_every_change_is_on_record_and_no_record_changes(ada, platform, sent):
    box = make_box(ada, platform)
    job, _ = verbs.delete_box(ada, box.name)
    run_job(job.id, platform)
    records = AuditRecord.objects.filter(subject=box.name).order_by("id")
    assert [(r.actor, r.action, r.result) for r in records] == [
        (ada.pk, "box.create", "requested"),
        ("system", "box.create", "done"),
        (ada.pk, "box.delete", "requested"),
        ("system", "box.delete", "done"),
    ]
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        records.update(result="forged")
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        records.delete()


@pytest.mark.parametrize(
    ("version", "kind"), [("1.0.2", "Conformance"), ("5.0.0", "CapabilityStatement")]
)
def test_a_box_of_another_fhir_version_is_made_with_a_template_of_its_own(
    ada, platform, sent, version, kind
):
    box = make_box(ada, platform, fhir_version=version)
    transport = httpx.HTTPTransport(uds=str(platform.environment.box_socket(box.name)))
    with httpx.Client(transport=transport, base_url="http://box.localhost", timeout=60) as client:
        statement = client.get("/fhir/metadata").json()
    assert (statement["resourceType"], statement["fhirVersion"]) == (kind, version)
    # What boxes of the version share is the mould's: docs/adr/0006-a-mould-per-fhir-version.md
    assert platform.runtime.status(box.name).memory_bytes < 24 * 2**20
