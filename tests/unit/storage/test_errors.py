"""Which failures of the database are expected, and what they mean to a client."""

from __future__ import annotations

import asyncpg
import pytest

from boxruntime.fhir.outcome import Fault
from boxruntime.storage.errors import outcome_of


def postgres(state):
    return asyncpg.PostgresError.new({"C": state, "M": "patient Oak is ill", "S": "ERROR"})


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (postgres("40P01"), Fault.CONFLICT), (postgres("40001"), Fault.CONFLICT), (postgres("57P01"), Fault.TRANSIENT),
        (postgres("57P03"), Fault.TRANSIENT), (postgres("08006"), Fault.TRANSIENT), (postgres("53300"), Fault.TRANSIENT),
        (postgres("3D000"), Fault.TRANSIENT), (postgres("28P01"), Fault.TRANSIENT), (postgres("57014"), Fault.TIMEOUT),
        (postgres("22P05"), Fault.UNPROCESSABLE), (postgres("22003"), Fault.UNPROCESSABLE), (postgres("54000"), Fault.UNPROCESSABLE),
        (asyncpg.InterfaceError("x"), Fault.TRANSIENT), (ConnectionRefusedError(), Fault.TRANSIENT),
        (FileNotFoundError(2, "socket"), Fault.TRANSIENT), (TimeoutError(), Fault.TRANSIENT), (OSError(24, "x"), Fault.TRANSIENT),
    ],
)  # fmt: skip
def test_expected_failures(error, fault):
    found = outcome_of(error)
    assert found is not None
    assert found.fault is fault
    assert "Oak" not in found.issues[0].message


@pytest.mark.parametrize(
    "error",
    [postgres("42601"), postgres("42703"), postgres("XX000"), ValueError("x"), KeyError("x"),
     asyncpg.exceptions._base.DataError("invalid input for query argument $1")],
)  # fmt: skip
def test_bugs_of_ours_are_none_of_them(error):
    assert outcome_of(error) is None
