"""Writes every message of the bus to a file, until it is stopped."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from src.common.bus import NATSBus
from src.common.merge import SETTLE_S, Track, next_of
from src.common.subjects import STREAMS
from src.common.tasks import end, unless
from src.gateway.recording.file import RecordedMessage, Writer
from src.gateway.recording.progress import duration, size

FLUSH_S: Final = 1.0  # what a crash of this process can cost
RATE_WINDOW_S: Final = 5.0


class Recording:
    """From the bus into a file, both subjects in the order in which they were published."""

    def __init__(self, bus: NATSBus, writer: Writer) -> None:
        self._bus = bus
        self._writer = writer
        self._tracks: list[Track] = []
        self._news = asyncio.Event()
        self._begun_s = time.monotonic()
        self._newest_ms: int | None = None
        self._oldest_ms: int | None = None
        self._counts: deque[tuple[float, int]] = deque([(self._begun_s, 0)])

    async def run(self, stop: asyncio.Event, since_ms: int | None) -> None:
        """Record until `stop`.

        Raises:
            BusError: the bus cannot be read at the start.
            RecordingError: the file cannot be written any further.
        """
        if await unless(stop, self._find_places(since_ms)) is None:
            return
        self._begun_s = time.monotonic()
        filling = [asyncio.create_task(track.fill(self._news), name="recording") for track in self._tracks]
        try:
            while not stop.is_set():
                self._write_what_is_due()
                self._require_alive(filling)
                self._writer.flush()
                await unless(stop, self._more())
        finally:
            await end(*filling)
        self._write_what_is_due(last=True)

    async def _find_places(self, since_ms: int | None) -> bool:
        self._tracks = [Track(await self._bus.follow(subject, since_ms)) for subject in STREAMS]
        return True

    async def _more(self) -> None:
        """Write as it comes for `FLUSH_S`, so that flushing keeps its own pace."""
        deadline_s = time.monotonic() + FLUSH_S
        while time.monotonic() < deadline_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_S / 2):
                    await self._news.wait()
            self._news.clear()
            self._write_what_is_due()

    def _write_what_is_due(self, *, last: bool = False) -> None:
        while (track := next_of(self._tracks, time.monotonic(), last=last)) is not None:
            message = track.take()
            t_ms = message.stored_us // 1000
            self._writer.add(RecordedMessage(message.subject, t_ms, message.body))
            self._newest_ms = t_ms
            self._oldest_ms = t_ms if self._oldest_ms is None else self._oldest_ms

    def _require_alive(self, filling: Sequence["asyncio.Task[None]"]) -> None:
        for task in filling:
            if task.done():
                task.result()  # it only ends by a bug

    # -- what to tell ----------------------------------------------------------------------------------------------

    def progress(self) -> str:
        """One line: how much, how fast, how large, how long."""
        trouble = "" if self._bus.is_connected else "  NO CONNECTION TO NATS, will go on where it was"
        behind = "  catching up" if self._bus.is_connected and any(t.consumer.behind for t in self._tracks) else ""
        elapsed, large = duration(time.monotonic() - self._begun_s), size(self._writer.size_bytes)
        return f"● {elapsed}  {self.written:,} messages  {self._rate():.1f}/s  {large}{behind}{trouble}"

    def summary(self) -> str:
        """What the file holds, in words."""
        if not self.written:
            return "nothing was published, so there is no file"
        spans = duration(((self._newest_ms or 0) - (self._oldest_ms or 0)) / 1000)
        each = ", ".join(f"{count:,} {subject}" for subject, count in sorted(self._writer.written.items()))
        large = size(self._writer.size_bytes)
        return f"{self.written:,} messages ({each}) over {spans} are in {self._writer.path}, {large}"

    @property
    def written(self) -> int:
        return self._writer.written.total()

    def _rate(self) -> float:
        """Messages a second over the last seconds, or since it was last asked when that is longer ago."""
        now_s = time.monotonic()
        while len(self._counts) > 1 and now_s - self._counts[1][0] > RATE_WINDOW_S:
            self._counts.popleft()
        then_s, then = self._counts[0]
        self._counts.append((now_s, self.written))
        return (self.written - then) / (now_s - then_s) if now_s > then_s else 0.0
