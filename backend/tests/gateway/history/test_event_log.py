"""The events of the day: the same in whatever order they were added, flapping counted, and bounded."""

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.gateway.history import event_log
from src.gateway.history.event_log import FLAP_MS, Cursor, EventLog, cursor_of
from src.gateway.signals.contract import Event
from src.gateway.signals.events import Moment
from tests.gateway.history.moments import moment

SIGNALS = ("BREAK", "BOUNCE", "NO_TRADE")


class Message(NamedTuple):
    """One message after another, as `EventLog.add_message` takes it."""

    seq: int
    server_ms: int
    before: Moment
    now: Moment


def session(*shown: tuple[int, str]) -> list[Message]:
    """Consecutive messages, from their times and the signal of a level; before the first it was `NO_TRADE`."""
    moments = [moment(), *(moment(signal, ts_ms=server_ms) for server_ms, signal in shown)]
    return [
        Message(seq, shown[seq - 1][0], before, now) for seq, (before, now) in enumerate(pairwise(moments), start=1)
    ]


def log_of(messages: list[Message]) -> EventLog:
    log = EventLog("life")
    for message in messages:
        log.add_message(*message)
    return log


def brief(events: list[Event]) -> list[tuple[str, str, int, int]]:
    """Id, value after, when it was last, and how often."""
    return [(event["id"], event["after"], event["server_ms"], event["count"]) for event in events]


@st.composite
def sessions(draw: st.DrawFn) -> list[Message]:
    """Gaps around the one within which the same transition is the same event; a few times go back, as of a leader."""
    gaps = draw(
        st.lists(st.sampled_from([0, 1, 250, FLAP_MS // 2, FLAP_MS, FLAP_MS + 1, -250]), min_size=1, max_size=40)
    )
    now_ms, shown = 1_000_000, []
    for gap in gaps:
        now_ms += gap
        shown.append((now_ms, draw(st.sampled_from(SIGNALS))))
    return session(*shown)


@given(sessions(), st.data())
def test_the_log_is_the_same_in_whatever_order_the_messages_were_added(
    messages: list[Message], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(messages))
    assert log_of(shuffled).events() == log_of(messages).events()


@given(sessions())
def test_each_transition_is_counted_once_and_told_as_it_stands_then(messages: list[Message]) -> None:
    log = EventLog("life")
    told: dict[str, Event] = {}
    for message in messages:
        for event in log.add_message(*message):
            told[event["id"]] = event
    happened = sum(message.before.levels["VWAP"].signal != message.now.levels["VWAP"].signal for message in messages)
    assert sum(event["count"] for event in log.events()) == happened
    if all(before.server_ms <= now.server_ms for before, now in pairwise(messages)):
        assert {event["id"]: event for event in log.events()} == told


def test_flapping_is_one_event_with_a_count_for_each_of_its_directions() -> None:
    flaps = session(*((1_000 * n, "BREAK" if n % 2 else "NO_TRADE") for n in range(1, 101)))
    assert brief(log_of(flaps).events()) == [
        ("life-1-0", "BREAK", 99_000, 50),
        ("life-2-0", "NO_TRADE", 100_000, 50),
    ]
    assert [event["first_ts"] for event in log_of(flaps).events()] == [1_000, 2_000]


@pytest.mark.parametrize(("gap_ms", "count"), [(FLAP_MS, 1), (FLAP_MS + 1, 2)])
def test_the_same_again_after_a_while_is_another_event(gap_ms: int, count: int) -> None:
    messages = session((1_000, "BREAK"), (1_001, "NO_TRADE"), (1_000 + gap_ms, "BREAK"))
    assert len([event for event in log_of(messages).events() if event["after"] == "BREAK"]) == count


def test_a_past_that_is_published_at_once_has_its_events_apart() -> None:
    """Core's time tells which are near: a simulated session is stored within seconds."""
    hours = [moment(), *(moment(signal, ts_ms=3_600_000 * n) for n, signal in enumerate(["BREAK", "NO_TRADE"] * 4))]
    log = log_of([Message(seq, 1_000 + seq, *pair) for seq, pair in enumerate(pairwise(hours), start=1)])
    assert [event["count"] for event in log.events()] == [1] * 8


def test_a_message_between_two_events_of_the_same_makes_them_one() -> None:
    """It is read last when the log is filled backwards from another place."""
    shown = session(
        (0, "BREAK"), (1, "NO_TRADE"), (FLAP_MS, "BREAK"), (FLAP_MS + 1, "NO_TRADE"), (2 * FLAP_MS, "BREAK")
    )
    log = log_of([shown[0], shown[4]])
    assert brief(log.events()) == [("life-1-0", "BREAK", 0, 1), ("life-5-0", "BREAK", 2 * FLAP_MS, 1)]
    log.add_message(*shown[2])
    assert brief(log.events()) == [("life-1-0", "BREAK", 2 * FLAP_MS, 3)]


def test_what_is_asked_for_is_chosen_by_cursor_kind_level_and_time() -> None:
    log = log_of(session((1_000, "BREAK"), (2_000, "BOUNCE")))
    log.add_message(3, 3_000, moment(), moment(level="PDH"))
    log.add_verdict("levels", "live", "stale", 4_000)
    every = [("signal", "VWAP"), ("signal", "VWAP"), ("level", "PDH"), ("level", "VWAP"), ("verdict", "levels")]

    def chosen(events: list[Event]) -> list[tuple[str, str | None]]:
        return [(event["kind"], event["level"]) for event in events]

    assert chosen(log.events()) == every
    assert chosen(log.events(since=Cursor("life", 1, 1_000))) == every[1:]
    assert chosen(log.events(since=Cursor("life", 3, 3_000))) == every[4:]
    assert log.events(since=Cursor("life", 3, 4_000)) == []
    assert chosen(log.events(kinds={"signal", "verdict"})) == [*every[:2], *every[4:]]
    assert chosen(log.events(levels={"PDH", "levels"})) == [every[2], every[4]]
    assert chosen(log.events(from_ms=3_000)) == every[2:]


def test_a_verdict_is_an_event_without_a_message_which_may_flap_too() -> None:
    log = EventLog("life")
    first = log.add_verdict("levels", "live", "stale", 1_000)
    again = log.add_verdict("levels", "live", "stale", 2_000)
    assert (first["seq"], first["level"], first["before"], first["after"], first["price"]) == (
        0,
        "levels",
        "live",
        "stale",
        None,
    )
    assert (again["id"], again["count"], again["server_ms"]) == (first["id"], 2, 2_000)
    assert log.add_verdict("flow", "live", "stale", 2_000)["id"] != first["id"]


def test_old_events_are_forgotten() -> None:
    log = log_of(session((1_000, "BREAK"), (100_000, "NO_TRADE"), (200_000, "BREAK")))
    log.forget_before(100_000)
    assert brief(log.events()) == [("life-2-0", "NO_TRADE", 100_000, 1), ("life-3-0", "BREAK", 200_000, 1)]
    assert len(log) == 2
    log.forget_before(1_000_000)
    assert (len(log), log.events()) == (0, [])


def test_there_are_never_more_than_the_bound_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "MAX_EVENTS", 100)
    monkeypatch.setattr(event_log, "EVICTED_AT_ONCE", 10)
    log = EventLog("life")
    for message in session(*((n * (FLAP_MS + 1), "BREAK" if n % 2 else "NO_TRADE") for n in range(1, 1_001))):
        log.add_message(*message)
        assert len(log) == len(log.events()) <= 100
    assert [event["seq"] for event in log.events()] == list(range(1_001 - len(log), 1_001))


@pytest.mark.parametrize("backwards", [False, True])
def test_what_is_left_beyond_the_bound_is_the_newest_without_a_hole(
    monkeypatch: pytest.MonkeyPatch, backwards: bool
) -> None:
    monkeypatch.setattr(event_log, "MAX_EVENTS", 100)
    monkeypatch.setattr(event_log, "EVICTED_AT_ONCE", 10)
    shown = session(*((n * (FLAP_MS + 1), "BREAK" if n % 2 else "NO_TRADE") for n in range(1, 1_001)))
    log = log_of(shown[::-1] if backwards else shown)
    assert [event["seq"] for event in log.events()] == list(range(1_001 - len(log), 1_001))
    assert log.lost_ms >= (1_000 - len(log)) * (FLAP_MS + 1), "which is told"


# -- cursors -----------------------------------------------------------------------------------------------------------


@given(st.from_regex(r"\A[0-9a-f]{1,16}\Z"), st.integers(0, 10**15 - 1), st.integers(0, 10**15 - 1))
def test_a_cursor_is_read_as_it_was_written(life: str, seq: int, server_ms: int) -> None:
    cursor = Cursor(life, seq, server_ms)
    assert cursor_of(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    ["", "-", "life", "life-1", "life-1-", "-1-2", "life-1-2-3", "life-x-2", "life-1--2", "life-1-²", f"a-{10**15}-1"],
)
def test_anything_else_is_no_cursor(text: str) -> None:
    assert cursor_of(text) is None


@given(st.text(max_size=40))
def test_no_text_is_a_fault(text: str) -> None:
    cursor = cursor_of(text)
    assert cursor is None or cursor_of(str(cursor)) == cursor
