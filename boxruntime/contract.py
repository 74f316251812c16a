"""What the outside knows of a box process: its specification, status and control messages.

The control plane describes a box as a `BoxSpec`; the box host keeps one process for it and
answers with a `BoxStatus`. Both travel as JSON over the box host's control socket, one request
and one answer per line. `infra` and `controlplane` import this module and nothing else of
`boxruntime`.
"""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Any

import msgspec

FHIR_VERSIONS = {
    "4.0.1": "FHIR R4 (4.0.1)",
    "5.0.0": "FHIR R5 (5.0.0)",
    "4.3.0": "FHIR R4B (4.3.0)",
    "3.0.2": "FHIR STU3 (3.0.2)",
    "1.0.2": "FHIR DSTU2 (1.0.2)",
}
"""The FHIR versions a box can have, with their labels; the default first."""

FHIR_VERSION_ALIASES = {
    "4.0.0": "4.0.1",
    "3.0.0": "3.0.2",
    "3.0.1": "3.0.2",
}
"""Versions that were published again with corrections of their texts only."""


def fhir_version_of(text: str) -> str | None:
    """Return the version that `fhir-3.0.1`, `3.0.1` or the like means; None = not offered."""
    version = text.removeprefix("fhir-")
    version = FHIR_VERSION_ALIASES.get(version, version)
    return version if version in FHIR_VERSIONS else None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one box may use of the machine."""

    memory_mb: int = 512
    cpu_percent: int = 100
    """Share of one core; 100 = one whole core."""
    database_connections: int = 12
    http_connections: int = 512
    idle_exit_s: float = 300.0
    """Seconds without an open connection after which the process exits; 0 = never."""


class BoxSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A box as it shall be.

    `environment` is the complete configuration of the process: the same variables that the
    single-server edition reads (`AIDBOX_*`, `PG*`, `BOX_*`), secrets included. Therefore a
    BoxSpec is never logged and is encrypted wherever it rests.
    """

    id: str
    generation: int
    """Rises with every change; a box host restarts the process when it sees a higher one."""
    environment: dict[str, str]
    limits: Limits = Limits()
    loopback_port: int | None = None
    """Also listen on 127.0.0.1 at this port."""


@unique
class BoxPhase(StrEnum):
    """Where the process of a box stands, as the box host sees it."""

    ASLEEP = "asleep"  # listening, no process
    AWAKE = "awake"  # a process serves
    FAILING = "failing"  # the process died several times in a row; retried with a delay


class BoxStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A box as it is."""

    id: str
    generation: int
    phase: BoxPhase
    socket: str
    reachable: bool = True
    """Its socket is there and, where the spec has one, its loopback port is listened at."""
    pid: int | None = None
    restarts: int = 0
    last_exit: int | None = None
    """Exit status of the last process; negative = killed by that signal."""
    memory_bytes: int | None = None
    """Memory that belongs to the process alone (private pages)."""


@unique
class Command(StrEnum):
    """What the box host can be asked to do. Each may be repeated without harm."""

    PING = "ping"
    ENSURE = "ensure"  # spec -> BoxStatus; listens, wakes nothing
    REMOVE = "remove"  # box -> None; ends the process, closes and removes the socket
    STATUS = "status"  # box -> BoxStatus or None
    LIST = "list"  # -> list[BoxStatus]
    SLEEP = "sleep"  # box -> BoxStatus; ends the process gracefully, keeps listening
    UPGRADE = "upgrade"  # -> None; new code: a new mould, boxes drained one by one


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One line to the box host."""

    command: Command
    box: str | None = None
    spec: BoxSpec | None = None


@unique
class Refusal(StrEnum):
    """A reason for which another request, but not the same again, may succeed."""

    PORT = "port"  # the spec's loopback port cannot be had


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One line from the box host; `error` is a sentence for the log, without secrets."""

    ok: bool
    result: Any = None
    error: str | None = None
    refusal: Refusal | None = None
