"""`python manage.py ensure_platform`: bring the database up to this code. Repeatable."""

from __future__ import annotations

from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from tenants.services import accounts


class Command(BaseCommand):
    help = "Migrates the control plane's database, and makes the superuser's account."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=options["verbosity"])
        accounts.ensure_superuser()
