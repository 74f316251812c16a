"""The Celery tasks. Arguments are ids, bodies are one call."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.utils import timezone

from controlplane.console import links
from controlplane.provisioning.platform import get_platform
from controlplane.provisioning.run import run_job as run
from controlplane.provisioning.steps import ensure_spares
from controlplane.provisioning.sweep import LEFT_LYING_S, sweep
from tenants import selectors


@shared_task
def run_job(job_id: str) -> None:
    run(UUID(job_id), get_platform())


@shared_task
def sweep_boxes(left_lying_s: int = LEFT_LYING_S) -> None:
    sweep(get_platform(), timezone.now(), left_lying_s=left_lying_s)
    ensure_spares(get_platform())


@shared_task(autoretry_for=(OSError,), retry_backoff=5, max_retries=5)
def send_confirmation(account_id: str) -> None:
    links.send_confirmation(selectors.get_account(account_id))


@shared_task(autoretry_for=(OSError,), retry_backoff=5, max_retries=5)
def send_reset(account_id: str) -> None:
    links.send_reset(selectors.get_account(account_id))
