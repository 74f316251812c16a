"""The Celery application: `celery -A controlplane worker` and `celery -A controlplane beat`.

Celery only carries job ids; what is to be done, and how far it is, stands in the database. A
task therefore may be delivered twice or get lost: the box's lock and the sweep take care of it.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_init, worker_ready

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")

SWEEP_EVERY_S = 20

app = Celery("halebox")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    task_serializer="json",
    accept_content=["json"],
    # Longer than any job: a template build at most takes minutes.
    broker_transport_options={"visibility_timeout": 1800, "socket_timeout": 5},
    broker_connection_retry_on_startup=True,
    # A page must not hang when the broker is away: one quick try, then the sweep finds the job.
    task_publish_retry=False,
    broker_connection_timeout=2,
    task_time_limit=900,
    beat_schedule={
        "sweep": {
            "task": "controlplane.tasks.sweep_boxes",
            "schedule": SWEEP_EVERY_S,
            # A sweep that waited longer than the next one is due is of no use.
            "options": {"expires": SWEEP_EVERY_S},
        },
    },
)
app.autodiscover_tasks(["controlplane"])


@setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Let Django's settings decide about logging instead of Celery."""
    import django

    django.setup()


@worker_init.connect
def _find_templates(**_: Any) -> None:
    """Have the template databases at hand before the first box is asked for.

    Done before the pool forks, so that its processes know the templates' names too.
    """
    from controlplane.provisioning.platform import get_platform
    from controlplane.provisioning.steps import ensure_templates

    ensure_templates(get_platform())


@worker_ready.connect
def _sweep_at_start(**_: Any) -> None:
    """Look at once for what is missing, and for jobs in which a worker before this one died."""
    from controlplane.tasks import sweep_boxes

    sweep_boxes.delay(0)
