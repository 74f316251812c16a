"""One HTTP connection: uvicorn's httptools protocol with bounded heads and a gentle end."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    import asyncio

    from boxruntime.http.server import State

MAX_HEAD_BYTES = 64 * 1024
MAX_URL_BYTES = 32 * 1024
_LINGER_S = 1.0  # a client still sending reads the refusal only if its bytes are taken meanwhile
_REASONS = {
    HTTPStatus.BAD_REQUEST: "This is not a valid HTTP request.",
    HTTPStatus.REQUEST_URI_TOO_LONG: f"The URL is longer than {MAX_URL_BYTES} bytes.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        f"The request's headers are longer than {MAX_HEAD_BYTES} bytes."
    ),
}


class _RefusedError(Exception):
    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


class Connection(HttpToolsProtocol):
    """Costs a request as much as its base class: the server's sweep replaces its timers (2 us).

    `head_bytes` counts what arrived of a head that is not complete yet; reading never holds more
    than one read of the event loop (256 kB) above MAX_HEAD_BYTES.
    """

    server_state: State
    cycle: RequestResponseCycle | None  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.head_open = False
        self.head_bytes = 0
        self.measures = False
        self.refused = False
        self.received = 0
        self._idle_since = 0.0
        self._idle_received = -1
        self._progress: tuple[Any, ...] = ()
        self._progress_at = time.monotonic()
        if len(self.connections) == 1:
            self.server_state.on_first_connection()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if not self.connections:
            self.server_state.on_last_connection()

    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        self.received += len(data)
        was_open = self.head_open
        self.measures = self.head_bytes + len(data) > MAX_URL_BYTES
        try:
            self.parser.feed_data(data)
            if self.head_open:
                self.head_bytes = self.head_bytes + len(data) if was_open else 1
                if self.head_bytes > MAX_HEAD_BYTES:
                    self._refuse(self._excess())
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(
                cause.status if isinstance(cause, _RefusedError) else HTTPStatus.BAD_REQUEST
            )
        except httptools.HttpParserUpgrade:
            pass  # no other protocol is spoken here: the request is answered as it stands
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST)

    def on_message_begin(self) -> None:
        self.head_open = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self.head_open = False
        self.head_bytes = 0
        if self.measures:
            size = sum(len(name) + len(value) for name, value in self.headers)
            if len(self.url) > MAX_URL_BYTES or size + len(self.url) > MAX_HEAD_BYTES:
                raise _RefusedError(self._excess())
        super().on_headers_complete()
        if self.server_state.draining and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """Go on with the next pipelined request; no keep-alive timer, see `_Server._sweep`."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def announce_close(self) -> None:
        """Let the answer in work be the last one, if its head can still say so.

        An idle connection is idle from now on: it has the whole grace for another request.
        """
        self._idle_received = -1
        cycle = self.cycle
        if cycle is not None and not cycle.response_started:
            cycle.keep_alive = False

    def idle_for(self, now: float) -> float:
        """Return since how many seconds there is no request on the way; 0 = there is one.

        Counted from the first call that finds the connection idle.
        """
        busy = self.cycle is not None and not self.cycle.response_complete
        if (busy or self.head_open or self.pipeline) and not self.refused:
            self._idle_received = -1
            return 0.0
        if self._idle_received != self.received:
            self._idle_received = self.received
            self._idle_since = now
        return now - self._idle_since

    def stalled_for(self, now: float) -> float:
        """Return since how many seconds the client owes bytes of a request; 0 = it owes none.

        A connection that never sent a byte owes them too; one that waits between two requests
        does not.
        """
        cycle = self.cycle
        if cycle is not None and not self.head_open:
            owes = cycle.more_body and not cycle.response_complete and not self.flow.read_paused
        else:
            owes = True
        progress = (owes, cycle, self.received)
        if not owes or progress != self._progress:
            self._progress = progress
            self._progress_at = now
        return now - self._progress_at

    def close(self) -> None:
        """Close after what is written has been sent."""
        if not self.transport.is_closing():
            self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def _excess(self) -> HTTPStatus:
        if len(self.url) > MAX_URL_BYTES:
            return HTTPStatus.REQUEST_URI_TOO_LONG
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer `status` and close; after it nothing that arrives is looked at."""
        self.refused = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            # The refusal would overtake the answer to an earlier request: only close after it.
            cycle.keep_alive = False
            if cycle.more_body:  # its own body is what cannot be read
                self.close()
            return
        text = _REASONS[status].encode()
        head = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
        head += [name + b": " + value for name, value in self.server_state.default_headers]
        head += [
            b"content-type: text/plain; charset=utf-8",
            b"content-length: %d" % len(text),
            b"connection: close",
        ]
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + text)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.close)
