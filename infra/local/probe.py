"""Ask a server on a unix socket or TCP port for one page, to see whether it answers."""

from __future__ import annotations

import http.client
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(os.fspath(self._path))


def status_on_socket(path: Path, page: str, host: str, timeout_s: float = 5.0) -> int | None:
    """Return the HTTP status of `page`, None when nobody answers."""
    return _status(_UnixConnection(path, timeout_s), page, host)


def status_on_port(port: int, page: str, host: str, timeout_s: float = 5.0) -> int | None:
    """Return the HTTP status of `page` on 127.0.0.1, None when nobody answers."""
    return _status(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s), page, host)


def _status(connection: http.client.HTTPConnection, page: str, host: str) -> int | None:
    try:
        connection.request("GET", page, headers={"Host": host, "Connection": "close"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
