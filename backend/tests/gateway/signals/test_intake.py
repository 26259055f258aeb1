"""Reading what Core publishes: relayed sections stay bytes, what is odd costs only itself."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.common.messages import MAX_DEPTH, BadMessage
from src.gateway.signals.core_message import Level
from src.gateway.signals.intake import levels_message, read_flow, read_levels

unhurried = settings(deadline=None, max_examples=300)

BAD_BODIES = [
    (b"", "not_json"),
    (b"hello", "not_json"),
    (b'{"a":1', "not_json"),
    (b'{"a":{"b":"\xff"}}', "not_json"),
    (b'{"a":{"b":"\\ud83d"}}', "not_json"),
    (b'{"a":{"b":01}}', "not_json"),
    (b'{"a":{"b":tru}}', "not_json"),
    (b'{"a":{"b":"\n"}}', "not_json"),
    (b'{"a":{"b":NaN,}}', "not_json"),
    (b"[]", "not_an_object"),
    (b'"text"', "not_an_object"),
    (b"null", "not_an_object"),
    (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "too_deep"),
    (b'{"a":' + b"[" * 600 + b"]" * 600 + b"}", "too_deep"),
    (b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "too_deep"),
    (b'{"a":NaN,"b":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", "too_deep"),
    (b'{"viewport":{"targets":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}}", "too_deep"),
]


@pytest.mark.parametrize("read", [read_flow, read_levels])
@pytest.mark.parametrize(("body", "reason"), BAD_BODIES, ids=[str(body[:24]) for body, _ in BAD_BODIES])
def test_a_bad_body_is_refused_with_its_reason(read: Any, body: bytes, reason: str) -> None:
    with pytest.raises(BadMessage) as caught:
        read(body)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b' {"O:ES251216C06895000": {"volume": 12345678901234567890, "delta": 0.10} }\n',
        b'{"a":1e400,"b":1152921504606846977,"c":-0.0,"d":1.0000}',
        '{"é":"✓ \\ud83d\\ude00"}'.encode(),
        b'{"a":' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}",
    ],
)
def test_a_flow_is_relayed_byte_for_byte(body: bytes) -> None:
    flow, non_finite, *_ = read_flow(body)
    assert isinstance(flow, msgspec.Raw)
    assert (bytes(flow), non_finite) == (body, 0)


def test_bare_nan_in_a_flow_is_relayed_as_null() -> None:
    flow, non_finite, *_ = read_flow(b'{"a":{"delta":NaN,"note":"NaN"},"b":[-Infinity,1152921504606846977]}')
    assert bytes(flow) == b'{"a":{"delta":null,"note":"NaN"},"b":[null,1152921504606846977]}'
    assert non_finite == 2


def test_a_viewport_is_relayed_byte_for_byte() -> None:
    viewport = b'{"ts": 1, "targets": [ {"level_id":"A","touch_ts_ns":1152921504606846977,"p_break":0.10} ]}'
    message = read_levels(b'{"ts":5,"viewport":%b,"levels":[]}' % viewport).value
    assert bytes(message.viewport) == viewport


@pytest.mark.parametrize("levels", [b"[]", b"[7]"], ids=["ordinary", "odd"])
@pytest.mark.parametrize(("viewport", "dropped"), [(b"null", 0), (b"[1]", 1), (b'"x"', 1), (b"1e400", 0)])
def test_a_viewport_that_is_not_an_object_is_dropped(levels: bytes, viewport: bytes, dropped: int) -> None:
    message = read_levels(b'{"levels":%b,"viewport":%b}' % (levels, viewport)).value
    assert (message.viewport, message.targets, message.faults["viewport_dropped"]) == (None, {}, dropped)


def test_ordinary_levels_are_read_into_structs() -> None:
    message = read_levels(b'{"ts":5,"levels":[{"id":"A","price":687,"unread":{"x":[1]}}]}').value
    assert (message.ts_ms, message.levels) == (5, [Level(id="A", price=687.0)])


def test_nested_levels_are_read_like_flat_ones() -> None:
    message = read_levels(b'{"levels":{"levels":[{"id":"A"}],"further":1}}').value
    assert message.levels == [Level(id="A")]


def test_odd_levels_are_left_out_and_counted() -> None:
    message = read_levels(b'{"levels":[{"id":"A","price":"x"},{"id":"B"},7]}').value
    assert (message.levels, message.faults) == ([Level(id="B")], {"level_left_out": 2})


def test_a_number_beyond_a_doubles_range_is_missing_and_counted() -> None:
    decoded = read_levels(b'{"levels":[{"id":"A","price":1e400}]}')
    assert decoded.value.levels == [Level(id="A")]
    assert decoded.non_finite == 1


@pytest.mark.parametrize(
    ("retrieval", "blank"),
    [(b"{}", True), (b"{ }", True), (b"null", True), (b'{"neighbors":[]}', False), (b'{"entropy":null}', False)],
)
def test_an_empty_retrieval_is_told_from_one_without_needed_fields(retrieval: bytes, blank: bool) -> None:
    text = b'{"targets":[{"level_id":"A","retrieval":%b}]}' % retrieval
    for viewport in (msgspec.Raw(text), json.loads(text)):
        targets = levels_message({"viewport": viewport}).targets
        assert (targets["A"].retrieval is None) == blank


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
SUSPICIOUS = [bytes([byte]) for byte in b'{}[]",:\\/u0189aefnrtE+-. \t\n\r\x00\x1f\x7f\xff\xc3\xed\xa0\x80'] + [
    b"NaN",
    b"-Infinity",
    b"nul",
    b"false",
    b"\\ud83d",
    b"\\ude00",
    "\U0001f600".encode(),
    b"1e5",
    b"1e400",
]
mutations = st.lists(st.tuples(st.floats(0, 1), st.sampled_from(SUSPICIOUS), st.integers(0, 2)), max_size=3)


@unhurried
@given(st.dictionaries(st.text(max_size=4), json_values, max_size=4), st.booleans(), mutations)
def test_a_flow_is_read_exactly_when_python_reads_it(value: Any, ascii_only: bool, changes: Any) -> None:
    """What the reader skips is validated as fully as what it reads: numbers, literals, escapes, UTF-8."""
    body = json.dumps(value, ensure_ascii=ascii_only).encode()
    for place, put_in, taken_out in changes:
        at = int(place * len(body))
        body = body[:at] + put_in + body[at + taken_out :]
    expected, non_finite = second_opinion(body)
    try:
        flow = read_flow(body)
    except BadMessage:
        assert not isinstance(expected, dict)
    else:
        assert isinstance(expected, dict)
        assert flow.non_finite == non_finite
        assert second_opinion(bytes(flow.value)) == (expected, 0)


def second_opinion(body: bytes) -> tuple[Any, int]:
    """What Python's `json` reads, with None for each bare NaN, and their number; (None, 0) when it is not JSON."""
    non_finite: list[str] = []
    try:
        value = json.loads(body.decode(), parse_constant=non_finite.append)
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return None, 0
    return value, len(non_finite)


def test_a_flow_is_ordered_by_the_newest_trade_of_its_contracts() -> None:
    body = b'{"A":{"last_timestamp":1765896246587,"x":1},"B":{"last_timestamp": 1765896246588}}'
    assert read_flow(body).traded_ms == 1765896246588
    assert read_flow(b'{"A":{"last_timestamp":null}}').traded_ms is None


def test_levels_are_ordered_by_their_ts() -> None:
    assert read_levels(b'{"ts":1765896246587}').stamp_ms == 1765896246587
    assert read_levels(b'{"ts":"no number"}').stamp_ms is None
