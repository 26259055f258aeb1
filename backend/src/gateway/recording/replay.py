"""Publish a recording on the bus again, with the gaps that it was recorded with, at any speed."""

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from src.common.bus import BusError, NATSBus
from src.common.subjects import LEVELS_SIGNALS
from src.common.tasks import end
from src.gateway.recording.file import Reader, RecordedMessage, RecordingError
from src.gateway.recording.progress import duration, new_york

WINDOW: Final = 64  # messages under way at once: a distant server need not slow a fast replay down
RETRY_PAUSE_S: Final = 0.25
LOOP_PAUSE_S: Final = 0.25  # as between two snapshots of Core
GIVE_UP_S: Final = 10.0  # for a message that a server which is there does not take
LATE_S: Final = 1.0  # after a longer stop the gaps count from here, instead of a burst that makes up for it


@dataclass(frozen=True, slots=True)
class Span:
    """The part to replay, in seconds from the beginning of the recording; `begin_s` ≤ t < `end_s`."""

    begin_s: float = 0.0
    end_s: float = math.inf


class Schedule:
    """The time at which each message is due, counted from one moment, so that it does not drift.

    Args:
        speed: recorded seconds a second; `inf` for no waiting at all.
    """

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._origin: tuple[float, float] | None = None

    def due_s(self, position_s: float, now_s: float) -> float:
        """When a message at `position_s` of the recording is due; the first one is at once."""
        if self._origin is None:
            self._origin = (position_s, now_s)
        begun_position_s, begun_s = self._origin
        return begun_s + (position_s - begun_position_s) / self._speed

    def begin_again(self) -> None:
        """The next one is due at once, and the gaps count from there."""
        self._origin = None


class InOrder:
    """Publishes in order, with at most `WINDOW` messages that are not acknowledged yet."""

    def __init__(self, bus: NATSBus) -> None:
        self._bus = bus
        self._under_way: deque[tuple[RecordedMessage, asyncio.Task[None]]] = deque()
        self._is_warm = False

    async def publish(self, message: RecordedMessage) -> None:
        """
        Raises:
            BusError: a server that is there does not take this message or one before it.
        """
        while len(self._under_way) >= WINDOW:
            await self._settle_oldest()
        task = asyncio.create_task(self._bus.publish(message.subject, message.body), name="replay")
        self._under_way.append((message, task))
        if not self._is_warm:  # the first request of a connection makes the inbox for its answers
            await self.settle()
            self._is_warm = True

    async def settle(self) -> None:
        """Return when all are stored."""
        while self._under_way:
            await self._settle_oldest()

    async def close(self) -> None:
        """Cancel the publication under way."""
        while self._under_way:
            await end(self._under_way.popleft()[1])

    async def _settle_oldest(self) -> None:
        try:
            await self._under_way[0][1]
            self._under_way.popleft()
        except BusError:
            await self._publish_one_by_one()

    async def _publish_one_by_one(self) -> None:
        """Something failed: publish what did not get through again, in order, before anything else."""
        await asyncio.wait([task for _, task in self._under_way])
        while self._under_way:
            message, task = self._under_way[0]
            if task.exception() is not None:
                await self._insist(message)
            self._under_way.popleft()

    async def _insist(self, message: RecordedMessage) -> None:
        """Retry without end while there is no connection, and for up to `GIVE_UP_S` while there is one."""
        refused_since_s: float | None = None
        while True:
            try:
                return await self._bus.publish(message.subject, message.body)
            except BusError:
                now_s = time.monotonic()
                refused_since_s = (refused_since_s or now_s) if self._bus.is_connected else None
                if refused_since_s is not None and now_s - refused_since_s > GIVE_UP_S:
                    raise
            await asyncio.sleep(RETRY_PAUSE_S)


class Replay:
    """A recording on its way to the bus."""

    def __init__(self, bus: NATSBus, reader: Reader, speed: float, span: Span, *, retimed: bool) -> None:
        self._reader = reader
        self._speed = speed
        self._span = span
        self._retimed = retimed
        self._in_order = InOrder(bus)
        self._schedule = Schedule(speed)
        self._bus = bus
        self._position_s = 0.0
        self._clock_ms: float | None = None
        self.published = 0

    async def run(self, *, loop: bool) -> None:
        """Publish it once, or again and again.

        Raises:
            BusError: the bus does not take it.
            RecordingError: nothing lies in the span.
        """
        try:
            while True:
                await self._pass()
                await self._in_order.settle()
                if not self.published:
                    raise RecordingError(f"nothing in {self._reader.path} lies between --from and --to")
                if not loop:
                    return
                await asyncio.sleep(LOOP_PAUSE_S)
        finally:
            await self._in_order.close()

    async def _pass(self) -> None:
        self._schedule.begin_again()
        first_ms: int | None = None
        position_s = 0.0
        before_span: dict[str, RecordedMessage] = {}
        with self._reader:
            for message in self._reader:
                first_ms = message.t_ms if first_ms is None else first_ms
                position_s = max(position_s, (message.t_ms - first_ms) / 1000)  # a clock that stepped back makes no gap
                if position_s >= self._span.end_s:
                    return
                if position_s < self._span.begin_s:
                    before_span[message.subject] = message
                    continue
                while before_span:  # the state at that moment
                    await self._publish(self._span.begin_s, before_span.pop(next(iter(before_span))))
                await self._publish(position_s, message)

    async def _publish(self, position_s: float, message: RecordedMessage) -> None:
        await self._wait_for(position_s)
        ts_ms = time_of(message)
        self._position_s, self._clock_ms = position_s, self._clock_ms if ts_ms is None else ts_ms
        await self._in_order.publish(retimed(message, time.time_ns() // 1_000_000) if self._retimed else message)
        self.published += 1

    async def _wait_for(self, position_s: float) -> None:
        now_s = time.monotonic()
        wait_s = self._schedule.due_s(position_s, now_s) - now_s
        if wait_s < -LATE_S and not math.isinf(self._speed):
            self._schedule.begin_again()
        await asyncio.sleep(max(wait_s, 0))

    # -- what to tell ----------------------------------------------------------------------------------------------

    def progress(self) -> str:
        """One line: where it is, by the recording's own clock too."""
        trouble = "" if self._bus.is_connected else "  NO CONNECTION TO NATS, will go on when it is back"
        speed = "" if math.isinf(self._speed) else f"  {self._speed:g} x"
        return f"▶ {self.position()}  {self._reader.share:.0%}  {self.published:,} messages{speed}{trouble}"

    def position(self) -> str:
        """Since the beginning of the recording, and the time of day that its newest levels show."""
        clock = "" if self._clock_ms is None else new_york(self._clock_ms)
        return f"{duration(self._position_s)}  {clock} New York" if clock else duration(self._position_s)


class _Stamped(msgspec.Struct):
    ts: float | None = None


_STAMPED: Final = msgspec.json.Decoder(_Stamped)
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def time_of(message: RecordedMessage) -> float | None:
    """Core's time of a levels message, ms UTC, where it has one."""
    if message.subject != LEVELS_SIGNALS:
        return None
    try:
        return _STAMPED.decode(message.body).ts
    except (msgspec.DecodeError, RecursionError):
        return None


def retimed(message: RecordedMessage, now_ms: int) -> RecordedMessage:
    """A levels message with `now_ms` in place of its time and its viewport's; every other value stays as it is."""
    if time_of(message) is None:
        return message
    stamp = msgspec.Raw(b"%d" % now_ms)
    fields: dict[str, Any] = _OBJECT.decode(message.body) | {"ts": stamp}
    try:
        viewport = _OBJECT.decode(fields["viewport"])
        fields["viewport"] = viewport | {"ts": stamp} if "ts" in viewport else viewport
    except (KeyError, msgspec.DecodeError):
        pass
    return message._replace(body=msgspec.json.encode(fields))
