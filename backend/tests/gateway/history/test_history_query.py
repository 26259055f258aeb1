"""What a request may ask of the past."""

from contextlib import suppress
from datetime import datetime
from typing import Final
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.gateway.history.history_query import (
    FIELDS,
    MAX_POINTS,
    USUAL_POINTS,
    HistoryQuery,
    history_query,
    read_time,
)
from src.gateway.signals.contract import LAST_TS_MS
from src.gateway.signals.shape import WrongParameter


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


OPEN: Final = ms("2026-11-25T09:30:00-05:00")
NEWEST: Final = ms("2026-11-25T16:00:00.250-05:00")
HOUR: Final = 3_600_000

SPANS = [
    ("", OPEN, 30_000, 781),
    ("other=1&step=30", OPEN, 30_000, 781),
    ("step=60s", OPEN, 60_000, 391),
    ("step=1m", OPEN, 60_000, 391),
    ("step=1h", OPEN - HOUR // 2, HOUR, 8),
    ("from=-10m", NEWEST - 600_000, 1000, 601),
    ("from=-10m&step=7", NEWEST - 600_000, 7000, 87),
    ("from=-2h&to=-1h", NEWEST - 2 * HOUR, 5000, 721),
    (f"from={OPEN}&to={OPEN + 1000}", OPEN, 1000, 1),
    (f"from={OPEN + 999}&to={OPEN + 1001}", OPEN, 1000, 2),
    ("from=2026-11-25T09:30:00-05:00&to=2026-11-25T14:31:00Z", OPEN, 1000, 60),
    ("from=2026-11-25T14:30:00%2B00:00&to=2026-11-25T14:31:00+00:00", OPEN, 1000, 60),
    ("from=-24h", NEWEST - 24 * HOUR, 120_000, 721),
    ("to=2026-11-25T09:00:00-05:00", ms("2026-11-24T09:30:00-05:00"), 120_000, 705),
    (f"to={OPEN + 1}", OPEN, 1000, 1),
    ("from=2026-09-01T00:00:00Z", ms("2026-09-01T00:00:00Z"), HOUR, 2062),
]


@pytest.mark.parametrize(("query", "from_ms", "step_ms", "points"), SPANS)
def test_a_span_grows_to_whole_steps(query: str, from_ms: int, step_ms: int, points: int) -> None:
    from_ms -= from_ms % step_ms
    assert history_query(query, NEWEST) == HistoryQuery(from_ms, step_ms, points)


NAMES = [
    ("", frozenset(FIELDS), None),
    ("fields=spot", frozenset({"spot"}), None),
    ("fields=FLOW,%20levels&levels=A+1,b", frozenset({"flow", "levels"}), frozenset({"A 1", "b"})),
]


@pytest.mark.parametrize(("query", "fields", "levels"), NAMES)
def test_a_query_names_fields_and_levels(query: str, fields: frozenset[str], levels: frozenset[str] | None) -> None:
    asked = history_query(query, NEWEST)
    assert (asked.fields, asked.levels) == (fields, levels)


TIMES = "accepts ms since 1970, ISO 8601 with an offset, or a time before the newest like -2h"
REFUSED = [
    ("from=", "from " + TIMES),
    ("from=yesterday", "from " + TIMES),
    ("to=2h", "to " + TIMES),
    ("to=-2w", "to " + TIMES),
    ("from=2026-11-25T09:30:00", "from " + TIMES),
    ("from=2026-11-25", "from " + TIMES),
    ("from=2026-13-25T09:30:00Z", "from " + TIMES),
    ("from=1960-01-01T00:00:00Z", "from " + TIMES),
    ("from=-999999d", "from " + TIMES),
    ("from=" + "9" * 15, "from " + TIMES),
    ("from=%D9%A3", "from " + TIMES),
    ("from=0001-01-01T00:00:00%2B23:59", "from " + TIMES),
    ("from=-1h&to=-2h", "from accepts a time before to"),
    ("from=5&to=5", "from accepts a time before to"),
    ("step=0", "step accepts 1 to 3600 whole seconds"),
    ("step=0.5", "step accepts 1 to 3600 whole seconds"),
    ("step=2h", "step accepts 1 to 3600 whole seconds"),
    ("step=", "step accepts 1 to 3600 whole seconds"),
    ("step=1", "step accepts 10 s or more here: an answer has at most 2500 points"),
    ("from=-24h&step=5s", "step accepts 60 s or more here"),
    ("from=0", "from and to accept a span of at most 104 days"),
    ("from=0&step=1h", "from and to accept a span of at most 104 days"),
    ("fields=", "fields accepts spot, levels, flow, separated by commas"),
    ("fields=spot,news", "fields accepts spot, levels, flow, separated by commas"),
    ("levels=", "levels accepts 1 to 64 ids"),
    ("levels=" + "A" * 65, "levels accepts 1 to 64 ids"),
    ("levels=" + ",".join(map(str, range(65))), "levels accepts 1 to 64 ids"),
    ("step=1&step=5", "step is given twice"),
]


@pytest.mark.parametrize(("query", "sentence"), REFUSED)
def test_a_wrong_value_is_refused_with_what_is_accepted(query: str, sentence: str) -> None:
    with pytest.raises(WrongParameter, match="^" + sentence):
        history_query(query, NEWEST)


@given(st.text(max_size=30), st.integers(0, LAST_TS_MS))
def test_any_text_is_a_time_or_refused(text: str, newest_ms: int) -> None:
    with suppress(WrongParameter):
        assert 0 <= read_time("at", text, newest_ms) <= LAST_TS_MS


@given(st.integers(0, LAST_TS_MS), st.sampled_from(["", "from=-1s", "to=-1s", "from=-3d", "from=-3h&to=-5s&step=60"]))
def test_a_span_covers_what_is_asked_wherever_the_newest_message_lies(newest_ms: int, query: str) -> None:
    try:
        asked = history_query(query, newest_ms)
    except WrongParameter:
        assert newest_ms < 3 * 24 * HOUR, "a time before 1970"
        return
    assert 1 <= asked.points <= min(MAX_POINTS, USUAL_POINTS)
    assert asked.from_ms % asked.step_ms == 0
    if "to" not in query:
        assert asked.from_ms <= newest_ms < asked.to_ms <= newest_ms + 1 + asked.step_ms
    assert history_query("&".join(reversed(query.split("&"))), newest_ms) == asked
    assert history_query("levels=" + quote("A&b"), newest_ms).levels == frozenset({"A&b"})
