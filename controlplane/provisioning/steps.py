"""Observing a box, and the steps of its plan. Each may be repeated, and cut short anywhere."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import msgspec

from controlplane.boxclient import Health
from controlplane.provisioning.credentials import (
    Credentials,
    decode_credentials,
    encode_credentials,
    make_credentials,
)
from controlplane.provisioning.plan import Seen, Step
from controlplane.provisioning.spec import box_spec
from infra.boxhost import BoxHostRefusedError, BoxHostUnavailableError, PortRefusedError
from infra.postgres import ProvisioningError
from infra.secrets import SealError
from tenants import selectors
from tenants.names import database_name, role_name
from tenants.services.boxes import change_loopback_port

if TYPE_CHECKING:
    from controlplane.provisioning.platform import Platform
    from tenants.models import Box

log = logging.getLogger(__name__)

ANSWER_LIMIT_S = 20.0
ANSWER_PAUSE_S = 0.02
PORT_TRIES = 10  # then the box goes without: other programs hold the ports it might have
SPARES = 2  # new boxes within one interval of the sweep that need not wait for a copy
ROLE_SPARE_CONNECTIONS = 4
"""Beyond what the process may open: for one that is being replaced and for a person's psql."""


class StepError(Exception):
    """An expected failure. `code` is one of `tenants.faults`; `reason` is for the log."""

    def __init__(self, code: str, reason: str, *, final: bool = False) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.final = final


def observe(box: Box, platform: Platform) -> Seen:
    """Return what there is of the box. Raises StepError."""
    try:
        database = platform.cluster.observe(database_name(box.name), role_name(box.name))
    except ProvisioningError as error:
        raise StepError("box:database:failed", str(error)) from error
    try:
        status = platform.runtime.status(box.name)
    except BoxHostUnavailableError as error:
        raise StepError("box:host:unavailable", str(error)) from error
    except BoxHostRefusedError as error:
        raise StepError("box:host:refused", str(error)) from error
    return Seen(
        credentials=bool(box.sealed_credentials),
        role=database.role_exists,
        login=database.role_may_log_in,
        database=database.database_exists,
        database_complete=database.complete,
        generation=None if status is None else status.generation,
        phase=None if status is None else status.phase,
        reachable=status is None or status.reachable,
    )


def ensure_templates(platform: Platform) -> None:
    """Build the template of every FHIR version in use that has none. Logs what cannot be.

    One of another version is built by the first box that needs it.
    """
    for version in selectors.fhir_versions_in_use():
        try:
            platform.cluster.ensure_template(version)
        except ProvisioningError as error:
            log.warning("no template yet", extra={"fhir": version, "err": str(error)})


def ensure_spares(platform: Platform) -> None:
    """Have databases ready for the next boxes of versions in use: making one takes no copying."""
    for version in selectors.fhir_versions_in_use():
        try:
            platform.cluster.ensure_spares(version, SPARES)
        except ProvisioningError as error:
            log.warning("no spare databases", extra={"fhir": version, "err": str(error)})


def take_step(step: Step, box: Box, platform: Platform) -> None:
    """Do one step. Raises StepError."""
    try:
        _STEPS[step](box, platform)
    except ProvisioningError as error:
        raise StepError(_CODES[step], str(error)) from error
    except BoxHostUnavailableError as error:
        raise StepError("box:host:unavailable", str(error)) from error
    except BoxHostRefusedError as error:
        raise StepError("box:host:refused", str(error)) from error


_CODES = {
    Step.TEMPLATE: "box:template:failed",
    Step.ROLE: "box:role:failed",
    Step.DATABASE: "box:database:failed",
    Step.DROP_DATABASE: "box:database:failed",
    Step.DROP_ROLE: "box:role:failed",
}


def _credentials(box: Box, platform: Platform) -> Credentials:
    try:
        return decode_credentials(platform.key.unseal(box.sealed_credentials))
    except (SealError, msgspec.DecodeError) as error:
        raise StepError("box:credentials:unreadable", type(error).__name__, final=True) from error


def _ensure_credentials(box: Box, platform: Platform) -> None:
    if not box.sealed_credentials:
        box.sealed_credentials = platform.key.seal(encode_credentials(make_credentials()))
        box.save(update_fields=["sealed_credentials", "updated_at"])


def _ensure_template(box: Box, platform: Platform) -> None:
    platform.cluster.ensure_template(box.fhir_version)


def _ensure_role(box: Box, platform: Platform) -> None:
    platform.cluster.ensure_role(
        role_name(box.name),
        _credentials(box, platform).database_password,
        connection_limit=box.tier.database_connections + ROLE_SPARE_CONNECTIONS,
    )


def _ensure_database(box: Box, platform: Platform) -> None:
    platform.cluster.ensure_database(
        database_name(box.name),
        role_name(box.name),
        template=platform.cluster.ensure_template(box.fhir_version),
    )


def _start(box: Box, platform: Platform) -> None:
    """Hand the box over; with another loopback port where the machine refuses its own."""
    for tries_left in range(PORT_TRIES, -1, -1):
        try:
            _hand_over(box, platform)
        except PortRefusedError as error:
            log.warning("a loopback port was refused", extra={"box": box.name, "err": str(error)})
            ports = platform.environment.loopback_ports if tries_left else range(0)
            change_loopback_port(box, ports)
        else:
            return


def _hand_over(box: Box, platform: Platform) -> None:
    platform.runtime.ensure(
        box_spec(
            box,
            _credentials(box, platform),
            selectors.participants(box),
            access_key=platform.key.access_key(box.name),
            environment=platform.environment,
        )
    )


def _wait_for_answer(box: Box, platform: Platform) -> None:
    """Ask until the box answers; the first request wakes it."""
    deadline = time.monotonic() + ANSWER_LIMIT_S
    while True:
        health = platform.check_health(box.name)
        if health is Health.PASS:
            return
        if time.monotonic() > deadline:
            raise StepError("box:health:failing", f"health: {health}")
        time.sleep(ANSWER_PAUSE_S)


def _stop(box: Box, platform: Platform) -> None:
    platform.runtime.remove(box.name)


def _drop_database(box: Box, platform: Platform) -> None:
    platform.cluster.drop_database(database_name(box.name))


def _drop_role(box: Box, platform: Platform) -> None:
    platform.cluster.drop_role(role_name(box.name))


_STEPS = {
    Step.CREDENTIALS: _ensure_credentials,
    Step.TEMPLATE: _ensure_template,
    Step.ROLE: _ensure_role,
    Step.DATABASE: _ensure_database,
    Step.START: _start,
    Step.ANSWER: _wait_for_answer,
    Step.STOP: _stop,
    Step.DROP_DATABASE: _drop_database,
    Step.DROP_ROLE: _drop_role,
}
