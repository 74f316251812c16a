"""The edge: one static Caddyfile that maps hosts and headers to unix sockets.

`infra/Caddyfile.template` is the mapping; this module fills in where this installation stands.
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
LOOPBACK = ("127.0.0.1",)


class _Template(string.Template):
    delimiter = "%"  # "$" belongs to regular expressions there


@dataclass(frozen=True, kw_only=True)
class TlsFiles:
    """A certificate for the cluster domain and its wildcard, with its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class Edge:
    """Where the edge listens and where the sockets are."""

    port: int
    run_directory: Path
    """Holds `boxes/<box>.sock` and `console.sock`."""
    data_directory: Path
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

    def caddyfile(self) -> str:
        """Return the whole configuration."""
        template = resources.files("infra").joinpath("Caddyfile.template").read_text()
        shared = dict.fromkeys((self.domain, *self.shared_hosts, "127.0.0.1", "::1", "[::1]"))
        return _Template(template).substitute(
            address=f"{'https' if self.tls else 'http'}://:{self.port}",
            bind=" ".join(self.addresses),
            tls=f'tls "{self.tls.certificate}" "{self.tls.key}"' if self.tls else "",
            protocols=self._protocols(),
            run_dir=self.run_directory,
            data_dir=self.data_directory,
            domain_pattern=re.escape(self.domain),
            shared_hosts=" ".join(shared),
            box_header=self.box_header,
            lower="\n".join(
                f"\t\trequest_header Host {letter.upper()} {letter}"
                for letter in string.ascii_lowercase
            ),
        )

    def _protocols(self) -> str:
        if self.tls:
            return "h1 h2"
        return "h1 h2c" if self.h2c else "h1"
