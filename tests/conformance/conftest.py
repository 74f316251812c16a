"""Fixtures of the conformance tests."""

from tests.conformance.versions import version

__all__ = ["version"]
