"""Nothing is lost when a process, the code, the manager or the whole host is replaced."""

import concurrent.futures
import contextlib
import json
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.integration.host.load import Load
from tests.integration.host.running import Host
from tests.integration.host.test_serving import alive


def test_no_request_fails_while_the_box_is_put_to_sleep(host):
    host.ensure("loaded")
    with Load(host, "loaded") as load:
        for _ in range(3):
            host.result(command="sleep", box="loaded")
            time.sleep(0.2)
    assert load.failures == []
    assert len(load.pids) >= 4
    assert load.answers > 100


def test_no_request_fails_while_the_spec_changes(host):
    host.ensure("changing")
    with Load(host, "changing") as load:
        for generation in (2, 3):
            host.ensure("changing", generation)
    assert load.failures == []
    assert len(load.pids) >= 3


def test_no_request_fails_during_an_upgrade_to_new_code(own_host):
    own_host.ensure("first")
    own_host.ensure("second")
    before = {box: own_host.get(box) for box in ("first", "second")}
    with Load(own_host, "first") as load:
        assert own_host.result(command="upgrade") is None
    assert load.failures == []
    for box in ("first", "second"):
        after = own_host.get(box)
        assert after["pid"] != before[box]["pid"]
        assert after["preloaded"] > before[box]["preloaded"]


def test_idle_connection_of_the_edge_outlives_an_upgrade(own_host):
    """The edge keeps connections for 30 s: one it uses again is answered, and asked to end."""
    own_host.ensure("pooled")
    connection = own_host.connection("pooled")
    connection.request("GET", "/")
    old = json.loads(connection.getresponse().read())["pid"]
    own_host.result(command="upgrade")
    assert own_host.get("pooled")["pid"] != old
    time.sleep(1.5)
    connection.request("GET", "/")
    response = connection.getresponse()
    assert json.loads(response.read())["pid"] == old
    assert response.headers["connection"] == "close"
    own_host.wait_until(lambda: not alive(old))


def test_upgrade_to_broken_code_leaves_the_old_code_serving(tmp_path):
    module = tmp_path / "tinycopy.py"
    module.write_text("from tests.integration.host.tiny import create\n")
    host = Host("tinycopy:create", env={"PYTHONPATH": f"{tmp_path}:{Path.cwd()}"})
    try:
        host.start()
        host.ensure("stays")
        pid = host.get("stays")["pid"]
        module.write_text("def create(:\n")
        reply = host.ask(command="upgrade")
        assert not reply["ok"]
        assert "old one serves on" in reply["error"]
        assert host.get("stays")["pid"] == pid
        host.result(command="sleep", box="stays")
        assert host.get("stays")["pid"] != pid
    finally:
        host.close()


def test_manager_replaces_itself_without_losing_a_request(own_host):
    own_host.ensure("awake", environment={"TINY_VALUE": "a"})
    own_host.ensure("asleep", environment={"TINY_VALUE": "b"})
    pid = own_host.get("awake")["pid"]
    with Load(own_host, "awake") as load, concurrent.futures.ThreadPoolExecutor() as pool:
        slow = pool.submit(own_host.get, "awake", "/slow")
        lines = own_host.log().count("boxes. limits")
        own_host.process.send_signal(signal.SIGHUP)
        waking = pool.submit(own_host.get, "asleep")
        own_host.wait_until(lambda: own_host.log().count("boxes. limits") > lines)
        assert slow.result()["pid"] == pid
        assert waking.result()["value"] == "b"
    assert load.failures == []
    assert load.pids == {pid}
    status = own_host.status("awake")
    assert (status["pid"], status["phase"]) == (pid, "awake")
    assert status["memory_bytes"] > 0
    # The new manager commands the old one's children and mould.
    assert own_host.result(command="sleep", box="awake")["phase"] == "asleep"
    assert own_host.status("awake")["last_exit"] == 0
    own_host.ensure("fresh", environment={"TINY_VALUE": "c"})
    assert own_host.get("fresh")["value"] == "c"
    assert own_host.process.poll() is None


def upgrade_now(host):
    """Ask for an upgrade until a manager answers: one that is replaced may break the line off."""
    for _ in range(50):
        with contextlib.suppress(json.JSONDecodeError, OSError):
            return host.result(command="upgrade")
        time.sleep(0.02)
    raise AssertionError(host.log())


def test_a_new_release_is_a_replacement_and_an_upgrade_in_either_order(own_host):
    own_host.ensure("release")
    pid = own_host.get("release")["pid"]
    with Load(own_host, "release") as load, concurrent.futures.ThreadPoolExecutor() as threads:
        for hang_up_first in (True, False):
            if hang_up_first:
                own_host.process.send_signal(signal.SIGHUP)
            upgrade = threads.submit(upgrade_now, own_host)
            if not hang_up_first:
                time.sleep(0.05)
                own_host.process.send_signal(signal.SIGHUP)
            upgrade.result(timeout=50)
            own_host.wait_until(lambda: own_host.ask(command="ping")["ok"])
    assert load.failures == []
    assert own_host.get("release")["pid"] != pid


def test_killed_manager_serves_all_boxes_again_without_help():
    host = Host()
    try:
        host.start()
        host.ensure("keeps", 7, {"TINY_VALUE": "kept"})
        host.ensure("other", 1, {"TINY_VALUE": "other"})
        pid = host.get("keeps")["pid"]
        uid = host.run_in("keeps", "result = os.getuid()")["result"]
        host.kill()
        host.start()
        assert host.status("keeps")["generation"] == 7
        assert host.get("keeps")["value"] == "kept"
        assert host.get("other")["value"] == "other"
        assert host.run_in("keeps", "result = os.getuid()")["result"] == uid
        host.wait_until(lambda: not alive(pid))  # the old process ended by itself
    finally:
        host.close()


def test_port_refused_at_the_start_is_listened_at_when_the_box_is_handed_over_again(own_host):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
    own_host.ensure("ported", port=port)
    own_host.stop()
    with socket.create_server(("127.0.0.1", port)):
        own_host.start()
        assert own_host.status("ported")["reachable"] is False
        assert own_host.get("ported")["pid"]
    assert own_host.ensure("ported", port=port)["reachable"] is True
    socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_box_of_a_killed_manager_finishes_its_request():
    host = Host()
    try:
        host.start()
        host.ensure("finishes")
        host.get("finishes")
        with concurrent.futures.ThreadPoolExecutor() as pool:
            slow = pool.submit(host.get, "finishes", "/slow")
            time.sleep(0.3)
            host.kill()
            assert slow.result()["pid"]
        host.start()
    finally:
        host.close()


def test_specs_need_the_cluster_key():
    host = Host()
    try:
        host.start()
        host.ensure("locked", environment={"PGPASSWORD": "s3cret-5309"})
        host.stop()
        stored = (host.directory / "boxhost" / "locked.spec").read_bytes()
        assert b"s3cret" not in stored
        assert b"PGPASSWORD" not in stored
        host.key = "00" * 32
        host.start()
        assert host.result(command="list") == []
        assert "another cluster key" in host.log()
        assert "s3cret" not in host.log()
        host.stop()
        assert (host.directory / "boxhost" / "locked.spec").exists()
    finally:
        host.close()


def test_sigterm_answers_what_is_in_work_and_exits_0():
    host = Host()
    try:
        host.start()
        host.ensure("ends")
        pid = host.get("ends")["pid"]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            slow = pool.submit(host.get, "ends", "/slow")
            time.sleep(0.3)
            assert host.stop() == 0
            assert slow.result()["pid"] == pid
        assert not alive(pid)
        assert not host.socket_path("ends").exists()
        assert list(host.run_dir.glob("*.sock")) == []
    finally:
        host.close()


@pytest.mark.parametrize(
    ("key", "sentence"),
    [("", "at least 16 bytes"), ("xyz", "not hexadecimal"), ("00" * 8, "at least 16 bytes")],
)
def test_wrong_cluster_key_is_one_sentence(key, sentence):
    host = Host(key=key or " ")
    try:
        with pytest.raises(AssertionError):
            host.start()
        assert host.process.wait() == 2
        assert sentence in host.log()
        assert "Traceback" not in host.log()
    finally:
        host.close()


def test_second_host_in_the_same_place_is_refused(host):
    second = Host()
    second.run_dir = host.run_dir
    try:
        second.launch()
        assert second.process.wait(10) == 2
        assert "already" in second.log()
        assert host.result(command="ping")["ready"]
    finally:
        second.close()


def test_too_long_run_dir_is_one_sentence():
    host = Host()
    host.run_dir = host.directory / ("x" * 100)
    try:
        with pytest.raises(AssertionError):
            host.start()
        assert host.process.wait() == 2
        assert "107" in host.log()
    finally:
        host.close()
