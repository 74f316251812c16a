"""The mould: a process with everything imported, of which box processes are cast by fork.

It holds what the boxes of one FHIR version share.

It is single-threaded, knows no box and holds no secret: specs pass by it, from the manager
straight to the child. `python -m boxruntime.host.mould --manager-fd N` is started by the
manager only.
"""

from __future__ import annotations

import argparse
import asyncio.runners  # what a box would otherwise import late, when it may no longer read
import concurrent.futures.thread
import contextlib
import encodings.idna
import gc
import logging
import multiprocessing.util  # noqa: F401 - imported by thread pools at their end
import os
import select
import signal
import socket
import stringprep  # noqa: F401 - of encodings.idna
import sys
from pathlib import Path

from boxruntime.host import box_process, confinement
from boxruntime.host.errors import HostError
from boxruntime.host.factory import DEFAULT, Factory, load
from boxruntime.host.log import log_to_stderr
from boxruntime.host.messages import Exited, Fork, Forked, MouldReady, receive_fork, send_packet

_logger = logging.getLogger("boxhost.mould")
_PRELOADED = (asyncio.runners, concurrent.futures.thread, encodings.idna)


def main() -> int:
    """Preload, then fork on request until the manager is gone."""
    parser = argparse.ArgumentParser(prog="python -m boxruntime.host.mould")
    parser.add_argument("--manager-fd", type=int, required=True)
    parser.add_argument("--application", default=DEFAULT)
    parser.add_argument("--fhir-version", required=True)
    arguments = parser.parse_args()
    log_to_stderr()
    confinement.set_name("halebox mould")
    confinement.set_dumpable(allowed=False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the manager decides when to end
    manager = socket.socket(fileno=arguments.manager_fd)
    gc.disable()  # a collection would touch, and so unshare, what is about to be shared
    factory = load(arguments.application, arguments.fhir_version)
    if (threads := len(os.listdir("/proc/self/task"))) > 1:  # noqa: PTH208
        _logger.error("Preloading started %d threads: forks of it may hang.", threads - 1)
    gc.collect()
    gc.freeze()
    return _Mould(manager, factory).run()


class _Mould:
    def __init__(self, manager: socket.socket, factory: Factory) -> None:
        self._manager = manager
        self._factory = factory

    def run(self) -> int:
        read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._manager, select.POLLIN)
        poll.register(read_end, select.POLLIN)
        send_packet(self._manager, MouldReady(data_kb=_data_kb()))
        while True:
            for descriptor, _event in poll.poll():
                if descriptor == read_end:
                    with contextlib.suppress(BlockingIOError):
                        os.read(read_end, 4096)
                    self._reap()
                else:
                    request = receive_fork(self._manager)
                    if request is None:
                        return 0
                    self._fork(*request)

    def _fork(self, request: Fork, descriptors: list[int]) -> None:
        try:
            pid = os.fork()
        except OSError:
            _logger.exception("The machine refused another process.")
            pid = None
        if pid == 0:
            os._exit(self._be_child(request.box, descriptors))
        for descriptor in descriptors:
            os.close(descriptor)
        send_packet(self._manager, Forked(pid=pid))

    def _be_child(self, box: str, descriptors: list[int]) -> int:
        """Become the box process; return its exit code."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._manager.detach()
            gc.enable()
            code = box_process.run(box, self._factory, descriptors)
        except HostError as error:
            logging.getLogger("boxhost.box").error("%s", error, extra={"box": box})  # noqa: TRY400
            code = box_process.EXIT_FAILED
        except BaseException:  # nothing may return into the mould's loop
            logging.getLogger("boxhost.box").exception("Ended.", extra={"box": box})
            code = box_process.EXIT_FAILED
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        return code

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            send_packet(self._manager, Exited(pid=pid, status=os.waitstatus_to_exitcode(status)))


def _data_kb() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
