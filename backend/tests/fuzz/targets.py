"""What is fuzzed: functions of bytes that return, whatever the bytes, or raise what is to be mended.

Hypothesis calls them in the test suite, atheris outside it (`make fuzz`). The first bytes of an input choose how the
rest is used.
"""

import copy
import functools
import json
import math
from collections.abc import Callable
from typing import Any, Final

import msgspec

from benchmarks.workload import flow_of, levels_with_viewport
from src.common.messages import BadMessage
from src.gateway.signals.contract import LevelsPayload
from src.gateway.signals.intake import read_flow, read_levels
from src.gateway.signals.latest_state import LatestState
from src.gateway.signals.normalize import normalize_levels
from tests.fuzz.gateway_under_test import CLOSE_CODES, DEFLATE, UPGRADE, GatewayUnderTest, Received

Target = Callable[[bytes], None]

NOW_MS: Final = 1_764_000_000_000
MOST_CHANGES: Final = 24
LONGEST_WIRE: Final = 1 << 16
ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1, 0.5, 2**53, 2**53 + 1, 10**30, 1e308, -1e308, 5e-324, math.nan, math.inf, -math.inf),
    *("", "x", "1", "SUPPORT", "REJECT", "NaN", "\ud800", "é", "\x00", "x" * 1000),
    *([], {}, [[]], [{}], {"": {}}, {"levels": []}, {"levels": {"levels": []}}, [None], {"targets": [{}]}),
)


@functools.cache
def gateway_under_test() -> GatewayUnderTest:
    return GatewayUnderTest()


def frames(fuzz: bytes) -> None:
    """A viewer after the handshake, which sends anything, cut anywhere; or frames, whole, with any content."""
    flags, step, wire = (fuzz + b"\x00\x00")[0], (fuzz + b"\x00\x00")[1], fuzz[2:LONGEST_WIRE]
    if flags & 1:
        wire = _masked_frames(wire)
    upgrade = UPGRADE + (DEFLATE if flags & 2 else b"") + b"\r\n"
    pieces = [upgrade, *_cut(wire, step)] if flags & 4 else _cut(upgrade + wire, step)
    received = gateway_under_test().play(pieces)
    assert received.statuses == [101], received
    _assert_close_is_allowed(received, wire)


def requests(fuzz: bytes) -> None:
    """Anything on the port before there is a WebSocket; or an upgrade with anything in its head."""
    flags, step, wire = (fuzz + b"\x00\x00")[0], (fuzz + b"\x00\x00")[1], fuzz[2:LONGEST_WIRE]
    if flags & 1:
        wire = UPGRADE + wire + (b"\r\n\r\n" if flags & 2 else b"")
    elif flags & 2:
        wire = b"GET /" + wire + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    elif flags & 4:
        wire = b"GET /health HTTP/1.1\r\nHost: " + wire + b"\r\n\r\n"
    received = gateway_under_test().play(_cut(wire, step))
    assert all(status < 500 for status in received.statuses), received


def levels(fuzz: bytes) -> None:
    """A levels message of anything becomes a payload of the contract's types, or a BadMessage."""
    try:
        message = read_levels(fuzz).value
        levels = normalize_levels(message, now_ms=NOW_MS, wall_baseline=5000.0)
    except BadMessage:
        return
    msgspec.json.decode(msgspec.json.encode(levels), type=LevelsPayload, strict=True)
    state = LatestState()
    state.levels, state.viewport = levels, message.viewport
    _assert_strict_json(state)


def flow(fuzz: bytes) -> None:
    """A flow message of anything is relayed as strict JSON, or is a BadMessage."""
    state = LatestState()
    try:
        state.flow = read_flow(fuzz).value
    except BadMessage:
        return
    _assert_strict_json(state)


def changed_levels(fuzz: bytes) -> None:
    """A real levels message, with odd values at odd places."""
    levels(_changed(_real_levels(), fuzz))


def changed_flow(fuzz: bytes) -> None:
    """A real flow message, with odd values at odd places."""
    flow(_changed(_real_flow(), fuzz))


TARGETS: Final[dict[str, Target]] = {
    target.__name__: target for target in (frames, requests, levels, flow, changed_levels, changed_flow)
}


@functools.cache
def _real_levels() -> bytes:
    return json.dumps(_shortened(json.loads(levels_with_viewport(3)))).encode()


def _shortened(value: Any) -> Any:
    """With the first three elements of each list: more of the same would only take longer."""
    if isinstance(value, dict):
        return {name: _shortened(each) for name, each in value.items()}
    return [_shortened(each) for each in value[:3]] if isinstance(value, list) else value


@functools.cache
def _real_flow() -> bytes:
    return flow_of(4)


def _cut(wire: bytes, step: int) -> list[bytes]:
    """In pieces of `step` bytes, the first dozen of them; the rest in one."""
    if not step:
        return [wire]
    pieces = [wire[at : at + step] for at in range(0, min(len(wire), 12 * step), step)]
    return [*pieces, wire[12 * step :]]


def _masked_frames(script: bytes) -> bytes:
    """Frames as a client has to send them: of the script, a byte for flags and opcode, one for the length, the body."""
    wire = b""
    while len(script) > 1:
        first, length, script = script[0], script[1], script[2:]
        body, script = script[:length], script[length:]
        size = bytes((0x80 | len(body),)) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2)
        wire += bytes((first,)) + size + bytes(4) + body
    return wire


def _assert_close_is_allowed(received: Received, wire: bytes) -> None:
    if received.close_body:
        assert (
            int.from_bytes(received.close_body[:2]) in CLOSE_CODES
            or received.close_body in wire
            or _unmasked_in(received, wire)
        ), received


def _unmasked_in(received: Received, wire: bytes) -> bool:
    """Whether the viewer sent this close body, behind any mask: its length and flags are there."""
    assert received.close_body is not None, "asked only where there is one"
    return bytes((0x88, 0x80 | len(received.close_body))) in wire


def _assert_strict_json(state: LatestState) -> None:
    """Read by another parser than the one that wrote it."""
    text = msgspec.json.encode(state.payload()).decode()
    assert isinstance(json.loads(text, parse_constant=_refuse, parse_int=str), dict)
    assert "\ud800" not in text


def _refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is not strict JSON")


def _changed(body: bytes, script: bytes) -> bytes:
    """Four bytes of the script are a change: three for the way into the message, one for what becomes of the place."""
    message = json.loads(body)
    for at in range(0, min(len(script), MOST_CHANGES * 4) - 3, 4):
        _change(message, script[at : at + 4])
    return json.dumps(message).encode()


def _change(message: Any, change: bytes) -> None:
    """Walk down by the first bytes; then replace, remove, or repeat."""
    place = message
    for step in change[:2]:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        child = place[keys[step % len(keys)]] if keys else None
        if not isinstance(child, dict | list) or not child:
            break
        place = child
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    if not keys:
        return
    key, what = keys[change[2] % len(keys)], change[3]
    if what < len(ODD):
        place[key] = copy.deepcopy(ODD[what])
    elif what < 128 and isinstance(place, dict):
        del place[key]
    elif isinstance(place, list):
        place.append(copy.deepcopy(place[key]))
    else:
        place[f"{key}{what}"] = copy.deepcopy(place[key])
