"""The events of the day, by the order of the stream: pure values.

**Flapping is one event with a count.** The same transition of the same thing, again within `FLAP_MS`, is the same
event: it counts one more, and tells its last occurrence. A signal that lived for one frame is still an event of its
own, because it came and it went.

**The log is the same whatever the order in which its parts were read**: after a start it is filled from the newest
message backwards. Two gateways that have read the same messages have the same events, by the same ids.

Bound: `MAX_EVENTS`. Policy: the oldest go first.
"""

from bisect import bisect_right, insort
from collections.abc import Collection, Iterable, Iterator
from operator import attrgetter
from typing import Final, NamedTuple

from msgspec import Struct

from src.gateway.signals.contract import Event
from src.gateway.signals.events import LevelState, Moment, Transition, transitions

FLAP_MS: Final = 30_000  # of Core's time
MAX_EVENTS: Final = 20_000  # about 10 MB; a recorded session makes 1,400 an hour
EVICTED_AT_ONCE: Final = 1_000  # beyond what is too many

Key = tuple[str, str | None, str, str]
"""Kind, level, and the values before and after."""


class Cursor(NamedTuple):
    """How far somebody has read the events.

    Attributes:
        life: of the stream, in which `seq` counts.
        seq: of the newest message that was read for events.
        server_ms: when NATS took that, or when a verdict changed after it; ms since 1970 UTC.
    """

    life: str
    seq: int
    server_ms: int

    def __str__(self) -> str:
        return f"{self.life}-{self.seq}-{self.server_ms}"


NOWHERE: Final = Cursor("", 0, 0)


def cursor_of(text: str) -> Cursor | None:
    """Read what `str` of a cursor wrote; None where it is not one."""
    life, _, rest = text.partition("-")
    seq, _, server_ms = rest.partition("-")
    numbers = (seq, server_ms)
    if not life or not all(each.isascii() and each.isdigit() and len(each) <= 15 for each in numbers):
        return None
    return Cursor(life, int(seq), int(server_ms))


class Occurrence(NamedTuple):
    """One transition, and the message that showed it.

    Attributes:
        server_ms: when NATS took the message, ms since 1970 UTC.
        seq: of the message; 0 for a verdict, which no message shows.
        number: of the transition among those of the message.
        ts_ms: Core's time in the message.
        state: of the level; None where the event is not of a level.
        spot: points; None where it is unknown.
    """

    server_ms: int
    seq: int
    number: int
    ts_ms: int
    state: LevelState | None
    spot: float | None


class _Group(Struct):
    """One event: occurrences of one key, each within `FLAP_MS` of the next."""

    first: Occurrence
    last: Occurrence
    count: int
    from_ts_ms: int
    to_ts_ms: int


class Page(NamedTuple):
    """The oldest of the events that are asked for.

    Attributes:
        events: by their last occurrence.
        more: whether later ones were left out.
    """

    events: list[Event]
    more: bool


class EventLog:
    """All events that are kept, whatever the order in which they were added.

    Attributes:
        lost_ms: what happened before this time is not kept, because of the bound; 0: nothing was lost.
    """

    def __init__(self, life: str) -> None:
        """
        Args:
            life: names the life of the stream in ids and cursors.
        """
        self.life = life
        self.lost_ms = 0
        self._groups: dict[Key, list[_Group]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add_message(self, seq: int, server_ms: int, before: Moment, now: Moment) -> list[Event]:
        """What happened between two consecutive messages, of which `now` has the sequence `seq`.

        Returns:
            The events that are new, or count one more.
        """
        changed = {}
        for number, transition in enumerate(transitions(before, now)):
            spot = now.spot if transition.state is None else transition.state.spot
            occurrence = Occurrence(server_ms, seq, number, now.ts_ms, transition.state, spot)
            changed[_key(transition)] = occurrence
            self._add(_key(transition), occurrence)
        self._evict()
        groups = ((key, self._group_at(key, occurrence)) for key, occurrence in changed.items())
        return [self._event(key, group) for key, group in groups if group is not None]

    def add_verdict(self, section: str, before: str, after: str, now_ms: int) -> Event:
        """The verdict of a section has changed. No message shows that, so other gateways may have another time."""
        key = ("verdict", section, before, after)
        occurrence = Occurrence(now_ms, 0, 0, now_ms, None, None)
        self._add(key, occurrence)
        self._evict()
        group = self._group_at(key, occurrence)
        assert group is not None, "it is newer than everything that is evicted"
        return self._event(key, group)

    def events(
        self,
        since: Cursor | None = None,
        kinds: Collection[str] | None = None,
        levels: Collection[str] | None = None,
        from_ms: int = 0,
    ) -> list[Event]:
        """Those that are asked for, by their last occurrence.

        Args:
            since: only what happened later.
            kinds: of `EVENT_KINDS`; None: all.
            levels: ids; None: all, and those that are not of a level.
            from_ms: only what happened then or later, by the server's time.
        """
        return [self._event(key, group) for key, group in self._chosen(since, kinds, levels, from_ms)]

    def page(
        self, since: Cursor, limit: int, kinds: Collection[str] | None = None, levels: Collection[str] | None = None
    ) -> Page:
        """The oldest of those that are asked for; whoever has read them goes on from `newest_cursor`.

        That cursor cannot part the events of one message, nor those that are not in the order of the stream: they are
        told together, so a page may have more than `limit`.

        Args:
            since: as for `events`; so are `kinds` and `levels`.
            limit: how many at least, where there are so many.
        """
        chosen = self._chosen(since, kinds, levels)
        told = chosen[:limit]
        while len(told) < len(chosen):
            read = since
            for _, group in told:
                read = Cursor(self.life, max(read.seq, group.last.seq), max(read.server_ms, group.last.server_ms))
            inseparable = [each for each in chosen if not _is_later(each[1].last.seq, each[1].last.server_ms, read)]
            if len(inseparable) == len(told):
                break
            told = inseparable
        return Page([self._event(key, group) for key, group in told], more=len(told) < len(chosen))

    def _chosen(
        self,
        since: Cursor | None,
        kinds: Collection[str] | None,
        levels: Collection[str] | None,
        from_ms: int = 0,
    ) -> list[tuple[Key, _Group]]:
        chosen = [
            (key, group)
            for key, group in self._all()
            if (kinds is None or key[0] in kinds)
            and (levels is None or key[1] in levels)
            and group.last.server_ms >= from_ms
            and (since is None or _is_later(group.last.seq, group.last.server_ms, since))
        ]
        chosen.sort(key=lambda each: each[1].last[:3])
        return chosen

    def forget_before(self, server_ms: int) -> None:
        """Drop what happened before that time, which is of no interest any more."""
        if self.lost_ms <= server_ms:
            self.lost_ms = 0
        self._drop_before(server_ms)

    def _drop_before(self, server_ms: int) -> None:
        for key in list(self._groups):
            kept = [group for group in self._groups[key] if group.last.server_ms >= server_ms]
            self._count -= len(self._groups[key]) - len(kept)
            if kept:
                self._groups[key] = kept
            else:
                del self._groups[key]

    def _add(self, key: Key, occurrence: Occurrence) -> None:
        """Join the events of the same key that are near, which the occurrence may bridge."""
        if occurrence.server_ms < self.lost_ms:
            return  # else the log, when it is filled backwards, would have a hole
        groups, ts_ms = self._groups.setdefault(key, []), occurrence.ts_ms
        place = bisect_right(groups, ts_ms, key=attrgetter("from_ts_ms"))
        joined = _Group(occurrence, occurrence, 1, ts_ms, ts_ms)
        near = [
            group
            for group in groups[max(place - 1, 0) : place + 1]
            if group.from_ts_ms - FLAP_MS <= ts_ms <= group.to_ts_ms + FLAP_MS
        ]
        for group in near:
            joined = _Group(
                min(joined.first, group.first, key=_order),
                max(joined.last, group.last, key=_order),
                joined.count + group.count,
                min(joined.from_ts_ms, group.from_ts_ms),
                max(joined.to_ts_ms, group.to_ts_ms),
            )
            groups.remove(group)
        insort(groups, joined, key=attrgetter("from_ts_ms"))
        self._count += 1 - len(near)

    def _evict(self) -> None:
        """Keep the bound; drop some more than needed, so that it is rare."""
        if self._count > MAX_EVENTS:
            times = sorted(group.last.server_ms for _, group in self._all())
            self.lost_ms = times[self._count - MAX_EVENTS + EVICTED_AT_ONCE - 1] + 1
            self._drop_before(self.lost_ms)

    def _all(self) -> Iterator[tuple[Key, _Group]]:
        return ((key, group) for key, groups in self._groups.items() for group in groups)

    def _group_at(self, key: Key, occurrence: Occurrence) -> _Group | None:
        """The event of which it is one; None where that was evicted."""
        for group in reversed(self._groups.get(key, ())):
            if group.from_ts_ms <= occurrence.ts_ms <= group.to_ts_ms:
                return group
        return None

    def _event(self, key: Key, group: _Group) -> Event:
        kind, level, before, after = key
        first, last, state = group.first, group.last, group.last.state
        return {
            "id": f"{self.life}-{first.seq}-{first.number}" if first.seq else f"{level}-{after}-{first.server_ms}",
            "kind": kind,
            "seq": last.seq,
            "ts": last.ts_ms,
            "server_ms": last.server_ms,
            "level": level,
            "level_kind": None if state is None else state.kind,
            "price": None if state is None else state.price,
            "before": before,
            "after": after,
            "spot": last.spot,
            "score": None if state is None else state.score,
            "confidence": None if state is None else state.confidence,
            "count": group.count,
            "first_ts": first.ts_ms,
        }


_order: Final = attrgetter("server_ms", "seq", "number")


def _key(transition: Transition) -> Key:
    return (transition.kind, transition.level, transition.before, transition.after)


def _is_later(seq: int, server_ms: int, cursor: Cursor) -> bool:
    """A verdict has no sequence: its time tells."""
    return seq > cursor.seq if seq else server_ms > cursor.server_ms


def newest_cursor(life: str, events: Iterable[Event], otherwise: Cursor) -> Cursor:
    """The cursor of somebody who has read `events` and, before them, up to `otherwise`."""
    seq, server_ms = otherwise.seq, otherwise.server_ms
    for event in events:
        seq, server_ms = max(seq, event["seq"]), max(server_ms, event["server_ms"])
    return Cursor(life, seq, server_ms)


def is_after(event: Event, cursor: Cursor) -> bool:
    """Whether somebody with this cursor has not read the event, or not its last occurrence."""
    return _is_later(event["seq"], event["server_ms"], cursor)
