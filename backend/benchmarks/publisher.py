"""Core's part: both subjects on the bus at an even pace, each flow message stamped with its time."""

import asyncio
import contextlib
import itertools
import math
import threading
import time
from types import TracebackType
from typing import Self

from benchmarks.stamps import stamp
from benchmarks.workload import Bodies
from src.common.bus import BusError, NATSBus
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW


class Publisher:
    """Publishes in a thread for as long as it is entered.

    A tick is a multiple of 1/(2 `rate_hz`) seconds of the clock; levels and flow take turns, so that every tick is one
    frame for each viewer.
    """

    def __init__(self, nats_url: str, bodies: Bodies, rate_hz: float) -> None:
        self._nats_url = nats_url
        self._bodies = bodies
        self._period_s = 1 / (2 * rate_hz)
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
        bus = NATSBus(self._nats_url, name="benchmark")
        await bus.connect()
        turns = zip(itertools.cycle(self._bodies.levels), itertools.cycle(self._bodies.flow), strict=True)
        for number, (levels, flow) in enumerate(turns):
            await self._next_tick()
            await _publish_or_drop(bus, LEVELS_SIGNALS, levels)
            await self._next_tick()
            await _publish_or_drop(bus, MARKET_FLOW, stamp(time.time_ns(), number) + flow[1:])
            if self._stop.is_set():
                break
        await bus.close()

    async def _next_tick(self) -> None:
        now_s = time.time()
        await asyncio.sleep((math.floor(now_s / self._period_s) + 1) * self._period_s - now_s)


async def make_streams(nats_url: str) -> None:
    """The streams that subscribers expect."""
    bus = NATSBus(nats_url, name="benchmark")
    await bus.connect()
    await bus.close()


async def _publish_or_drop(bus: NATSBus, subject: str, body: bytes) -> None:
    with contextlib.suppress(BusError):
        await bus.publish(subject, body)
