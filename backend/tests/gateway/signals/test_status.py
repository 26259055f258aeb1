"""The section `status` and the week of a market, in simulated time."""

from collections.abc import Iterator, Mapping
from datetime import datetime, time, timedelta
from typing import NamedTuple

import msgspec
import pytest

from src.gateway.signals.causes import CAUSES
from src.gateway.signals.contract import LevelsPayload, Status
from src.gateway.signals.market_calendar import market_at
from src.gateway.signals.session_clock import NEW_YORK
from src.gateway.signals.status import PAST, Facts, StreamStatus

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


def test_each_sentence_is_true_while_a_core_with_a_slow_flow_has_stopped() -> None:
    stream = Stream()
    for number in range(60):
        stream.now_ms += 1_000
        stream.message("levels", *(["flow"] if number % 5 == 0 else []))
    told: list[str] = []
    for _ in range(60):
        stream.now_ms += 250
        judgement = stream.status.judge(stream.facts, stream.now_ms)
        sentence = CAUSES[judgement.cause].sentence if judgement.cause else "All is live."
        overdue = {name for name, verdict in judgement.verdicts.items() if verdict != "live"}
        assert overdue == {
            "All is live.": set(),
            "Core publishes no levels; flow is not overdue.": {"levels"},
            "Core publishes nothing, though the market is open.": {"levels", "flow"},
        }.get(sentence)
        told += [sentence] if sentence not in told else []
    assert len(told) == 3


def test_every_cause_of_the_table_has_a_case() -> None:
    assert {cause for cause, _ in CASES} == set(CAUSES) - {PAST}, "a replay tells that one by itself"


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


class Faults(NamedTuple):
    """What goes wrong every day, by New York's time.

    Attributes:
        core_silent: hours, from and to, in whose first minute Core publishes nothing.
        nats_away: hours and minutes, from and to, without NATS; the first of them covers the opening.
        replayed: hours and minutes, from and to, in which Core sends another day, also while the market is closed.
    """

    core_silent: range
    nats_away: tuple[tuple[time, time], ...]
    replayed: tuple[time, time]


FAULTS = {
    "XNYS": Faults(
        range(11, 14), ((time(9, 28), time(9, 33)), (time(14, 5), time(14, 9))), (time(10, 28), time(10, 32))
    ),
    "CMES": Faults(
        range(19, 21), ((time(17, 58), time(18, 3)), (time(1, 40), time(1, 43))), (time(22, 28), time(22, 32))
    ),
}
REPLAYED_LAG_MS = 9 * 86_400_000
EVERY_MS = {"levels": 1_000, "flow": 5_000}  # a slow producer
LIMITS_MS = {"levels": (2_750, 8_000), "flow": (12_750, 40_000)}  # late and stale
UNKNOWN_LIMITS_MS = (6_000, 15_000)  # as long as a gateway knows no gap
LONGEST_GAP_MS = 60_000
MARGIN_MS = 1_000


class Newest(NamedTuple):
    """What is true of the newest message of a section.

    Attributes:
        published_ms: when NATS took it.
        lag_ms: of Core's time.
        limits_ms: beyond which the section is late, and stale.
    """

    published_ms: int
    lag_ms: int
    limits_ms: tuple[int, int]


@pytest.mark.parametrize(("market", "begin", "end"), WEEKS, ids=[market for market, _, _ in WEEKS])
def test_no_verdict_and_no_cause_of_a_week_is_wrong_and_none_comes_a_second_late(
    market: str, begin: datetime, end: datetime
) -> None:
    """Core publishes while the market is open; it is silent at times, replays a day, and gateway and NATS restart."""
    faults = FAULTS[market]
    status = StreamStatus(market)
    now_ms, end_ms = (int(moment.timestamp() * 1000) for moment in (begin, end))
    now_ms -= now_ms % 1_000
    last: dict[str, Newest] = {}
    opened_ms, seq = 0, 0
    verdicts_seen: set[str] = set()
    causes_seen: set[str | None] = set()
    was_open = market_at(market, now_ms).is_open

    def add(section: str, published_ms: int, lag_ms: int, *, is_live: bool) -> None:
        ts_ms = published_ms - lag_ms if section == "levels" else None
        content = None if ts_ms is None else levels(ts_ms)
        status.add(section, seq, published_ms, now_ms, is_live=is_live, levels=content, ts_ms=ts_ms)

    while now_ms < end_ms:
        is_open = market_at(market, now_ms).is_open
        if is_open and not was_open:
            opened_ms = now_ms
        was_open = is_open
        moment = datetime.fromtimestamp(now_ms / 1000, NEW_YORK)
        is_connected = not any(begin <= moment.time() < end for begin, end in faults.nats_away)
        is_replayed = faults.replayed[0] <= moment.time() < faults.replayed[1]
        is_silent = moment.hour in faults.core_silent and moment.minute == 0
        if (moment.minute, moment.second) == (
            30,
            0,
        ) and is_connected:  # a restart: NATS has the last messages, however old
            status = StreamStatus(market)
            for section, newest in last.items():
                last[section] = newest._replace(limits_ms=UNKNOWN_LIMITS_MS)
                add(section, newest.published_ms, newest.lag_ms, is_live=False)
        for section, every_ms in EVERY_MS.items():
            if (is_open or is_replayed) and is_connected and not is_silent and now_ms % every_ms == 0:
                seq += 1
                lag_ms = REPLAYED_LAG_MS if is_replayed else 0
                add(section, now_ms, lag_ms, is_live=section in last)
                known = last.get(section)
                has_gap = known is not None and now_ms - known.published_ms <= LONGEST_GAP_MS
                limits_ms = LIMITS_MS[section] if has_gap else known.limits_ms if known else UNKNOWN_LIMITS_MS
                last[section] = Newest(now_ms, lag_ms, limits_ms)
        judgement = status.judge(Facts(is_connected=is_connected), now_ms)
        truths = [truth(last, opened_ms if is_open else None, at_ms) for at_ms in (now_ms, now_ms - MARGIN_MS)]
        assert judgement.verdicts.keys() == last.keys()
        for section, verdict in judgement.verdicts.items():
            assert verdict in [verdicts[section] for verdicts, _ in truths], (section, moment, verdict)
        right_causes = [cause for _, cause in truths] if is_connected else ["nats_down"]
        assert judgement.cause in right_causes, (moment, judgement.cause)
        verdicts_seen.update(judgement.verdicts.values())
        causes_seen.add(judgement.cause)
        newest_ms = max((newest.published_ms for newest in last.values()), default=0)
        busy = is_open or now_ms - newest_ms < 60_000
        now_ms += 1_000 if busy else 60_000 - now_ms % 60_000  # closed hours are looked at once a minute
    assert verdicts_seen == {"live", "late", "stale", "closed", "replay"}
    of_silence = {"core_silent", "levels_silent"}
    assert causes_seen - {"no_message"} == {None, "nats_down", "replay", "market_closed", *of_silence}


def truth(last: Mapping[str, Newest], opened_ms: int | None, at_ms: int) -> tuple[dict[str, str], str | None]:
    """The right verdicts and the right cause while NATS is there."""

    def verdict(section: str) -> str:
        published_ms, lag_ms, (late_ms, stale_ms) = last[section]
        if section == "levels" and lag_ms:
            return "replay"
        silent_ms = at_ms - max(published_ms, opened_ms or 0)
        if silent_ms <= late_ms:
            return "closed" if opened_ms is not None and published_ms < opened_ms else "live"
        if opened_ms is None:
            return "closed"
        return "late" if silent_ms <= stale_ms else "stale"

    verdicts = {section: verdict(section) for section in last}
    told = set(verdicts.values())
    if not told:
        return verdicts, "no_message"
    for word, cause in (("replay", "replay"), ("closed", "market_closed")):
        if word in told:
            return verdicts, cause
    silent = [section for section in verdicts if verdicts[section] != "live"]
    return verdicts, None if not silent else "core_silent" if len(silent) == len(EVERY_MS) else f"{silent[0]}_silent"


def test_the_weeks_have_a_holiday_a_half_day_a_weekend_a_halt_and_a_clock_change() -> None:
    def why(market: str, moment: datetime) -> str | None:
        return market_at(market, int(moment.timestamp() * 1000)).why_closed

    assert why("XNYS", datetime(2026, 11, 26, 11, tzinfo=NEW_YORK)) == "Thanksgiving"
    assert why("XNYS", datetime(2026, 11, 27, 13, 30, tzinfo=NEW_YORK)) == "early close"
    assert why("CMES", datetime(2026, 11, 2, 17, 30, tzinfo=NEW_YORK)) == "daily halt"
    assert datetime(2026, 10, 31, 12, tzinfo=NEW_YORK).utcoffset() != datetime(2026, 11, 2, tzinfo=NEW_YORK).utcoffset()
    assert timedelta(days=3) < WEEKS[1][2] - WEEKS[1][1]
