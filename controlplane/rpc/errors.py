from __future__ import annotations


class RpcError(Exception):
    """A refused call; `str(error)` is the message the client is given."""
