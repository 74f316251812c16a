"""Free TCP ports of the loopback interface."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def why_taken(port: int, host: str = "127.0.0.1") -> str | None:
    """Return the sentence that says why no server can listen on `port` now, None if one can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            return f"Port {port} needs root rights: choose one above 1023 with PORT=…"
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"Port {port} is in use: choose another with PORT=…"
            return f"Port {port} on {host} cannot be used: {error.strerror}."
        return None


def is_free(port: int) -> bool:
    """Tell whether a server could listen on `port` of 127.0.0.1 now."""
    return why_taken(port) is None


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
    recorded = recorded_port(record)
    if recorded and is_free(recorded):
        return recorded
    port = next((port for port in range(first, first + 1000) if is_free(port)), None)
    port = port or any_free_port()
    record.write_text(f"{port}\n")
    return port


def recorded_port(record: Path) -> int:
    """Return the port written in `record`, whoever listens there; 0 if there is none."""
    try:
        return int(record.read_text())
    except (FileNotFoundError, ValueError):
        return 0


def kept_range(record: Path, first: int, last: int, size: int) -> str:
    """Return the range of `size` ports written in `record`; else choose one nobody uses yet.

    Shape: "20000-20999". Several installations on one machine so keep out of each other's way.
    """
    if record.exists():
        return record.read_text().strip()
    starts = range(first, last - size + 2, size)
    free = (start for start in starts if all(is_free(start + number) for number in range(8)))
    start = next(free, first)
    record.write_text(f"{start}-{start + size - 1}\n")
    return record.read_text().strip()
