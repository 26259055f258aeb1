"""`GET /events`: what is asked for, what is refused, and when the answer is complete."""

import itertools
from typing import Any

import pytest

from src.gateway.history import event_log
from src.gateway.history.event_log import Cursor, EventLog, cursor_of
from src.gateway.history.event_query import MAX_LIMIT, USUAL_LIMIT, EventQuery, answer, event_query
from src.gateway.signals.contract import EVENT_KINDS
from src.gateway.signals.events import Moment
from src.gateway.signals.shape import MAX_NAMES, WrongParameter
from tests.gateway.history.moments import moment

BEGIN, READ = Cursor("life", 100, 0), Cursor("life", 300, 300_000)


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", EventQuery()),
        ("token=x&step=5", EventQuery()),
        ("", EventQuery(limit=USUAL_LIMIT)),
        ("limit=1", EventQuery(limit=1)),
        (f"limit=+{MAX_LIMIT}", EventQuery(limit=MAX_LIMIT)),  # a space
        ("since=life-7-1000", EventQuery(since=Cursor("life", 7, 1000))),
        ("since=-0-0", EventQuery(since=Cursor("", 0, 0))),
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
        *(
            (f"limit={limit}", f"limit accepts a whole number from 1 to {MAX_LIMIT}")
            for limit in ("", "0", "-1", "1.5", "all", "٣", MAX_LIMIT + 1, "9" * 5000)
        ),
        ("since=-1-0", "since accepts a cursor, as a frame or an answer before had it"),
        ("since=life-1-2-3", "since accepts a cursor, as a frame or an answer before had it"),
        ("since=life-1-" + "9" * 16, "since accepts a cursor, as a frame or an answer before had it"),
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
        (Cursor("life", 900, 900_000), True, [], True),  # of a gateway that has read more
        (Cursor("other", 200, 200_000), True, [150, 250], False),
    ],
)
def test_an_answer_tells_whether_it_has_all(
    since: Cursor | None, filled: bool, seqs: list[int], complete: bool
) -> None:
    answered = answer(log(), EventQuery(since), BEGIN, READ, filled=filled)
    assert [event["seq"] for event in answered["events"]] == seqs
    assert (answered["complete"], answered["cursor"], answered["more"]) == (complete, str(READ), False)


def test_what_was_lost_because_of_the_bound_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "MAX_EVENTS", 1)
    monkeypatch.setattr(event_log, "EVICTED_AT_ONCE", 0)
    bounded = log()
    assert [event["seq"] for event in bounded.events()] == [250]
    for since, complete in ((None, False), (Cursor("life", 140, 140_000), False), (Cursor("life", 200, 200_000), True)):
        assert answer(bounded, EventQuery(since), BEGIN, READ, filled=True)["complete"] is complete


def test_the_cursor_of_an_answer_without_some_kinds_goes_on_from_all_of_them() -> None:
    asked = EventQuery(kinds=frozenset({"verdict"}))
    assert answer(log(), asked, BEGIN, READ, filled=True) == {
        "cursor": str(READ),
        "complete": True,
        "events": [],
        "more": False,
    }


# -- pages -------------------------------------------------------------------------------------------------------------


def two_levels(signal: str, ts_ms: int) -> Moment:
    vwap, pdh = (moment(signal, level, ts_ms) for level in ("VWAP", "PDH"))
    return vwap._replace(levels={**vwap.levels, **pdh.levels})


def busy_log() -> EventLog:
    """Messages with two events each, a verdict between two of them, one of the same time, and a clock set back."""
    log = EventLog("life")
    for seq in range(101, 111):
        before, now = ("BREAK", "NO_TRADE") if seq % 2 else ("NO_TRADE", "BREAK")
        ts_ms = 40_000 * seq
        log.add_message(seq, ts_ms - (50_000 if seq > 105 else 0), two_levels(before, ts_ms), two_levels(now, ts_ms))
    log.add_verdict("flow", "live", "stale", 40_000 * 103 + 1)
    log.add_verdict("flow", "stale", "live", 40_000 * 104)
    return log


def pages_of(log: EventLog, asked: EventQuery, *, filled: bool = True) -> list[Any]:
    """All pages, each asked for by the cursor of the one before."""
    pages: list[Any] = []
    while not pages or pages[-1]["more"]:
        pages.append(answer(log, asked, BEGIN, READ, filled=filled))
        asked = asked._replace(since=cursor_of(pages[-1]["cursor"]))
        assert len(pages) <= 100, "each goes on"
    return pages


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("kinds", [None, frozenset({"verdict"}), frozenset({"signal"})])
def test_the_pages_of_an_answer_have_each_event_once_the_oldest_first(limit: int, kinds: frozenset[str] | None) -> None:
    log = busy_log()
    pages = pages_of(log, EventQuery(kinds=kinds, limit=limit))
    told = [event for page in pages for event in page["events"]]
    assert sorted(event["id"] for event in told) == sorted(event["id"] for event in log.events(kinds=kinds))
    assert all(len(page["events"]) >= limit for page in pages[:-1])
    assert all(page["complete"] for page in pages)
    reached = cursor_of(pages[-1]["cursor"])
    assert reached is not None
    assert reached.seq == READ.seq


def test_the_events_of_a_message_are_in_one_page() -> None:
    pages = pages_of(busy_log(), EventQuery(limit=1))
    seqs = [{event["seq"] for event in page["events"] if event["seq"]} for page in pages]
    assert not any(first & second for first, second in itertools.pairwise(seqs))
    assert len(pages) > 5


def test_an_event_that_counts_one_more_between_two_pages_comes_again() -> None:
    growing = log()
    first = answer(growing, EventQuery(limit=1), BEGIN, READ, filled=True)
    assert ([event["count"] for event in first["events"]], first["more"]) == ([1], True)
    growing.add_message(260, 260_000, moment(), moment("BREAK"))
    second = answer(growing, EventQuery(cursor_of(first["cursor"]), limit=100), BEGIN, READ, filled=True)
    assert [(event["id"], event["count"]) for event in second["events"]][-1] == (first["events"][0]["id"], 2)


def test_the_pages_of_a_past_that_is_read_in_part_are_not_complete() -> None:
    pages = pages_of(busy_log(), EventQuery(limit=3), filled=False)
    assert not pages[0]["complete"]
    assert sum(len(page["events"]) for page in pages) == len(busy_log().events())
