"""What happens once a message, whatever the number of viewers: normalization and the preparation of a frame."""

import json
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Final, NamedTuple

import msgspec

from benchmarks.workload import (
    HUGE,
    LARGE,
    SMALL,
    USUAL,
    Payload,
    flow_of,
    levels_with_viewport,
    levels_without_viewport,
    payload_bytes,
)
from src.gateway.delivery.frame import Frame
from src.gateway.signals.intake import read_flow, read_levels
from src.gateway.signals.normalize import normalize_levels

LEVELS: Final = (6, 16, 64)
CONTRACTS: Final = (40, 120, 500)
PAYLOADS: Final = (SMALL, USUAL, LARGE, HUGE)
ROUNDS: Final = 25
ROUND_S: Final = 0.01


class Step(NamedTuple):
    """A step of the data path on one message: what it is given, what it makes of it, and how long that takes.

    Attributes:
        loads_us: how long `json.loads` takes to read what is given, which tells how fast the machine was just then.
    """

    name: str
    bytes_in: int
    bytes_out: int
    us: float
    loads_us: float


def normalization(levels: Sequence[int] = LEVELS, contracts: Sequence[int] = CONTRACTS) -> list[Step]:
    """From the bytes of a message to the bytes of its section of the payload."""
    messages: list[tuple[str, bytes, Callable[[bytes], bytes]]] = [
        *((f"levels, {count}", levels_without_viewport(count), levels_sections) for count in levels),
        *((f"levels, {count}, with viewport", levels_with_viewport(count), levels_sections) for count in levels),
        *((f"flow, {count} contracts", flow_of(count), flow_section) for count in contracts),
    ]
    return [_step(name, body, section) for name, body, section in messages]


def frame_preparation(payloads: Sequence[Payload] = PAYLOADS) -> list[Step]:
    """From a payload to the bytes on the wire, plain and deflated."""
    return [
        step
        for size in payloads
        for payload in [payload_bytes(size)]
        for step in (
            _step(f"{size.name}, plain", payload, lambda payload: Frame(payload).plain),
            _step(f"{size.name}, deflated", payload, lambda payload: Frame(payload).deflated),
        )
    ]


def levels_sections(body: bytes) -> bytes:
    """The sections `levels` and `viewport`."""
    message = read_levels(body).value
    viewport = b"" if message.viewport is None else msgspec.json.encode(message.viewport)
    return msgspec.json.encode(normalize_levels(message, now_ms=0)) + viewport


def flow_section(body: bytes) -> bytes:
    return msgspec.json.encode(read_flow(body).value)


def _step(name: str, given: bytes, made: Callable[[bytes], bytes]) -> Step:
    return Step(name, len(given), len(made(given)), *_median_us(lambda: made(given), lambda: json.loads(given)))


def _median_us(*steps: Callable[[], Any]) -> list[float]:
    """Of each, in turns: `ROUNDS` rounds of as many calls as fill one."""
    calls = [max(1, round(ROUND_S / _seconds(step, 3))) for step in steps]
    rounds = [[_seconds(*turn) for turn in zip(steps, calls, strict=True)] for _ in range(ROUNDS)]
    return [median(seconds) * 1e6 for seconds in zip(*rounds, strict=True)]


def _seconds(step: Callable[[], Any], calls: int) -> float:
    begun_s = time.perf_counter()
    for _ in range(calls):
        step()
    return (time.perf_counter() - begun_s) / calls
