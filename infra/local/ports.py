"""Free TCP ports of the loopback interface."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen on `port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def any_free_port() -> int:
    """Return a port that the kernel says is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def kept_port(record: Path, first: int) -> int:
    """Return the port written in `record` if it is free; else the next free one, and record it.

    Ports from `first` upwards lie below the kernel's range for outgoing connections, which
    therefore cannot take the port between `make down` and `make up`.
    """
    try:
        recorded = int(record.read_text())
    except (FileNotFoundError, ValueError):
        recorded = 0
    if recorded and is_free(recorded):
        return recorded
    port = next((port for port in range(first, first + 1000) if is_free(port)), None)
    port = port or any_free_port()
    record.write_text(f"{port}\n")
    return port
