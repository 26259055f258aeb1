"""The section `status` and the week of a market, in simulated time."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec
import pytest

from src.gateway.signals.causes import CAUSES
from src.gateway.signals.contract import LevelsPayload, Status
from src.gateway.signals.market_calendar import market_at
from src.gateway.signals.session_clock import NEW_YORK
from src.gateway.signals.status import Facts, StreamStatus

NOON_MS = int(datetime(2026, 11, 24, 12, tzinfo=NEW_YORK).timestamp() * 1000)


def levels(ts_ms: int, spot: float | None = 687.5) -> LevelsPayload:
    return {"ts": ts_ms, "spy": {"spot": spot, "bid": None, "ask": None}, "levels": []}


class Stream:
    """Messages in simulated time."""

    def __init__(self, market: str = "24x7") -> None:
        self.status = StreamStatus(market)
        self.now_ms = NOON_MS
        self.facts = Facts()
        self._seq = 0

    def message(self, *sections: str, spot: float | None = 687.5, lag_ms: int = 0) -> None:
        for section in sections:
            self._seq += 1
            ts_ms = self.now_ms - lag_ms if section == "levels" else None
            content = None if ts_ms is None else levels(ts_ms, spot)
            self.status.add(section, self._seq, self.now_ms, self.now_ms, is_live=True, levels=content, ts_ms=ts_ms)

    def run(self, seconds: int, *sections: str, lag_ms: int = 0, spot: float | None = 687.5) -> None:
        for _ in range(4 * seconds):
            self.now_ms += 250
            self.message(*sections, lag_ms=lag_ms, spot=spot)

    def cause(self, *asked: str) -> str | None:
        return self.status.judge(self.facts, self.now_ms, asked or ("levels", "flow")).cause


def test_all_is_live() -> None:
    stream = Stream()
    stream.run(5, "levels", "flow")
    assert stream.cause() is None
    assert stream.status.judge(stream.facts, stream.now_ms).verdicts == {"levels": "live", "flow": "live"}


def causes() -> Iterator[tuple[str, Stream]]:
    def live() -> Stream:
        stream = Stream()
        stream.run(5, "levels", "flow")
        return stream

    for name, facts in {
        "gateway_draining": Facts(is_draining=True),
        "nats_down": Facts(is_connected=False),
        "subscription_lost": Facts(is_subscribed=False),
    }.items():
        stream = live()
        stream.facts = facts
        yield name, stream
    yield "no_message", Stream()
    stream = live()
    stream.now_ms += 10_000
    yield "core_silent", stream
    stream = live()
    stream.run(5, "flow")
    yield "levels_silent", stream
    stream = live()
    stream.run(5, "levels")
    yield "flow_silent", stream
    stream = Stream()
    stream.run(5, "levels", "flow", lag_ms=30_000)
    yield "core_behind", stream
    stream = Stream()
    stream.run(5, "levels", "flow", lag_ms=345 * 86_400_000)
    yield "replay", stream
    stream = Stream()
    stream.run(5, "levels", "flow", spot=None)
    yield "spot_missing", stream
    stream = Stream("XNYS")
    stream.now_ms = int(datetime(2026, 11, 25, 15, 59, 50, tzinfo=NEW_YORK).timestamp() * 1000)
    stream.run(10, "levels", "flow")
    stream.now_ms = int(datetime(2026, 11, 26, 11, tzinfo=NEW_YORK).timestamp() * 1000)
    yield "market_closed", stream


CASES = list(causes())


@pytest.mark.parametrize(("cause", "stream"), CASES, ids=[cause for cause, _ in CASES])
def test_a_cause_is_told_with_its_sentence(cause: str, stream: Stream) -> None:
    assert stream.cause() == cause
    section = stream.status.stamp(
        stream.facts, stream.now_ms, ("levels", "flow"), "life", stream.status.messages, 7, 3, "slow"
    )
    status = msgspec.json.decode(section, type=Status)
    assert (status["cause"], status["explanation"]) == (cause, CAUSES[cause].sentence)
    assert (status["seq"], status["epoch"], status["skipped"]) == (7, "life", {"frames": 3, "why": "slow"})


def test_every_cause_of_the_table_has_a_case() -> None:
    assert {cause for cause, _ in CASES} == set(CAUSES)


def test_a_section_that_was_not_asked_for_does_not_count() -> None:
    stream = Stream()
    stream.run(5, "levels", "flow")
    stream.run(5, "levels")
    assert (stream.cause("levels"), stream.cause("flow")) == (None, "flow_silent")
    stream.run(5, "levels", spot=None)
    assert stream.cause("flow") == "flow_silent"


def test_the_sentence_of_a_closed_market_is_calm_and_complete() -> None:
    stream = dict(CASES)["market_closed"]
    assert stream.status.market_sentence(stream.now_ms) == (
        "Closed for Thanksgiving; opens Fri 09:30, closes 13:00; last data Wed 16:00:00"
    )


# -- a week ------------------------------------------------------------------------------------------------------------

# Thanksgiving and the half day after it; the weekend on which clocks change, with the daily halts of CMES around it.
WEEKS = [
    ("XNYS", datetime(2026, 11, 25, 8, tzinfo=NEW_YORK), datetime(2026, 11, 30, 12, tzinfo=NEW_YORK)),
    ("CMES", datetime(2026, 10, 30, 15, tzinfo=NEW_YORK), datetime(2026, 11, 3, 2, tzinfo=NEW_YORK)),
]
SILENCES = {
    "XNYS": (11, 14),
    "CMES": (19, 21),
}  # hours of New York, from and to, in which Core is down for its first minute
EVERY_MS = {"levels": 1_000, "flow": 5_000}  # a slow producer
LATE_MS = {"levels": 2_750, "flow": 12_750}
STALE_MS = {"levels": 8_000, "flow": 40_000}
MARGIN_MS = 1_000


@pytest.mark.parametrize(("market", "begin", "end"), WEEKS, ids=[market for market, _, _ in WEEKS])
def test_no_verdict_of_a_week_is_wrong_and_none_comes_a_second_late(
    market: str, begin: datetime, end: datetime
) -> None:
    """Core publishes while the market is open, but for a minute of silence at some hours; the gateway restarts."""
    status = StreamStatus(market)
    now_ms, end_ms = (int(moment.timestamp() * 1000) for moment in (begin, end))
    now_ms -= now_ms % 1_000
    last_ms: dict[str, int] = {}
    opened_ms, seq, seen = 0, 0, set()
    was_open = market_at(market, now_ms).is_open
    while now_ms < end_ms:
        state = market_at(market, now_ms)
        if state.is_open and not was_open:
            opened_ms = now_ms
        was_open = state.is_open
        moment = datetime.fromtimestamp(now_ms / 1000, NEW_YORK)
        silent = moment.hour in range(*SILENCES[market]) and moment.minute == 0
        if (moment.minute, moment.second) == (30, 0):  # a restart: NATS hands over the newest messages
            status = StreamStatus(market)
            for section, known_ms in last_ms.items():
                content = levels(known_ms) if section == "levels" else None
                status.add(section, seq, known_ms, now_ms, is_live=False, levels=content)
        for section, every_ms in EVERY_MS.items():
            if state.is_open and not silent and now_ms % every_ms == 0:
                seq += 1
                content = levels(now_ms) if section == "levels" else None
                status.add(section, seq, now_ms, now_ms, is_live=section in last_ms, levels=content)
                last_ms[section] = now_ms
        verdicts = status.judge(Facts(), now_ms).verdicts
        for section, known_ms in last_ms.items():
            expected = right_verdicts(section, now_ms, known_ms, opened_ms if state.is_open else None)
            assert verdicts[section] in expected, (section, moment, verdicts[section])
            seen.add(verdicts[section])
        busy = state.is_open or now_ms - max(last_ms.values(), default=0) < 60_000
        now_ms += 1_000 if busy else 60_000 - now_ms % 60_000  # closed hours are looked at once a minute
    assert seen == {"live", "late", "stale", "closed"}


def right_verdicts(section: str, now_ms: int, last_ms: int, opened_ms: int | None) -> set[str]:
    """Two where a change is due within the margin."""

    def at(moment_ms: int) -> str:
        silent_ms = moment_ms - max(last_ms, opened_ms or 0)
        if silent_ms <= LATE_MS[section]:
            return "closed" if opened_ms is not None and last_ms < opened_ms else "live"
        if opened_ms is None:
            return "closed"
        return "late" if silent_ms <= STALE_MS[section] else "stale"

    return {at(now_ms), at(now_ms - MARGIN_MS)}


def test_the_weeks_have_a_holiday_a_half_day_a_weekend_a_halt_and_a_clock_change() -> None:
    def why(market: str, moment: datetime) -> str | None:
        return market_at(market, int(moment.timestamp() * 1000)).why_closed

    assert why("XNYS", datetime(2026, 11, 26, 11, tzinfo=NEW_YORK)) == "Thanksgiving"
    assert why("XNYS", datetime(2026, 11, 27, 13, 30, tzinfo=NEW_YORK)) == "early close"
    assert why("CMES", datetime(2026, 11, 2, 17, 30, tzinfo=NEW_YORK)) == "daily halt"
    assert datetime(2026, 10, 31, 12, tzinfo=NEW_YORK).utcoffset() != datetime(2026, 11, 2, tzinfo=NEW_YORK).utcoffset()
    assert timedelta(days=3) < WEEKS[1][2] - WEEKS[1][1]
