"""From a message to what the gateway makes of it, in one call."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from src.gateway.signals.contract import LevelSignal, LevelsPayload
from src.gateway.signals.core_message import LevelsMessage
from src.gateway.signals.intake import levels_message, read_level, read_levels, read_target
from src.gateway.signals.normalize import WALL_BASELINE, normalize_level, normalize_levels
from src.gateway.signals.session_clock import SessionContext

NOW_MS: Final = 1_766_120_400_000  # midnight in New York: no bars since the open


class Normalized(NamedTuple):
    """The section `levels`, the viewport as it came, and what was left out."""

    levels: LevelsPayload
    viewport: Any | None
    faults: dict[str, int]


def normalize(message: Mapping[str, Any], wall_baseline: float = WALL_BASELINE) -> Normalized:
    """Of JSON's Python types."""
    return normalize_message(levels_message(message), wall_baseline)


def normalize_bytes(body: bytes) -> Normalized:
    """Of a message's body."""
    return normalize_message(read_levels(body).value)


def normalize_one(
    level: object,
    target: object = None,
    *,
    is_first_15m: bool = False,
    bars_since_open: int = 0,
    wall_baseline: float = WALL_BASELINE,
) -> LevelSignal:
    """Of one level, with its target."""
    context = SessionContext(is_first_15m, bars_since_open)
    faults: Counter[str] = Counter()
    return normalize_level(read_level(level, faults), read_target(target, faults), context, wall_baseline=wall_baseline)


def normalize_message(message: LevelsMessage, wall_baseline: float = WALL_BASELINE) -> Normalized:
    """Of a message as read."""
    levels = normalize_levels(message, now_ms=NOW_MS, wall_baseline=wall_baseline)
    return Normalized(levels, message.viewport, dict(message.faults))
