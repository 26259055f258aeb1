"""A viewer on the gateway's own port: a WebSocket without a task, a queue, or bytes of its own for a frame.

uvicorn parses the HTTP request and hands the upgraded socket over. The sans-I/O `ServerProtocol` of websockets does the
handshake, reads the viewer's frames, answers pings and closes. Outgoing frames bypass it and the transport: the
prepared bytes, the same for all viewers, go straight to the socket. Bytes that the socket does not take at once go
through the transport, which pauses this peer until all of them have left. With TLS the transport encrypts first, and
pauses this peer likewise. Where a proxy takes all bytes at once, only the viewer's pongs tell how far they are.
"""

import asyncio
import random
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol, cast

import msgspec
from websockets.datastructures import Headers
from websockets.extensions import Extension
from websockets.frames import Frame as IncomingFrame
from websockets.frames import Opcode
from websockets.http11 import Request, Response
from websockets.protocol import CLOSED, CLOSING
from websockets.typing import Subprotocol

from src.gateway.admission.admission_control import Admission, AdmissionControl
from src.gateway.admission.client_request import ClientRequest, answered_subprotocol, subprotocols
from src.gateway.close_codes import (
    CLOSE_HANDSHAKE_TIMEOUT_S,
    NO_SHAPE_LEFT,
    NOT_RESPONDING,
    STALLED,
    TOO_MANY_MESSAGES,
    WRONG_SUBSCRIBE,
    CloseCode,
    left_code,
)
from src.gateway.delivery.channel import Channel
from src.gateway.delivery.frame import Form, deflated, deflated_after_last, plain
from src.gateway.delivery.hub import Hub
from src.gateway.delivery.outbox import Outbox
from src.gateway.delivery.pong_clock import NOT_QUICK_INTERVAL_S, PONG_BYTES, PONG_HEADER, PongClock, pong_number
from src.gateway.delivery.viewer_protocol import FULL_WINDOW, ViewerDeflate, ViewerProtocol
from src.gateway.refusals import NO_STREAM, TOO_MANY_SHAPES, Refusal

STREAM_PATH: Final = "/ws/stream"
ENDING: Final = (CLOSING, CLOSED)
TCP_NOTSENT_LOWAT: Final = 25  # linux/tcp.h; Python 3.11 has no name for it
# How much the kernel may hold unsent. Its default is megabytes, which is seconds of old frames. Measured with viewers
# that read 20 KB/s: without this frames are 10 s old on arrival; with it 0.3 s older than their own transfer time.
UNSENT_BYTES: Final = 1024
PONG_NUMBER_BYTES: Final = 4
# Changes of shape that a viewer may make in a second: each may prepare a payload for it alone. Of further messages the
# newest waits for the next check of the hub.
MAX_CHANGES: Final = 10


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """Limits on one viewer.

    Attributes:
        stall_limit_s: a viewer that takes no byte for this long is closed.
        ping_interval_s: the longest time between two pings of a viewer.
        pong_timeout_s: a viewer that does not answer a ping for this long is closed.
        max_incoming_bytes: largest message that a viewer may send.
        max_incoming_rate: frames of any kind that a viewer may send in a second.
    """

    stall_limit_s: float = 30.0
    ping_interval_s: float = 8.0
    pong_timeout_s: float = 30.0
    max_incoming_bytes: int = 4096
    max_incoming_rate: int = 100


class Channels(Protocol):
    """Chooses what a viewer is sent. A channel that nobody joins is given back by `Hub.release`."""

    def of_query(self, query: str) -> Channel | Refusal:
        """The channel for the query of a handshake."""

    def since(self, query: str, channel: Channel) -> int:
        """The number of the frame that the viewer of this handshake had last, on a connection before; 0 for none."""

    def of_message(self, text: bytes, channel: Channel) -> Channel | Refusal | None:
        """The channel for a text message of a viewer of `channel`; None where the message asks for no other."""


class StreamPeer(asyncio.Protocol):
    """One viewer, from its upgrade to its end."""

    __slots__ = (
        "_abort_at_s",
        "_admission",
        "_admission_control",
        "_changes_left",
        "_channels",
        "_clock",
        "_counted_from_s",
        "_held",
        "_hub",
        "_limits",
        "_message",
        "_outbox",
        "_send",
        "_socket",
        "_transport",
        "_unsent_bytes",
        "_waiting",
        "_websocket",
        "form",
        "pongs",
        "send",
    )

    def __init__(
        self,
        hub: Hub,
        limits: PeerLimits,
        clock: Callable[[], float] = time.monotonic,
        admission_control: AdmissionControl | None = None,
        channels: Channels | None = None,
    ) -> None:
        """
        Args:
            hub: joined when the handshake is done.
            limits: see there.
            clock: monotonic seconds.
            admission_control: decides about the handshake; by default that of the default settings.
            channels: by default there is only the hub's own.
        """
        self.form: Form = plain
        self.pongs = PongClock(limits.ping_interval_s, random.uniform(NOT_QUICK_INTERVAL_S, limits.ping_interval_s))
        self.send: Callable[[bytes], int] = _send_nothing
        self._hub = hub
        self._limits = limits
        self._admission_control = admission_control or AdmissionControl()
        self._admission: Admission | None = None
        self._held: list[bytes] | None = None  # read before the decision; at most one read
        self._channels = channels
        self._changes_left = MAX_CHANGES
        self._waiting: bytes | None = None  # a message beyond `MAX_CHANGES`, the newest
        self._message: bytes | None = None  # the text of an unfinished message, at most `max_incoming_bytes`
        self._clock = clock
        self._outbox = Outbox()
        self._unsent_bytes = 0
        self._counted_from_s = float("-inf")
        self._abort_at_s: float | None = None
        self._websocket = ViewerProtocol(limits.max_incoming_bytes)

    # -- called by the hub -----------------------------------------------------------------------------------------

    def send_rest(self, wire: bytes, taken: int) -> None:
        self._transport.write(memoryview(wire)[taken:])

    def _send_one(self, wire: bytes) -> int:
        """Send a frame and a ping in one piece, and take no other frame before the pong."""
        self._outbox.pause(self._hub.blocked(self), self._clock())
        both = wire + self._next_ping()
        try:
            taken = self._send(both)
        except OSError:  # full or lost: the transport finds out which
            taken = 0
        if taken < len(both):
            self.send_rest(both, taken)
        return len(wire)

    def _ping(self) -> None:
        self._transport.write(self._next_ping())

    def _next_ping(self) -> bytes:
        self._websocket.owes_pong = True
        return self.pongs.ping(self._clock())

    def close(self, close_code: CloseCode) -> None:
        if self._abort_at_s is not None:
            return
        self._websocket.send_close(close_code.code, close_code.reason)
        self._flush()

    def move(self, channel: Channel, *, has_newest: bool = False) -> None:
        if not self._outbox.ready:
            self._outbox.restart()
        self._hub.move(self, channel, ready=self._outbox.ready, has_newest=has_newest)

    def check(self, now_s: float) -> None:
        if self._waiting is not None:
            message, self._waiting = self._waiting, None
            self._change(message)
        if self._abort_at_s is not None:
            if now_s >= self._abort_at_s:
                self._transport.abort()
        elif self._admission is not None and (over := self._admission.over()) is not None:
            self.close(over)
        elif not self._outbox.ready and self._transport.get_write_buffer_size():
            self._check_stall(now_s)
        elif self.pongs.waits:
            self._check_pong(now_s)
        elif self.pongs.is_due(now_s):
            self._ping()

    def _check_stall(self, now_s: float) -> None:
        """A viewer stalls when no byte leaves: one large frame over a slow line is no stall."""
        before, self._unsent_bytes = self._unsent_bytes, self._transport.get_write_buffer_size()
        if self._unsent_bytes < before:
            self._outbox.progressed(now_s)
        elif self._outbox.stalled_s(now_s) >= self._limits.stall_limit_s:
            self.close(STALLED)

    def _check_pong(self, now_s: float) -> None:
        if self.pongs.waited_s(now_s) > self._limits.pong_timeout_s:
            self.close(NOT_RESPONDING)
        else:
            self.pongs.check(now_s, self._hub.loop_lag.newest_s)
            self._heed_pongs()

    # -- called by the event loop ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_protocol(self)  # uvicorn does so only after the first frame, whose pause would be missed
        self._transport.set_write_buffer_limits(high=0)  # ready means: nothing unsent
        self._socket = socket.socket(fileno=transport.get_extra_info("socket").fileno())
        self._socket.setblocking(False)
        self._send = transport.get_extra_info("send", self._socket.send)  # a transport that encrypts has its own
        if sys.platform == "linux":
            self._socket.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def data_received(self, data: bytes) -> None:
        if self._websocket.frames_left < 0:
            return  # its close frame has been sent
        if self._held is not None:
            self._held.append(data)
            return
        now_s = self._clock()
        if now_s - self._counted_from_s >= 1.0:
            self._counted_from_s = now_s
            self._websocket.frames_left = self._limits.max_incoming_rate
            self._changes_left = MAX_CHANGES
        if len(data) == PONG_BYTES and data.startswith(PONG_HEADER) and self._websocket.between_frames:
            number = pong_number(data)  # read here, without the protocol core: most of what viewers send is this
            if self.pongs.awaits(number):
                self._websocket.owes_pong = False
                self._answered()
                return
        self._websocket.receive_data(data)
        for event in self._websocket.events_received():
            if isinstance(event, Request):
                self._decide(event)
            elif isinstance(event, IncomingFrame):
                self.receive(event)
        if self._websocket.frames_left < 0:
            self.close(TOO_MANY_MESSAGES)
        self._flush()

    def eof_received(self) -> None:
        self._websocket.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._hub.peers and self._websocket.own_close_code is None:
            self._hub.left[left_code(self._websocket.viewer_close_code)] += 1
        self._hub.leave(self)
        if self._admission is not None:
            self._admission.release()
        self.send = _send_nothing
        self._socket.detach()  # the descriptor is the transport's, and it closes that after this call
        self._abort_at_s = float("-inf")
        self._websocket.forget()

    def pause_writing(self) -> None:
        self._unsent_bytes = self._transport.get_write_buffer_size()
        self._outbox.pause(self._hub.blocked(self), self._clock())
        self._transport.pause_reading()  # else the answers to its pings would pile up

    def resume_writing(self) -> None:
        self._transport.resume_reading()
        self._resume()

    def _resume(self) -> None:
        """Take frames again, if all bytes have left and the pong that the next frame waits for is here."""
        if self._outbox.ready or self._transport.get_write_buffer_size():
            return
        if self.pongs.one_at_a_time and self.pongs.waits:
            return
        missed = self._outbox.resume(self._hub.newest_for(self))
        self._hub.skipped += missed.skipped
        if self._abort_at_s is None and self in self._hub.peers:
            self.send = self._wanted_send
            self._hub.ready(self, missed.frame, missed.last)

    @property
    def _wanted_send(self) -> Callable[[bytes], int]:
        return self._send_one if self.pongs.one_at_a_time else self._send

    def _answered(self) -> None:
        """The pong that the viewer owes."""
        if self._abort_at_s is not None or self not in self._hub.peers:
            return
        now_s = self._clock()
        if self.pongs.pong(now_s, self._hub.loop_lag.newest_s):
            self._ping()
        elif not self.pongs.waits and self.pongs.round_trip_s is not None:
            self._hub.counters.viewer_age.observe(self.pongs.round_trip_s)
        self._heed_pongs()

    def _heed_pongs(self) -> None:
        """Wait for a pong before the next frame, or no longer, as the pongs say."""
        if self._outbox.ready and self.send != self._wanted_send:
            self._outbox.pause(self._hub.blocked(self), self._clock())
        self._resume()

    def receive(self, frame: IncomingFrame) -> None:
        """A frame of the viewer: a pong, part of a message that asks for another shape, or dropped."""
        if frame.opcode is Opcode.PONG:
            if len(frame.data) == PONG_NUMBER_BYTES and self.pongs.awaits(int.from_bytes(frame.data)):
                self._answered()
            return
        if frame.opcode is Opcode.TEXT:
            self._message = bytes(frame.data)
        elif frame.opcode is Opcode.CONT and self._message is not None:
            self._message += frame.data
        else:
            return  # binary messages and control frames
        if frame.fin:
            message, self._message = self._message, None
            if self._changes_left > 0 and self._waiting is None:
                self._change(message)
            else:
                self._waiting = message

    def _change(self, message: bytes) -> None:
        """The next frame is that of the channel which the message asks for; any other message is dropped."""
        now_on = self._hub.peers.get(self)
        if self._channels is None or self._abort_at_s is not None or now_on is None:
            return
        channel = self._channels.of_message(message, now_on)
        if channel is not None:
            self._changes_left -= 1
        if isinstance(channel, Refusal):
            close_code = WRONG_SUBSCRIBE if channel.retry_after_s is None else NO_SHAPE_LEFT
            self.close(close_code if channel is TOO_MANY_SHAPES else close_code._replace(reason=channel.detail))
        elif channel is not None and channel is not now_on:
            self.move(channel)

    # -- the handshake ---------------------------------------------------------------------------------------------

    def _decide(self, request: Request) -> None:
        path, _, query = request.path.partition("?")
        if path != STREAM_PATH:
            self._websocket.send_response(refused(self._admission_control.count(NO_STREAM)))
            return
        address, *_ = self._transport.get_extra_info("peername") or ("",)
        client_request = ClientRequest(address, query, request.headers.get_all)
        decision = self._admission_control.admit(client_request, lambda: self._decide_again(request, client_request))
        if decision is None:
            self._held = []
            self._transport.pause_reading()
        else:
            self._respond(decision, request, client_request)

    def _decide_again(self, request: Request, client_request: ClientRequest) -> None:
        """The keys have been fetched."""
        if self._transport.is_closing():
            return
        self._respond(self._admission_control.admit_again(client_request), request, client_request)
        self._flush()
        self._transport.resume_reading()
        held, self._held = self._held or [], None
        for piece in held:
            self.data_received(piece)

    def _respond(self, decision: Admission | Refusal, request: Request, client_request: ClientRequest) -> None:
        if isinstance(decision, Refusal):
            if decision.close_code is None:
                self._websocket.send_response(refused(decision))
            elif self._accept(request, answered_subprotocol(subprotocols(client_request))):
                self.close(decision.close_code)
                asyncio.get_running_loop().call_later(CLOSE_HANDSHAKE_TIMEOUT_S, self._transport.abort)
            return
        channel = self._channel(client_request.query)
        if isinstance(channel, Refusal):
            decision.release()
            self._websocket.send_response(refused(self._admission_control.count(channel)))
            return
        self._admission = decision
        if self._accept(request, decision.subprotocol):
            self.form = _form_for(self._websocket.extensions)
            self.send = self._send_one
            self._hub.join(self, channel, self._since(client_request.query, channel))
        else:
            self._hub.release(channel)

    def _accept(self, request: Request, subprotocol: str | None) -> bool:
        """Answer the handshake; whether it was one, so that the WebSocket is open."""
        self._websocket.answered_subprotocol = cast(Subprotocol | None, subprotocol)
        response = self._websocket.accept(request)
        self._websocket.send_response(response)
        if response.status_code != 101:
            return False
        self._flush()
        return True

    def _channel(self, query: str) -> Channel | Refusal:
        return self._hub.channel if self._channels is None else self._channels.of_query(query)

    def _since(self, query: str, channel: Channel) -> int:
        return 0 if self._channels is None else self._channels.since(query, channel)

    def _flush(self) -> None:
        """Write what the protocol core has produced; an empty piece means: end the connection."""
        if self._websocket.state in ENDING and self._abort_at_s is None:
            self._abort_at_s = self._clock() + CLOSE_HANDSHAKE_TIMEOUT_S
            self._hub.blocked(self)  # no frame follows a close frame
            if (close_code := self._websocket.own_close_code) is not None:
                self._hub.closed[close_code] += 1
        for piece in self._websocket.data_to_send():
            if piece:
                self._transport.write(piece)
            else:
                self._transport.close()


def _form_for(extensions: Sequence[Extension]) -> Form:
    """The shared compressed frame where the viewer can inflate it; plain frames for a smaller window."""
    for extension in extensions:
        if isinstance(extension, ViewerDeflate) and extension.local_max_window_bits == FULL_WINDOW:
            return deflated_after_last if extension.takes_over else deflated
    return plain


def _send_nothing(_wire: bytes) -> int:
    raise ConnectionError("not open")


def refused(refusal: Refusal) -> Response:
    """The HTTP response of a refused handshake: short JSON, like the HTTP routes."""
    body = msgspec.json.encode({"detail": refusal.detail})
    headers = Headers()
    headers["Content-Type"] = "application/json"
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    headers.update(refusal.headers)
    return Response(refusal.status, HTTPStatus(refusal.status).phrase, headers, body)


def peer_factory(
    hub: Hub,
    limits: PeerLimits,
    admission_control: AdmissionControl | None = None,
    channels: Channels | None = None,
) -> Callable[..., StreamPeer]:
    """Makes the protocol of each socket that is upgraded; uvicorn calls it with its own configuration and state."""
    admission_control = admission_control or AdmissionControl()

    def make_peer(**_of_uvicorn: Any) -> StreamPeer:
        return StreamPeer(hub, limits, admission_control=admission_control, channels=channels)

    return make_peer
