"""The edge: one static nginx.conf that maps hosts and headers to unix sockets.

`infra/nginx.conf.template` is the mapping; this module fills in where this installation stands.
Source: platform specification, "Routing to a box".
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,198}[a-z0-9])?")
_PATH = re.compile(r"/[^\"$\\:\x00-\x1f]*")  # ":" ends the path of a socket
LOOPBACK = ("127.0.0.1",)
SPARE_FILES = 64  # of a worker's open files: listening sockets, logs, epoll


class _Template(string.Template):
    delimiter = "%"  # "$" belongs to nginx there


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """A certificate for the cluster domain and its wildcard, with its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class Share:
    """What the edge may use of the machine."""

    workers: int
    open_files: int
    """Of each worker; a request that is passed on takes two."""
    account: str | None
    """Of the workers, where the edge is started as root; None = it is not."""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """Where the edge listens and where the sockets are."""

    port: int
    run_directory: Path
    """Holds `boxes/<box>.sock` and `console.sock`."""
    domain: str = "localhost"
    """Boxes are its direct subdomains; lower case, no port."""
    shared_hosts: tuple[str, ...] = ()
    """Hosts beside the domain and the loopback addresses that may carry a box header."""
    box_header: str = "x-box"
    addresses: tuple[str, ...] = LOOPBACK
    tls: TlsFiles | None = None
    h2c: bool = False
    """Also HTTP/2 without TLS, for a proxy in front of this one."""

    def __post_init__(self) -> None:
        """Raise ValueError for a name that would mean something else in the file."""
        if not _HEADER.fullmatch(self.box_header):
            raise ValueError("AIDBOX_CLUSTER_BOX_HEADER is not the name of an HTTP header.")
        for host in (self.domain, *self.shared_hosts):
            if not _DOMAIN.fullmatch(host):
                raise ValueError(f"{host!r} is not a host name in lower case.")
        files = (self.tls.certificate, self.tls.key) if self.tls else ()
        for path in (self.run_directory, *files):
            if not _PATH.fullmatch(str(path)):
                raise ValueError(f"The edge cannot use a path like {str(path)!r}.")

    def nginx_conf(self, share: Share) -> str:
        """Return the whole configuration."""
        template = resources.files("infra").joinpath("nginx.conf.template").read_text()
        shared = dict.fromkeys((self.domain, *self.shared_hosts, "127.0.0.1", "[::1]"))
        return _Template(template).substitute(
            user=f"user {share.account};" if share.account else "",
            workers=share.workers,
            open_files=share.open_files,
            connections=share.open_files - SPARE_FILES,
            listen=self._listen(),
            tls=self._tls(),
            run_dir=self.run_directory,
            domain_pattern=re.escape(self.domain),
            shared_hosts="\n".join(f'\t\t"{host}" $by_header;' for host in shared),
            box_header=self.box_header.lower().replace("-", "_"),
            absent=_outcome(404, "not-found", "There is no such box."),
            contradiction=_outcome(400, "invalid", "Host and box header name different boxes."),
            too_large=_outcome(413, "too-long", "A request body has at most 200 MB."),
            unreachable=_outcome(503, "transient", "The box cannot be reached just now."),
            refused=_outcome(400, "invalid", "$why_refused"),
        )

    def _listen(self) -> str:
        options = " ssl" if self.tls else ""
        places = [f"{address}:{self.port}{options}" for address in map(_bracketed, self.addresses)]
        # Without TLS a client that begins in HTTP/2 is known by its first bytes.
        http2 = ["http2 on"] if self.tls or self.h2c else []
        return _lines([*(f"listen {place}" for place in places), *http2])

    def _tls(self) -> str:
        if self.tls is None:
            return ""
        return _lines(
            [
                f'ssl_certificate "{self.tls.certificate}"',
                f'ssl_certificate_key "{self.tls.key}"',
                "ssl_protocols TLSv1.2 TLSv1.3",
                "ssl_session_cache shared:tls:10m",
            ]
        )


def _bracketed(address: str) -> str:
    """Return an address as it stands before a port."""
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


def _lines(directives: list[str]) -> str:
    return "\n".join(f"\t\t{directive};" for directive in directives)


def _outcome(status: int, code: str, diagnostics: str) -> str:
    """Return the directive that answers an OperationOutcome."""
    issue = f'{{"severity":"error","code":"{code}","diagnostics":"{diagnostics}"}}'
    return f'return {status} \'{{"resourceType":"OperationOutcome","issue":[{issue}]}}\';'
