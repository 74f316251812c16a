"""Failures of the box host that a person can do something about."""

from __future__ import annotations


class HostError(Exception):
    """`str(error)` is a sentence for the log and the control plane, without secrets."""
