"""The sockets a box is reached at. The manager makes them and never closes them while it lives."""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING

from boxruntime.host.errors import HostError, PortRefusedError

if TYPE_CHECKING:
    from pathlib import Path

BACKLOG = 4096  # connections that may wait while a box starts; Linux's own upper bound
MAX_PATH_BYTES = 107  # sockaddr_un
# Edge and control plane may run under other users: connecting is all it allows. The owner's x says
# nothing to the kernel; nginx tells by it, of all there is to see of a socket, that there is one.
SOCKET_MODE = 0o766


def check_path(path: Path) -> None:
    """Raise HostError if `path` is too long for a unix socket."""
    size = len(os.fsencode(path))
    if size > MAX_PATH_BYTES:
        raise HostError(
            f"The socket path {path} has {size} bytes; unix sockets allow {MAX_PATH_BYTES}. "
            "Use a shorter --run-dir."
        )


def listen_box(
    path: Path,
    port: int | None,
    *,
    unix: socket.socket | None = None,
    loopback: socket.socket | None = None,
) -> list[socket.socket]:
    """Return a box's sockets, the given ones where they serve on: `path`, then `port` if any.

    Raises HostError, OSError; what was made until then is closed again.
    """
    listeners = [] if port is None else [loopback or listen_loopback(port)]
    try:
        listeners.insert(0, unix or listen_unix(path, SOCKET_MODE))
    except (HostError, OSError):
        if listeners and loopback is None:
            listeners[0].close()
        raise
    return listeners


def listen_unix(path: Path, mode: int) -> socket.socket:
    """Listen at `path`, replacing what a dead process left there; never a moment without it.

    Raises HostError when the path is too long, OSError as bind does.
    """
    check_path(path)
    new = path.with_name(f".{path.stem}")  # shorter than `path`, so it fits too
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(new))
        new.chmod(mode)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        new.rename(path)
    except OSError:
        listener.close()
        raise
    return listener


def listen_loopback(port: int) -> socket.socket:
    """Listen on 127.0.0.1. Raises PortRefusedError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise PortRefusedError(f"Cannot listen on 127.0.0.1:{port}: {reason}.") from None
    listener.setblocking(False)
    return listener
