"""Waking, sleeping, removing; what the control socket accepts."""

import concurrent.futures
import http.client
import json
import os
import socket
import stat
import time

import pytest


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_first_connection_wakes_a_box(host):
    status = host.ensure("wakes", environment={"TINY_VALUE": "one"})
    assert (status["phase"], status["pid"]) == ("asleep", None)
    assert stat.S_IMODE(host.socket_path("wakes").stat().st_mode) == 0o766
    answer = host.get("wakes")
    assert answer["value"] == "one"
    status = host.status("wakes")
    assert (status["phase"], status["pid"]) == ("awake", answer["pid"])
    assert 1_000_000 < status["memory_bytes"] < 30_000_000


def test_boxes_are_forks_of_one_preloaded_process(host):
    host.ensure("forka")
    host.ensure("forkb")
    first, second = host.get("forka"), host.get("forkb")
    assert first["pid"] != second["pid"]
    assert first["preloaded"] == second["preloaded"] > 0


def test_two_hundred_first_connections_share_one_start(host):
    host.ensure("crowd")
    connections = [host.connection("crowd") for _ in range(200)]
    for connection in connections:
        connection.request("GET", "/")
    pids = {json.loads(c.getresponse().read())["pid"] for c in connections}
    for connection in connections:
        connection.close()
    assert len(pids) == 1
    assert host.status("crowd")["restarts"] == 0


def test_killed_box_serves_the_next_request(host):
    host.ensure("killed")
    pid = host.get("killed")["pid"]
    with pytest.raises((http.client.HTTPException, OSError)):
        host.request("killed", "/crash")
    assert host.get("killed")["pid"] != pid
    status = host.status("killed")
    assert (status["restarts"], status["last_exit"]) == (1, -9)


def test_idle_box_exits_and_wakes(host):
    host.ensure("idle", idle_exit_s=0.2)
    pid = host.get("idle")["pid"]
    host.wait_until(lambda: host.status("idle")["phase"] == "asleep")
    host.wait_until(lambda: not alive(pid))
    assert host.status("idle")["last_exit"] == 0
    assert host.get("idle")["pid"] != pid


def test_open_connection_keeps_a_box_awake(host):
    host.ensure("open", idle_exit_s=0.2)
    connection = host.connection("open")
    pids = set()
    for _ in range(2):
        connection.request("GET", "/")
        pids.add(json.loads(connection.getresponse().read())["pid"])
        time.sleep(0.6)
    connection.close()
    assert len(pids) == 1


def test_no_request_is_lost_between_sleep_and_wake(host):
    """Pauses around the idle time hit every moment of falling asleep."""
    host.ensure("nap", idle_exit_s=0.03)
    pids = set()

    def client(number):
        for turn in range(25):
            pids.add(host.get("nap")["pid"])
            time.sleep(0.02 + 0.002 * ((turn * 7 + number) % 20))

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(client, range(2)))
    assert len(pids) > 3, "the box never slept"
    assert host.status("nap")["restarts"] == 0


def test_sleep_ends_the_process_and_keeps_listening(host):
    host.ensure("sleeper")
    pid = host.get("sleeper")["pid"]
    assert host.result(command="sleep", box="sleeper")["phase"] == "asleep"
    assert not alive(pid)
    assert host.result(command="sleep", box="sleeper")["phase"] == "asleep"
    assert host.get("sleeper")["pid"] != pid


def test_remove_leaves_nothing_and_may_be_repeated(host):
    host.ensure("gone")
    pid = host.get("gone")["pid"]
    spec_file = host.directory / "boxhost" / "gone.spec"
    assert spec_file.exists()
    for _ in range(2):
        assert host.result(command="remove", box="gone") is None
    assert not alive(pid)
    assert not host.socket_path("gone").exists()
    assert not spec_file.exists()
    assert host.status("gone") is None
    host.ensure("gone", environment={"TINY_VALUE": "again"})
    assert host.get("gone")["value"] == "again"


def test_slow_request_survives_removal(host):
    host.ensure("leaving")
    host.get("leaving")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        slow = pool.submit(host.get, "leaving", "/slow")
        time.sleep(0.3)
        host.result(command="remove", box="leaving")
        assert slow.result()["pid"]


def test_loopback_port_serves_too_and_can_change(host):
    with socket.socket() as a, socket.socket() as b:
        a.bind(("127.0.0.1", 0))
        b.bind(("127.0.0.1", 0))
        ports = a.getsockname()[1], b.getsockname()[1]
    for generation, port in enumerate(ports, 1):
        host.ensure("tcp", generation, port=port)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        assert json.loads(connection.getresponse().read())["pid"] == host.get("tcp")["pid"]
        connection.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", ports[0]), timeout=5)


def test_busy_loopback_port_is_a_clear_error_and_changes_nothing(host):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        spec = {"id": "busyport", "generation": 1, "environment": {}, "loopback_port": port}
        reply = host.ask(command="ensure", spec=spec)
    assert (reply["ok"], reply["refusal"]) == (False, "port")
    assert f"127.0.0.1:{port}" in reply["error"]
    assert host.status("busyport") is None
    assert not host.socket_path("busyport").exists()


def test_lost_socket_is_reported_and_listened_at_again(host):
    host.ensure("robbed")
    pid = host.get("robbed")["pid"]
    host.socket_path("robbed").unlink()
    assert host.status("robbed")["reachable"] is False
    assert host.ensure("robbed")["reachable"] is True
    assert host.get("robbed")["pid"] != pid, "the old process had the old socket"


def test_new_generation_takes_effect_before_the_answer(host):
    host.ensure("regen", 1, {"TINY_VALUE": "old"})
    kept_alive = host.connection("regen")
    kept_alive.request("GET", "/")
    assert json.loads(kept_alive.getresponse().read())["value"] == "old"
    assert host.ensure("regen", 2, {"TINY_VALUE": "new"})["generation"] == 2
    assert host.get("regen")["value"] == "new"
    assert kept_alive.sock.recv(1) == b""  # closed by the old process
    kept_alive.close()


def test_older_generation_changes_nothing(host):
    host.ensure("older", 5, {"TINY_VALUE": "five"})
    pid = host.get("older")["pid"]
    assert host.ensure("older", 4, {"TINY_VALUE": "four"})["generation"] == 5
    assert host.ensure("older", 5, {"TINY_VALUE": "five"})["generation"] == 5
    assert host.get("older") | {"value": "five", "pid": pid} == host.get("older")


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"null\n",
        b"{}\n",
        b"[" * 5000 + b"\n",
        b'{"command":"format-disk"}\n',
        b'{"command":"status","box":7}\n',
        b'{"command":"ensure"}\n',
        b'{"command":"sleep","box":"nosuchbox"}\n',
        b'{"command":"ensure","spec":{"id":"x","generation":1,"environment":{"A":1}}}\n',
        b'{"command":"ensure","spec":{"id":"x","generation":1,"environment":{},"limits":{"memory_mb":0}}}\n',
        b'{"command":"ping"}' + b" " * 300_000 + b"\n",
        b"\xff\xfe\n",
    ],
)
def test_malformed_requests_are_answered_and_harmless(host, line):
    reply = host.send(line)
    assert not reply["ok"]
    assert reply["error"].endswith(".")
    assert host.result(command="ping")["ready"]


@pytest.mark.parametrize(
    "name", ["", "..", "../etc", "a/b", "A", "1a", "a" * 41, "a\n", "a\0", "é", "box_x", ".x", None]
)
def test_bad_names_never_become_paths(host, name):
    before = sorted(str(p) for p in host.directory.rglob("*"))
    spec = {"id": name, "generation": 1, "environment": {}}
    assert not host.ask(command="ensure", spec=spec)["ok"]
    for command in ("remove", "status", "sleep"):
        assert not host.ask(command=command, box=name)["ok"]
    assert sorted(str(p) for p in host.directory.rglob("*")) == before


def test_many_requests_on_one_control_connection(host):
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(host.run_dir / "boxhost.sock"))
        control.sendall(b'{"command":"ping"}\nnonsense\n{"command":"list"}\n')
        with control.makefile("rb") as file:
            replies = [json.loads(file.readline()) for _ in range(3)]
    assert [reply["ok"] for reply in replies] == [True, False, True]


def test_secrets_stay_out_of_errors_and_logs(host):
    secret = "tiny-secret-5309"
    host.ensure("mute", environment={"AIDBOX_CLIENT_SECRET": secret, "TINY_FAIL": "start"})
    host.request("mute")
    line = b'{"command":"ensure","spec":{"id":"mute","generation":"%s"}}\n' % secret.encode()
    assert secret not in json.dumps(host.send(line))
    assert secret not in host.log()
    host.result(command="remove", box="mute")
