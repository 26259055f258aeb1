"""What some steady viewers ask for, and what has to hold of each frame that they are sent: rules of values.

Core's levels have one more level, `COUNTER`, whose barrier is in another state in each message: its number. So each
message makes an event, which begins with the value that the event before ended with, and none can be missing unseen.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

COUNTER: Final = "counter"
COUNTED: Final = "barrier_state"
ROUNDED: Final = (
    3  # frames: that of the connection, that of a moment before it which was late, and that of one right after
)


class Shape(NamedTuple):
    """A query of `/ws/stream`, and what it chooses.

    Attributes:
        flow: whether frames have `flow` and `viewport`.
        near: points from spot, of the levels in a frame; None: any.
        rate: frames a second, at most; None: each state.
        status: whether frames have `status`.
        events: whether frames have `events`.
    """

    query: str
    flow: bool = True
    near: float | None = None
    rate: float | None = None
    status: bool = False
    events: bool = False


NEARBY: Final = Shape("sections=levels&near=25&rate=2", flow=False, near=25.0, rate=2.0)
STATUS: Final = Shape("status=1", status=True)
EVENTS: Final = Shape("status=1&events=1", status=True, events=True)
SHAPES: Final = (NEARBY, STATUS, EVENTS)


class Shown(NamedTuple):
    """The numbers in a frame: of levels its `ts`, of flow its `n`; 0 where it has none."""

    levels: int
    flow: int


NOTHING: Final = Shown(0, 0)


class Counts(msgspec.Struct):
    """What all viewers of a shape have had.

    Attributes:
        frames: whole.
        heartbeats: of those, without a section but `status`.
        events: messages of Core that an event told.
        incomplete: how often a frame said that events are missing.
        filled: gaps of which `/events` then told all.
        unfilled: gaps of which it never did.
    """

    frames: int = 0
    heartbeats: int = 0
    events: int = 0
    incomplete: int = 0
    filled: int = 0
    unfilled: int = 0


class Gap(NamedTuple):
    """Events that a viewer was not told, as a frame said.

    Attributes:
        cursor: of the newest section before it.
        told: Core's number in the newest event before it.
        until: the cursor of the frame that said so, the newest of them.
        times: how many frames in a row have said so.
    """

    cursor: str
    told: str
    until: str
    times: int = 1


class Follower:
    """A viewer of a shape, over all its connections.

    Attributes:
        gap: the one that `/events` has to fill; None while there is none.
    """

    def __init__(self, shape: Shape, counts: Counts) -> None:
        """
        Args:
            counts: of all viewers of the shape, to which this one adds.
        """
        self.shape = shape
        self._counts = counts
        self._began_s = 0.0
        self._frames = 0  # of this connection, as the following
        self._shown = NOTHING
        self.gap: Gap | None = None
        self._told: str | None = None  # Core's number in the newest event; None before the first, and after a gap
        self._after_gap: str | None = None  # with which the first event after it began
        self._state = _State("", 0)  # of the newest frame, as the following: over all connections
        self._cursor = ""
        self._seq = 0  # in the stream, of the newest event

    def begin(self, now_s: float) -> str:
        """The query of a new connection, which says what the one before had."""
        self._began_s, self._frames, self._shown = now_s, 0, NOTHING
        since = f"&since={self._state.epoch}:{self._state.seq}" if self._state.epoch else ""
        events_since = f"&events_since={self._cursor}" if self._cursor else ""
        return self.shape.query + since + events_since

    def take(self, text: bytes, now_s: float) -> tuple[Shown, list[str]]:
        """
        Args:
            text: a frame, inflated.
            now_s: monotonic.

        Returns:
            The numbers of what is shown now, and sentences about what is not as it should be.

        Raises:
            ValueError: it is no strict JSON object of the payload's form.
        """
        frame = read(text)
        self._frames += 1
        self._counts.frames += 1
        if frame.levels is None and frame.flow is None:
            self._counts.heartbeats += 1
            return self._shown, list(self._of_heartbeat(frame))
        wrong = [*self._of_sections(frame), *self._of_time(now_s), *self._of_state(frame), *self._of_events(frame)]
        shown = shown_in(frame)
        if shown.levels < self._shown.levels or shown.flow < self._shown.flow:
            wrong.append(f"{shown} after {self._shown}")
        self._shown = shown
        return shown, wrong

    def _of_heartbeat(self, frame: "Frame") -> Iterator[str]:
        if frame.status is None:
            yield "a frame without sections"
        elif self._shown != NOTHING and frame.status != self._state:
            yield f"a heartbeat of {frame.status} after a frame of {self._state}"

    def _of_sections(self, frame: "Frame") -> Iterator[str]:
        shape = self.shape
        there = (frame.flow is not None, frame.status is not None, frame.events is not None)
        if there != (shape.flow, shape.status, shape.events) or (frame.viewport is not None and not shape.flow):
            yield f"other sections than were asked for by {shape.query}"
        far = [] if shape.near is None or frame.levels is None else frame.levels.beyond(shape.near)
        if far:
            yield f"levels {far} are not near spot"

    def _of_time(self, now_s: float) -> Iterator[str]:
        if self.shape.rate is not None and self._frames > ROUNDED + self.shape.rate * (now_s - self._began_s):
            yield f"{self._frames} frames within {now_s - self._began_s:.1f} s"

    def _of_state(self, frame: "Frame") -> Iterator[str]:
        if frame.status is not None:
            if frame.status.epoch == self._state.epoch and frame.status.seq < self._state.seq:
                yield f"{frame.status} after {self._state}"
            self._state = frame.status

    def _of_events(self, frame: "Frame") -> Iterator[str]:
        if frame.events is None:
            return
        if not frame.events.complete:
            self._miss(frame.events.cursor)
        if frame.events.life not in ("", self._life):
            self._seq = 0
        for event in frame.events.events:
            if (event.level, event.kind) != (COUNTER, COUNTED) or event.seq <= self._seq:
                continue  # of another thing, or told once more
            if self._told not in (None, event.before):
                yield f"the event of Core's {event.before} came after that of {self._told}"
            if self._told is None:
                self._after_gap = event.before
            self._told, self._seq = event.after, event.seq
            self._counts.events += 1
        if frame.events.life:  # else of a gateway that has read nothing so far
            self._cursor = frame.events.cursor

    @property
    def _life(self) -> str:
        return self._cursor.partition("-")[0]

    def _miss(self, until: str) -> None:
        self._counts.incomplete += 1
        if self.gap is not None:
            self.gap = self.gap._replace(until=until, times=self.gap.times + 1)
        elif self._told is not None and self._cursor:
            self.gap = Gap(self._cursor, self._told, until)
        self._told = self._after_gap = None

    def fill(self, gap: Gap, answer: "Events | None") -> list[str]:
        """Take what `/events` told.

        Args:
            gap: the one that it was asked for. Nothing is taken where there was a further one meanwhile.
            answer: with events of `COUNTER` alone; None where it never was complete.

        Returns:
            Sentences about what is missing there.
        """
        if gap != self.gap:
            return []
        self.gap = None
        if answer is None:
            self._counts.unfilled += 1
            return []
        self._counts.filled += 1
        events = answer.events
        wrong = missing_between([("", gap.told), *((event.before, event.after) for event in events)])
        if self._told is None and events and answer.life == self._life:
            self._told, self._seq, self._cursor = events[-1].after, events[-1].seq, answer.cursor
        elif self._after_gap not in (None, gap.told, *(event.after for event in events)):
            wrong.append(f"/events did not tell what Core's {self._after_gap} was before")
        return wrong


class _Level(msgspec.Struct):
    id: str
    distance: float


class _Levels(msgspec.Struct):
    ts: int
    levels: list[_Level]

    def beyond(self, near: float) -> list[str]:
        return [level.id for level in self.levels if abs(level.distance) > near]


class _Flow(msgspec.Struct):
    n: int


class _State(msgspec.Struct, frozen=True):
    epoch: str
    seq: int


class _Event(msgspec.Struct):
    kind: str
    level: str | None
    seq: int
    before: str
    after: str


class Events(msgspec.Struct):
    """The section, and an answer of `/events`."""

    cursor: str
    complete: bool
    events: list[_Event]

    @property
    def life(self) -> str:
        """Of the stream; empty of a gateway that has read nothing so far."""
        return self.cursor.partition("-")[0]

    def reaches(self, cursor: str) -> bool:
        """Whether they go as far as those up to `cursor`; one of another life cannot be compared."""
        life, seq, _ = cursor.split("-")
        return self.life != life or int(self.cursor.split("-")[1]) >= int(seq)


class Frame(msgspec.Struct):
    """A frame, as far as it is looked at."""

    levels: _Levels | None = None
    flow: _Flow | None = None
    viewport: dict[str, msgspec.Raw] | None = None
    status: _State | None = None
    events: Events | None = None


@lru_cache(maxsize=64)  # viewers of one shape get the same text
def read(text: bytes) -> Frame:
    """
    Raises:
        ValueError: it is no strict JSON object of the payload's form.
    """
    text.decode()  # a decoder does not check for UTF-8 what it skips
    return msgspec.json.decode(text, type=Frame)


def missing_between(counted: Iterable[tuple[str, str]]) -> list[str]:
    """Sentences about events of `COUNTER` that are missing, of all that there are, in order.

    Args:
        counted: of each, the values before and after.
    """
    return [
        f"the event of Core's {before} came after that of {after}"
        for (_, after), (before, _) in pairwise(counted)
        if before != after
    ]


def shown_in(frame: Frame) -> Shown:
    """The numbers in it."""
    return Shown(frame.levels.ts if frame.levels else 0, frame.flow.n if frame.flow else 0)
