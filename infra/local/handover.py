"""Become a program that finds a listening socket where systemd would hand it one.

    python handover.py DESCRIPTOR PROGRAM ARGUMENT…

The protocol wants the program's own process id, which nobody knows before it is started: so this
stands between. A server that is given its socket this way leaves its path alone when it ends.

Source: sd_listen_fds(3).
"""

from __future__ import annotations

import os
import sys

FIRST_DESCRIPTOR = 3


def main(descriptor: str, *command: str) -> None:
    """Never returns."""
    os.dup2(int(descriptor), FIRST_DESCRIPTOR)
    os.set_inheritable(FIRST_DESCRIPTOR, True)
    environment = os.environ | {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    os.execve(command[0], command, environment)  # noqa: S606 - no shell wanted


if __name__ == "__main__":
    main(*sys.argv[1:])
