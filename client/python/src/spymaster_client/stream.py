"""One stream: a connection that reconnects by itself, the newest payload, and its freshness.

A task of its own receives and parses every frame, so no frame waits in the socket: a slow reader gets the newest state
at its next step, and never a queue of old ones. The task keeps one payload.
"""

import asyncio
import contextlib
import json
import random
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Literal, NoReturn, Self, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from spymaster_client.contract import Event, Events, Payload, Status
from spymaster_client.disconnect import LONGEST_PAUSE_S, LOST, Disconnect, disconnect_of, pause_s
from spymaster_client.events_told import EventsTold, is_events
from spymaster_client.freshness import Cadence, FrameRate, Freshness
from spymaster_client.line import Line
from spymaster_client.past import events
from spymaster_client.request import RequestError, Token, headers_of, uri_of
from spymaster_client.shape import WHOLE, Shape, same_content, subscribe_message, with_shape
from spymaster_client.status import (
    JUDGED_BY,
    VERDICTS,
    age_of,
    is_behind,
    is_heartbeat,
    is_past,
    is_status,
    news_of,
    verdict_of,
)
from spymaster_client.tasks import end

ConnectionState = Literal["connecting", "live", "late", "stale", "replay", "market_closed", "closed"]

OPEN_LIMIT_S: Final = 10.0
CLOSE_HANDSHAKE_TIMEOUT_S: Final = 1.0
# A dead line that says nothing is noticed within the sum of both; sooner where the gateway sends heartbeats.
PING_EVERY_S = PONG_LIMIT_S = 5.0
LAST_LOOK_S: Final = 0.25  # into the socket, before a line is called dead: this program may have been busy
LOOK_EVERY_S: Final = 0.25  # live turns into late without any news
# The gateway accepts messages of 8 MiB of each subject (GATEWAY_MAX_MESSAGE) and merges them.
MAX_FRAME_BYTES: Final = 64 << 20
UNAUTHORIZED: Final = 401
SECTIONS: Final = ("flow", "levels", "viewport")
BEHIND_LIMIT_S: Final = 3.0  # one that has just found NATS again catches up in a second or two
MOST_ASKED: Final = 8  # for events that a gateway has not read back to yet
BEHIND_IN_A_ROW: Final = 3  # connections; then the stream itself is another one, and nobody has anything newer


@dataclass(frozen=True, slots=True)
class State:
    """The stream at one moment.

    Attributes:
        connection: `connecting`: no frame on this connection yet, or only older ones than `payload`. `closed`: for
            good. The others are the gateway's verdict on the levels, or on the flow where there are none. `live`: all
            that is asked for arrives at its usual pace. `late`: they are due, or a part is dead. `stale`: too old to
            trade on. `replay`: Core publishes a recorded day, or the past was asked for, and `status["cause"]` is
            `past`. `market_closed`: nothing new comes until it opens. Where the gateway sends no `status`, the client
            judges by the levels (the flow, where there are none): `live`, `late` or `stale`, and `late` also when they
            are only the last known state, as in the first frame of a connection.
        payload: the newest, also while connecting; empty before the first. A section that did not change is the same
            object as before. Do not change it: it is what the next frame is compared with.
        status: the gateway's newest word on how fresh that is, and why: as `payload["status"]`, but None while
            connecting.
        freshness: ages, on this machine's clock.
        invalid_frames: how many frames were left out because they hold no payload.
        last_disconnect: why the last connection ended; None while none has.
        events: where they are asked for, what happened since the state before it in the iteration, by the last
            occurrence; some may be older than those of the state before. An event comes again, by its `id`, when it
            counts one more. Those of `Stream.state()` are empty.
        events_complete: False where some were missed that the gateway has no longer, or does not tell; or that were
            not read in time.
    """

    connection: ConnectionState
    payload: Payload
    status: Status | None
    freshness: Freshness
    invalid_frames: int
    last_disconnect: Disconnect | None
    events: tuple[Event, ...] = ()
    events_complete: bool = True


def stream(
    url: str,
    token: Token | None = None,
    *,
    ssl: ssl.SSLContext | None = None,
    shape: Shape = WHOLE,
    status: bool = True,
    events: bool = False,
) -> "Stream":
    """The states of the gateway at `url`: each time something new came, and each time `connection` changed.

    `async for state in stream(url)` connects, and leaves when the loop is left. `async with stream(url) as states`
    leaves at a known moment, and lets a single `await anext(states)` be cancelled without losing anything. Either way
    the iteration ends by itself only after a state that is `closed`.

    Args:
        url: such as `ws://localhost:8000/ws/stream`, or `wss://…`.
        token: goes into the header `Authorization: Bearer …`; a function, plain or async, is asked before each attempt,
            as tokens expire.
        ssl: for `wss://` with certificates that the system does not know.
        shape: what to ask for; by default everything. `Stream.change` asks for another one.
        status: whether to ask for the section `status`, and judge by it. A gateway that does not know it sends none.
        events: whether to ask for what happens: each event is in one state, however many states are skipped.

    Raises:
        ValueError: `url` is not the address of a WebSocket.
    """
    return Stream(url, token, ssl=ssl, shape=shape, status=status, events=events)


class Stream:
    """See `stream`. For one reader; `state()` may be called at any time besides."""

    def __init__(
        self,
        url: str,
        token: Token | None = None,
        *,
        ssl: ssl.SSLContext | None = None,
        shape: Shape = WHOLE,
        status: bool = True,
        events: bool = False,
    ) -> None:
        self._url, self._token = url, token
        self._shape, self._wants_status, self._wants_events = shape, status, events
        self._is_another = False  # the next frame is the first of another shape
        self._ssl_context = ssl
        self._ssl = ssl or True if uri_of(url).secure else None
        self._socket: ClientConnection | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._told: ConnectionState | None = None
        self._connection_has_frame = False  # one that is shown
        self._older: Payload = {}  # of this connection, the newest that is not shown, because it is behind what is
        self._behind_in_a_row = 0  # connections
        self._heartbeat_ms: int | None = None  # of this connection, as its newest frame promises
        self._is_closed = False
        self._payload: Payload = {}
        self._status: Status | None = None  # of this connection
        self._last_status: Status | None = None  # of this connection, or the one before
        self._levels, self._flow, self._rate, self._line = Cadence(), Cadence(), FrameRate(), Line()
        self._told_events = EventsTold()
        self._asking: asyncio.Task[None] | None = None  # for events that frames did not tell
        self._asks_again = False  # a later frame did not tell them either
        self._invalid_frames = 0
        self._last_disconnect: Disconnect | None = None
        self._expect_rate()

    async def __aenter__(self) -> Self:
        self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[State]:
        return self._left_when_dropped() if self._receiving is None else self

    async def __anext__(self) -> State:
        """The next news; may be cancelled.

        Raises:
            StopAsyncIteration: the stream is closed, and a `closed` state has been returned.
        """
        while True:
            state = self.state()
            if self._news.is_set() or state.connection != self._told:
                self._news.clear()
                self._told = state.connection
                events, complete = self._told_events.take()
                return replace(state, events=events, events_complete=complete)
            if self._is_closed:
                raise StopAsyncIteration
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._news.wait()

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, with or without a frame."""
        return self._socket is not None

    def state(self) -> State:
        """What there is right now."""
        for task in (self._receiving, self._asking):
            if task is not None and task.done() and not task.cancelled():
                task.result()  # a bug in it is not taken for silence
        now_s = clock_s()
        freshness = Freshness(self._levels.at(now_s), self._flow.at(now_s), self._rate.at(now_s))
        return State(
            connection=self._connection(freshness),
            payload=self._payload,
            status=self._status,
            freshness=freshness,
            invalid_frames=self._invalid_frames,
            last_disconnect=self._last_disconnect,
        )

    async def change(self, shape: Shape) -> None:
        """Ask for another shape, in place of all that was asked for before. The next frame has it, also reconnected."""
        before, self._shape = self._shape, shape
        self._expect_rate()
        if self._socket is None:
            return  # the next connection asks for it
        self._is_another = self._is_another or not same_content(before, shape)
        await self._send(subscribe_message(shape, status=self._wants_status, events=self._wants_events))

    async def _send(self, message: dict[str, Any]) -> None:
        """Where there is a connection; the next one begins by itself with what counts then."""
        if self._socket is not None:
            with contextlib.suppress(ConnectionClosed):
                await self._socket.send(json.dumps(message))

    def _expect_rate(self) -> None:
        self._levels.least_gap_s = self._flow.least_gap_s = 1 / self._shape.rate if self._shape.rate else 0.0

    async def aclose(self) -> None:
        """Leave for good, within a second or so; idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self._news.set()
        try:
            if self._socket is not None:
                await self._socket.close()
        finally:
            await end(self._receiving)
            await end(self._asking)

    def _open(self) -> None:
        assert self._receiving is None, "a stream is opened once"
        if not self._is_closed:
            self._receiving = asyncio.create_task(self._keep_connected(), name=f"stream {self._url}")

    async def _left_when_dropped(self) -> AsyncIterator[State]:
        """A generator, because the event loop closes those that a loop was left from."""
        async with self:
            async for state in self:
                yield state

    def _connection(self, freshness: Freshness) -> ConnectionState:
        if self._is_closed:
            return "closed"
        if self._status is not None:
            known = {"levels": freshness.levels, "flow": freshness.flow}
            ages = {name: section.age for name, section in known.items() if section is not None}
            return verdict_of(ages, self._shape.sections, self._status["cause"])
        section = freshness.levels or freshness.flow
        return VERDICTS[section.age] if self._connection_has_frame and section else "connecting"

    # -- connections -----------------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        failures = 0
        while True:
            began_s = clock_s()
            disconnect = await self._one_connection()
            if self._is_closed:
                return
            held = self._connection_has_frame  # an attempt that only took long did not
            self._end_connection(disconnect)
            if not disconnect.reconnect:
                return
            failures = 0 if held and clock_s() - began_s > LONGEST_PAUSE_S else failures
            await asyncio.sleep(pause_s(failures, disconnect, random.random()))
            failures += 1

    def _end_connection(self, disconnect: Disconnect) -> None:
        self._connection_has_frame = False
        self._older = {}
        self._heartbeat_ms = None
        self._status = None
        self._levels.interrupt()
        self._flow.interrupt()
        self._is_closed = not disconnect.reconnect
        self._last_disconnect = disconnect
        self._news.set()

    async def _one_connection(self) -> Disconnect:
        """From the attempt to the end."""
        self._rate.begin(clock_s())
        try:
            headers = await headers_of(self._token)
        except Exception as error:  # noqa: BLE001 - the caller's function may raise anything, and may succeed next time
            return Disconnect(LOST, f"no token: {error}", True)
        shape, self._is_another = self._shape, False
        try:
            async with connect(
                self._address(shape),
                additional_headers=headers,
                ssl=self._ssl,
                proxy=None,
                max_size=MAX_FRAME_BYTES,
                open_timeout=OPEN_LIMIT_S,
                close_timeout=CLOSE_HANDSHAKE_TIMEOUT_S,
                ping_interval=PING_EVERY_S,
                ping_timeout=PONG_LIMIT_S,
            ) as self._socket:
                await self._begin()
                if self._shape != shape:
                    await self.change(self._shape)  # changed while it connected
                await self._receive(self._socket)
        except _Left as left:
            return Disconnect(LOST, str(left), True)
        except (OSError, TimeoutError, WebSocketException) as error:
            disconnect = disconnect_of(error)
            if disconnect.code == UNAUTHORIZED and callable(self._token):
                return disconnect._replace(reconnect=True)  # the next token may be a better one
            return disconnect
        finally:
            self._socket = None

    def _address(self, shape: Shape) -> str:
        return with_shape(
            self._url,
            shape,
            status=self._wants_status,
            last=self._last_status,
            events=self._wants_events,
            cursor=self._told_events.cursor,
            further=self._further(),
        )

    def _further(self) -> Mapping[str, object]:
        """Parameters of the next connection beside those of every stream."""
        return {}

    async def _begin(self) -> None:
        """Say what a connection begins with."""

    async def _receive(self, socket: ClientConnection) -> NoReturn:
        """Until the connection ends.

        Raises:
            ConnectionClosed: it has.
            _Left: the gateway has promised heartbeats, and none came; or all that it sends is older than what is shown.
        """
        self._line.begin(clock_s())
        try:
            async with asyncio.timeout(None) as lag:
                while True:
                    frame = await self._heard(socket)
                    self._line.add(clock_s())
                    self._take(frame, clock_s())
                    self._limit(lag)
                    # The heartbeats tell. A pong comes behind a long frame, and late on a slow line.
                    socket.ping_timeout = PONG_LIMIT_S if self._heartbeat_ms is None else None
        except TimeoutError:
            self._behind_in_a_row += 1
            raise _Left("the gateway is behind what was shown; trying another") from None
        except asyncio.CancelledError:
            await socket.close()  # left to itself, the library takes leave with 1011, an error
            raise

    async def _heard(self, socket: ClientConnection) -> str | bytes:
        if self._heartbeat_ms is None:
            return await socket.recv()
        limit_s = self._line.silence_limit_s(self._heartbeat_ms)
        for wait_s in (limit_s, LAST_LOOK_S):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    return await socket.recv()
        socket.transport.abort()  # a dead line answers no close frame
        raise _Left(f"the gateway said nothing for {limit_s:.1f} s")

    def _limit(self, lag: asyncio.Timeout) -> None:
        """From the first frame of a connection that is not shown to the first one that is."""
        if self._connection_has_frame:
            lag.reschedule(None)
        elif self._older and lag.when() is None:
            lag.reschedule(asyncio.get_running_loop().time() + BEHIND_LIMIT_S)

    # -- frames ----------------------------------------------------------------------------------------------------

    def _take(self, frame: str | bytes, now_s: float) -> None:
        try:
            payload = read_payload(frame, self._payload)
        except ValueError:
            self._invalid_frames += 1
            return
        events = payload.pop("events", None)
        if is_past(payload.get("status")):
            self._told_events.pass_by()
        self._take_payload(payload, now_s)
        if events is not None:
            self._hear(events)

    def _take_payload(self, payload: Payload, now_s: float) -> None:
        before = self._payload
        status = payload.get("status")
        self._heartbeat_ms = None if status is None else status["heartbeat_ms"]
        if status is not None and is_heartbeat(payload, status, self._older.get("status")):
            payload = {**self._older, "status": status}
        if self._is_older(status):
            self._older = payload
            return
        self._older, self._behind_in_a_row = {}, 0
        if is_past(status) != is_past(before.get("status")):
            self._levels, self._flow = Cadence(), Cadence()  # the pace of a replay is none of Core's
            self._expect_rate()
            self._is_another = True
        if status is not None and is_heartbeat(payload, status, before.get("status")):
            self._payload = {**before, "status": status}
            if self._status is None or news_of(status) != news_of(self._status):
                self._news.set()
            self._connection_has_frame = True
        else:
            self._payload = payload
            self._take_state(before, now_s)
            self._news.set()
        self._take_status(status, now_s)

    def _is_older(self, status: Status | None) -> bool:
        """Whether a lagging gateway sent it: it is older than what the connection before showed."""
        if self._connection_has_frame or self._behind_in_a_row == BEHIND_IN_A_ROW or is_past(status):
            return False
        asks = self._shape.sections is None or any(name in JUDGED_BY for name in self._shape.sections)
        # Of other sections a status says nothing.
        return asks and status is not None and self._last_status is not None and is_behind(status, self._last_status)

    def _take_state(self, before: Payload, now_s: float) -> None:
        self._rate.add(now_s)
        first = self._is_another or not self._connection_has_frame
        self._is_another = False
        self._connection_has_frame = True
        if any(self._payload.get(name) is not before.get(name) for name in ("levels", "viewport")):
            self._levels.add(now_s, first=first)
        if self._payload.get("flow") is not before.get("flow"):
            self._flow.add(now_s, first=first)

    def _take_status(self, status: Status | None, now_s: float) -> None:
        self._status = status
        self._last_status = status or self._last_status
        for cadence, section in (
            (self._levels, status and status.get("levels")),
            (self._flow, status and status.get("flow")),
        ):
            if status is None:
                cadence.untell()
            elif section is None:
                cadence.forget()
            else:
                cadence.tell(now_s, age_of(section), section["age_ms"] / 1000, status["heartbeat_ms"] / 1000)

    # -- events ----------------------------------------------------------------------------------------------------

    def _hear(self, events: Events) -> None:
        is_missing = self._told_events.reach(events["cursor"], complete=events["complete"])
        if self._told_events.add(events["events"]):
            self._news.set()
        if not is_missing:
            return
        self._asks_again = True
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_for_missing(), name=f"events {self._url}")

    async def _ask_for_missing(self) -> None:
        """Until the gateway has the events that frames did not tell, or will not have them."""
        failures = 0
        while (since := self._told_events.missing_since) is not None:
            self._asks_again = False
            try:
                told = await events(self._url, self._token, ssl=self._ssl_context, since=since)
                disconnect = Disconnect(LOST, "not complete", failures < MOST_ASKED)
                is_complete = self._take_answer(told)
            except RequestError as error:
                disconnect, is_complete = error.disconnect, False
            if is_complete or not disconnect.reconnect:
                if not is_complete:
                    self._told_events.lose()
                    self._news.set()
                if not self._asks_again:
                    self._told_events.missing_since = None
                failures = 0
            else:
                await asyncio.sleep(pause_s(failures, disconnect, random.random()))
                failures += 1

    def _take_answer(self, told: Any) -> bool:
        """Whether none is missing; another gateway may have answered, which has read less.

        Raises:
            RequestError: it is no answer of a gateway.
        """
        if not is_events(told):
            raise RequestError(Disconnect(LOST, "no events", False))
        if self._told_events.add(told["events"]):
            self._news.set()
        return bool(told["complete"]) and self._told_events.reaches(told["cursor"])


def read_payload(frame: str | bytes, before: Payload) -> Payload:
    """The payload of a frame, in which a section that equals the one in `before` is that very object.

    Raises:
        ValueError: the frame holds no payload.
    """
    try:
        payload = json.loads(frame, parse_constant=_refuse) if isinstance(frame, str) else None
    except RecursionError:
        raise ValueError("the frame is nested too deep") from None
    if not isinstance(payload, dict) or not all(isinstance(payload.get(name, {}), dict) for name in SECTIONS):
        raise ValueError("the frame is no payload")
    if "levels" in payload and not isinstance(payload["levels"].get("levels"), list):
        raise ValueError("the frame's levels are no list")
    if "status" in payload and not is_status(payload["status"]):
        raise ValueError("the frame's status is none")
    if "events" in payload and not is_events(payload["events"]):
        raise ValueError("the frame's events are none")
    unchanged = {name: before[name] for name in SECTIONS if name in payload and payload[name] == before.get(name)}
    return cast(Payload, payload | unchanged)


class _Left(Exception):
    """This side leaves the connection; says why."""


def clock_s() -> float:
    """Seconds that only go forward, also while the machine sleeps where the system can tell."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", None)  # Linux; the usual clock stands still in a machine that sleeps


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not strict JSON")
