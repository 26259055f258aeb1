"""What is looked at while it runs, and what has to hold in the end: rules of values."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Final, NamedTuple

from soak.viewers import Tally

MOST_GROWTH: Final = 0.05
BYTES_A_VIEWER: Final = 8_600  # docs/operations.md: 43 MB for 5,000; a gateway gets those that others lose
MOST_HISTORY_GROWTH_BYTES: Final = 12 << 20  # docs/operations.md: 10 MB of events, and 40 MB of levels in 24 hours
WINDOW_SHARE: Final = 1 / 6  # of the run: the first and the last five minutes of thirty


class Sample(NamedTuple):
    """One look at a gateway.

    Attributes:
        at_s: since the start.
        resident_bytes: of all its processes but the next.
        viewers: that the gateway counts.
        frames: that all viewers have received so far.
        tasks: of its event loops; None where it does not answer.
        history_bytes: of the process that keeps the past, which may grow.
    """

    at_s: float
    resident_bytes: int
    descriptors: int
    tasks: int | None
    viewers: int | None
    cpu_s: float
    frames: int
    history_bytes: int = 0


class Rest(NamedTuple):
    """What the gateways hold while nobody is connected.

    Attributes:
        descriptors: by kind.
    """

    descriptors: Mapping[str, int]
    tasks: int | None
    viewers: int


class Ending(NamedTuple):
    """What was true in the end.

    Attributes:
        before: the viewers connected.
        after: it left.
        behind: healthy viewers that never got the newest message after the last fault.
        traceback: whether a gateway has logged one.
        trouble: sentences about processes that did not start, end or come back in time.
        past: sentences about events that `/events` misses; None where faults take away what it is made from.
    """

    before: Rest
    after: Rest
    behind: int
    traceback: bool
    trouble: Sequence[str] = ()
    past: Sequence[str] | None = None


class Verdict(NamedTuple):
    """One thing that has to hold."""

    claim: str
    seen: str
    holds: bool


def verdicts(samples: Sequence[Sample], tally: Tally, ending: Ending, *, judges_memory: bool) -> list[Verdict]:
    """
    Args:
        judges_memory: whether the run was long enough for a word about growth.
    """
    before, after = ending.before, ending.after
    first, last = memory_windows(samples)
    grown = memory_growth(samples)
    memory = Verdict(
        f"memory is at most {MOST_GROWTH:.0%} above that of the first sixth of the time",
        f"{first / 1e6:.1f} MB, then {last / 1e6:.1f} MB, "
        f"{_for_further_viewers(samples) / 1e6:.1f} of them for further viewers: {grown:+.1%}",
        grown < MOST_GROWTH,
    )
    history_first, history_last = windows(samples, lambda one: one.history_bytes)
    history = Verdict(
        f"the history grows by at most {MOST_HISTORY_GROWTH_BYTES / 1e6:.0f} MB",
        f"{history_first / 1e6:.1f} MB, then {history_last / 1e6:.1f} MB",
        history_last - history_first < MOST_HISTORY_GROWTH_BYTES,
    )
    return [
        *([memory, history] if judges_memory else []),
        _same("no descriptor is leaked", _in_words(before.descriptors), _in_words(after.descriptors)),
        _same("no task is leaked", before.tasks, after.tasks),
        Verdict("no viewer is remembered that has left", f"{after.viewers}", after.viewers == 0),
        _none("no viewer is shown an older state after a newer one", tally.out_of_order),
        _none("no healthy viewer is let go, or sent what is no frame", tally.broken),
        _none("each frame is of the shape that was asked for, and tells every event", tally.astray),
        *([] if ending.past is None else _of_past(tally, ending.past)),
        Verdict(
            "every healthy viewer has the newest state in the end", f"{ending.behind} are behind", not ending.behind
        ),
        _none("every process starts, ends and is replaced in time", ending.trouble),
        Verdict("nothing is logged with a traceback", "one" if ending.traceback else "none", not ending.traceback),
    ]


def _of_past(tally: Tally, missing: Sequence[str]) -> list[Verdict]:
    unfilled = sum(counts.unfilled for counts in tally.shapes.values())
    return [
        _none("/events of each gateway knows every message of Core", missing),
        Verdict("/events fills every gap of a viewer", f"{unfilled} are not filled", not unfilled),
    ]


def memory_growth(samples: Sequence[Sample]) -> float:
    """From the first window to the last, as a share; without what further viewers take."""
    first, last = memory_windows(samples)
    return round((last - _for_further_viewers(samples)) / first - 1, 3) + 0.0  # no -0.0


def _for_further_viewers(samples: Sequence[Sample]) -> float:
    counted: list[Sample] = []
    viewers = 0
    for one in samples:
        viewers = viewers if one.viewers is None else one.viewers
        counted.append(one._replace(viewers=viewers))
    before, after = windows(counted, lambda one: one.viewers or 0)
    return max(after - before, 0) * BYTES_A_VIEWER


def memory_windows(samples: Sequence[Sample]) -> tuple[float, float]:
    """Those of memory, without the history's."""
    return windows(samples, lambda one: one.resident_bytes)


def windows(samples: Sequence[Sample], value: Callable[[Sample], float]) -> tuple[float, float]:
    """The median of the first and of the last sixth of the time; ramp-up included."""
    end_s = samples[-1].at_s
    first = [value(one) for one in samples if one.at_s <= end_s * WINDOW_SHARE]
    last = [value(one) for one in samples if one.at_s >= end_s * (1 - WINDOW_SHARE)]
    return median(first), median(last)


def _in_words(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


def _same(claim: str, before: object, after: object) -> Verdict:
    return Verdict(claim, f"{before} before, {after} after", before == after)


def _none(claim: str, sentences: Sequence[str]) -> Verdict:
    return Verdict(claim, "; ".join(sentences) or "none", not sentences)
