"""What manager, mould and box processes of one box host say to each other.

Manager and mould share a SOCK_SEQPACKET pair: one packet, one JSON message, file descriptors
beside it. Manager and box process share a stream pair, the box's *line*: down it go the spec
(one JSON line) and later `stop <grace>` lines; up come the single bytes below. The line is also
the lifeline: whoever finds it closed knows that the other one is gone.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

import msgspec

from boxruntime.contract import BoxSpec

READY = b"R"  # with the descriptor of /proc/self/smaps_rollup: connections are accepted
DRAINING = b"D"  # no further connection will be accepted

MAX_SPEC_BYTES = 96 * 1024  # fits an empty socket buffer (208 kB), so that writing never waits
MAX_PACKET_BYTES = 64 * 1024


class Fork(msgspec.Struct, frozen=True, tag=True):
    """To the mould: fork a box process. Descriptors: its line, then its listening sockets."""

    box: str


class MouldReady(msgspec.Struct, frozen=True, tag=True):
    """From the mould: everything is imported."""

    data_kb: int
    """Private writable memory of the mould, which every box process inherits."""


class Forked(msgspec.Struct, frozen=True, tag=True):
    """From the mould, in the order of the requests; pid None = the machine refused."""

    pid: int | None


class Exited(msgspec.Struct, frozen=True, tag=True):
    """From the mould: one of its children ended; status as in BoxStatus.last_exit."""

    pid: int
    status: int


class Confinement(msgspec.Struct, frozen=True):
    """What the manager decides about a box process beside its spec."""

    uid: int | None
    """User and group to become; None = stay."""
    data_limit_kb: int | None
    """RLIMIT_DATA; None = a control group limits memory."""
    nice: int
    hidden: tuple[str, ...]
    """Directories of the platform the process must not read."""


class Briefing(msgspec.Struct, frozen=True):
    """The first line to a box process: all it gets to know."""

    spec: BoxSpec
    confinement: Confinement


_encode = msgspec.json.encode
_from_mould = msgspec.json.Decoder(MouldReady | Forked | Exited)
_to_mould = msgspec.json.Decoder(Fork)


def send_packet(
    peer: socket.socket, message: msgspec.Struct, descriptors: Sequence[int] = ()
) -> None:
    """Send one packet. Raises OSError; BlockingIOError when the peer does not read."""
    data = _encode(message)
    if descriptors:
        socket.send_fds(peer, [data], descriptors)
    else:
        peer.send(data)


def receive_fork(peer: socket.socket) -> tuple[Fork, list[int]] | None:
    """Return the next request and its descriptors; None when the manager is gone."""
    data, descriptors, _flags, _address = socket.recv_fds(peer, MAX_PACKET_BYTES, 8)
    return (_to_mould.decode(data), list(descriptors)) if data else None


def receive_from_mould(peer: socket.socket) -> MouldReady | Forked | Exited | None:
    """Return the next message; None when the mould is gone. Raises BlockingIOError."""
    try:
        data = peer.recv(MAX_PACKET_BYTES)
    except ConnectionResetError:
        return None
    return _from_mould.decode(data) if data else None
