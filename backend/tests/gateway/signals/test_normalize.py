"""From Core's message to the frontend's section: each mapping, each default, and what odd input costs."""

import gzip
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.common.messages import BadMessage
from src.gateway.signals.contract import LevelsPayload
from src.gateway.signals.core_message import Level, Target
from src.gateway.signals.intake import WrongType, read_levels
from tests.gateway.signals.normalizing import (
    NOW_MS,
    Normalized,
    normalize,
    normalize_bytes,
    normalize_message,
    normalize_one,
)

BACKEND = Path(__file__).parents[3]
PAIRS = sorted((BACKEND / "tests" / "contract").glob("*.json"))
RECORDED = sorted((BACKEND.parent.parent / "shared" / "real").glob("*.jsonl.gz"))

unhurried = settings(deadline=None, max_examples=300)


def one(**fields: Any) -> dict[str, Any]:
    """The signal of a level with these fields."""
    return dict(normalize_one(fields))


# -- the contract's pairs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_a_message_becomes_exactly_its_payload(path: Path) -> None:
    pair = json.loads(path.read_text())
    message = pair["message"]
    relayed = message.get("viewport")
    from_dict, from_bytes = normalize(message), normalize_bytes(json.dumps(message).encode())
    for normalized in (from_dict, from_bytes):
        assert normalized.levels == pair["levels"]
        assert normalized.faults == pair.get("faults", {})
    assert from_dict.viewport is relayed
    assert (None if from_bytes.viewport is None else json.loads(bytes(from_bytes.viewport))) == relayed


def test_there_are_pairs() -> None:
    assert len(PAIRS) >= 7


@pytest.mark.skipif(not RECORDED, reason="recorded sessions are not part of the repository")
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_recorded_sessions_pass_without_a_fault(path: Path) -> None:
    with gzip.open(path, "rt") as lines:
        messages = [line["data"] for line in map(json.loads, lines) if line["subject"] == "levels.signals"]
    assert messages
    for message in messages:
        normalized = normalize_bytes(json.dumps(message).encode())
        assert normalized.faults == {}
        assert normalized == normalize(message)._replace(viewport=normalized.viewport)
        assert [signal["id"] for signal in normalized.levels["levels"]] == [level["id"] for level in message["levels"]]
        assert_valid(normalized)


# -- mappings and defaults ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("direction", "SUPPORT", "DOWN"),
        ("direction", "RESISTANCE", "UP"),
        ("direction", "DOWN", "DOWN"),
        ("direction", "UP", "UP"),
        ("direction", "SIDEWAYS", "SIDEWAYS"),
        ("direction", "", ""),
        ("direction", None, "UP"),
        ("signal", "REJECT", "BOUNCE"),
        ("signal", "CONTESTED", "NO_TRADE"),
        ("signal", "NEUTRAL", "NO_TRADE"),
        ("signal", "BREAK", "BREAK"),
        ("signal", "BOUNCE", "BOUNCE"),
        ("signal", "NO_TRADE", "NO_TRADE"),
        ("signal", "reject", "reject"),
        ("signal", None, "NO_TRADE"),
        ("confidence", None, "LOW"),
        ("confidence", "CERTAIN", "CERTAIN"),
        ("confluence_level_name", None, "UNDEFINED"),
        ("note", None, None),
        ("note", "", ""),
        ("approach_bars", 2.9, 2),
        ("confluence_alignment", -1.9, -1),
        ("prior_touches", 2**53, 2**53),
        ("distance", 3, 3.0),
        ("distance", float("nan"), 0.0),
        ("break_score_raw", 10**20, 1e20),
    ],
)
def test_a_field_is_mapped_or_passes_unchanged(field: str, value: Any, expected: Any) -> None:
    signal = one(**{field: value})
    assert signal[field] == expected
    assert type(signal[field]) is type(expected)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ({}, 0.0),
        ({"wall_ratio": 0.0, "barrier": {"depth_in_zone": 5000}}, 0.0),
        ({"wall_ratio": None, "barrier": {"depth_in_zone": 7500}}, 1.5),
        ({"barrier": {"depth_in_zone": 2500.0}}, 0.5),
        ({"barrier": {"depth_in_zone": None}}, 0.0),
        ({"barrier": None}, 0.0),
        ({"wall_ratio": float("inf"), "barrier": {"depth_in_zone": 5000}}, 1.0),
    ],
)
def test_wall_ratio_is_cores_or_depth_by_the_baseline(level: dict[str, Any], expected: float) -> None:
    assert one(**level)["wall_ratio"] == expected


def test_the_wall_baseline_is_a_setting() -> None:
    message = {"levels": [{"barrier": {"depth_in_zone": 5000}}]}
    levels = normalize(message, wall_baseline=1000.0).levels
    assert levels["levels"][0]["wall_ratio"] == 5.0
    assert normalize_one(message["levels"][0], wall_baseline=2500.0)["wall_ratio"] == 2.0


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ({"break_score_raw": 12.5}, 12.5),
        ({"break_score_raw": 12.5, "break_score_smooth": None}, 12.5),
        ({"break_score_raw": 12.5, "break_score_smooth": float("nan")}, 12.5),
        ({"break_score_raw": 12.5, "break_score_smooth": 0.0}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_smooth_score_falls_back_to_the_raw_one(level: dict[str, Any], expected: float) -> None:
    assert one(**level)["break_score_smooth"] == expected


def test_a_null_counts_as_missing_in_every_field() -> None:
    nulls = dict.fromkeys(Level.__struct_fields__)
    assert one(**nulls) == one()
    assert one(tape={"sweep": None, "buy_vol": None}, fuel={"effect": None}, barrier={"state": None}) == one()


def test_session_context_is_passed_on() -> None:
    signal = normalize_one({}, is_first_15m=True, bars_since_open=7)
    assert (signal["is_first_15m"], signal["bars_since_open"]) == (True, 7)


def test_values_in_frontend_terms_stay_as_they_are() -> None:
    core = {"id": "A", "direction": "SUPPORT", "signal": "REJECT", "barrier": {"state": "WALL"}, "confidence": "HIGH"}
    signal = one(**core)
    assert one(**core | {"direction": signal["direction"], "signal": signal["signal"]}) == signal


# -- spots and time ----------------------------------------------------------------------------------------------------

SPY = {"spot": 687.5, "bid": 687.49, "ask": 687.51}
ES = {"spot": 6920.0, "bid": None, "ask": 6920.25}
NOTHING = {"spot": None, "bid": None, "ask": None}


@pytest.mark.parametrize(
    ("sent", "spy", "es", "left_out"),
    [
        ({}, NOTHING, None, 0),
        ({"spy": SPY}, SPY, None, 0),
        ({"es": ES}, ES, ES, 0),
        ({"spy": SPY, "es": ES}, SPY, ES, 0),
        ({"spy": None, "es": ES}, ES, ES, 0),
        ({"spy": SPY, "es": None}, SPY, None, 0),
        ({"spy": NOTHING, "es": ES}, NOTHING, ES, 0),
        ({"spy": {}}, NOTHING, None, 0),
        ({"spy": {"spot": 687}}, NOTHING | {"spot": 687.0}, None, 0),
        ({"spy": "687.5", "es": ES}, ES, ES, 1),
        ({"spy": 687.5}, NOTHING, None, 1),
        ({"spy": SPY, "es": [ES]}, SPY, None, 1),
        ({"spy": SPY | {"bid": "687"}}, SPY | {"bid": None}, None, 1),
        ({"spy": {"spot": True, "bid": {}, "ask": 1}}, NOTHING | {"ask": 1.0}, None, 1),
        ({"spy": SPY | {"ask": 10**400}}, SPY | {"ask": None}, None, 1),
    ],
)
def test_spy_is_always_there_and_es_when_core_sent_it(
    sent: dict[str, Any], spy: dict[str, Any], es: dict[str, Any] | None, left_out: int
) -> None:
    for normalized in (normalize(sent), normalize_bytes(json.dumps(sent).encode())):
        assert normalized.levels["spy"] == spy
        assert normalized.levels.get("es") == es
        assert ("es" in normalized.levels) == (es is not None)
        assert normalized.faults.get("spot_left_out", 0) == left_out


def test_a_nan_price_is_null_and_no_wrong_type() -> None:
    normalized = normalize({"spy": {"spot": float("nan"), "bid": 1.0, "ask": float("inf")}})
    assert normalized.levels["spy"] == NOTHING | {"bid": 1.0}
    assert normalized.faults == {"non_finite": 2}


@pytest.mark.parametrize(
    ("ts", "expected"),
    [
        (1_766_154_600_000, 1_766_154_600_000),
        (1_766_154_600_000.9, 1_766_154_600_000),
        (1, 1),
        (253_402_300_799_999, 253_402_300_799_999),
        (253_402_300_800_000, NOW_MS),
        (10**400, NOW_MS),
        (0, NOW_MS),
        (0.5, NOW_MS),
        (-5, NOW_MS),
        (True, NOW_MS),
        ("1766154600000", NOW_MS),
        (None, NOW_MS),
        ({}, NOW_MS),
        (float("nan"), NOW_MS),
        (float("inf"), NOW_MS),
    ],
)
def test_ts_is_cores_or_the_gateways_clock(ts: Any, expected: int) -> None:
    for normalized in (normalize({"ts": ts}), normalize_bytes(json.dumps({"ts": ts}).encode())):
        assert normalized.levels["ts"] == expected
        assert type(normalized.levels["ts"]) is int
    assert normalize({}).levels["ts"] == NOW_MS


def test_the_session_follows_ts_and_not_the_gateways_clock() -> None:
    ts_ms = int(datetime.fromisoformat("2026-07-15T09:40:00-04:00").timestamp()) * 1000
    (signal,) = normalize({"ts": ts_ms, "levels": [{}]}).levels["levels"]
    assert (signal["is_first_15m"], signal["bars_since_open"]) == (True, 10)


# -- predictions -------------------------------------------------------------------------------------------------------

DEFAULT_PREDICTIONS: dict[str, Any] = {
    "p_tradeable_2": 0.0,
    "p_break": 0.0,
    "p_bounce": 0.0,
    "strength_signed": 0.0,
    "strength_abs": 0.0,
    "utility_score": 0.0,
    "stage": "stage_a",
    "time_to_threshold": {},
    "retrieval": {},
}
GEOMETRY = {"feature_set": "geometry_only"}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({}, {}),
        (dict.fromkeys(Target.__struct_fields__) | {"level_id": "A"}, {}),
        ({"strength_signed": -1.5}, {"strength_signed": -1.5, "strength_abs": 1.5}),
        ({"strength_signed": -1.5, "strength_abs": 0.0}, {"strength_signed": -1.5, "strength_abs": 0.0}),
        ({"stage": "stage_c"}, {"stage": "stage_c"}),
        ({"p_break": 1, "unknown": 5}, {"p_break": 1.0}),
        (
            {"time_to_threshold": {"t1": {"60": 0.5}, "t9": None}},
            {"time_to_threshold": {"t1": {"60": 0.5}, "t9": None}},
        ),
        ({"time_to_threshold": {"t1": {"60": float("nan")}}}, {"time_to_threshold": {"t1": {"60": None}}}),
        ({"retrieval": {}}, {}),
        ({"retrieval": {"neighbors": [{"ts_ns": 2**60 + 1}]}}, {"retrieval": GEOMETRY}),
        ({"retrieval": {"p_break": None}}, {"retrieval": GEOMETRY}),
        ({"retrieval": {"similarity": 0.0, "avg_similarity": 0.9}}, {"retrieval": GEOMETRY | {"similarity": 0.0}}),
        ({"retrieval": {"similarity": None, "avg_similarity": 0.9}}, {"retrieval": GEOMETRY | {"similarity": 0.9}}),
        ({"retrieval": {"n_neighbors": 0, "n_retrieved": 9}}, {"retrieval": GEOMETRY | {"n_neighbors": 0}}),
        ({"retrieval": {"n_retrieved": 9.5}}, {"retrieval": GEOMETRY | {"n_neighbors": 9}}),
        ({"retrieval": {"feature_set": "physics"}}, {"retrieval": {"feature_set": "physics"}}),
    ],
)
def test_a_target_becomes_its_levels_predictions(target: dict[str, Any], expected: dict[str, Any]) -> None:
    message = {"levels": [{"id": "A"}, {"id": "B"}], "viewport": {"targets": [{"level_id": "A"} | target]}}
    for normalized in (normalize(message), normalize_bytes(json.dumps(message).encode())):
        first, second = normalized.levels["levels"]
        assert first["ml_predictions"] == DEFAULT_PREDICTIONS | expected
        assert "ml_predictions" not in second
    assert normalize_one({"id": "A"}, target)["ml_predictions"] == DEFAULT_PREDICTIONS | expected


def test_predictions_are_their_own_target() -> None:
    target = {"p_break": 0.5, "strength_signed": -2.0, "retrieval": {"avg_similarity": 0.5, "n_retrieved": 3}}
    predictions = normalize_one({}, target)["ml_predictions"]
    assert normalize_one({}, predictions)["ml_predictions"] == predictions


def test_the_last_of_two_targets_with_one_id_wins() -> None:
    targets = [{"level_id": "A", "p_break": 0.1}, {"level_id": "A", "p_break": 0.2}]
    (signal,) = normalize({"levels": [{"id": "A"}], "viewport": {"targets": targets}}).levels["levels"]
    assert signal["ml_predictions"]["p_break"] == 0.2


def test_levels_of_one_id_are_all_kept_and_share_the_prediction() -> None:
    message = {"levels": [{"id": "A"}, {"id": "A"}], "viewport": {"targets": [{"level_id": "A"}]}}
    signals = normalize(message).levels["levels"]
    assert [signal["id"] for signal in signals] == ["A", "A"]
    assert all("ml_predictions" in signal for signal in signals)


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        7,
        "target",
        [],
        {},
        {"level_id": None},
        {"level_id": 7},
        {"level_id": "A", "p_break": "0.5"},
        {"level_id": "A", "p_bounce": True},
        {"level_id": "A", "stage": 1},
        {"level_id": "A", "time_to_threshold": []},
        {"level_id": "A", "retrieval": [1]},
        {"level_id": "A", "retrieval": {"entropy": "low"}},
        {"level_id": "A", "retrieval": {"n_neighbors": 2**53 + 1}},
    ],
    ids=str,
)
def test_a_malformed_target_costs_only_its_own_prediction(malformed: Any) -> None:
    viewport = {"targets": [malformed, {"level_id": "B"}]}
    message = {"levels": [{"id": "A"}, {"id": "B"}], "viewport": viewport}
    for normalized in (normalize(message), normalize_bytes(json.dumps(message).encode())):
        assert ["ml_predictions" in signal for signal in normalized.levels["levels"]] == [False, True]
        assert normalized.faults == {"prediction_left_out": 1}
        assert normalized.viewport is not None


@pytest.mark.parametrize(
    "viewport", [7, "x", [], True, {}, {"ts": 5}, {"targets": None}, {"targets": {"level_id": "A"}}]
)
def test_a_viewport_that_is_no_viewport_is_dropped(viewport: Any) -> None:
    message = {"levels": [{"id": "A"}], "viewport": viewport}
    for normalized in (normalize(message), normalize_bytes(json.dumps(message).encode())):
        assert normalized.viewport is None
        assert normalized.faults == {"viewport_dropped": 1}
        assert len(normalized.levels["levels"]) == 1


def test_a_viewport_that_is_null_is_absent() -> None:
    for normalized in (normalize({"viewport": None}), normalize_bytes(b'{"viewport":null}')):
        assert (normalized.viewport, normalized.faults) == (None, {})


def test_a_viewport_without_any_targets_is_relayed() -> None:
    viewport: dict[str, Any] = {"ts": 5, "targets": []}
    assert normalize({"viewport": viewport}).viewport is viewport


# -- what is bad -------------------------------------------------------------------------------------------------------

FINITE = [
    *("price", "distance", "wall_ratio", "approach_velocity", "approach_distance"),
    *("break_score_raw", "break_score_smooth", "confluence_pressure"),
    *("barrier.delta_liq", "barrier.replenishment_ratio", "barrier.depth_in_zone"),
    *("tape.imbalance", "tape.velocity", "fuel.net_dealer_gamma"),
]
COUNTS = [
    *("approach_bars", "prior_touches", "confluence_count", "confluence_alignment", "confluence_level"),
    *("tape.buy_vol", "tape.sell_vol"),
]
TEXTS = [
    *("id", "kind", "direction", "signal", "confidence", "note", "confluence_level_name"),
    *("barrier.state", "fuel.effect"),
]
NO_NUMBER: list[Any] = ["1.5", "", True, False, [], {}, [1.5]]
NO_COUNT: list[Any] = [*NO_NUMBER, 2**53 + 1, -(2**53) - 1, 1e300, 2**64]
NO_TEXT: list[Any] = [1, 1.5, True, [], {}]
NO_BOOL: list[Any] = [1, 0, "true", []]
NO_OBJECT: list[Any] = [1, "x", True, [], [{}]]
ANYTHING_ODD: list[Any] = [None, "x", [], {}, float("nan"), 10**400, 1]
WRONG: list[tuple[str, Any]] = [
    *((field, value) for field in FINITE for value in [*NO_NUMBER, 10**400]),
    *((field, value) for field in COUNTS for value in NO_COUNT),
    *((field, value) for field in TEXTS for value in NO_TEXT),
    *(("tape.sweep.detected", value) for value in NO_BOOL),
    *((field, value) for field in ("barrier", "tape", "fuel", "tape.sweep") for value in NO_OBJECT),
]


def level_with(path: str, value: Any) -> dict[str, Any]:
    for name in reversed(path.split(".")):
        value = {name: value}
    return dict(value)


@pytest.mark.parametrize(("path", "value"), WRONG, ids=lambda part: str(part)[:24])
def test_a_wrong_type_costs_only_its_own_level(path: str, value: Any) -> None:
    level = level_with(path, value)
    message = {"levels": [{"id": "A"}, level, {"id": "B"}]}
    for normalized in (normalize(message), normalize_bytes(json.dumps(message).encode())):
        assert [signal["id"] for signal in normalized.levels["levels"]] == ["A", "B"]
        assert normalized.faults == {"level_left_out": 1}
    with pytest.raises(WrongType):
        normalize_one(level)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("path", [*FINITE, *COUNTS, *TEXTS, "barrier", "tape", "fuel", "tape.sweep"])
def test_a_non_finite_number_counts_as_missing_in_every_field(path: str, value: float) -> None:
    message = {"levels": [level_with(path, value)]}
    normalized = normalize(message)
    assert normalized.levels["levels"] == [one()]
    assert normalized.faults == {"non_finite": 1}
    decoded = read_levels(json.dumps(message).encode())
    assert decoded.non_finite == 1
    assert normalize_message(decoded.value).levels == normalized.levels


@pytest.mark.parametrize("level", [None, 7, "level", [], [{}], True])
def test_a_level_that_is_no_object_is_left_out(level: Any) -> None:
    message = {"levels": [level, {"id": "B"}]}
    for normalized in (normalize(message), normalize_bytes(json.dumps(message).encode())):
        assert [signal["id"] for signal in normalized.levels["levels"]] == ["B"]
        assert normalized.faults == {"level_left_out": 1}


def test_a_field_that_the_payload_does_not_need_may_be_anything() -> None:
    for odd in ANYTHING_ODD:
        assert one(runway=odd, further=odd, barrier={"churn": odd}) == one()


@pytest.mark.parametrize("levels", [7, "x", True, {"levels": 7}, {"levels": {"levels": []}}])
def test_levels_that_are_no_list_make_the_message_bad(levels: Any) -> None:
    for read in (normalize, lambda message: normalize_bytes(json.dumps(message).encode())):
        with pytest.raises(BadMessage) as caught:
            read({"levels": levels})
        assert caught.value.reason == "levels_not_a_list"


@pytest.mark.parametrize(
    "message", [{}, {"levels": None}, {"levels": {}}, {"levels": {"levels": None}}, {"levels": []}]
)
def test_missing_levels_are_an_empty_list(message: dict[str, Any]) -> None:
    for normalized in (normalize(message), normalize_bytes(json.dumps(message).encode())):
        assert normalized.levels == {"ts": NOW_MS, "spy": NOTHING, "levels": []}


# -- anything at all ---------------------------------------------------------------------------------------------------

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**64, 10**30, 10**400])
    | st.floats()
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
identifiers = st.sampled_from(["A", "B", "C"]) | anything


def objects(fields: Mapping[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional=dict(fields)) | anything


def named(names: tuple[str, ...], values: st.SearchStrategy[Any] = anything) -> dict[str, st.SearchStrategy[Any]]:
    return dict.fromkeys(names, values)


plausible = st.none() | st.floats() | st.integers() | st.sampled_from(["SUPPORT", "REJECT", "NEUTRAL"]) | anything
sweeps = objects({"detected": st.booleans() | anything})
tapes = objects(named(("imbalance", "velocity", "buy_vol", "sell_vol"), plausible) | {"sweep": sweeps})
barriers = objects(named(("state", "delta_liq", "replenishment_ratio", "depth_in_zone"), plausible))
fuels = objects(named(("effect", "net_dealer_gamma"), plausible))
levels = objects(
    named(Level.__struct_fields__, plausible) | {"id": identifiers, "tape": tapes, "barrier": barriers, "fuel": fuels}
)
retrievals = objects(named(("p_break", "similarity", "avg_similarity", "entropy", "n_neighbors", "n_retrieved")))
targets = objects(named(Target.__struct_fields__, plausible) | {"level_id": identifiers, "retrieval": retrievals})
level_lists = st.lists(levels, max_size=4) | anything
messages = st.fixed_dictionaries(
    {},
    optional={
        "ts": st.integers(-1, 2**60) | anything,
        "spy": objects(named(("spot", "bid", "ask"), plausible)),
        "es": objects(named(("spot", "bid", "ask"), plausible)),
        "levels": level_lists | st.fixed_dictionaries({"levels": level_lists}),
        "viewport": objects({"targets": st.lists(targets, max_size=4) | anything}),
        "further": anything,
    },
)


@unhurried
@given(messages)
def test_any_message_gives_a_valid_payload_or_is_bad(message: dict[str, Any]) -> None:
    try:
        normalized = normalize(message)
    except BadMessage:
        return
    assert_valid(normalized)


@unhurried
@given(messages)
def test_bytes_and_objects_give_the_same_payload(message: dict[str, Any]) -> None:
    body = json.dumps(message).encode()
    try:
        from_objects = normalize(message)
    except BadMessage as bad:
        with pytest.raises(BadMessage, match=str(bad)):
            read_levels(body)
        return
    decoded = read_levels(body)
    from_bytes = normalize_message(decoded.value)
    assert from_bytes.levels == from_objects.levels
    assert from_bytes.faults == {fault: n for fault, n in from_objects.faults.items() if fault != "non_finite"}
    assert from_objects.faults.get("non_finite", 0) <= decoded.non_finite
    assert (from_bytes.viewport is None) == (from_objects.viewport is None)


@unhurried
@given(levels.filter(lambda level: isinstance(level, dict)))
def test_frontend_terms_are_idempotent(level: dict[str, Any]) -> None:
    try:
        signal = one(**level)
    except WrongType:
        return
    assert one(**level | {"direction": signal["direction"], "signal": signal["signal"]}) == signal


def assert_valid(normalized: Normalized) -> None:
    """The payload has the contract's types, and is written as strict JSON that says the same."""
    payload = normalized.levels
    msgspec.convert(payload, LevelsPayload, strict=True)
    written = json.loads(msgspec.json.encode(payload), parse_constant=pytest.fail)
    assert written == payload
    for signal in payload["levels"]:
        assert all(abs(value) <= 2**53 for value in signal.values() if type(value) is int)
