"""Core's part in measurements: both subjects on the bus at an even pace, from a thread."""

import asyncio
import itertools
import math
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, NamedTuple, Self

from benchmarks.stamps import stamp
from benchmarks.workload import Bodies
from src.common.bus import BusError, NATSBus
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW

Mark = Callable[[bytes, int], bytes]
"""A body, with the number of its pair and the time written into it."""


class Marks(NamedTuple):
    """What is written into each message, so that its reader knows it again."""

    levels: Mark
    flow: Mark


TIMED: Final = Marks(
    levels=lambda body, _number: body,
    flow=lambda body, number: stamp(time.time_ns(), number) + body[1:],
)
NUMBERED: Final = Marks(  # `ts` and `n` only grow, so a viewer that is shown a smaller one is shown an older state
    levels=lambda body, _number: b'{"ts":%d' % int(time.time() * 1000) + body[body.index(b",") :],
    flow=lambda body, number: b'{"n":%d,' % (number + 1) + body[1:],
)


class Publisher:
    """Publishes pairs of levels and flow while it is entered, through every outage.

    Attributes:
        stored: messages that JetStream has confirmed.
        lost: messages that it has not, because it was away.
    """

    def __init__(
        self, nats_url: str, bodies: Bodies, rate_hz: float, marks: Marks = TIMED, *, in_turns: bool = True
    ) -> None:
        """
        Args:
            nats_url: the server.
            bodies: published again and again.
            rate_hz: pairs a second.
            marks: what is written into the messages.
            in_turns: flow half a period after levels, each a frame of its own; else right after them, as Core does.
        """
        self.stored = self.lost = 0
        self._nats_url = nats_url
        self._bodies = bodies
        self._tick_s = 1 / (2 * rate_hz if in_turns else rate_hz)
        self._marks = marks
        self._in_turns = in_turns
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._publish()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    async def _publish(self) -> None:
        bus = NATSBus(self._nats_url, name="publisher")
        await bus.connect()
        pairs = zip(itertools.cycle(self._bodies.levels), itertools.cycle(self._bodies.flow), strict=True)
        for number, (levels, flow) in enumerate(pairs):
            if self._stop.is_set():
                break
            await self._next_tick()
            await self._store(bus, LEVELS_SIGNALS, self._marks.levels(levels, number))
            if self._in_turns:
                await self._next_tick()
            await self._store(bus, MARKET_FLOW, self._marks.flow(flow, number))
        await bus.close()

    async def _next_tick(self) -> None:
        """Ticks are multiples of the period on the clock, whatever a message has taken."""
        now_s = time.time()
        await asyncio.sleep((math.floor(now_s / self._tick_s) + 1) * self._tick_s - now_s)

    async def _store(self, bus: NATSBus, subject: str, body: bytes) -> None:
        try:
            await bus.publish(subject, body)
        except BusError:
            self.lost += 1
        else:
            self.stored += 1


async def make_streams(nats_url: str) -> None:
    """The streams that subscribers expect."""
    bus = NATSBus(nats_url, name="publisher")
    await bus.connect()
    await bus.close()
