"""Core, a plain subscriber beside the gateways, and viewers: each remembers when it had which number.

A number counts the messages of Core. It stands in both bodies, so whoever has two of them knows which is newer.
"""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Callable
from typing import Any, Final

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from src.common.bus import BusError, NATSBus
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from src.common.tasks import end

RATE_HZ: Final = 4.0
SUBJECTS: Final = (LEVELS_SIGNALS, MARKET_FLOW)
REDIAL_S: Final = 0.1

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

    def steps_back(self) -> int:
        """How often a number came after a higher one."""
        return sum(
            number < before for seen in self.seen.values() for (_, before), (_, number) in itertools.pairwise(seen)
        )

    def newest(self) -> dict[str, int]:
        """By subject, the number that came last."""
        return {subject: seen[-1][1] if seen else 0 for subject, seen in self.seen.items()}


class Core:
    """Publishes as Core does: `RATE_HZ` times a second on each subject, each waiting until its stream has it.

    Attributes:
        sent: when it had a message for NATS, which is before it is stored.
    """

    def __init__(self, url: str) -> None:
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
            self.sent.note(subject, number)
            with contextlib.suppress(BusError):
                await self.bus.publish(subject, _body(subject, number))
            await asyncio.sleep(1 / RATE_HZ)


class PlainSubscriber:
    """Somebody who listens to the subjects, without JetStream, with the library's own reconnect.

    Attributes:
        got: when it had which message.
    """

    def __init__(self, url: str) -> None:
        self.got = Times()
        self._url = url
        self._client: Client | None = None

    async def start(self) -> None:
        async def ignore(_error: Exception) -> None:
            return

        async def on_message(message: Msg) -> None:
            self.got.note(message.subject, _number(json.loads(message.data)))

        self._client = await nats.connect(
            self._url.split(","), error_cb=ignore, max_reconnect_attempts=-1, reconnect_time_wait=0.1, connect_timeout=1
        )
        for subject in SUBJECTS:
            await self._client.subscribe(subject, cb=on_message)

    async def close(self) -> None:
        if self._client is not None:
            with contextlib.suppress(nats.errors.Error, OSError):
                await self._client.close()


class Viewer:
    """A viewer that knows only the contract, and comes back whenever it has lost its gateway.

    Attributes:
        shown: when it was shown which message, over all its connections.
        connections: how many it had.
        refused: attempts to connect that failed.
    """

    def __init__(self, url: Callable[[], str]) -> None:
        self.shown = Times()
        self.connections = 0
        self.refused = 0
        self._url = url
        self._last: dict[str, int] = dict.fromkeys(SUBJECTS, 0)
        self._viewing: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._viewing = asyncio.create_task(self._view())

    async def close(self) -> None:
        await end(self._viewing)

    async def _view(self) -> None:
        while True:
            try:
                async with connect(self._url(), max_size=None) as websocket:
                    self.connections += 1
                    async for frame in websocket:
                        self._note(json.loads(frame))
            except (OSError, WebSocketException):
                self.refused += 1
            await asyncio.sleep(REDIAL_S)

    def _note(self, payload: Any) -> None:
        """A payload repeats the section that did not change."""
        sections = {LEVELS_SIGNALS: payload.get("levels"), MARKET_FLOW: payload.get("flow")}
        for subject, section in sections.items():
            number = 0 if section is None else _number(section)
            if number != self._last[subject]:
                self._last[subject] = number
                self.shown.note(subject, number)


def _body(subject: str, number: int) -> dict[str, Any]:
    if subject == MARKET_FLOW:
        return {"n": number}
    level = {"id": str(number), "price": 687.25, "note": "x" * 500}
    return {"ts": time.time_ns() // 1_000_000, "spy": {"spot": 687.5}, "levels": [level]}


def _number(section: Any) -> int:
    return int(section["n"] if "n" in section else section["levels"][0]["id"])
