"""An HTTP connection on uvicorn, strict about how it becomes a WebSocket.

A socket is upgraded only by a request without another one before it, and with a complete head (RFC 6455 §4.1: GET,
HTTP/1.1, no body). Bytes after that request belong to the WebSocket, also when they arrive in the same read. Invalid
requests are answered and not logged: otherwise anybody who can connect could fill the disk.

Every cost of a request is bounded: its time to arrive, its head, its body (there is none), the number of requests that
wait on one connection, the time for which a response may go unread, and the time in which it has to be read.
"""

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from src.gateway.delivery.stream_peer import refused
from src.gateway.listener.handshake_timeouts import HandshakeTimeouts
from src.gateway.refusals import (
    ADDRESS_TOO_LONG,
    BAD_REQUEST,
    BAD_UPGRADE,
    HEAD_TOO_LARGE,
    SILENT,
    SLOW_READER,
    TOO_MANY_WAITING,
    TOO_SLOW,
    UNTAKEN,
    WITH_BODY,
    Refusal,
)

WEBSOCKET: Final = b"websocket"
BODY_HEADERS: Final = (b"content-length", b"transfer-encoding")
LONGEST_LINE_BYTES: Final = 8190  # websockets, which reads the handshake once more, takes 8192 with the line's end
MOST_HEADERS: Final = 100  # of the 128 that it takes
MOST_WAITING: Final = 16  # requests on one connection, behind the one that is being answered
STOP_LIMIT_S: Final = 0.5  # at a stop, for a response that is not read yet; uvicorn's own limit is 1 s, and loud
LINGER_S: Final = 1.0  # for the client to read the refusal; closed at once, bytes that it still sends would reset it


class Objection(Exception):
    """Stops the parser; the connection has the refusal."""


class HttpConnection(HttpToolsProtocol):
    """One accepted socket."""

    def __init__(self, timeouts: HandshakeTimeouts, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self._timeouts = timeouts
        self._in_head = False  # a request has begun, and its head is not complete
        self._head_bytes = 0  # of that head, received so far
        self._answering: Any = None  # the newest cycle that was started
        self._unsent_bytes = 0
        self._paused_s: float | None = None  # since when a response waits for the client
        self._objection: Refusal | None = None
        self._refused = False
        self._stopping = False

    # -- called by the event loop ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timeouts.start(self)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(self._objection or BAD_REQUEST)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        else:
            self._measure(len(data))

    def pause_writing(self) -> None:
        super().pause_writing()
        self._paused_s = self._timeouts.now_s

    def resume_writing(self) -> None:
        super().resume_writing()
        self._paused_s = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._timeouts.cancel(self)
        super().connection_lost(exc)

    # -- called by the server --------------------------------------------------------------------------------------

    def shutdown(self) -> None:
        super().shutdown()
        if self._paused_s is not None:
            self._stopping = True
            self._timeouts.start(self, STOP_LIMIT_S)

    # -- called by the timeouts ------------------------------------------------------------------------------------

    def timed_out(self) -> None:
        before, self._unsent_bytes = self._unsent_bytes, self.transport.get_write_buffer_size()
        if self._refused or self._stopping:
            self.transport.abort()
        elif self._unsent_bytes == before > 0:  # less: it reads; more: it has read nearly all, and more was written
            self._drop(UNTAKEN)
        elif self._is_read_too_slowly:
            self._drop(SLOW_READER)
        elif self._unsent_bytes or self._is_answering:
            self._timeouts.start(self)  # a slow gateway drops no client
        elif self._in_head:
            self._refuse(TOO_SLOW)
        elif self._answering is None:
            self._drop(SILENT)
        else:
            self.transport.close()  # it was answered, and sent no further request

    # -- a request, as the parser finds it -------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def _measure(self, arrived_bytes: int) -> None:
        """Bound a head that never ends: `on_headers_complete` sees complete heads only."""
        if self._in_head:
            self._head_bytes += arrived_bytes
            if len(self.url) > LONGEST_LINE_BYTES:
                self._refuse(ADDRESS_TOO_LONG)
            elif self._head_bytes > self._timeouts.limits.max_head_bytes:
                self._refuse(HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._objection = self._objection_to_head()
        if self._objection is not None:
            raise Objection
        super().on_headers_complete()

    def _objection_to_head(self) -> Refusal | None:
        lines_bytes = [len(name) + len(value) + len(b": ") for name, value in self.headers]
        whole_bytes = len(self.url) + sum(lines_bytes) + len(b"\r\n") * len(lines_bytes)
        if len(self.url) > LONGEST_LINE_BYTES:
            return ADDRESS_TOO_LONG
        if len(lines_bytes) > MOST_HEADERS or max(lines_bytes, default=0) > LONGEST_LINE_BYTES:
            return HEAD_TOO_LARGE
        if whole_bytes > self._timeouts.limits.max_head_bytes:
            return HEAD_TOO_LARGE
        if self._has_body and not self.parser.should_upgrade():
            return WITH_BODY
        return TOO_MANY_WAITING if len(self.pipeline) >= MOST_WAITING else None

    @property
    def _has_body(self) -> bool:
        return any(name in BODY_HEADERS and value != b"0" for name, value in self.headers)

    # -- its response ----------------------------------------------------------------------------------------------

    @property
    def _is_answering(self) -> bool:
        return self._answering is not None and not self._answering.response_complete

    @property
    def _is_read_too_slowly(self) -> bool:
        limit_s = self._timeouts.limits.response_timeout_s
        return self._paused_s is not None and self._timeouts.now_s - self._paused_s >= limit_s

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()  # uvicorn's own timer: one for each connection, and none for half a request
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._timeouts.start(self)

    # -- the upgrade, and refusals ---------------------------------------------------------------------------------

    def _upgrade(self, following: bytes) -> None:
        if self._may_become_a_stream():
            self._timeouts.cancel(self)
            self.handle_websocket_upgrade()
            if following and not self.transport.is_closing():
                self.transport.get_protocol().data_received(following)  # type: ignore[attr-defined]
        elif self._get_upgrade() == WEBSOCKET or self.cycle is None:
            self._refuse(BAD_UPGRADE)
        else:
            self.cycle.keep_alive = False  # answered as if no upgrade had been asked for, RFC 9110 §7.8; then it ends

    def _may_become_a_stream(self) -> bool:
        answered = self.cycle is None or self.cycle.response_complete  # else an HTTP answer would follow the 101
        return (
            answered and not self._has_body and self._get_upgrade() == WEBSOCKET and self.scope["http_version"] == "1.1"
        )

    def _refuse(self, refusal: Refusal) -> None:
        """Send the refusal, and end; requests that wait get no response."""
        self._timeouts.refused[refusal.name] += 1
        self._refused = True
        is_half_sent = self._is_answering and self._answering.response_started
        for cycle in [self._answering, *(waiting for waiting, _ in self.pipeline)]:
            if cycle is not None:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        if is_half_sent or self.transport.is_closing():
            self.transport.abort()
            return
        self.transport.write(refused(refusal).serialize())
        self.transport.write_eof()
        self.flow.resume_reading()  # and drop what is read
        self._timeouts.start(self, LINGER_S)

    def _drop(self, why: str) -> None:
        self._timeouts.refused[why] += 1
        self.transport.abort()
