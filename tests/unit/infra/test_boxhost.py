"""The box host client against a socket that answers what a test says."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from boxruntime.contract import BoxPhase, BoxSpec, BoxStatus
from infra.boxhost import (
    BoxHostRefusedError,
    BoxHostUnavailableError,
    LocalBoxRuntime,
    PortRefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STATUS = {"id": "clinic", "generation": 3, "phase": "awake", "socket": "/run/clinic.sock"}


@pytest.fixture
def socket_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="hb-") as directory:
        yield Path(directory, "boxhost.sock")


@pytest.fixture
def answer(socket_path: Path) -> Iterator[Callable[[bytes | None], list[dict]]]:
    """Answer one request with the given bytes (None: never); return the list of requests."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(socket_path))
    listener.listen()
    threads = []
    done = threading.Event()

    def prepare(reply: bytes | None) -> list[dict]:
        requests: list[dict] = []

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as lines:
                requests.append(json.loads(lines.readline()))
                if reply is None:
                    done.wait(5)
                else:
                    connection.sendall(reply)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return requests

    yield prepare
    done.set()
    for thread in threads:
        thread.join(5)
    listener.close()


def ok(result: object) -> bytes:
    return json.dumps({"ok": True, "result": result}).encode() + b"\n"


def test_ensure_sends_the_whole_spec_and_returns_the_status(answer, socket_path):
    requests = answer(ok(STATUS))
    spec = BoxSpec(id="clinic", generation=3, environment={"PGPASSWORD": "hush"})
    status = LocalBoxRuntime(socket_path).ensure(spec)
    assert status == BoxStatus(
        id="clinic", generation=3, phase=BoxPhase.AWAKE, socket="/run/clinic.sock"
    )
    assert requests[0]["command"] == "ensure"
    assert requests[0]["spec"]["environment"] == {"PGPASSWORD": "hush"}


def test_an_unknown_box_has_no_status(answer, socket_path):
    answer(ok(None))
    assert LocalBoxRuntime(socket_path).status("clinic") is None


def test_a_list_of_boxes_comes_back_as_statuses(answer, socket_path):
    answer(ok([STATUS, STATUS | {"id": "other", "phase": "asleep"}]))
    phases = [status.phase for status in LocalBoxRuntime(socket_path).list()]
    assert phases == [BoxPhase.AWAKE, BoxPhase.ASLEEP]


def test_a_ping_tells_whether_boxes_wake_at_once(answer, socket_path):
    for ready in (True, False):
        answer(ok({"ready": ready, "boxes": 0}))
        assert LocalBoxRuntime(socket_path).ping() is ready


def test_a_refusal_carries_the_reason(answer, socket_path):
    answer(b'{"ok": false, "error": "Port 20001 is taken."}\n')
    with pytest.raises(BoxHostRefusedError, match=r"Port 20001 is taken\."):
        LocalBoxRuntime(socket_path).sleep("clinic")


def test_a_refused_port_can_be_told_from_other_refusals(answer, socket_path):
    answer(b'{"ok": false, "error": "Cannot listen.", "refusal": "port"}\n')
    with pytest.raises(PortRefusedError):
        LocalBoxRuntime(socket_path).ensure(BoxSpec(id="clinic", generation=1, environment={}))


def test_silence_is_unavailable_and_names_the_command(answer, socket_path):
    answer(None)
    with pytest.raises(BoxHostUnavailableError, match=r"ping within 0\.1 s"):
        LocalBoxRuntime(socket_path, timeout_s=0.1).ping()


@pytest.mark.parametrize("reply", [b"", b'{"ok": tr', b'{"ok": true, "result": {"id": 1}}\n'])
def test_a_broken_answer_is_unavailable(answer, socket_path, reply):
    answer(reply)
    with pytest.raises(BoxHostUnavailableError, match="broke off"):
        LocalBoxRuntime(socket_path).sleep("clinic")


def test_no_box_host_is_unavailable(socket_path):
    with pytest.raises(BoxHostUnavailableError, match="is down: No such file"):
        LocalBoxRuntime(socket_path).remove("clinic")
