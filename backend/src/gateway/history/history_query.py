"""What a request asks of the past: a span, a step, and which fields. Unknown parameters are ignored.

Times are Core's. A relative one counts from the newest message and not from the clock, so that it means the same while
the market is closed and while Core replays.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from src.gateway.signals.contract import LAST_TS_MS
from src.gateway.signals.session_clock import open_ms
from src.gateway.signals.shape import MAX_NAME_CHARACTERS, MAX_NAMES, WrongParameter, given_in_query

DAY_MS: Final = 24 * 3_600_000
FIELDS: Final = ("spot", "levels", "flow")
STEPS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
LARGEST_STEP_S: Final = STEPS_S[-1]
USUAL_POINTS: Final = 1000  # at most, where no step is given: half a pixel each on a wide screen
MAX_POINTS: Final = 2500  # 10 s over a session of 6.5 h is 2,340 points, and 1 s over 40 minutes 2,400


class HistoryQuery(NamedTuple):
    """What is asked for, complete. Two requests that mean the same are equal.

    Attributes:
        from_ms: the beginning of the first point, ms since 1970 UTC, a multiple of the step.
        step_ms: the length of a point, in whole seconds.
        points: how many, 1 or more.
        fields: of `FIELDS`.
        levels: ids; None asks for all.
    """

    from_ms: int
    step_ms: int
    points: int
    fields: frozenset[str] = frozenset(FIELDS)
    levels: frozenset[str] | None = None

    @property
    def to_ms(self) -> int:
        """The end of the last point."""
        return self.from_ms + self.step_ms * self.points


def history_query(query: str, newest_ms: int) -> HistoryQuery:
    """Read the query of a request.

    The span from <= t < to grows to whole steps. Without `to` it ends with the newest message; without `from` it begins
    at the last 09:30 in New York before that. Without `step`, it is the smallest of `STEPS_S` that makes at most
    `USUAL_POINTS`.

    Args:
        query: as in the request, percent-encoded.
        newest_ms: Core's time of the newest message; the clock where there is none.

    Raises:
        WrongParameter: a parameter is there twice, or has a value that is not accepted.
    """
    given = given_in_query(query, HISTORY_PARAMETERS)
    to_ms = read_time("to", given["to"], newest_ms) if "to" in given else newest_ms + 1
    from_ms = read_time("from", given["from"], newest_ms) if "from" in given else _session_open_ms(to_ms - 1)
    if from_ms >= to_ms:
        raise WrongParameter("from accepts a time before to")
    step_s = _read_step(given["step"]) if "step" in given else _usual_step_s(from_ms, to_ms)
    points = _points(from_ms, to_ms, step_s)
    if points > MAX_POINTS:
        raise _too_many_points(from_ms, to_ms)
    return HistoryQuery(
        from_ms - from_ms % (step_s * 1000),
        step_s * 1000,
        points,
        _read_fields(given["fields"]) if "fields" in given else frozenset(FIELDS),
        _read_ids(given["levels"]) if "levels" in given else None,
    )


def read_time(name: str, text: str, newest_ms: int) -> int:
    """A moment in ms since 1970 UTC, from that number, ISO 8601 with an offset, or a time before the newest message.

    Args:
        name: of the parameter, for the error.
        text: decoded; a space stands for the `+` that a query loses.
        newest_ms: what `-2h` counts from.

    Raises:
        WrongParameter: it is none of them, or outside the years 1970 to 9999.
    """
    text = text.strip()
    for pattern, read in _TIMES.items():
        if match := pattern.fullmatch(text):
            ms = read(match, newest_ms)
            if ms is not None and 0 <= ms <= LAST_TS_MS:
                return ms
    raise WrongParameter(f"{name} accepts ms since 1970, ISO 8601 with an offset, or a time before the newest like -2h")


HISTORY_PARAMETERS: Final = {
    "from": "Core's time: ms since 1970, ISO 8601 with an offset, or like -2h before the newest; by default the open",
    "to": "likewise; by default the newest",
    "step": f"length of a point, 1 to {LARGEST_STEP_S} s, such as 5s or 1m; by default about {USUAL_POINTS} points",
    "fields": f"any of {', '.join(FIELDS)}; by default all",
    "levels": "ids of levels; by default all",
}


# -- times -------------------------------------------------------------------------------------------------------------

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _number(match: re.Match[str], newest_ms: int) -> int:
    return int(match[0])


def _relative(match: re.Match[str], newest_ms: int) -> int:
    return newest_ms - int(match[1]) * _UNITS_S[match[2]] * 1000


def _iso(match: re.Match[str], newest_ms: int) -> int | None:
    try:
        moment = datetime.fromisoformat(match[0].replace(" ", "+"))
        return None if moment.tzinfo is None else int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


_TIMES: Final[Mapping[re.Pattern[str], Callable[[re.Match[str], int], int | None]]] = {
    re.compile(r"[0-9]{1,15}"): _number,
    re.compile(r"-([0-9]{1,9})([smhd])"): _relative,
    re.compile(r"[0-9]{4}-.{4,40}", re.ASCII): _iso,
}


def _session_open_ms(ms: int) -> int:
    """The last 09:30 in New York at or before a moment; a day before it in a year that has no such time."""
    try:
        opened_ms = open_ms(ms)
        return max(opened_ms if opened_ms <= ms else open_ms(ms - DAY_MS), 0)
    except (ValueError, OverflowError, OSError):
        return max(ms - DAY_MS, 0)


# -- steps -------------------------------------------------------------------------------------------------------------

_STEP: Final = re.compile(r"([0-9]{1,6})([smh]?)")


def _read_step(text: str) -> int:
    match = _STEP.fullmatch(text.strip())
    step_s = int(match[1]) * _UNITS_S[match[2] or "s"] if match else 0
    if not 1 <= step_s <= LARGEST_STEP_S:
        raise WrongParameter(f"step accepts 1 to {LARGEST_STEP_S} whole seconds, such as 5, 5s or 1m")
    return step_s


def _usual_step_s(from_ms: int, to_ms: int) -> int:
    fitting = (step_s for step_s in STEPS_S if _points(from_ms, to_ms, step_s) <= USUAL_POINTS)
    return next(fitting, LARGEST_STEP_S)


def _points(from_ms: int, to_ms: int, step_s: int) -> int:
    """How many whole steps the span touches."""
    step_ms = step_s * 1000
    return -(-to_ms // step_ms) - from_ms // step_ms


def _too_many_points(from_ms: int, to_ms: int) -> WrongParameter:
    for step_s in STEPS_S:
        if _points(from_ms, to_ms, step_s) <= MAX_POINTS:
            return WrongParameter(f"step accepts {step_s} s or more here: an answer has at most {MAX_POINTS} points")
    days = MAX_POINTS * LARGEST_STEP_S // 86_400
    return WrongParameter(f"from and to accept a span of at most {days} days")


# -- names -------------------------------------------------------------------------------------------------------------


def _read_fields(text: str) -> frozenset[str]:
    fields = frozenset(part.strip().lower() for part in text.split(","))
    if not fields <= set(FIELDS):
        raise WrongParameter(f"fields accepts {', '.join(FIELDS)}, separated by commas")
    return fields


def _read_ids(text: str) -> frozenset[str]:
    ids = frozenset(part.strip() for part in text.split(","))
    if len(ids) > MAX_NAMES or not all(0 < len(each) <= MAX_NAME_CHARACTERS for each in ids):
        raise WrongParameter(f"levels accepts 1 to {MAX_NAMES} ids of 1 to {MAX_NAME_CHARACTERS} characters")
    return ids
