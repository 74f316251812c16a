"""A real box host in a temporary directory, and a client of its sockets."""

import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TINY = "tests.integration.host.tiny:create"
ROOT = Path(__file__).parents[3]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=20):
        super().__init__("box", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Host:
    """Starts `python -m boxruntime.host`; `prefix` is put before the command (setpriv …)."""

    def __init__(self, application=TINY, key=None, prefix=(), python=sys.executable, env=None):
        self.directory = Path(tempfile.mkdtemp(prefix="hb"))  # short: a socket path has 107 bytes
        self.directory.chmod(0o755)
        self.run_dir = self.directory / "run"
        self.log_path = self.directory / "log"
        self.key = key or secrets.token_hex(32)
        self.application = application
        self.prefix = list(prefix)
        self.python = python
        self.env = env or {}
        self.process = None

    def start(self):
        self.launch()
        self.wait_until(lambda: self.ask(command="ping")["result"]["ready"], 15)
        return self

    def launch(self):
        command = [*self.prefix, str(self.python), "-m", "boxruntime.host"]
        command += ["--run-dir", str(self.run_dir), "--application", self.application]
        environment = {**os.environ, "HALEBOX_CLUSTER_KEY": self.key, **self.env}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log)

    def wait_until(self, condition, timeout_s=10):
        end = time.monotonic() + timeout_s
        while True:
            with contextlib.suppress(OSError):
                if condition():
                    return
            if self.process.poll() is not None:
                raise AssertionError(f"The host ended: {self.log()}")
            if time.monotonic() > end:
                raise AssertionError(f"Not in {timeout_s} s: {self.log()}")
            time.sleep(0.01)

    def log(self):
        return self.log_path.read_text()

    def send(self, line):
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(60)
            control.connect(str(self.run_dir / "boxhost.sock"))
            control.sendall(line)
            with control.makefile("rb") as file:
                return json.loads(file.readline())

    def ask(self, **request):
        return self.send(json.dumps(request).encode() + b"\n")

    def result(self, **request):
        reply = self.ask(**request)
        assert reply["ok"], reply
        return reply["result"]

    def ensure(self, box, generation=1, environment=None, port=None, **limits):
        spec = {
            "id": box,
            "generation": generation,
            "environment": environment or {},
            "limits": limits,
            "loopback_port": port,
        }
        return self.result(command="ensure", spec=spec)

    def status(self, box):
        return self.result(command="status", box=box)

    def socket_path(self, box):
        return self.run_dir / "boxes" / f"{box}.sock"

    def connection(self, box, timeout=20):
        return UnixConnection(self.socket_path(box), timeout)

    def request(self, box, path="/", body=None, timeout=20):
        """Return (status, headers, JSON body)."""
        connection = self.connection(box, timeout)
        with contextlib.closing(connection):
            connection.request("POST" if body is not None else "GET", path, body)
            response = connection.getresponse()
            return response.status, response.headers, json.loads(response.read() or b"null")

    def get(self, box, path="/"):
        status, _, body = self.request(box, path)
        assert status == 200, (status, self.log())
        return body

    def run_in(self, box, code):
        """Run `code` inside of the box process; return what it left in `result`."""
        return self.request(box, "/eval", code.encode())[2]

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def close(self):
        try:
            self.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)
