"""Real Celery: a worker process, a broker, and both dying at bad moments."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from controlplane import boxes as verbs
from controlplane.provisioning.sweep import sweep
from tenants.models import Box, Job, JobStep
from tenants.states import BoxState
from tests.fixtures_django import NO_BROKER, use_broker
from tests.integration.controlplane.making import ask_for_box, traces_of

pytestmark = pytest.mark.django_db(transaction=True)

PROJECT = Path(__file__).resolve().parents[3]


class Worker:
    """`celery -A controlplane worker` on the test's database and broker."""

    def __init__(self, platform, broker: str, log: Path) -> None:
        place = connection.settings_dict
        environment = platform.environment
        self.log = log
        self.environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "controlplane.settings",
            "DATABASE_URL": (
                f"postgresql://{place['USER']}:{place['PASSWORD']}@/{place['NAME']}"
                f"?host={place['HOST']}&port={place['PORT']}"
            ),
            "REDIS_URL": broker,
            "HALEBOX_RUN_DIR": str(environment.run_dir),
            "HALEBOX_CLUSTER_KEY": environment.cluster_key,
            "HALEBOX_BOX_PGHOST": environment.box_pghost,
            "HALEBOX_BOX_PGPORT": environment.box_pgport,
            "HALEBOX_ADMIN_DSN": environment.admin_dsn,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "celery", "-A", "controlplane", "worker"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--loglevel", "INFO", "--concurrency", "1", "--without-mingle"],
                cwd=PROJECT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End the worker and its children at once, as a crash of the machine would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


@pytest.fixture
def worker(platform, broker, tiers, tmp_path):
    made = Worker(platform, broker, tmp_path / "worker.log")
    yield made
    made.stop()


def wait_for(condition, worker: Worker, limit_s: float = 60) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, worker.log.read_text()
        time.sleep(0.05)


def state(name: str) -> str | None:
    return Box.objects.filter(name=name).values_list("state", flat=True).first()


def test_a_worker_makes_and_deletes_a_box(worker, platform, make_account):
    ada = make_account("ada")
    created = ask_for_box(ada, "worked1")
    assert created.sent
    worker.start()
    wait_for(lambda: state("worked1") == BoxState.READY, worker)
    verbs.delete_box(ada, "worked1")
    wait_for(lambda: state("worked1") is None, worker)
    assert traces_of("worked1", platform) == []
    text = worker.log.read_text()
    for secret in (created.secret, platform.environment.cluster_key, "PRIVATE KEY", "ada@"):
        assert secret not in text


def test_a_box_whose_worker_was_killed_is_finished_by_the_next(worker, platform, make_account):
    ada = make_account("ada")
    ask_for_box(ada, "worked2")
    worker.start()
    wait_for(
        lambda: JobStep.objects.filter(name="template", finished_at__isnull=False).exists(), worker
    )
    worker.kill()
    assert state("worked2") != BoxState.READY
    worker.start()
    # The dead worker's message comes back only after the broker's visibility timeout; the sweep
    # at the new worker's start, or the next one, does not wait for that.
    later = timezone.now() + timedelta(seconds=60)

    def swept() -> bool:
        sweep(platform, later)
        time.sleep(1)
        return state("worked2") == BoxState.READY

    wait_for(swept, worker)


def test_what_was_asked_for_while_the_broker_was_away_is_done_when_it_is_back(
    worker, platform, broker, make_account
):
    ada = make_account("ada")
    use_broker(NO_BROKER, 0.1)
    client = Client()
    client.force_login(ada)
    health = client.get("/__healthcheck")
    assert (health.status_code, health.json()["checks"]["broker"]) == (503, "fail")
    created = ask_for_box(ada, "worked3")
    assert not created.sent
    use_broker(broker)
    assert client.get("/__healthcheck").status_code == 200
    worker.start()
    later = timezone.now() + timedelta(seconds=60)

    def swept() -> bool:
        sweep(platform, later)
        time.sleep(1)
        return state("worked3") == BoxState.READY

    wait_for(swept, worker)
    assert Job.objects.get().attempts == 1
