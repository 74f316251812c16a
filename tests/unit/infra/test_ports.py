"""Ports that stay the same from one start to the next, unless somebody took them."""

from __future__ import annotations

import socket

import pytest

from infra.local.ports import is_free, kept_port, kept_range, why_taken


@pytest.fixture
def taken():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_a_recorded_port_is_kept(tmp_path):
    record = tmp_path / "port"
    port = kept_port(record, 15900)
    assert kept_port(record, 15000) == port
    assert is_free(port)


def test_a_recorded_port_that_somebody_took_is_replaced(tmp_path, taken):
    record = tmp_path / "port"
    record.write_text(f"{taken}\n")
    port = kept_port(record, 15900)
    assert port != taken
    assert record.read_text() == f"{port}\n"


def test_the_reason_names_the_port_and_the_way_out(taken):
    assert why_taken(taken) == f"Port {taken} is in use: choose another with PORT=…"


def test_two_installations_get_different_ranges(tmp_path):
    first = kept_range(tmp_path / "a", 26000, 29999, 1000)
    start, _, end = first.partition("-")
    assert int(end) == int(start) + 999
    with socket.socket() as box:
        box.bind(("127.0.0.1", int(start)))
        box.listen()
        assert kept_range(tmp_path / "b", 26000, 29999, 1000) != first
        assert kept_range(tmp_path / "a", 26000, 29999, 1000) == first
