"""Failures of the box host that a person can do something about."""

from __future__ import annotations

from boxruntime.contract import Refusal


class HostError(Exception):
    """`str(error)` is a sentence for the log and the control plane, without secrets."""

    refusal: Refusal | None = None


class PortRefusedError(HostError):
    """A loopback port is in use or not ours to take."""

    refusal = Refusal.PORT
