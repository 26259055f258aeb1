"""`GET /events`: what is asked for, what is refused, and when the answer is complete."""

import pytest

from src.gateway.history import event_log
from src.gateway.history.event_log import Cursor, EventLog
from src.gateway.history.event_query import EventQuery, answer, event_query
from src.gateway.signals.contract import EVENT_KINDS
from src.gateway.signals.shape import MAX_NAMES, WrongParameter
from tests.gateway.history.moments import moment

BEGIN, READ = Cursor("life", 100, 0), Cursor("life", 300, 300_000)


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", EventQuery()),
        ("token=x&step=5", EventQuery()),
        ("since=life-7-1000", EventQuery(since=Cursor("life", 7, 1000))),
        ("kinds=signal,verdict", EventQuery(kinds=frozenset({"signal", "verdict"}))),
        ("kinds=" + ",".join(EVENT_KINDS), EventQuery(kinds=frozenset(EVENT_KINDS))),
        ("levels=PDH%2Cflow", EventQuery(levels=frozenset({"PDH", "flow"}))),
        ("levels=A+B%26C", EventQuery(levels=frozenset({"A B&C"}))),
    ],
)
def test_what_is_asked_for(query: str, asked: EventQuery) -> None:
    assert event_query(query) == asked


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("since=", "since accepts a cursor, as a frame or an answer before had it"),
        ("since=yesterday", "since accepts a cursor, as a frame or an answer before had it"),
        ("since=life-1-2&since=life-1-3", "since is given twice; separate several values by commas"),
        ("kinds=signal,weather", f"kinds accepts {', '.join(EVENT_KINDS)}, separated by commas"),
        ("kinds=", "kinds accepts 1 to 64 names of 1 to 64 characters"),
        ("kinds=signal&kinds=verdict", "kinds is given twice; separate several values by commas"),
        ("levels=,", "levels accepts 1 to 64 names of 1 to 64 characters"),
        ("levels=" + ",".join(map(str, range(MAX_NAMES + 1))), "levels accepts 1 to 64 names of 1 to 64 characters"),
    ],
)
def test_a_wrong_value_is_refused_with_a_sentence(query: str, detail: str) -> None:
    with pytest.raises(WrongParameter) as refusal:
        event_query(query)
    assert str(refusal.value) == detail


def log() -> EventLog:
    log = EventLog("life")
    log.add_message(150, 150_000, moment(), moment("BREAK"))
    log.add_message(250, 250_000, moment("BREAK"), moment())
    return log


@pytest.mark.parametrize(
    ("since", "filled", "seqs", "complete"),
    [
        (None, True, [150, 250], True),
        (None, False, [150, 250], False),
        (Cursor("life", 200, 200_000), False, [250], True),
        (Cursor("life", 100, 100_000), False, [150, 250], True),
        (Cursor("life", 99, 99_000), False, [150, 250], False),
        (Cursor("life", 99, 99_000), True, [150, 250], False),  # the stream has dropped what it does not know
        (Cursor("life", 300, 300_000), True, [], True),
        (Cursor("other", 200, 200_000), True, [150, 250], False),
    ],
)
def test_an_answer_tells_whether_it_has_all(
    since: Cursor | None, filled: bool, seqs: list[int], complete: bool
) -> None:
    answered = answer(log(), EventQuery(since), BEGIN, READ, filled=filled)
    assert [event["seq"] for event in answered["events"]] == seqs
    assert (answered["complete"], answered["cursor"]) == (complete, str(READ))


def test_what_was_lost_because_of_the_bound_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "MAX_EVENTS", 1)
    monkeypatch.setattr(event_log, "EVICTED_AT_ONCE", 0)
    bounded = log()
    assert [event["seq"] for event in bounded.events()] == [250]
    for since, complete in ((None, False), (Cursor("life", 140, 140_000), False), (Cursor("life", 200, 200_000), True)):
        assert answer(bounded, EventQuery(since), BEGIN, READ, filled=True)["complete"] is complete


def test_the_cursor_of_an_answer_without_some_kinds_goes_on_from_all_of_them() -> None:
    asked = EventQuery(kinds=frozenset({"verdict"}))
    assert answer(log(), asked, BEGIN, READ, filled=True) == {"cursor": str(READ), "complete": True, "events": []}
