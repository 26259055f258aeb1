"""What a message adds to the past: the values that the payload shows, and the totals of a flow."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from src.common.messages import BadMessage
from src.gateway.history.entries import (
    OLD_TRADE_MS,
    FlowTotals,
    LevelPoint,
    LevelsEntry,
    flow_entry,
    flow_totals,
    flow_with_entry,
    levels_entry,
)
from src.gateway.signals.intake import read_flow
from tests.gateway.signals.normalizing import NOW_MS, normalize_bytes

REAL: Final = Path(__file__).resolve().parents[5] / "shared" / "real"
NO_TOTALS: Final = FlowTotals(None, None, None, None, None, None)


def test_an_entry_has_the_values_of_the_payload() -> None:
    level = b'{"id":"A","price":687.25,"kind":"VWAP","break_score_smooth":61.5,"distance":0.25,"signal":"REJECT"}'
    payload = normalize_bytes(b'{"ts":5,"es":{"spot":6925.5},"levels":[%s]}' % level).levels
    entry = levels_entry(payload, seq=3, stored_ms=NOW_MS)
    point = LevelPoint("A", "VWAP", 687.25, 61.5, 0.25, "BOUNCE", "LOW")
    assert entry == LevelsEntry(3, 5, NOW_MS, 6925.5, 6925.5, [point])


def recorded(subject: str) -> Iterator[Any]:
    for path in sorted(REAL.glob("*.jsonl.gz")):
        with gzip.open(path) as lines:
            for line in lines:
                message = json.loads(line)
                if message["subject"] == subject:
                    yield message["data"]


@pytest.mark.skipif(not REAL.is_dir(), reason="no recorded session beside the repository")
def test_recorded_flows_have_all_totals() -> None:
    for data in recorded("market.flow"):
        totals = flow_totals(json.dumps(data).encode())
        assert totals == flow_totals(data)
        assert not data or None not in totals


# -- flow --------------------------------------------------------------------------------------------------------------

flow_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["C", "P", 10**30]),
    lambda inner: (
        st.dictionaries(
            st.sampled_from(["type", "cumulative_volume", "net_delta_flow", "last_timestamp", "x"]), inner, max_size=5
        )
        | st.lists(inner, max_size=2)
    ),
    max_leaves=12,
)
CALL = {
    "type": "C",
    "cumulative_volume": 10,
    "cumulative_premium": 1000.5,
    "net_delta_flow": -5.5,
    "net_gamma_flow": 2,
    "last_timestamp": 1_766_000_000_000,
}
PUT = CALL | {"type": "P", "cumulative_volume": 7, "cumulative_premium": 300, "net_delta_flow": -1}
C, P = "O:ES251216C06895000", "O:ES251216P06895000"
OF_CALL = FlowTotals(10, None, 1000.5, None, -5.5, 2)

FLOWS: list[tuple[dict[str, Any], FlowTotals]] = [
    ({}, NO_TOTALS),
    ({C: CALL}, OF_CALL),
    ({C: CALL, P: PUT}, FlowTotals(10, 7, 1000.5, 300, -6.5, 4)),
    ({C: CALL, "O:ES251216C06900000": CALL}, FlowTotals(20, None, 2001, None, -11, 4)),
    ({"anything": CALL | {"type": "call"}}, OF_CALL),
    ({C: CALL | {"type": None}}, OF_CALL),
    ({P: {"cumulative_volume": 3}}, FlowTotals(None, 3, None, None, None, None)),
    ({C: CALL, P: {}}, OF_CALL),
    ({C: CALL, "summary": CALL | {"type": None}}, OF_CALL),
    ({C: CALL, P: PUT | {"type": "X"}}, OF_CALL),
    ({C: CALL, P: PUT | {"type": 7}}, OF_CALL),
    ({C: CALL, P: PUT | {"net_delta_flow": "5"}}, OF_CALL),
    ({C: CALL, P: PUT | {"cumulative_volume": True}}, OF_CALL),
    ({C: CALL, P: PUT | {"cumulative_volume": 1e300}}, OF_CALL),
    ({C: CALL, P: PUT | {"last_timestamp": 1_766_000_000_000_000_000}}, OF_CALL),
    ({C: CALL, P: [], "x": None, "y": 7, "": "z"}, OF_CALL),
    ({C: CALL | {"further": [{"a": "b"}]}}, OF_CALL),
]


@pytest.mark.parametrize(("flow", "totals"), FLOWS)
def test_contracts_are_added_by_side_without_those_that_are_odd(flow: dict[str, Any], totals: FlowTotals) -> None:
    body = json.dumps(flow).encode()
    assert flow_totals(flow) == flow_totals(body) == flow_totals(Raw(body)) == totals


def test_a_number_that_is_none_counts_as_missing_in_bytes() -> None:
    assert flow_totals(b'{"%b":{"type":"C","cumulative_volume":NaN}}' % C.encode()) == NO_TOTALS


@pytest.mark.parametrize(
    "body",
    [
        *(json.dumps(flow).encode() for flow, _ in FLOWS),
        b'{"%b":{"type":"C","cumulative_volume":NaN,"further":[-Infinity,1e400]}}' % C.encode(),
        b'{"%b":7,"a":{"large":%d}}' % (C.encode(), 2**70),
    ],
)
def test_a_flow_is_decoded_once_for_its_section_and_its_entry(body: bytes) -> None:
    read = flow_with_entry(body, seq=4, stored_ms=NOW_MS)
    assert bytes(read.section) == bytes(read_flow(body).value)
    assert read.entry == flow_entry(body, seq=4, stored_ms=NOW_MS)


NO_FLOWS = [b"", b"[]", b'{"a":', b'{"a":"\xff"}', b'{"a":{"b":' + b"[" * 255 + b"]" * 255 + b"}}"]


@pytest.mark.parametrize("body", NO_FLOWS)
def test_bytes_that_are_no_flow_are_bad(body: bytes) -> None:
    for read in (read_flow, lambda body: flow_entry(body, seq=1, stored_ms=NOW_MS)):
        with pytest.raises(BadMessage):
            read(body)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.text(max_size=3) | st.sampled_from([C, P]), flow_values, max_size=4))
def test_any_flow_that_is_relayed_has_totals(flow: dict[str, Any]) -> None:
    body = json.dumps(flow).encode()
    read_flow(body)
    totals = flow_totals(body)
    assert all(total is None or abs(total) < 2**60 for total in totals)


TRADED_MS: Final = 1_766_000_000_000
STAMPS = [
    (TRADED_MS + 5, TRADED_MS + 5),
    (TRADED_MS - OLD_TRADE_MS, TRADED_MS - OLD_TRADE_MS),
    (TRADED_MS + OLD_TRADE_MS - 1, TRADED_MS + OLD_TRADE_MS - 1),
    (TRADED_MS + OLD_TRADE_MS, TRADED_MS),
    (TRADED_MS + 10**10, TRADED_MS),
]


@pytest.mark.parametrize(("stored_ms", "ts_ms"), STAMPS)
def test_a_flow_has_the_time_of_its_newest_trade_while_core_replays(stored_ms: int, ts_ms: int) -> None:
    older = CALL | {"last_timestamp": TRADED_MS - 5}
    entry = flow_entry(json.dumps({P: older, C: CALL}).encode(), seq=4, stored_ms=stored_ms)
    assert (entry.seq, entry.ts_ms, entry.stored_ms) == (4, ts_ms, stored_ms)


def test_a_flow_without_a_trade_has_the_time_at_which_it_was_stored() -> None:
    assert flow_entry(b"{}", seq=4, stored_ms=NOW_MS).ts_ms == NOW_MS
