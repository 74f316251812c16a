from __future__ import annotations

from django.apps import AppConfig


class ControlPlaneConfig(AppConfig):
    name = "controlplane"
    verbose_name = "Halebox"

    def ready(self) -> None:
        """Make the Celery application current, so that tasks are sent to its broker."""
        from controlplane import celery, failures  # noqa: F401

        failures.watch()
