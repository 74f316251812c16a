"""A box whose process cannot live, and a mould that is killed."""

import os
import time
from pathlib import Path

from tests.integration.host.running import ROOT, Host


def test_failing_box_answers_503_at_once_and_recovers(host):
    host.ensure("broken", environment={"TINY_FAIL": "start"})
    started = time.monotonic()
    status, headers, outcome = host.request("broken", "/fhir/Patient", b"x" * 100_000)
    assert time.monotonic() - started < 5
    assert status == 503
    assert int(headers["retry-after"]) >= 1
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"][0]["code"] == "transient"
    seen = host.status("broken")
    assert (seen["phase"], seen["last_exit"]) == ("failing", 4)
    assert seen["restarts"] >= 3
    host.ensure("broken", 2, {"TINY_VALUE": "well"})
    assert host.get("broken")["value"] == "well"
    assert host.status("broken")["phase"] == "awake"


def test_failing_box_is_tried_again_by_itself(host):

    host.ensure("retried", environment={"TINY_FAIL": "start"})
    assert host.request("retried")[0] == 503
    restarts = host.status("retried")["restarts"]
    host.wait_until(lambda: host.status("retried")["restarts"] > restarts)
    host.result(command="remove", box="retried")


def test_failing_box_does_not_disturb_its_neighbour(host):
    host.ensure("neighbour")
    pid = host.get("neighbour")["pid"]
    host.ensure("broken2", environment={"TINY_FAIL": "start"})
    assert host.request("broken2")[0] == 503
    assert host.get("neighbour")["pid"] == pid
    host.result(command="remove", box="broken2")


def mould_pid(host):
    children = Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text()
    for pid in children.split():
        if Path(f"/proc/{pid}/comm").read_text() == "halebox mould\n":
            return int(pid)
    return None


def test_killed_mould_is_replaced_and_boxes_live_on(own_host):
    own_host.ensure("lives")
    own_host.ensure("later")
    pid = own_host.get("lives")["pid"]
    os.kill(mould_pid(own_host), 9)
    assert own_host.get("later")["pid"]  # waits for the new mould
    assert own_host.get("lives")["pid"] == pid
    # The orphan became the manager's own child: its end is noticed all the same.
    os.kill(pid, 9)
    own_host.wait_until(lambda: own_host.status("lives")["last_exit"] == -9)
    assert own_host.get("lives")["pid"] != pid


def test_broken_application_answers_503_until_it_is_mended(tmp_path):
    module = tmp_path / "tinymended.py"
    module.write_text("def create(:\n")
    host = Host("tinymended:create", env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    try:
        host.launch()
        host.wait_until(lambda: host.ask(command="ping")["ok"])
        host.ensure("early", environment={"TINY_VALUE": "late"})
        assert host.request("early")[0] == 503
        module.write_text("from tests.integration.host.tiny import create\n")
        host.wait_until(lambda: host.request("early")[0] == 200, 20)
        assert host.get("early")["value"] == "late"
    finally:
        host.close()
