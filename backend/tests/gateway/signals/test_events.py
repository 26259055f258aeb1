"""What happened between two messages: each kind of event, and what is none."""

from typing import Any

import pytest

from src.gateway.signals.contract import EVENT_KINDS
from src.gateway.signals.events import MAX_LEVELS, Moment, kept_sides, moment_of, transitions
from tests.gateway.signals.normalizing import normalize

VWAP: dict[str, Any] = {"id": "VWAP", "kind": "VWAP", "price": 687.25, "signal": "NEUTRAL", "confidence": "LOW"}
SWEPT = {"sweep": {"detected": True}}


def moment(*levels: dict[str, Any], is_replay: bool = False, **further: Any) -> Moment:
    message = {"ts": 1_766_120_400_000, "spy": {"spot": 687.5}, "levels": list(levels), **further}
    return moment_of(normalize(message).levels, is_replay=is_replay)


def told(before: Moment, now: Moment) -> list[tuple[str, str | None, str, str]]:
    """Kind, level, and the values before and after."""
    return [(each.kind, each.level, each.before, each.after) for each in transitions(before, now)]


def spot(value: float | None) -> dict[str, Any]:
    return {"spy": {"spot": value}}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (moment(VWAP), moment(VWAP), []),
        (moment(VWAP), moment({**VWAP, "distance": 3.0, "break_score_smooth": 71.5, "confidence": "HIGH"}), []),
        (moment(VWAP), moment({**VWAP, "signal": "BREAK"}), [("signal", "VWAP", "NO_TRADE", "BREAK")]),
        (moment({**VWAP, "signal": "REJECT"}), moment(VWAP), [("signal", "VWAP", "BOUNCE", "NO_TRADE")]),
        (moment(VWAP), moment({**VWAP, "signal": "CONTESTED"}), []),  # both are NO_TRADE to a viewer
        (moment(VWAP), moment({**VWAP, "tape": SWEPT}), [("sweep_detected", "VWAP", "false", "true")]),
        (moment({**VWAP, "tape": SWEPT}), moment(VWAP), [("sweep_detected", "VWAP", "true", "false")]),
        (
            moment({**VWAP, "barrier": {"state": "WALL"}}),
            moment({**VWAP, "barrier": {"state": "VACUUM"}}),
            [("barrier_state", "VWAP", "WALL", "VACUUM")],
        ),
        (moment(VWAP), moment(VWAP, **spot(687.0)), [("spot_side", "VWAP", "above", "below")]),
        (moment(VWAP, **spot(687.0)), moment(VWAP), [("spot_side", "VWAP", "below", "above")]),
        (moment(VWAP), moment(VWAP, **spot(687.25)), []),  # at the price: on no other side yet
        (moment(VWAP), moment(VWAP, **spot(None)), []),
        (moment(VWAP, **spot(None)), moment(VWAP, **spot(687.0)), []),
        (moment(), moment(VWAP), [("level", "VWAP", "absent", "present")]),
        (moment({**VWAP, "signal": "BREAK"}), moment(), [("level", "VWAP", "present", "absent")]),
        (moment(VWAP), moment(VWAP, is_replay=True), [("replay", None, "false", "true")]),
        (moment(VWAP, is_replay=True), moment(VWAP), [("replay", None, "true", "false")]),
        (
            moment(VWAP, {**VWAP, "id": "GONE"}),
            moment({**VWAP, "id": "NEW"}, {**VWAP, "signal": "BREAK", "tape": SWEPT}, **spot(687.0)),
            [
                ("level", "NEW", "absent", "present"),
                ("signal", "VWAP", "NO_TRADE", "BREAK"),
                ("sweep_detected", "VWAP", "false", "true"),
                ("spot_side", "VWAP", "above", "below"),
                ("level", "GONE", "present", "absent"),
            ],
        ),
    ],
)
def test_what_changed_between_two_messages(
    before: Moment, now: Moment, expected: list[tuple[str, str | None, str, str]]
) -> None:
    assert told(before, now) == expected
    assert {kind for kind, *_ in expected} <= set(EVENT_KINDS)


def test_a_signal_of_one_message_is_two_events() -> None:
    quiet, loud = moment(VWAP), moment({**VWAP, "signal": "BREAK"})
    assert [each.after for pair in ((quiet, loud), (loud, quiet)) for each in transitions(*pair)] == [
        "BREAK",
        "NO_TRADE",
    ]


def test_an_event_tells_of_the_level_after_it_and_of_one_that_went_before_it() -> None:
    high = moment({**VWAP, "signal": "BREAK", "confidence": "HIGH", "break_score_smooth": 71.5})
    (came,), (went,) = transitions(moment(VWAP), high), transitions(high, moment())
    for each in (came, went):
        assert each.state is not None
        assert (each.state.confidence, each.state.score, each.state.kind, each.state.price) == (
            "HIGH",
            71.5,
            "VWAP",
            687.25,
        )


def test_a_level_is_crossed_by_the_instrument_that_it_belongs_to() -> None:
    """SPY and ES differ by a factor of ten."""
    both = [VWAP, {**VWAP, "id": "ES", "price": 6900.0}]
    before = moment(*both, spy={"spot": 687.5}, es={"spot": 6899.0})
    now = moment(*both, spy={"spot": 687.0}, es={"spot": 6901.0})
    assert told(before, now) == [("spot_side", "VWAP", "above", "below"), ("spot_side", "ES", "below", "above")]
    assert [each.state.spot for each in transitions(before, now) if each.state] == [687.0, 6901.0]


@pytest.mark.parametrize(
    ("spots", "expected"),
    [
        ([687.5, 687.25, 687.5], []),  # touched
        ([687.5, 687.25, 687.0], ["below"]),  # crossed, over its price
        ([687.5, None, 687.0], ["below"]),
        ([687.5, None, 687.25, None, 687.0, 687.5], ["below", "above"]),
        ([None, 687.25, 687.5, 687.0], ["below"]),
    ],
)
def test_while_spot_is_at_the_price_or_unknown_a_level_keeps_its_side(
    spots: list[float | None], expected: list[str]
) -> None:
    before, sides = moment(VWAP, **spot(spots[0])), []
    for each in spots[1:]:
        now = kept_sides(before, moment(VWAP, **spot(each)))
        sides += [transition.after for transition in transitions(before, now)]
        before = now
    assert sides == expected


def test_of_equal_ids_the_first_counts_and_of_very_many_levels_the_first_ones() -> None:
    twice = moment(VWAP, {**VWAP, "signal": "BREAK"})
    assert told(moment(VWAP), twice) == []
    many = [{**VWAP, "id": f"{n}"} for n in range(2 * MAX_LEVELS)]
    assert len(moment(*many).levels) == MAX_LEVELS
