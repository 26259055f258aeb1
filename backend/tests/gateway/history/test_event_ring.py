"""The newest events, for frames: a viewer is told exactly those that it misses, or that some are missing."""

import json
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from src.gateway.history import event_ring
from src.gateway.history.event_log import NOWHERE, Cursor, cursor_of, is_after
from src.gateway.history.event_ring import FIRST_POSITION, RING_EVENTS, UNKNOWN_POSITION, EventRing
from src.gateway.signals.contract import Event

SMALL = 6


def event(seq: int, server_ms: int, name: str, count: int = 1) -> Event:
    return {
        "id": name,
        "kind": "signal" if seq else "verdict",
        "seq": seq,
        "ts": server_ms,
        "server_ms": server_ms,
        "level": "VWAP",
        "level_kind": None,
        "price": None,
        "before": "NO_TRADE",
        "after": "BREAK",
        "spot": None,
        "score": None,
        "confidence": None,
        "count": count,
        "first_ts": server_ms,
    }


def section(ring: EventRing, told: int) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(ring.section(told))
    return decoded


def brief(events: list[Any]) -> list[tuple[str, int]]:
    return [(each["id"], each["count"]) for each in events]


class Viewer:
    """What a viewer was told, and what it has to be told next."""

    def __init__(self, told: int) -> None:
        self.told = told
        self.cursor: str | None = None  # None before the first frame
        self.due: list[tuple[str, int]] = []
        self.has_lost = False


class Rings(RuleBasedStateMachine):
    """One ring, the history process that it hears, which may be gone for a while, and viewers that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.bound = patch.object(event_ring, "RING_EVENTS", SMALL)
        self.bound.start()
        self.ring = EventRing()
        self.viewers: list[Viewer] = []
        self.names = 0

    def teardown(self) -> None:
        self.bound.stop()

    @initialize(events=st.integers(0, 2 * SMALL))
    def first(self, events: int) -> None:
        """The history process has some events already, which are news to nobody."""
        self.begin_life(events)
        self.ring.begin(self.at(0), self.cursor, list(self.log.values()))
        self.read = self.cursor
        self.kept = min(events, SMALL)

    def begin_life(self, events: int) -> None:
        self.names += 1
        self.life = f"life{self.names}"
        self.cursor = self.at(0)
        self.log: dict[str, Event] = {}
        self.is_heard = True
        for _ in range(events):
            self.append(self.cursor.seq + 1, self.cursor.server_ms + 1, None)

    def at(self, seq: int) -> Cursor:
        return Cursor(self.life, seq, 0)

    def append(self, seq: int, server_ms: int, again: str | None) -> Event:
        """An event happens: a new one, or one more of one that was."""
        if again is None:
            self.names += 1
            happened = event(seq, server_ms, f"e{self.names}")
        else:
            happened = event(seq, server_ms, again, self.log.pop(again)["count"] + 1)
        self.log[happened["id"]] = happened
        self.cursor = Cursor(self.life, max(seq, self.cursor.seq), server_ms)
        return happened

    @rule(count=st.sampled_from([0, 1, 2, 3, SMALL + 1]), flaps=st.booleans(), gap_ms=st.integers(0, 2))
    def message(self, count: int, flaps: bool, gap_ms: int) -> None:
        """A message shows some events."""
        seq, server_ms = self.cursor.seq + 1, self.cursor.server_ms + gap_ms
        messages = [name for name, each in self.log.items() if each["seq"]]
        again = messages[-count:] if flaps else [None] * count
        self.tell([self.append(seq, server_ms, name) for name in again])
        self.cursor = Cursor(self.life, seq, server_ms)

    @rule(flaps=st.booleans())
    def verdict(self, flaps: bool) -> None:
        verdicts = [name for name, each in self.log.items() if not each["seq"]]
        again = verdicts[-1] if flaps and verdicts else None
        self.tell([self.append(0, self.cursor.server_ms + 1, again)])

    def tell(self, news: list[Event]) -> None:
        if self.is_heard and news:
            self.ring.add(self.cursor, news)
            self.read = self.cursor
            self.expect(news)

    def expect(self, news: list[Event]) -> None:
        self.kept = min(self.kept + len(news), SMALL)
        for viewer in self.viewers:
            viewer.due += brief(news)

    @rule()
    def progress(self) -> None:
        """The history process says that there was nothing since."""
        if self.is_heard:
            self.ring.add(self.cursor, ())
            self.read = self.cursor

    @rule()
    def lose(self) -> None:
        """The history process is gone, or hangs; the stream goes on."""
        self.is_heard = False

    @rule(back=st.integers(0, 5), is_another_life=st.booleans(), events=st.integers(0, 3))
    def connect(self, back: int, is_another_life: bool, events: int) -> None:
        """The history process is back, and has read the last messages of the stream."""
        if is_another_life:
            self.begin_life(events)
        self.is_heard = True
        since = self.at(max(self.cursor.seq - back, 0))
        known = sorted(
            (each for each in self.log.values() if not each["seq"] or each["seq"] > since.seq),
            key=lambda each: (each["server_ms"], each["seq"]),
        )
        self.ring.begin(since, self.cursor, known)
        if is_another_life or self.read.seq < since.seq:
            self.kept = 0
            for viewer in self.viewers:
                viewer.has_lost, viewer.due = True, []
            self.expect(known)
        else:
            self.expect([each for each in known if is_after(each, self.read)])
        self.read = self.cursor

    @rule()
    def join(self) -> None:
        """For the first time: what was before is asked of `/events`."""
        self.viewers.append(Viewer(self.ring.position))

    @rule(data=st.data())
    def reconnect(self, data: st.DataObject) -> None:
        known = [viewer for viewer in self.viewers if viewer.cursor is not None]
        if known:
            viewer = data.draw(st.sampled_from(known))
            cursor = cursor_of(viewer.cursor or "")
            assert cursor is not None
            viewer.told = self.ring.position_of(cursor)

    @rule(data=st.data())
    def frame(self, data: st.DataObject) -> None:
        if self.viewers:
            viewer = data.draw(st.sampled_from(self.viewers))
            seen = section(self.ring, viewer.told)
            has_all = not viewer.has_lost and len(viewer.due) <= self.kept
            assert seen["complete"] is has_all
            assert brief(seen["events"]) == (viewer.due if has_all else viewer.due[-self.kept :] if self.kept else [])
            viewer.cursor, viewer.told = seen["cursor"], self.ring.position
            viewer.due, viewer.has_lost = [], False

    @invariant()
    def the_ring_is_bounded(self) -> None:
        assert len(self.ring._entries) <= SMALL


TestRings = Rings.TestCase
TestRings.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


# -- by hand -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def ring() -> EventRing:
    ring = EventRing()
    ring.begin(Cursor("life", 0, 0), Cursor("life", 3, 30), [event(n, 10 * n, f"e{n}") for n in (1, 2, 3)])
    return ring


def test_a_viewer_that_comes_for_the_first_time_is_told_nothing_of_before(ring: EventRing) -> None:
    assert section(ring, ring.position) == {"cursor": "life-3-30", "complete": True, "events": []}


@pytest.mark.parametrize(
    ("cursor", "names", "complete"),
    [
        (Cursor("life", 1, 10), ["e2", "e3"], True),
        (Cursor("life", 0, 0), ["e1", "e2", "e3"], True),
        (Cursor("life", 3, 30), [], True),
        (Cursor("life", 9, 90), [], True),  # of a gateway that has read more
        (Cursor("other", 1, 10), ["e1", "e2", "e3"], False),
    ],
)
def test_one_that_comes_from_another_gateway_is_told_what_it_misses(
    ring: EventRing, cursor: Cursor, names: list[str], complete: bool
) -> None:
    seen = section(ring, ring.position_of(cursor))
    assert ([name for name, _ in brief(seen["events"])], seen["complete"]) == (names, complete)


def test_before_the_history_is_there_nobody_is_told_that_nothing_happened() -> None:
    """What happens until then is told to nobody: it has to be asked for."""
    ring = EventRing()
    told = ring.position
    assert section(ring, told)["complete"] is False
    ring.begin(Cursor("life", 0, 0), Cursor("life", 1, 10), [event(1, 10, "e1")])
    assert section(ring, told) == {"cursor": "life-1-10", "complete": True, "events": []}
    assert ring.position_of(NOWHERE) == UNKNOWN_POSITION


def test_one_that_was_away_for_longer_than_the_ring_reaches_is_told_so(ring: EventRing) -> None:
    for seq in range(4, 4 + RING_EVENTS):
        ring.add(Cursor("life", seq, 10 * seq), [event(seq, 10 * seq, f"e{seq}")])
    for away, complete in ((Cursor("life", 3, 30), True), (Cursor("life", 2, 20), False)):
        assert section(ring, ring.position_of(away))["complete"] is complete


def test_a_real_ring_has_its_bound() -> None:
    ring = EventRing()
    ring.begin(Cursor("life", 0, 0), Cursor("life", 0, 0), [])
    for seq in range(1, 3 * RING_EVENTS):
        ring.add(Cursor("life", seq, seq), [event(seq, seq, f"e{seq}")])
    seen = section(ring, FIRST_POSITION)
    assert (len(seen["events"]), seen["complete"]) == (RING_EVENTS, False)
    assert section(ring, ring.position - RING_EVENTS)["complete"] is True
