"""The answer of `/history`, from entries to columns."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.gateway.history.block import MAX_LEVEL_NAMES, MAX_LEVELS, MAX_NAME_CHARACTERS, SECONDS
from src.gateway.history.contract import History
from src.gateway.history.entries import FlowEntry, FlowTotals, LevelPoint, LevelsEntry
from src.gateway.history.history_answer import MAX_LEVELS_TOLD, ROWS_A_SLICE, history, history_in_slices
from src.gateway.history.history_query import FIELDS, HistoryQuery
from src.gateway.history.store import MAX_BLOCKS, STORED_IN_MS, Past
from src.gateway.signals.contract import LAST_TS_MS

T0: Final = 1_795_640_400_000  # the beginning of a block
BLOCK_MS: Final = SECONDS * 1000
NO_TOTALS: Final = FlowTotals(None, None, None, None, None, None)

Entry = LevelsEntry | FlowEntry


def level(level_id: str = "A", **values: Any) -> LevelPoint:
    return LevelPoint(level_id, "STRIKE", 690.0, 50.0, 1.0, "NO_TRADE", "LOW")._replace(**values)


def levels(seq: int, ts_ms: int, spot: float | None = None, *points: LevelPoint, stored_ms: int = T0) -> LevelsEntry:
    return LevelsEntry(seq, ts_ms, stored_ms, spot, None, list(points))


def flow(seq: int, ts_ms: int, stored_ms: int = T0, **totals: float) -> FlowEntry:
    return FlowEntry(seq, ts_ms, stored_ms, NO_TOTALS._replace(**totals))


def past(entries: Iterable[Entry], max_blocks: int = MAX_BLOCKS) -> Past:
    filled = Past(max_blocks)
    for entry in entries:
        if isinstance(entry, LevelsEntry):
            filled.add_levels(entry)
        else:
            filled.add_flow(entry)
    return filled


def told(
    entries: Iterable[Entry], points: int = 4, step_s: int = 1, from_ms: int = T0, ids: frozenset[str] | None = None
) -> dict[str, Any]:
    query = HistoryQuery(from_ms, step_s * 1000, points, frozenset(FIELDS), ids)
    answer = history(past(entries), query, complete=True)
    written: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(answer))
    msgspec.convert(written, History, strict=True)
    return written


# -- spot --------------------------------------------------------------------------------------------------------------


def test_a_second_opens_with_its_lowest_sequence_and_closes_with_its_highest() -> None:
    entries = [levels(2, T0 + 10, 691.5), levels(4, T0 + 5, 690.25), levels(1, T0 + 999, 690.5), levels(3, T0, 692.0)]
    assert told(entries, 1)["spy"] == {"open": [690.5], "high": [692.0], "low": [690.25], "close": [690.25]}


def test_a_gap_is_null_and_never_bridged() -> None:
    entries = [levels(1, T0, 690.0), levels(2, T0 + 1000, None), levels(3, T0 + 3000, 691.0)]
    answer = told(entries)
    assert list(answer["spy"].values()) == [[690.0, None, None, 691.0]] * 4
    assert "es" not in answer, "Core sent none"


def test_a_step_takes_all_its_seconds_across_blocks() -> None:
    begin = T0 + BLOCK_MS - 3000
    entries = [levels(n + 1, begin + n * 1000, spot) for n, spot in enumerate([5.0, 9.0, 7.0, 3.0, 6.0, 4.0])]
    told_spot = told(entries, 1, 7, from_ms=begin)["spy"]
    assert told_spot == {"open": [5.0], "high": [9.0], "low": [3.0], "close": [4.0]}


def test_prices_are_told_in_cents() -> None:
    assert told([levels(1, T0, 691.3699951171875)], 1)["spy"]["close"] == [691.37]


# -- levels ------------------------------------------------------------------------------------------------------------


def test_a_point_has_the_levels_of_its_last_message() -> None:
    entries = [
        levels(1, T0, None, level(score=10.04), level("B", price=700.0, signal="BREAK", confidence="HIGH")),
        levels(3, T0 + 2000, None, level(score=30.0, distance=2.125, kind="VWAP")),
        levels(2, T0 + 2000, None, level(score=20.0), level("C")),
    ]
    answer = told(entries)
    assert (answer["signals"], answer["confidences"]) == (["BREAK", "NO_TRADE"], ["HIGH", "LOW"])
    assert answer["levels"] == [
        {
            "id": "B",
            "kind": "STRIKE",
            "price": 700.0,
            "at": 0,
            "first_ms": T0,
            "last_ms": T0,
            "score": [50.0],
            "distance": [1.0],
            "signal": [0],
            "confidence": [0],
        },
        {
            "id": "A",
            "kind": "VWAP",
            "price": 690.0,
            "at": 0,
            "first_ms": T0,
            "last_ms": T0 + 2000,
            "score": [10.0, None, 30.0],
            "distance": [1.0, None, 2.12],
            "signal": [1, None, 1],
            "confidence": [1, None, 1],
        },
    ]


def test_a_level_that_moved_has_its_prices() -> None:
    entries = [levels(n + 1, T0 + n * 2000, None, level(price=690.0 + n)) for n in range(2)]
    (only,) = told(entries, 3)["levels"]
    assert (only["price"], only["prices"]) == (691.0, [690.0, None, 691.0])


def test_levels_are_told_by_id() -> None:
    entries = [levels(1, T0, None, level("A"), level("B"), level("C"))]
    assert [each["id"] for each in told(entries, ids=frozenset({"C", "A"}))["levels"]] == ["A", "C"]


def test_a_level_that_comes_later_begins_at_its_point() -> None:
    entries = [levels(1, T0, None), levels(2, T0 + 3500, None, level())]
    (only,) = told(entries)["levels"]
    assert (only["at"], only["first_ms"], only["score"]) == (3, T0 + 3000, [50.0])


# -- flow --------------------------------------------------------------------------------------------------------------


def test_a_point_has_the_totals_of_its_last_flow() -> None:
    entries = [
        flow(5, T0 + 900, call_volume=30.0, net_gamma=-165703.172418),
        flow(4, T0 + 950, call_volume=20.0, put_volume=9.0),
        flow(6, T0 + 2000, put_premium=0.5, net_delta=12962175.386519657),
    ]
    assert told(entries, 3)["flow"] == {
        "call_volume": [30, None, None],
        "put_volume": [None] * 3,
        "call_premium": [None] * 3,
        "put_premium": [None, None, 0],
        "net_delta": [None, None, 12962180.0],
        "net_gamma": [-165703.2, None, None],
    }


# -- what is there -----------------------------------------------------------------------------------------------------


def test_an_empty_past_has_points_without_values() -> None:
    answer = told([], 2)
    assert (answer["available_from_ms"], answer["available_to_ms"], answer["count"]) == (None, None, 2)
    assert (answer["spy"]["open"], answer["levels"], answer["flow"]["net_delta"]) == ([None] * 2, [], [None] * 2)


def test_the_answer_says_which_span_there_is() -> None:
    entries: list[Entry] = [levels(7, T0 + 5_250), levels(3, T0 - 8_001), flow(9, T0 - 9_500), levels(1, T0 + 10**7)]
    answer = told(entries)
    assert (answer["available_from_ms"], answer["available_to_ms"]) == (T0 - 9_000, T0 + 5_250)
    answer = told([flow(9, T0 - 9_500), flow(7, T0)])
    assert (answer["available_from_ms"], answer["available_to_ms"]) == (T0 - 10_000, T0 - 9_500)


def test_only_the_fields_that_are_asked_for_are_told() -> None:
    answer = history(past([]), HistoryQuery(T0, 1000, 1, frozenset({"flow"})), complete=False)
    assert "flow" in answer
    assert not answer["complete"]
    assert not answer.keys() & {"spy", "es", "levels", "signals", "confidences"}


# -- order -------------------------------------------------------------------------------------------------------------

spots = st.none() | st.integers(1, 9).map(float)
level_lists = st.lists(
    st.builds(level, st.sampled_from("ABC"), score=st.integers(0, 9), signal=st.sampled_from(["BREAK", "BOUNCE"])),
    max_size=3,
    unique_by=lambda each: each.id,
)
offsets_s = st.integers(0, 4) | st.sampled_from([-1, SECONDS - 1, SECONDS, SECONDS + 3, -50 * SECONDS, 10**6])


@st.composite
def streams(draw: st.DrawFn) -> list[Entry]:
    """Messages in the order of the stream: stored one after the other, of any times."""
    entries: list[Entry] = []
    stored_ms = T0 - T0 % STORED_IN_MS
    for seq in range(1, draw(st.integers(1, 12)) + 1):
        stored_ms += draw(st.sampled_from([250, 250, STORED_IN_MS]))
        ts_ms = T0 + draw(offsets_s) * 1000
        if draw(st.booleans()):
            entries.append(LevelsEntry(seq, ts_ms, stored_ms, draw(spots), draw(spots), draw(level_lists)))
        else:
            entries.append(flow(seq, ts_ms, stored_ms, call_volume=float(seq), net_delta=-float(seq)))
    return entries


queries = st.builds(
    lambda step_s, points, back: HistoryQuery(T0 - back * step_s * 1000, step_s * 1000, points),
    st.sampled_from([1, 2, 5, 7, 60, 3600]),
    st.integers(1, 40),
    st.integers(0, 3),
)
unhurried = settings(deadline=None, max_examples=200)


@unhurried
@given(streams(), queries, st.randoms(use_true_random=False), st.sampled_from([1, 2, 3, MAX_BLOCKS]))
def test_any_order_gives_the_same_answer(entries: list[Entry], query: HistoryQuery, random: Any, most: int) -> None:
    answers = []
    for order in (entries, entries[::-1], random.sample(entries, len(entries)), entries + entries):
        filled = past(order, most)
        answers.append(msgspec.json.encode(history(filled, query, complete=True)))
    assert len(set(answers)) == 1


@unhurried
@given(streams(), queries)
def test_the_answer_is_what_the_rules_say(entries: list[Entry], query: HistoryQuery) -> None:
    answer: Any = history(past(entries), query, complete=True)
    for point in range(query.points):
        begin = query.from_ms + point * query.step_ms
        within = [each for each in entries if begin <= each.ts_ms < begin + query.step_ms]
        within.sort(key=lambda each: (each.ts_ms // 1000, each.seq))
        of_levels = [each for each in within if isinstance(each, LevelsEntry)]
        for name in ("spy", "es"):
            prices = [price for each in of_levels if (price := getattr(each, name)) is not None]
            expected = [prices[0], max(prices), min(prices), prices[-1]] if prices else [None] * 4
            section = answer.get(name) or dict.fromkeys(("open", "high", "low", "close"), (None,) * query.points)
            assert [section[field][point] for field in ("open", "high", "low", "close")] == expected
        shown = {
            each["id"]: (each["score"][place], answer["signals"][each["signal"][place]])
            for each in answer["levels"]
            if 0 <= (place := point - each["at"]) < len(each["score"]) and each["score"][place] is not None
        }
        last = of_levels[-1].levels if of_levels else []
        assert shown == {each.id: (each.score, each.signal) for each in last}
        flows = [each for each in within if isinstance(each, FlowEntry)]
        volume = answer["flow"]["call_volume"][point]
        assert volume == (flows[-1].totals.call_volume if flows else None)


def test_a_day_that_core_replays_is_told_beside_the_present() -> None:
    old = T0 - 300 * 24 * 3_600_000
    live = [levels(n + 1, T0 + n * BLOCK_MS, 5.0, stored_ms=T0 + n * BLOCK_MS) for n in range(97)]
    stored_ms = T0 + 97 * BLOCK_MS
    replayed = [levels(200 + n, old + n * 1000, 7.0, stored_ms=stored_ms + n * 250) for n in range(4)]
    answer = told([*live, *replayed], from_ms=old)
    assert answer["spy"]["close"] == [7.0] * 4
    assert (answer["available_from_ms"], answer["available_to_ms"]) == (old, old + 3000)
    assert told([*live, *replayed], 1, from_ms=T0)["spy"]["close"] == [5.0]


@unhurried
@given(st.lists(st.tuples(st.integers(0, 3 * ROWS_A_SLICE), level_lists), min_size=1, max_size=20))
def test_the_past_may_grow_between_two_slices(later: list[tuple[int, list[LevelPoint]]]) -> None:
    filled = past(levels(n + 1, T0 + n * 1000, 5.0, level()) for n in range(3 * ROWS_A_SLICE))
    query = HistoryQuery(T0, 1000, 3 * ROWS_A_SLICE)
    slices, count = history_in_slices(filled, query, complete=True), 0
    while True:
        try:
            next(slices)
        except StopIteration as end:
            answer: Any = end.value
            break
        count += 1
        for seq, (second, points) in enumerate(later, 1000 * count):
            renamed = [point._replace(id=f"{point.id}{count}", signal=f"S{count}") for point in points]
            filled.add_levels(LevelsEntry(seq, T0 + second * 1000, T0, 6.0, None, renamed))
    assert count > query.points // ROWS_A_SLICE
    msgspec.convert(answer, History, strict=True)
    for each in answer["levels"]:
        assert len(each["score"]) == len(each["distance"]) == len(each["signal"]) == len(each["confidence"])
        assert each["at"] + len(each["score"]) <= query.points
        assert {answer["signals"][one] for one in each["signal"] if one is not None}
        assert each["id"][1:] == "" or f"S{each['id'][1:]}" in answer["signals"]


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_the_blocks_that_were_stored_last_stay() -> None:
    entries = [levels(n + 1, T0 + n * BLOCK_MS, 5.0, stored_ms=T0 + n * BLOCK_MS) for n in range(MAX_BLOCKS + 10)]
    assert told(entries)["available_from_ms"] == T0 + 10 * BLOCK_MS


@pytest.mark.parametrize("ts_ms", [1, 1_795_640_400, LAST_TS_MS])
def test_odd_times_cost_a_block_and_nothing_else(ts_ms: int) -> None:
    entries = [levels(n + 2, T0 + n * 1000, 5.0, stored_ms=T0 + n * 1000) for n in range(4)]
    odd = levels(1, ts_ms, 9.0, level(), stored_ms=T0 - 1)
    assert told([odd, *entries]) == told(entries)
    assert told([odd], 1, from_ms=ts_ms - ts_ms % 1000)["spy"]["close"] == [9.0]


def test_of_too_many_levels_the_nearest_stay() -> None:
    many = [level(str(n), distance=float(-n)) for n in range(MAX_LEVELS + 20)]
    answer = told([levels(1, T0, None, *reversed(many))], 1)
    assert {each["id"] for each in answer["levels"]} == {str(n) for n in range(MAX_LEVELS)}


def test_a_level_with_a_long_name_is_left_out() -> None:
    long = "x" * (MAX_NAME_CHARACTERS + 1)
    odd = [level(long), level("B", kind=long), level("C", signal=long), level("D", confidence=long), level(long[1:])]
    answer = told([levels(1, T0, None, *odd)], 1)
    assert [each["id"] for each in answer["levels"]] == [long[1:]]


def test_the_last_of_two_levels_with_one_id_counts() -> None:
    (only,) = told([levels(1, T0, None, level(score=1.0), level(score=2.0))], 1)["levels"]
    assert only["score"] == [2.0]


@pytest.mark.parametrize("backwards", [False, True])
def test_a_block_of_too_many_names_has_no_levels(backwards: bool) -> None:
    entries = [levels(n + 1, T0 + n // 2, 5.0, level(str(n))) for n in range(MAX_LEVEL_NAMES + 1)]
    entries.append(levels(5000, T0 + BLOCK_MS, 5.0, level()))
    answer = told(entries[::-1] if backwards else entries, 2, SECONDS)
    assert answer["spy"]["close"] == [5.0, 5.0]
    assert [(each["id"], each["at"]) for each in answer["levels"]] == [("A", 1)]


def test_of_too_many_levels_in_an_answer_those_of_the_most_points_are_told() -> None:
    names = [str(n) for n in range(MAX_LEVELS_TOLD + 50)]
    entries = [levels(n + 1, T0 + n * 1000, None, level(name), level("B")) for n, name in enumerate(names)]
    told_ids = {each["id"] for each in told(entries, len(names))["levels"]}
    assert told_ids == {"B", *sorted(names)[: MAX_LEVELS_TOLD - 1]}


def test_numbers_beyond_a_float_are_stored_as_the_largest() -> None:
    entries = [levels(1, T0, 1e300, level(price=1e300, score=-1e300, distance=5.0))]
    answer = told(entries, 1)
    assert answer["spy"]["close"] == [1e300]
    (only,) = answer["levels"]
    assert (only["price"] > 3.4e38, only["score"][0] < -3.4e38, only["distance"]) == (True, True, [5.0])
