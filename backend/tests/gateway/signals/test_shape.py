"""What a request may ask for, and what is left of a payload."""

from typing import Any

import msgspec
import pytest

from src.gateway.signals.shape import (
    MAX_NAMES,
    WHOLE,
    Contracts,
    Shape,
    Since,
    WrongParameter,
    shape_of_message,
    shape_of_query,
    shaped,
    since_of_query,
    strike_of,
)

ACCEPTED = [
    ("", WHOLE),
    ("token=secret&unknown=1", WHOLE),
    ("sections=flow,levels,viewport", WHOLE),
    ("sections=levels", Shape(sections=frozenset({"levels"}))),
    ("sections=FLOW%2Clevels", Shape(sections=frozenset({"levels", "flow"}))),
    ("near=25", Shape(near=25.0)),
    ("near=0", Shape(near=0.0)),
    ("kinds=vwap,CALL_WALL", Shape(kinds=frozenset({"VWAP", "CALL_WALL"}))),
    ("levels=A+1,b", Shape(levels=frozenset({"A 1", "b"}))),
    ("confidence=high", Shape(confidence=frozenset({"HIGH"}))),
    ("signals=BREAK,BOUNCE", Shape(signals=frozenset({"BREAK", "BOUNCE"}))),
    ("rate=0.1", Shape(rate=0.1)),
    ("rate=50", Shape(rate=50.0)),
]

SAME = [
    ("sections=levels,flow", "sections=flow,levels,flow"),
    ("near=25", "near=25.0"),
    ("near=25&rate=2", "rate=2.00&near=2.5e1"),
    ("kinds=VWAP", "kinds=%76wap"),
    ("confidence=HIGH,LOW", "confidence=low,%20high"),
]

REFUSED = [
    ("sections=", "sections accepts"),
    ("sections=levels,news", "sections accepts flow, levels, viewport, separated by commas"),
    ("near=", "near accepts a number from 0 to 1000000"),
    ("near=-1", "near accepts"),
    ("near=nan", "near accepts"),
    ("near=inf", "near accepts"),
    ("near=1,5", "near accepts"),
    ("kinds=A,,B", "kinds accepts"),
    ("kinds=" + "A" * 65, "kinds accepts"),
    ("levels=" + ",".join(map(str, range(MAX_NAMES + 1))), "levels accepts 1 to 64 names"),
    ("confidence=SURE", "confidence accepts HIGH, MEDIUM, LOW, separated by commas"),
    ("signals=REJECT", "signals accepts BREAK, BOUNCE, NO_TRADE, separated by commas"),
    ("rate=0", "rate accepts a number from 0.1 to 50"),
    ("rate=51", "rate accepts"),
    ("rate=1&rate=2", "rate is given twice"),
]


@pytest.mark.parametrize(("query", "shape"), ACCEPTED)
def test_a_query_names_a_shape(query: str, shape: Shape) -> None:
    assert shape_of_query(query) == shape


@pytest.mark.parametrize(("one", "other"), SAME)
def test_order_and_spelling_make_no_other_shape(one: str, other: str) -> None:
    assert shape_of_query(one) == shape_of_query(other)
    assert hash(shape_of_query(one)) == hash(shape_of_query(other))


@pytest.mark.parametrize(("query", "sentence"), REFUSED)
def test_a_wrong_value_is_refused_with_what_is_accepted(query: str, sentence: str) -> None:
    with pytest.raises(WrongParameter, match="^" + sentence) as wrong:
        shape_of_query(query)
    assert len(str(wrong.value).encode()) <= 123, "it has room in a close frame"


MESSAGES: list[tuple[Any, Shape | None]] = [
    ({"subscribe": {}}, WHOLE),
    ({"subscribe": {"sections": ["levels"], "near": 25, "rate": 2}}, Shape(frozenset({"levels"}), 25.0, rate=2.0)),
    ({"subscribe": {"sections": "levels", "near": "25"}}, Shape(frozenset({"levels"}), 25.0)),
    ({"subscribe": {"near": None, "new": [1]}}, WHOLE),
    ({"subscribe": []}, None),
    ({"hello": 1}, None),
    ([], None),
]


@pytest.mark.parametrize(("message", "shape"), MESSAGES)
def test_a_subscribe_message_has_the_same_keys(message: Any, shape: Shape | None) -> None:
    assert shape_of_message(msgspec.json.encode(message)) == shape


@pytest.mark.parametrize("text", [b"", b"hello", b'{"subscribe":{}', b"[" * 4000, b"\xff"])
def test_what_is_no_json_is_no_subscribe_message(text: bytes) -> None:
    assert shape_of_message(text) is None


@pytest.mark.parametrize("value", [True, [], [1], {}, ["levels", None], 7])
def test_a_value_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(WrongParameter, match="sections accepts"):
        shape_of_message(msgspec.json.encode({"subscribe": {"sections": value}}))


@pytest.mark.parametrize("value", [True, [], {}, "x", 10**400])
def test_a_number_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(WrongParameter, match="near accepts"):
        shape_of_message(
            b'{"subscribe":{"near":%b}}' % (str(value).encode() if value == 10**400 else msgspec.json.encode(value))
        )


# -- applied -----------------------------------------------------------------------------------------------------------

FLOW = {"O:ES251216C06895000": {"v": 1}, "O:ES251216P06950000": {"v": 2}, "summary": {"v": 3}}


def level(name: str, distance: float, kind: str = "STRIKE", confidence: str = "HIGH", signal: str = "BREAK") -> Any:
    return {"id": name, "distance": distance, "level_kind_name": kind, "confidence": confidence, "signal": signal}


LEVELS = [
    level("a", 3.0),
    level("b", -3.0, kind="VWAP"),
    level("c", 30.0, confidence="LOW"),
    level("d", 30.0, signal="NO_TRADE"),
]


def seen(query: str, spot: float | None = 6900.0, es: float | None = None) -> dict[str, Any]:
    levels: dict[str, Any] = {"ts": 1, "spy": {"spot": spot}, "levels": LEVELS}
    if es is not None:
        levels["es"] = {"spot": es}
    payload = {"flow": FLOW, "levels": levels, "viewport": {"targets": []}}
    return shaped(payload, Contracts(FLOW), shape_of_query(query))


def test_the_whole_shape_changes_nothing() -> None:
    assert seen("") == {
        "flow": FLOW,
        "levels": {"ts": 1, "spy": {"spot": 6900.0}, "levels": LEVELS},
        "viewport": {"targets": []},
    }


def test_only_the_sections_that_are_asked_for() -> None:
    assert seen("sections=flow,viewport").keys() == {"flow", "viewport"}


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("near=3", "ab"),
        ("near=2", ""),
        ("kinds=VWAP", "b"),
        ("levels=d,a", "ad"),
        ("confidence=LOW", "c"),
        ("signals=NO_TRADE,BREAK", "abcd"),
        ("signals=NO_TRADE", "d"),
        ("near=10&kinds=STRIKE", "a"),
    ],
)
def test_only_levels_that_meet_every_filter_in_their_order(query: str, ids: str) -> None:
    assert "".join(each["id"] for each in seen(query)["levels"]["levels"]) == ids


def test_only_strikes_near_spot_and_entries_without_a_strike() -> None:
    assert seen("near=10")["flow"].keys() == {"O:ES251216C06895000", "summary"}
    assert seen("near=10", spot=690.0, es=6945.0)["flow"].keys() == {"O:ES251216P06950000", "summary"}, "the future's"


def test_all_strikes_while_spot_is_unknown() -> None:
    assert seen("near=10", spot=None)["flow"] == FLOW


def test_the_strikes_near_spot_need_the_levels_message_only_for_its_spot() -> None:
    assert seen("near=10&sections=flow") == {"flow": {"O:ES251216C06895000": {"v": 1}, "summary": {"v": 3}}}


def test_contracts_of_bytes_keep_every_number() -> None:
    flow = msgspec.Raw(b'{"O:ES251216C06895000":{"v":1.10,"n":123456789012345678901}}')
    assert msgspec.json.encode(Contracts(flow).near(6900.0, 5.0)) == bytes(flow)


@pytest.mark.parametrize(
    ("ticker", "strike"),
    [("O:ES251216C06895000", 6895.0), ("O:SPY251216P00687500", 687.5), ("06895000", 6895.0), ("ES", None), ("", None)],
)
def test_the_strike_of_a_ticker(ticker: str, strike: float | None) -> None:
    assert strike_of(ticker) == strike


def test_a_further_section_has_to_be_named() -> None:
    payload = {"flow": FLOW, "pentaview": {"n": 1}}
    assert shaped(payload, Contracts(FLOW), WHOLE).keys() == {"flow"}
    assert shaped(payload, None, shape_of_query("sections=pentaview", ["pentaview"])) == {"pentaview": {"n": 1}}
    with pytest.raises(WrongParameter, match="sections accepts flow, levels, viewport, separated"):
        shape_of_query("sections=pentaview")


@pytest.mark.parametrize(
    ("query", "since"),
    [
        ("status=1&since=18ec629d-1:37", Since("18ec629d-1", 37)),
        ("since=18ec629d-1%3A37", Since("18ec629d-1", 37)),
        ("since=37", Since("", 37)),
        ("", None),
        ("since=", None),
        ("since=a:-1", None),
        ("since=a:1e3", None),
        ("since=a:" + "9" * 16, None),
    ],
)
def test_a_viewer_that_reconnects_names_the_state_that_it_had(query: str, since: Since | None) -> None:
    assert since_of_query(query) == since
