"""Plays a part of the streams again, at the pace of Core's own time.

**Paced by Core's time, in the order of the stream.** A flow message, which has no time of its own, keeps its distance
to the levels message before it. A silence is skipped. Messages that are due together make one state, of which at most
`STATES_A_SECOND` are sent. Bound: what is read ahead, `AHEAD` messages of each subject and a batch.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec

from src.common.bus import NATSBus
from src.common.merge import SETTLE_S, Track, next_of
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from src.common.tasks import end
from src.gateway.history.archive import Archive
from src.gateway.history.history_query import read_time
from src.gateway.history.messages import Played
from src.gateway.history.moments import Place, Read, Scene, place_at, read_message
from src.gateway.history.reader import span
from src.gateway.history.replay_query import ReplayAsked
from src.gateway.signals.shape import Shape

LONGEST_GAP_MS: Final = 60_000  # of Core's time; a longer silence is skipped
GAP_INSTEAD_MS: Final = 1_000
USUAL_GAP_MS: Final = 250
STATES_A_SECOND: Final = 20
MOST_BEHIND_S: Final = 0.5  # what a busy machine may catch up; the rest is played later

Send = Callable[[Played], Awaitable[None]]


class Pacer:
    """When each message is due. Pure: times are arguments, seconds of one clock.

    Attributes:
        speed: times Core's own.
    """

    def __init__(self, scene: Scene, now_s: float, speed: float) -> None:
        """
        Args:
            scene: the state from which it goes on.
            now_s: when that is shown.
            speed: as the attribute.
        """
        self.speed = speed
        self._due_s = now_s
        self._played_ms = scene.ts_ms
        levels = scene.messages.get("levels")
        self._levels_ts_ms, self._levels_stored_ms = scene.ts_ms, levels.published_ms if levels else None

    def restart(self, now_s: float) -> None:
        """The time until now does not count: the replay stood still, or had another speed."""
        self._due_s = now_s

    def due_s(self, read: Read) -> float:
        """When a message is due, which is the next one."""
        gap_ms = max(self._place_ms(read) - self._played_ms, 0)
        if gap_ms > LONGEST_GAP_MS:
            gap_ms = GAP_INSTEAD_MS
        return self._due_s + gap_ms / 1000 / self.speed

    def played(self, read: Read, now_s: float) -> None:
        """A message has been shown."""
        due_s = self.due_s(read)
        self._due_s = max(min(due_s, now_s), now_s - MOST_BEHIND_S)
        self._played_ms = max(self._place_ms(read), self._played_ms if not read.is_levels else 0)
        if read.is_levels:
            self._levels_ts_ms, self._levels_stored_ms = read.ts_ms, read.stored_ms

    def _place_ms(self, read: Read) -> int:
        """Core's time, of a flow message by its distance to the levels before it."""
        if read.is_levels or self._levels_stored_ms is None:
            return read.ts_ms
        return self._levels_ts_ms + max(read.stored_ms - self._levels_stored_ms, 0)


class _Next(NamedTuple):
    read: Read
    due_s: float


class Playback:
    """One viewer's replay."""

    def __init__(
        self, bus: NATSBus, archive: Archive, wall_baseline: float, shape: Shape, asked: ReplayAsked, send: Send
    ) -> None:
        """
        Args:
            bus: connected.
            archive: knows where in the streams a moment is.
            wall_baseline: as for the payload.
            shape: what the viewer asks for.
            asked: where it begins, and how fast.
            send: takes each state, and waits until the other end has room for it.
        """
        self._bus = bus
        self._archive = archive
        self._wall_baseline = wall_baseline
        self._shape = shape
        self._send = send
        self._speed = 1.0
        self._paused = False
        self._steps = 0
        self._goal_ms: int | None = None
        self._woken = asyncio.Event()
        self._scene = Scene()
        self._tracks: list[Track] = []
        self._pacer = Pacer(self._scene, 0.0, 1.0)
        self._next: _Next | None = None
        self._is_told = self._was_at_end = False
        self._told_s = 0.0
        self.change(asked)

    def change(self, asked: ReplayAsked) -> None:
        """Heed what the viewer asks."""
        if asked.speed is not None:
            self._speed = asked.speed
        if asked.paused is not None:
            self._paused, self._steps = asked.paused, 0
        if asked.step is not None:
            self._paused, self._steps = True, asked.step
        if asked.at is not None:
            self._goal_ms, self._steps = read_time("at", asked.at, self._archive.past.newest_ms or 0), 0
        self._pacer.speed, self._next, kept = self._speed, None, self._next
        self._pacer.restart(time.monotonic())
        self._next = None if kept is None else _Next(kept.read, self._pacer.due_s(kept.read))
        self._is_told = False
        self._woken.set()

    async def run(self) -> None:
        """Play without end.

        Raises:
            NotKept: nothing is known of a moment that was asked for.
            LifeEnded: a stream was made anew.
        """
        while True:
            goal_ms, self._goal_ms = self._goal_ms, None
            assert goal_ms is not None, "each part ends with another goal"
            await self._play_from(await place_at(self._bus, self._archive, goal_ms, self._wall_baseline))

    async def _play_from(self, place: Place) -> None:
        """Until there is another goal."""
        self._scene, self._next, self._is_told = place.scene, None, False
        self._pacer = Pacer(place.scene, time.monotonic(), self._speed)
        async with contextlib.AsyncExitStack() as closing:
            self._tracks = []
            for subject, seq in ((LEVELS_SIGNALS, place.levels_seq), (MARKET_FLOW, place.flow_seq)):
                consumer = await self._bus.follow(subject, since_seq=max(seq, 1))  # 0: an empty stream
                closing.push_async_callback(self._bus.leave, consumer)
                self._tracks.append(track := Track(consumer))
                filling = asyncio.create_task(track.fill(self._woken), name="playback")
                closing.push_async_callback(end, filling)
            while self._goal_ms is None:
                await self._go_on()

    async def _go_on(self) -> None:
        """Show the next message, or wait for something to happen."""
        now_s = time.monotonic()
        if self._steps < 0:
            self._goal_ms = await self._time_before(-self._steps)
            self._steps = 0
        elif self._paused and not self._steps:
            await self._wait(None)
        elif self._find_next(now_s) is None:
            await self._wait(SETTLE_S / 2)
        elif self._next is not None and not self._steps and self._next.due_s > now_s:
            await self._wait(self._next.due_s - now_s)
        else:
            self._show_next(now_s)
            if now_s - self._told_s >= 1 / STATES_A_SECOND:
                await self._tell()

    def _find_next(self, now_s: float) -> _Next | None:
        is_behind = any(track.consumer.behind for track in self._tracks)  # at the end the order of two is of no account
        while self._next is None and (track := next_of(self._tracks, now_s, last=not is_behind)) is not None:
            read = read_message(track.take(), self._wall_baseline)
            if read is not None:
                self._next = _Next(read, self._pacer.due_s(read))
        return self._next

    def _show_next(self, now_s: float) -> None:
        assert self._next is not None, "it was found"
        read, self._next = self._next.read, None
        self._pacer.played(read, now_s)
        self._scene.add(read)
        self._is_told = False
        if self._steps and read.is_levels:
            self._steps -= 1

    async def _wait(self, limit_s: float | None) -> None:
        """Until there is news, for `limit_s` at most; before that tell what has not been told, or wait for its turn."""
        rest_s = self._told_s + 1 / STATES_A_SECOND - time.monotonic()
        if self._is_told or rest_s <= 0:
            await self._tell()
        else:
            limit_s = rest_s if limit_s is None else min(limit_s, rest_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._woken.wait()
        self._woken.clear()

    async def _tell(self) -> None:
        is_at_end = self._next is None and not any(track.head() or track.consumer.behind for track in self._tracks)
        if self._is_told and is_at_end == self._was_at_end:
            return
        self._is_told, self._was_at_end, self._told_s = True, is_at_end, time.monotonic()
        sections = self._scene.sections(self._shape)
        await self._send(
            Played(
                msgspec.json.encode(sections),
                self._scene.messages,
                self._scene.ts_ms,
                self._speed,
                self._paused,
                is_at_end and not self._paused,
            )
        )

    async def _time_before(self, steps: int) -> int:
        """Core's time in the levels message that many before the one that is shown."""
        shown = self._scene.messages.get("levels")
        life = self._archive.life(LEVELS_SIGNALS)
        if shown is not None:
            seq = max(shown.seq - steps, life.first_seq)
            async with contextlib.aclosing(span(self._bus, LEVELS_SIGNALS, seq, seq + 1, life)) as messages:
                async for message in messages:
                    read = read_message(message, self._wall_baseline)
                    if read is not None:
                        return read.ts_ms
        return self._scene.ts_ms - steps * USUAL_GAP_MS
