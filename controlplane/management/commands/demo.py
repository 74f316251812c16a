"""`python manage.py demo`: load sixteen invented patients into a box and say where to look."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import httpx
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from controlplane import boxes as verbs
from controlplane import demo_data
from controlplane.addresses import box_url
from controlplane.demo_data import DemoError
from controlplane.environment import get_environment
from tenants import selectors
from tenants.errors import TenantsError
from tenants.services import accounts
from tenants.services.boxes import BoxDraft
from tenants.states import BoxState

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from tenants.models import Account, Box

DEMO_EMAIL = "demo@halebox.localhost"
DEMO_BOX = "demobox"
READY_LIMIT_S = 180.0  # the first box of an installation may have to wait for its template


class Command(BaseCommand):
    help = (
        "Loads sixteen invented patients into a box through its public HTTP API. Without "
        "arguments it makes the box 'demobox' of this platform, with an account to look at it; "
        "with --base-url, --client and --secret it loads any box."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--box", default=DEMO_BOX, help="name of a box of this platform")
        parser.add_argument("--base-url", help="base URL of any box, without /fhir")
        parser.add_argument("--client", default="root", help="client id, with --base-url")
        parser.add_argument("--secret", help="client secret, with --base-url")
        parser.add_argument(
            "--again", action="store_true", help="load even if the box already holds patients"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["base_url"]:
                self._load_any(options)
            else:
                self._load_own(options["box"], again=options["again"])
        except (DemoError, TenantsError) as error:
            raise CommandError(str(error)) from error

    def _load_any(self, options: dict[str, Any]) -> None:
        if not options["secret"]:
            raise CommandError("--secret is needed with --base-url.")
        auth = httpx.BasicAuth(options["client"], options["secret"])
        with demo_data.open_box(options["base_url"], auth, None) as box:
            self._load(box, again=options["again"])

    def _load_own(self, name: str, *, again: bool) -> None:
        box = selectors.find_box(name)
        sign_in = None
        if box is None:
            account, sign_in = self._demo_account()
            box = self._make_box(account, name)
        owner = selectors.owner_of(box)
        if sign_in is None and owner.email == DEMO_EMAIL:
            _, sign_in = self._demo_account()
        base_url = box_url(name, get_environment())
        access = verbs.grant_access(owner, box)
        with demo_data.open_box(base_url, None, access.token) as client:
            self._load(client, again=again)
        self.stdout.write(f"\nLook at them: {get_environment().base_url}/boxes/{name}/resources")
        if sign_in:
            self.stdout.write(f"Sign in as    {DEMO_EMAIL}\nPassword      {sign_in}")
        self.stdout.write(f"FHIR          {base_url}/fhir")

    def _demo_account(self) -> tuple[Account, str]:
        """Return the demonstration account with a new password, since none is kept."""
        password = "-".join(secrets.token_hex(3) for _ in range(3))
        return accounts.ensure_account(DEMO_EMAIL, password), password

    def _make_box(self, account: Account, name: str) -> Box:
        self.stdout.write(f"Making the box {name} …")
        draft = BoxDraft(name=name, fhir_version="4.0.1", description="Sixteen invented patients")
        created = verbs.create_box(account, draft, show_later=True)
        if not created.sent:
            raise CommandError("The job queue does not answer. Is the platform up? Try: make up")
        if verbs.wait_until_settled(created.box.id, READY_LIMIT_S) != BoxState.READY:
            raise CommandError(
                f"The box was not made; see {get_environment().base_url}/boxes/{name}"
            )
        created.box.refresh_from_db()
        return created.box

    def _load(self, box: httpx.Client, *, again: bool) -> None:
        held = demo_data.count(box, "Patient")
        if held >= demo_data.PATIENTS and not again:
            self.stdout.write(
                f"The box already holds {held} patients; --again loads another sixteen."
            )
            return
        bundles = list(demo_data.read_bundles())
        total = sum(bundle.types.total() for bundle in bundles)
        with tqdm(total=total, unit=" resources", desc="Loading", file=self.stderr) as bar:
            loaded = demo_data.load(box, bundles, bar.update)
        for name, number in loaded.counts.items():
            self.stdout.write(f"{number:8,}  {name}")
        in_box = sum(loaded.counts.values())
        self.stdout.write(f"{in_box:8,}  in all; {total:,} loaded in {loaded.seconds:.1f} s")
