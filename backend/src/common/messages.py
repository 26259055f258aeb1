"""What a message's body must be: one strict JSON object, in UTF-8, of bounded depth.

**Every accepted body is strict JSON, to the last byte**, also inside the parts that are relayed as bytes and never
become Python objects. One exception is repaired, because Python's `json` writes it by default: a bare `NaN`, `Infinity`
or `-Infinity` is read as null and counted.

What the decoder does where JSON (RFC 8259) leaves a choice, pinned by tests:

- integers of any size up to 4,300 digits keep every digit; longer ones make the message bad when they are decoded;
- a number beyond a double's range (`1e400`) reads as null, counted with the NaNs; relayed bytes keep it as it is;
- a `\\ud800` escape without its partner is not JSON here: it stands for no character, and many parsers refuse it;
- the last of two equal keys wins; a byte order mark is not JSON.
"""

import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec

MAX_DEPTH: Final = 256  # containers inside one another, the message itself included; Core's deepest message has 8

REASONS: Final = {
    "too_large": "the body is larger than the limit",
    "not_json": "the body is not strict JSON in UTF-8",
    "not_an_object": "the body is JSON, but not an object",
    "too_deep": f"more than {MAX_DEPTH} arrays and objects inside one another",
    "too_long_number": "an integer of more than 4,300 digits",
    "levels_not_a_list": "`levels` is neither a list nor an object that holds one",
}


class BadMessage(ValueError):
    """A message of which nothing can be used.

    Attributes:
        reason: a key of `REASONS`, for counters; the exception's text is for people.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(REASONS[reason])
        self.reason = reason


class Decoded(NamedTuple):
    """A message as read.

    Attributes:
        value: what it says.
        non_finite: how many of its numbers were no numbers and count as null.
        stamp_ms: when it was made, by its publisher's clock; None where it does not say.
        traded_ms: the newest time of what it tells; None where it tells none. That of a later message may lie
            before it, where what was newest is left out.
    """

    value: Any
    non_finite: int
    stamp_ms: int | None = None
    traded_ms: int | None = None


T = TypeVar("T")


class Parsed(NamedTuple, Generic[T]):
    """`value` as the decoder made it from `text`, the strict JSON of the body, repaired where needed."""

    text: bytes
    value: T
    non_finite: int


def decode_object(body: bytes) -> Decoded:
    """Read a JSON object as a dict.

    Raises:
        BadMessage: it is none.
    """
    check_depth(body)
    text, sections, non_finite = parse_sections(body, _OBJECT.decode)
    if sections is not None:
        return Decoded(sections, non_finite)
    value, beyond_double, *_ = decode_value(text)
    return Decoded(value, non_finite + beyond_double)


def decode_value(text: bytes | msgspec.Raw) -> Decoded:
    """Read strict JSON of any type; numbers beyond a double's range read as null, and are counted.

    Raises:
        BadMessage: an integer is longer than Python reads.
    """
    beyond_double: list[str] = []

    def finite_or_null(number: str) -> float | None:
        value = float(number)
        if value - value == 0.0:
            return value
        beyond_double.append(number)
        return None

    try:
        return Decoded(_ANYTHING.decode(text), 0)
    except msgspec.ValidationError:
        pass
    try:
        return Decoded(msgspec.json.Decoder(float_hook=finite_or_null).decode(text), len(beyond_double))
    except msgspec.ValidationError:
        raise BadMessage("too_long_number") from None


def parse_sections(body: bytes, decode: Callable[[bytes], T]) -> Parsed[T | None]:
    """Run `decode` on a body that is a strict JSON object, or can be repaired to one.

    Args:
        decode: a msgspec decoder's method; it may skip fields that it does not need.

    Returns:
        The strict JSON, and the result of `decode`; None where the object's fields are of other types.

    Raises:
        BadMessage: the body is no such object, or nested so deep that the decoder itself gave up.
    """
    try:
        if not body.isascii():
            body.decode()  # what a decoder skips, it does not check for UTF-8
        try:
            return Parsed(body, decode(body), 0)
        except msgspec.DecodeError:
            text, non_finite = _strict_object(body)
        try:
            return Parsed(text, decode(text), non_finite)
        except msgspec.ValidationError:
            return Parsed(text, None, non_finite)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadMessage("not_json") from None
    except RecursionError:
        raise BadMessage("too_deep") from None


def check_depth(body: bytes) -> None:
    """Raise `BadMessage` for a body that is nested beyond `MAX_DEPTH`, whether or not it is JSON."""
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _depth(body) > MAX_DEPTH:
        raise BadMessage("too_deep")


def check_section_depth(section: msgspec.Raw) -> None:
    """Raise `BadMessage` for a validated value directly inside the message that takes it beyond `MAX_DEPTH`."""
    if len(section) > SHALLOW_BYTES:
        check_depth(b"[%b]" % bytes(section))


SHALLOW_BYTES: Final = 2 * (MAX_DEPTH - 1)  # one container takes two bytes: no shorter value can be too deep

_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_ANYTHING: Final = msgspec.json.Decoder()
_SYNTAX: Final = msgspec.json.Decoder(msgspec.Raw)


def _strict_object(body: bytes) -> tuple[bytes, int]:
    """The body as strict JSON, and how many tokens had to become null for that.

    Raises:
        msgspec.DecodeError: it is not JSON, even so.
        BadMessage: it is JSON, but not an object.
    """
    text, non_finite = body, 0
    try:
        value = _SYNTAX.decode(text)
    except msgspec.DecodeError:
        text, non_finite = _without_non_finite(body)
        value = _SYNTAX.decode(text)
    if not is_object(value):
        raise BadMessage("not_an_object")
    return text, non_finite


def is_object(value: msgspec.Raw) -> bool:
    """Whether validated JSON is an object."""
    return bytes(memoryview(value)[:1]) == b"{"


# One token at a time, with nothing to repeat and so nothing to go back over: linear in any input. (Possessive
# quantifiers would say the same in one expression; Python before 3.11.5, such as Debian 12 has, gets them wrong.)
_TOKENS: Final = re.compile(rb'\\.|"|NaN|-?Infinity', re.DOTALL)
_MARKS: Final = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)
_ESCAPE: Final = ord("\\")


def _without_non_finite(body: bytes) -> tuple[bytes, int]:
    """`body` with null for each bare NaN and Infinity, and their number."""
    if b"NaN" not in body and b"Infinity" not in body:
        return body, 0
    pieces, passed, in_string = [], 0, False
    for match in _TOKENS.finditer(body):
        token = match[0]
        if token == b'"':
            in_string = not in_string
        elif not in_string and token[0] != _ESCAPE:
            pieces.append(body[passed : match.start()])
            passed = match.end()
    pieces.append(body[passed:])
    return b"null".join(pieces), len(pieces) - 1


_BRACKETS: Final = b"[]{}"
_NOT_MARKS: Final = bytes(byte for byte in range(256) if byte not in _BRACKETS + b'"')
_STEPS: Final = bytes.maketrans(b"[{]}", bytes([1, 1, 255, 255]))  # 255 is -1 in a signed byte


def _depth(body: bytes) -> int:
    """How many containers are open at once, at most; brackets in strings do not count."""
    marks = body.translate(None, _NOT_MARKS).replace(b'""', b"")  # a string without brackets leaves no mark
    if b'"' in marks or b"\\" in body:
        marks = _brackets_beside_strings(body)
    return max(accumulate(memoryview(marks.translate(_STEPS)).cast("b")), default=0)


def _brackets_beside_strings(body: bytes) -> bytes:
    brackets, in_string = [], False
    for mark in _MARKS.findall(body):
        if mark == b'"':
            in_string = not in_string
        elif not in_string and mark[0] != _ESCAPE:
            brackets.append(mark)
    return b"".join(brackets)
