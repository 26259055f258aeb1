"""Core's part: both subjects on the bus, every message numbered, through every outage."""

import asyncio
import itertools
import threading
import time
from types import TracebackType
from typing import Self

from benchmarks.workload import USUAL, bodies
from src.common.bus import BusError, NATSBus
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW


class Core:
    """Publishes in a thread for as long as it is entered.

    `ts` of levels and `n` of flow only grow: who is shown a smaller one after a greater one is shown an older state.

    Attributes:
        stored: messages that JetStream has confirmed.
        lost: those that it has not, since it was away.
    """

    def __init__(self, nats_url: str, rate_hz: float) -> None:
        self.stored = self.lost = 0
        self._nats_url = nats_url
        self._period_s = 1 / rate_hz
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
        bus = NATSBus(self._nats_url, name="soak")
        await bus.connect()
        snapshots = bodies(USUAL)
        turns = zip(itertools.cycle(snapshots.levels), itertools.cycle(snapshots.flow), strict=True)
        for number, (levels, flow) in enumerate(turns, 1):
            if self._stop.is_set():
                break
            await asyncio.sleep(self._period_s - time.time() % self._period_s)
            now_ms = int(time.time() * 1000)
            await self._store(bus, LEVELS_SIGNALS, b'{"ts":%d' % now_ms + levels[levels.index(b",") :])
            await self._store(bus, MARKET_FLOW, b'{"n":%d,' % number + flow[1:])
        await bus.close()

    async def _store(self, bus: NATSBus, subject: str, body: bytes) -> None:
        try:
            await bus.publish(subject, body)
        except BusError:
            self.lost += 1
        else:
            self.stored += 1
