"""Boxes of other FHIR versions: a mould of their own, there while they are needed."""

import os
import signal
from pathlib import Path


def mould_pids(host):
    manager = host.process.pid
    found = set()
    for line in Path(f"/proc/{manager}/task/{manager}/children").read_text().split():
        if Path(f"/proc/{line}/comm").read_text() == "halebox mould\n":
            found.add(int(line))
    return found


def test_a_version_gets_its_mould_with_its_first_box(own_host):
    own_host.ensure("older1", environment={"AIDBOX_FHIR_VERSION": "fhir-3.0.1"})
    own_host.ensure("older2", environment={"AIDBOX_FHIR_VERSION": "3.0.2"})
    own_host.ensure("usual1")
    assert own_host.get("usual1")["version"] == "4.0.1"
    assert len(mould_pids(own_host)) == 1
    assert own_host.get("older1")["version"] == "3.0.2"
    assert own_host.get("older2")["preloaded"] == own_host.get("older1")["preloaded"]
    assert len(mould_pids(own_host)) == 2


def test_a_version_nobody_has_is_the_boxs_own_problem(own_host):
    own_host.ensure("future1", environment={"AIDBOX_FHIR_VERSION": "9.9.9"})
    assert own_host.get("future1")["version"] == "4.0.1"


def test_a_killed_mould_of_a_version_comes_back_with_the_next_box(own_host):
    (default,) = mould_pids(own_host)
    for name in ("older1", "older2"):
        own_host.ensure(name, environment={"AIDBOX_FHIR_VERSION": "1.0.2"})
    before = own_host.get("older1")
    (mould,) = mould_pids(own_host) - {default}
    os.kill(mould, 9)
    assert own_host.get("older2")["version"] == "1.0.2"
    assert own_host.get("older1")["pid"] == before["pid"]


def test_moulds_outlive_the_manager_and_not_an_upgrade(own_host):
    own_host.ensure("older1", environment={"AIDBOX_FHIR_VERSION": "5.0.0"})
    before = own_host.get("older1")
    moulds_before = mould_pids(own_host)
    lines = own_host.log().count("boxes. limits")
    own_host.process.send_signal(signal.SIGHUP)
    own_host.wait_until(lambda: own_host.log().count("boxes. limits") > lines)
    own_host.ensure("older2", environment={"AIDBOX_FHIR_VERSION": "5.0.0"})
    assert own_host.get("older2")["preloaded"] == before["preloaded"]
    assert mould_pids(own_host) == moulds_before
    own_host.result(command="upgrade")
    after = own_host.get("older1")
    assert after["version"] == "5.0.0"
    assert after["preloaded"] > before["preloaded"]
    own_host.wait_until(lambda: not mould_pids(own_host) & moulds_before)
