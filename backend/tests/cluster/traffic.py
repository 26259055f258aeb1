"""Core, a plain subscriber beside the gateways, and viewers: each remembers when it had which number."""

import asyncio
import contextlib
import itertools
import json
import random
import time
from typing import Final

import nats
from nats.aio.msg import Msg
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from spymaster_client import stream
from src.common.bus import BusError, NATSBus
from src.common.connection import PING_INTERVAL_S, UNANSWERED_PINGS, StrictClient
from src.common.tasks import end
from tests.cluster.messages import SECTIONS, SUBJECTS, Replicas, body_of, number_in, read

RATE_HZ: Final = 4.0
REDIAL_S: Final = 0.1
LONGEST_REDIAL_S: Final = 0.4
OPEN_LIMIT_S: Final = 2.0  # an attempt that reaches a process that hangs is given up after this

_numbers = itertools.count(1)


class Times:
    """When a number came, by subject.

    Attributes:
        seen: pairs of the monotonic second and the number, in the order in which they came.
    """

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[float, int]]] = {subject: [] for subject in SUBJECTS}

    def note(self, subject: str, number: int) -> None:
        self.seen[subject].append((time.monotonic(), number))

    def gap_s(self, subject: str, begin_s: float, end_s: float) -> float:
        """The longest time without a newer number in this span."""
        at_s, newest = begin_s, 0
        longest_s = 0.0
        for seen_s, number in self.seen[subject]:
            if number <= newest:
                continue
            newest = number
            if begin_s <= seen_s <= end_s:
                longest_s = max(longest_s, seen_s - at_s)
                at_s = seen_s
        return max(longest_s, end_s - at_s)

    def first_s(self, subject: str, after_s: float) -> float:
        """When the first number after this time came."""
        return next(seen_s for seen_s, _ in self.seen[subject] if seen_s > after_s)

    def delays_s(self, sent: "Times", begin_s: float) -> list[float]:
        """How long after they were sent the numbers came, of those that were sent after `begin_s`."""
        begun = {number: sent_s for seen in sent.seen.values() for sent_s, number in seen if sent_s > begin_s}
        return [seen_s - begun[number] for seen in self.seen.values() for seen_s, number in seen if number in begun]

    def steps_back(self) -> int:
        """How often a number came after a higher one."""
        return sum(
            number < before for seen in self.seen.values() for (_, before), (_, number) in itertools.pairwise(seen)
        )

    def newest(self) -> dict[str, int]:
        """By subject, the number that came last."""
        return {subject: seen[-1][1] if seen else 0 for subject, seen in self.seen.items()}


class Core:
    """Publishes as Core does: some times a second on each subject, each waiting until its stream has it.

    Attributes:
        rate_hz: how often; may be set.
        sent: when it had a message for NATS, which is before it is stored.
    """

    def __init__(self, url: str) -> None:
        self.rate_hz = RATE_HZ
        self.bus = NATSBus(url, name="core")
        self.sent = Times()
        self._publishing: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self.bus.connect()
        self._publishing = [asyncio.create_task(self._publish_on(subject)) for subject in SUBJECTS]

    @property
    def server(self) -> str:
        """The server that it uses."""
        assert self.bus.server is not None, "Core is connected"
        return self.bus.server

    async def close(self) -> None:
        for task in self._publishing:
            await end(task)
        await self.bus.close()

    async def _publish_on(self, subject: str) -> None:
        while True:
            number = next(_numbers)
            body = body_of(subject, number)
            self.sent.note(subject, number)
            with contextlib.suppress(BusError):
                await self.bus.publish(subject, body)
            await asyncio.sleep(1 / self.rate_hz)


class PlainSubscriber:
    """Somebody who listens to the subjects without JetStream, and leaves a server that hangs as the gateway does.

    Attributes:
        got: when it had which message.
    """

    def __init__(self, url: str) -> None:
        self.got = Times()
        self._servers = url.split(",")
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._listening = asyncio.create_task(self._listen())

    async def close(self) -> None:
        await end(self._listening)

    async def _listen(self) -> None:
        """The library's own reconnect leaves sockets open, so each connection is a client of its own."""
        while True:
            client = StrictClient()
            try:
                await client.connect(
                    self._servers,
                    error_cb=_ignore,
                    allow_reconnect=False,
                    connect_timeout=1,
                    ping_interval=PING_INTERVAL_S,  # type: ignore[arg-type]
                    max_outstanding_pings=UNANSWERED_PINGS,
                )
                for subject in SUBJECTS:
                    await client.subscribe(subject, cb=self._on_message)
                await client.ended.wait()
            except (nats.errors.Error, OSError, TimeoutError):
                await asyncio.sleep(REDIAL_S)
            finally:
                with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
                    await client.close()

    async def _on_message(self, message: Msg) -> None:
        self.got.note(message.subject, number_in(message.subject, json.loads(message.data)))


class Viewer:
    """A viewer that knows only the contract, and comes back whenever it has lost its gateway.

    Attributes:
        url: of its gateway, or of what is before the gateways.
        shown: when it was shown which message, over all its connections.
        told_s: when section `status` began to say that not all is live.
        connections: how many it had.
        refused: attempts to connect that failed.
        longest_absence_s: the longest time between two connections.
    """

    def __init__(self, url: str, replicas: Replicas | None = None) -> None:
        """
        Args:
            url: see above. With `status=1` it asks for section `status`.
            replicas: compares what it is shown, where the URL is that of a gateway.
        """
        self.url = url
        self.shown = Times()
        self.told_s: list[float] = []
        self.connections = 0
        self.refused = 0
        self.longest_absence_s = 0.0
        self._replicas = replicas
        self._last: dict[str, int] = dict.fromkeys(SUBJECTS, 0)
        self._was_live = True
        self._viewing: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._viewing = asyncio.create_task(self._view())

    async def close(self) -> None:
        await end(self._viewing)

    def told_after_s(self, begin_s: float) -> float | None:
        """How old the newest message was when it was first told after `begin_s` that not all is live."""
        told_s = next((told_s for told_s in self.told_s if told_s > begin_s), None)
        if told_s is None:
            return None
        return told_s - max(seen_s for seen in self.shown.seen.values() for seen_s, _ in seen if seen_s <= told_s)

    async def _view(self) -> None:
        left_s, pause_s = time.monotonic(), REDIAL_S
        while True:
            try:
                websocket = await connect(self.url, max_size=None, open_timeout=OPEN_LIMIT_S, close_timeout=1)
            except (OSError, TimeoutError, WebSocketException):
                self.refused += 1
                pause_s = min(2 * pause_s, LONGEST_REDIAL_S)
            else:
                self.longest_absence_s = max(self.longest_absence_s, time.monotonic() - left_s)
                self.connections += 1
                async with websocket:
                    with contextlib.suppress(ConnectionClosed):
                        async for frame in websocket:
                            self._note(str(frame))
                left_s, pause_s = time.monotonic(), REDIAL_S
            await asyncio.sleep(random.uniform(REDIAL_S, pause_s))

    def _note(self, frame: str) -> None:
        """A payload repeats the section that did not change."""
        shown = read(frame)
        if shown.is_live is not None:
            if self._was_live and not shown.is_live:
                self.told_s.append(time.monotonic())
            self._was_live = shown.is_live
        if shown.numbers == self._last:
            return
        if self._replicas is not None:
            self._replicas.note(self.url.partition("?")[0], shown)
        for subject, number in shown.numbers.items():
            if number != self._last[subject]:
                self._last[subject] = number
                self.shown.note(subject, number)


class Client:
    """A viewer with the Python client, as its users have it.

    Attributes:
        shown: when it was shown which message, over all its connections.
    """

    def __init__(self, url: str) -> None:
        self.shown = Times()
        self._stream = stream(url)
        self._viewing: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._viewing = asyncio.create_task(self._view())

    async def close(self) -> None:
        await end(self._viewing)

    @property
    def has_reconnected(self) -> bool:
        return self._stream.state().last_disconnect is not None

    async def _view(self) -> None:
        last = dict.fromkeys(SUBJECTS, 0)
        async with self._stream as states:
            async for state in states:
                for subject, names in SECTIONS.items():
                    number = number_in(subject, state.payload.get(names[0]))
                    if number != last[subject]:
                        last[subject] = number
                        self.shown.note(subject, number)


async def _ignore(_error: Exception) -> None:
    return
