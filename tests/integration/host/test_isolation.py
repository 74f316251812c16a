"""What code that runs inside of one box can reach. Every test is an attack.

The attacker has the whole process: `Host.run_in` executes Python in it.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from boxruntime.host import landlock
from tests.integration.host.running import ROOT, Host
from tests.integration.host.test_failing import mould_pid

SECRET = "neighbours-secret-5309"
OWN = "attackers-own-secret"
SYSTEM_PYTHON = Path("/usr/bin/python3")


def system_python_fits():
    if not SYSTEM_PYTHON.exists() or not shutil.which("setpriv"):
        return False
    code = "import sys; print(sys.version_info[:2])"
    found = subprocess.run([SYSTEM_PYTHON, "-c", code], capture_output=True, check=False).stdout
    return found.decode().strip() == str(sys.version_info[:2])


def unprivileged_host():
    """Return a host that runs as nobody, with the distribution's Python if ours is unreadable."""
    site_packages = Path(msgspec.__file__).parents[1]
    prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    environment = {"PYTHONPATH": f"{ROOT}:{site_packages}", "PYTHONDONTWRITEBYTECODE": "1"}
    host = Host(prefix=prefix, python=SYSTEM_PYTHON, env=environment)
    os.chown(host.directory, 65534, 65534)
    host.log_path.touch()
    return host


@pytest.fixture(scope="module", params=["as started", "as nobody"])
def prison(request):
    """A host with two awake boxes: `attacker` and `victim`."""
    if request.param == "as nobody":
        if os.geteuid() != 0:
            pytest.skip("the suite runs without privileges already")
        if not system_python_fits():
            pytest.skip("no Python that another user may run")
        host = unprivileged_host()
    else:
        host = Host()
    host.start()
    for box in ("attacker", "victim"):
        secret = SECRET if box == "victim" else OWN
        host.ensure(box, environment={"PGPASSWORD": secret}, port=None)
        host.get(box)
    yield host
    host.close()


def attack(host, code):
    return host.run_in("attacker", code)


def pids(host):
    return {
        "manager": host.process.pid,
        "mould": mould_pid(host),
        "victim": host.status("victim")["pid"],
    }


def test_no_setting_stands_in_the_environment_of_the_process(prison):
    environment = attack(prison, "result = dict(os.environ)")["result"]
    assert environment == {"HOME": "/nonexistent"}


@pytest.mark.parametrize("file", ["environ", "mem", "maps", "fd", "cwd", "root/etc/hostname"])
@pytest.mark.parametrize("who", ["manager", "mould", "victim"])
def test_box_cannot_look_into_other_processes(prison, who, file):
    path = f"/proc/{pids(prison)[who]}/{file}"
    code = f"p = Path({path!r})\nresult = len(os.listdir(p) if p.name == 'fd' else "
    code += "os.readlink(p) if p.name == 'cwd' else p.open('rb').read(1))"
    assert attack(prison, code).get("error") in {"PermissionError", "OSError"}


@pytest.mark.parametrize("who", ["manager", "mould", "victim"])
def test_box_cannot_trace_or_signal_other_processes(prison, who):
    pid = pids(prison)[who]
    trace = "import ctypes\nresult = ctypes.CDLL(None).ptrace(16, {pid}, 0, 0)"
    assert attack(prison, trace.format(pid=pid)) == {"result": -1}
    signalled = attack(prison, f"os.kill({pid}, 0)\nresult = 'signalled'")
    if (os.geteuid() == 0 and not prison.prefix) or landlock.version() >= 6:
        assert signalled["error"] == "PermissionError"


def test_box_cannot_read_specs(prison):
    directory = prison.directory / "boxhost"
    assert (directory / "victim.spec").exists()
    assert attack(prison, f"result = os.listdir({str(directory)!r})")["error"] == "PermissionError"
    read = f"result = len(Path({str(directory / 'victim.spec')!r}).read_bytes())"
    assert attack(prison, read)["error"] == "PermissionError"


def test_box_cannot_write_or_execute(prison):
    for path in (prison.directory / "x", prison.run_dir / "boxes" / "x", Path("/tmp/x5309")):
        code = f"Path({str(path)!r}).write_text('x')"
        assert attack(prison, code)["error"] == "PermissionError"
    if landlock.version():
        run = "os.posix_spawn('/bin/true', ['true'], {})"
        assert attack(prison, run)["error"] == "PermissionError"


def test_box_cannot_command_its_host(prison):
    code = f"""
import socket
control = socket.socket(socket.AF_UNIX)
control.settimeout(5)
control.connect({str(prison.run_dir / "boxhost.sock")!r})
control.sendall(b'{{"command":"remove","box":"victim"}}\\n')
result = control.recv(4096).decode()
"""
    answer = attack(prison, code)
    if "result" in answer:  # the same user may connect, and is refused then
        assert json.loads(answer["result"])["error"] == "A box may not command the box host."
    else:
        assert answer["error"] == "PermissionError"
    assert prison.status("victim")["phase"] == "awake"


def test_orphan_of_a_box_cannot_command_its_host(prison):
    """A process that forked away from the box still descends from the manager."""
    code = f"""
import socket
read_end, write_end = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        try:
            os.setsid()
            while os.getppid() != {prison.process.pid}:
                pass
            control = socket.socket(socket.AF_UNIX)
            control.settimeout(5)
            control.connect({str(prison.run_dir / "boxhost.sock")!r})
            control.sendall(b'{{"command":"list"}}\\n')
            os.write(write_end, control.recv(4096))
        except Exception as error:
            os.write(write_end, type(error).__name__.encode())
    os._exit(0)
os.wait()
result = os.read(read_end, 4096).decode()
"""
    answer = attack(prison, code)["result"]
    assert answer == "PermissionError" or "may not command" in answer


def test_box_holds_no_foreign_descriptors(prison):
    """Its line, listening socket, event loop and logs; nothing of manager, mould or victim."""
    code = """
result = []
for name in os.listdir('/proc/self/fd'):
    try:
        result.append(os.readlink('/proc/self/fd/' + name))
    except FileNotFoundError:  # the listing's own
        pass
"""
    names = attack(prison, code)["result"]
    assert len(names) < 20
    files = {name for name in names if name.startswith("/") and not name.startswith("/proc")}
    assert files <= {"/dev/null", str(prison.log_path)} | own_outputs()


def own_outputs():
    return {str(Path(f"/proc/self/fd/{number}").readlink()) for number in (1, 2)}


def test_secrets_of_neighbours_are_not_among_its_objects(prison):
    code = """
import gc
needle = {needle!r}
near = [o for o in gc.get_objects() if o is not globals()]
far = gc.get_referents(*near)
texts = [t for t in gc.get_referents(*far) if isinstance(t, str)]
result = len([t for t in texts if t == needle and t is not needle])
"""
    assert attack(prison, code.format(needle=SECRET)) == {"result": 0}
    assert attack(prison, code.format(needle=OWN))["result"] > 0  # the search does find


def test_boxes_have_user_ids_of_their_own(prison):
    if os.geteuid() != 0 or prison.prefix:
        pytest.skip("needs root")
    ids = "result = [os.getresuid(), os.getresgid(), os.getgroups()]"
    mine, theirs = attack(prison, ids)["result"], prison.run_in("victim", ids)["result"]
    assert len(set(mine[0])) == len(set(mine[1])) == 1
    assert mine[0][0] >= 40_000
    assert mine[2] == []
    assert mine != theirs
    assert attack(prison, "os.setuid(0)")["error"] == "PermissionError"


def test_isolation_is_told(prison):
    ping = prison.result(command="ping")
    assert "not dumpable" in ping["isolation"]
    assert ("a user id per box" in ping["isolation"]) == (os.geteuid() == 0 and not prison.prefix)
    assert ping["isolation"] in prison.log()
