"""What happened between two messages of `levels.signals`: pure functions of both.

An event is a transition of one thing: a level's signal, sweep, barrier or presence, the side of a level on which spot
is, or the begin and end of a replay. **The state is conflated, events are not**: they are found between consecutive
messages of the stream, whatever a viewer was sent of them.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from src.gateway.signals.contract import LevelSignal, LevelsPayload, SpotSnapshot

ABSENT, PRESENT = "absent", "present"
ABOVE, BELOW = "above", "below"
FALSE, TRUE = "false", "true"

MAX_LEVELS: Final = 512  # of one message that are compared, in Core's order: no real message has more than 60


class LevelState(NamedTuple):
    """What of a level makes events, and what tells about them.

    Attributes:
        kind: `level_kind_name`.
        price: points.
        side: of the level on which spot is, `ABOVE` or `BELOW`; None where spot is unknown, or at the price.
        spot: the price of the instrument that the level belongs to; None where it is unknown.
        score: `break_score_smooth`.
    """

    kind: str
    price: float
    signal: str
    confidence: str
    sweep_detected: bool
    barrier_state: str
    score: float
    side: str | None
    spot: float | None


class Moment(NamedTuple):
    """One message, as far as it makes events.

    Attributes:
        ts_ms: Core's time, ms since 1970 UTC.
        spot: the price of the first instrument that has one; None where none has.
        levels: by id; of equal ids the first.
        is_replay: whether Core's time is that of another day, see `CoreClock`.
    """

    ts_ms: int
    spot: float | None
    levels: Mapping[str, LevelState]
    is_replay: bool = False


class Transition(NamedTuple):
    """One event between two messages.

    Attributes:
        kind: one of `KINDS`.
        level: the id; None where the event is not of a level.
        state: of the level, after the event, or before it where the level went; None likewise.
        before: the value that was.
        after: the value that is.
    """

    kind: str
    level: str | None
    state: LevelState | None
    before: str
    after: str


def moment_of(levels: LevelsPayload, *, is_replay: bool = False) -> Moment:
    """The part of a message that makes events."""
    spots = [spot for snapshot in (levels.get("es"), levels["spy"]) if (spot := _price(snapshot)) is not None]
    states: dict[str, LevelState] = {}
    for level in levels["levels"][:MAX_LEVELS]:
        states.setdefault(level["id"], _state_of(level, spots))
    return Moment(levels["ts"], spots[0] if spots else None, states, is_replay)


def transitions(before: Moment, now: Moment) -> Iterator[Transition]:
    """All that changed between two consecutive messages, in Core's order of levels; those that went come last."""
    if before.is_replay != now.is_replay:
        yield Transition("replay", None, None, _truth(before.is_replay), _truth(now.is_replay))
    for level, state in now.levels.items():
        old = before.levels.get(level)
        if old is None:
            yield Transition("level", level, state, ABSENT, PRESENT)
        elif old is not state:
            yield from _changes(level, old, state)
    for level, old in before.levels.items():
        if level not in now.levels:
            yield Transition("level", level, old, PRESENT, ABSENT)


def _changes(level: str, old: LevelState, state: LevelState) -> Iterator[Transition]:
    if old.signal != state.signal:
        yield Transition("signal", level, state, old.signal, state.signal)
    if old.sweep_detected != state.sweep_detected:
        yield Transition("sweep_detected", level, state, _truth(old.sweep_detected), _truth(state.sweep_detected))
    if old.barrier_state != state.barrier_state:
        yield Transition("barrier_state", level, state, old.barrier_state, state.barrier_state)
    if old.side is not None and state.side is not None and old.side != state.side:
        yield Transition("spot_side", level, state, old.side, state.side)


def kept_sides(before: Moment, now: Moment) -> Moment:
    """`now`, in which a level keeps the side that spot was on while spot is at its price or unknown."""
    kept = {
        level: state._replace(side=old.side)
        for level, state in now.levels.items()
        if state.side is None and (old := before.levels.get(level)) is not None and old.side is not None
    }
    return now._replace(levels={**now.levels, **kept}) if kept else now


def _state_of(level: LevelSignal, spots: list[float]) -> LevelState:
    price = level["level_price"]
    spot = min(spots, key=lambda each: abs(each - price), default=None)  # SPY and ES differ by a factor of ten
    return LevelState(
        kind=level["level_kind_name"],
        price=price,
        signal=level["signal"],
        confidence=level["confidence"],
        sweep_detected=level["sweep_detected"],
        barrier_state=level["barrier_state"],
        score=level["break_score_smooth"],
        side=None if spot is None or spot == price else ABOVE if spot > price else BELOW,
        spot=spot,
    )


def _price(snapshot: SpotSnapshot | None) -> float | None:
    return None if snapshot is None else snapshot["spot"]


def _truth(value: bool) -> str:
    return TRUE if value else FALSE
