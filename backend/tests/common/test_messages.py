"""A body is one strict JSON object, or a `BadMessage` with a reason. Python's own `json` is the second opinion."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.common.messages import MAX_DEPTH, REASONS, BadMessage, Decoded, check_depth, decode_object, decode_value

unhurried = settings(deadline=None, max_examples=300)

NOT_JSON = {
    "an empty body": b"",
    "only white space": b" \n",
    "plain text": b"hello",
    "an unterminated object": b'{"a":1',
    "an unterminated string": b'{"a":"',
    "a trailing comma": b'{"a":1,}',
    "a second value": b'{"a":1} {"b":2}',
    "single quotes": b"{'a':1}",
    "a key that is a number": b"{1:2}",
    "a key that is a bare NaN": b"{NaN:1}",
    "a leading zero": b'{"a":01}',
    "a bare decimal point": b'{"a":1.}',
    "a plus sign": b'{"a":+1}',
    "a misspelled literal": b'{"a":nul}',
    "a NaN with a sign": b'{"a":-NaN}',
    "two NaNs without a comma": b'{"a":[NaN NaN]}',
    "a NaN glued to a literal": b'{"a":nullNaN}',
    "a NaN glued to a number": b'{"a":1NaN}',
    "a control character in a string": b'{"a":"\x01"}',
    "an unknown escape": b'{"a":"\\x41"}',
    "a high surrogate alone": b'{"a":"\\ud83d"}',
    "a low surrogate alone": b'{"a":"\\ude00 "}',
    "a surrogate alone in a key": b'{"a":{"\\ud83d":1}}',
    "an invalid byte in a string": b'{"a":"\xff"}',
    "an invalid byte outside strings": b'{"a":1}\xff',
    "an overlong encoding": b'{"a":"\xc0\x80"}',
    "a surrogate as UTF-8": b'{"a":"\xed\xa0\x80"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "a NUL at the end": b'{"a":1}\x00',
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_not_strict_json_is_bad(body: bytes) -> None:
    assert reason_of(body) == "not_json"


@pytest.mark.parametrize("body", [b"[]", b'[{"a":1}]', b'"text"', b"1", b"null", b"true", b"NaN", b" -Infinity "])
def test_json_that_is_no_object_is_bad(body: bytes) -> None:
    assert reason_of(body) == "not_an_object"


def test_every_reason_has_a_text_for_people() -> None:
    for reason, text in REASONS.items():
        bad = BadMessage(reason)
        assert (bad.reason, str(bad)) == (reason, text)


@pytest.mark.parametrize(
    ("body", "value", "non_finite"),
    [
        (b'{"a":NaN}', {"a": None}, 1),
        (b'{"a":[Infinity, -Infinity,NaN]}', {"a": [None, None, None]}, 3),
        (b'{"a":NaN,"NaN":"NaN -Infinity"}', {"a": None, "NaN": "NaN -Infinity"}, 1),
        (b'{"a":"NaN"}', {"a": "NaN"}, 0),
        (b'{"\\"NaN":"\\\\","b":NaN}', {'"NaN': "\\", "b": None}, 1),
        (b'{"a":null,"b":NaN}', {"a": None, "b": None}, 1),
        ('{"é":NaN,"I":-1}'.encode(), {"é": None, "I": -1}, 1),
    ],
)
def test_bare_non_finite_tokens_read_as_null_and_are_counted(body: bytes, value: Any, non_finite: int) -> None:
    assert decode_object(body) == Decoded(value, non_finite)


@pytest.mark.parametrize(
    ("number", "value", "non_finite"),
    [
        ("18446744073709551616", 2**64, 0),
        ("-9223372036854775809", -(2**63) - 1, 0),
        ("1" + "0" * 4_000, 10**4_000, 0),
        ("1e400", None, 1),
        ("-1e400", None, 1),
        ("1" + "0" * 400 + ".0", None, 1),
        ("1e-400", 0.0, 0),
        ("0." + "1" * 5_000, 1 / 9, 0),
    ],
)
def test_numbers_keep_their_value_or_count_as_non_finite(number: str, value: Any, non_finite: int) -> None:
    decoded = decode_object(b'{"a":%b,"b":0.5}' % number.encode())
    assert decoded == Decoded({"a": value, "b": 0.5}, non_finite)


def test_an_integer_beyond_4300_digits_is_bad() -> None:
    assert reason_of(b'{"a":%b}' % (b"1" * 5_000)) == "too_long_number"


def test_the_last_of_two_equal_keys_wins() -> None:
    assert decode_object(b'{"a":1,"a":2}').value == {"a": 2}


@pytest.mark.parametrize(("opener", "closer"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["arrays", "objects"])
def test_depth_is_bounded_exactly(opener: bytes, closer: bytes) -> None:
    def nested(depth: int) -> bytes:
        return b'{"a":' + opener * (depth - 1) + b"0" + closer * (depth - 1) + b"}"

    assert decode_object(nested(MAX_DEPTH)).non_finite == 0
    for depth in (MAX_DEPTH + 1, 600, 10_000, 100_000):
        assert reason_of(nested(depth)) == "too_deep"


def test_openers_without_end_are_too_deep() -> None:
    assert reason_of(b"[" * 10_000) == "too_deep"


@pytest.mark.parametrize(
    "text",
    [b'"]"', b'"]",""', b'"","]"', b'"\\"]"', b'"\\\\","]"', b'"}]","[{"'],
    ids=["alone", "before", "after", "after a quote", "after a backslash", "of all kinds"],
)
def test_brackets_in_strings_do_not_hide_depth(text: bytes) -> None:
    body = b'{"a":' + (b"[" + text + b",") * MAX_DEPTH + b"0" + b"]" * MAX_DEPTH + b"}"
    assert reason_of(body) == "too_deep"


@pytest.mark.parametrize("text", [b'"["', b'"[[","{"', b'"\\"["'])
def test_brackets_in_strings_are_no_depth(text: bytes) -> None:
    body = b'{"a":[' + b",".join([text] * 2 * MAX_DEPTH) + b"]}"
    assert len(decode_object(body).value["a"]) >= 2 * MAX_DEPTH


def test_many_containers_side_by_side_are_no_depth() -> None:
    check_depth(b'{"a":[' + b"[{}]," * 10_000 + b"0]}")


HOSTILE = {
    "quotes": b'""' * 500_000,
    "escaped quotes without an end": b'NaN"' + b'\\"' * 500_000,
    "unterminated strings": b"NaN" + b'"\\"' * 300_000,
    "backslashes": b"NaN" + b"\\" * 1_000_000,
    "minus signs": b"NaN" + b"-" * 1_000_000,
    "almost tokens": b"NaN" + b"NaInfinit-" * 100_000,
    "openers in strings": b'"["' * 300_000,
    "openers": b"NaN" + b"[" * 1_000_000,
    "digits": b'{"a":NaN,"b":' + b"1" * 1_000_000,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bodies_are_bad_and_nothing_worse(body: bytes) -> None:
    """Anything worse than linear would run into the suite's time limit."""
    assert reason_of(body) in REASONS


def test_a_body_of_8_mib_is_read() -> None:
    body = b'{"a":[' + b'"0123456789abcdef",' * (8 * 2**20 // 19) + b"NaN]}"
    assert decode_object(body).non_finite == 1


def test_a_value_of_any_type_is_read() -> None:
    assert decode_value(b"[1e400,1]") == Decoded([None, 1], 1)
    assert decode_value(msgspec.Raw(b"null")) == Decoded(None, 0)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(st.text(max_size=4), json_values, max_size=4)
SUSPICIOUS = [bytes([byte]) for byte in b'{}[]",:\\/u0189aefnrtE+-. \t\n\r\x00\x1f\x7f\xff\xc3\xed\xa0\x80'] + [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"null",
    b"tru",
    b"\\u",
    b"\\ud83d",
    b"\\ude00",
    "é".encode(),
    "\U0001f600".encode(),
    b"1e5",
    b"-0",
]
mutations = st.lists(st.tuples(st.floats(0, 1), st.sampled_from(SUSPICIOUS), st.integers(0, 2)), max_size=3)


def mutated(body: bytes, changes: list[tuple[float, bytes, int]]) -> bytes:
    """`body` with bytes put in, each in the place of 0 to 2 others, at places given as a share of its length."""
    for place, put_in, taken_out in changes:
        at = int(place * len(body))
        body = body[:at] + put_in + body[at + taken_out :]
    return body


def second_opinion(body: bytes) -> Decoded | None:
    """What Python's `json` reads, with None for each bare NaN; None when it is no object of Unicode."""
    non_finite: list[str] = []
    try:
        value = json.loads(body.decode(), parse_constant=non_finite.append)
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return None
    return Decoded(value, len(non_finite)) if isinstance(value, dict) else None


@unhurried
@given(json_objects, st.booleans(), mutations)
def test_exactly_what_python_reads_is_read(value: Any, ascii_only: bool, changes: Any) -> None:
    body = mutated(json.dumps(value, ensure_ascii=ascii_only).encode(), changes)
    expected = second_opinion(body)
    try:
        decoded = decode_object(body)
    except BadMessage:
        assert expected is None
    else:
        assert expected is not None
        assert same_json(decoded.value, expected.value)


def same_json(one: Any, other: Any) -> bool:
    """Equal, with a number beyond a double's range read as null by one and as infinite by the other."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_json(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_json, one, other))
    if one is None and isinstance(other, float):
        return other in (float("inf"), float("-inf"))
    return type(one) is type(other) and bool(one == other)


def reason_of(body: bytes) -> str:
    with pytest.raises(BadMessage) as caught:
        decode_object(body)
    return caught.value.reason
