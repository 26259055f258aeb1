"""Core's messages by their number, and the check that all gateways make the same of them.

A number counts the messages of Core. It stands in both bodies, so whoever has two of them knows which is newer.
"""

import json
import random
import time
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW

SUBJECTS: Final = (LEVELS_SIGNALS, MARKET_FLOW)
SECTIONS: Final = {LEVELS_SIGNALS: ("levels", "viewport"), MARKET_FLOW: ("flow",)}  # which a message becomes
LEVELS: Final = 4
CONTRACTS: Final = 12
TOLD: Final = 5  # differences that are named


class Shown(NamedTuple):
    """One frame, as read.

    Attributes:
        numbers: that of the message behind its sections, by subject; 0 where it has none, nothing in a heartbeat.
        digests: of what each of those messages became, by subject.
        is_live: whether section `status` says that all is live; None where there is no such section.
    """

    numbers: dict[str, int]
    digests: dict[str, bytes]
    is_live: bool | None


class Replicas:
    """Whether all gateways made the same of the same message of Core.

    What one message became is compared whole: `levels` and `viewport`, or `flow`. Section `status` is not compared, for
    each field of it is of one gateway and one viewer: its clock (`sent_ms`), its count (`seq`, `epoch`), what this
    viewer skipped, by which path a message came first (`seq` and `published_ms` of a section) and so its age and
    verdict. `levels.ts` is the gateway's clock where Core sends no `ts`; this Core always does.

    Attributes:
        compared: messages that more than one gateway showed.
        differences: those that became another thing at another gateway.
    """

    def __init__(self) -> None:
        self.differences: list[str] = []
        self._seen: dict[tuple[str, int], dict[str, bytes]] = {}

    def note(self, gateway: str, shown: Shown) -> None:
        """`gateway` is its address."""
        for subject, number in shown.numbers.items():
            seen = self._seen.setdefault((subject, number), {})
            if gateway in seen and seen[gateway] == shown.digests[subject]:
                continue
            if any(digest != shown.digests[subject] for digest in seen.values()):
                self.differences.append(f"{subject} {number} at {gateway}, and at {', '.join(seen)}")
            seen[gateway] = shown.digests[subject]

    @property
    def compared(self) -> int:
        return sum(len(seen) > 1 for (_, number), seen in self._seen.items() if number)


def body_of(subject: str, number: int) -> dict[str, Any]:
    """A message that looks like Core's, other in each field from that of any other number."""
    dice = random.Random(number)
    if subject == MARKET_FLOW:
        return {"n": number, **{f"O:SPY251216C{strike:08d}": _contract(dice) for strike in range(CONTRACTS)}}
    levels = [_level(dice, str(number) if place == 0 else f"L{place}") for place in range(LEVELS)]
    spot = dice.uniform(600, 700)
    return {
        "ts": time.time_ns() // 1_000_000,
        "spy": {"spot": spot, "bid": spot - 0.01, "ask": None},
        "es": {"spot": 10 * spot, "bid": 10 * spot - 0.25, "ask": 10 * spot + 0.25},
        "levels": levels,
        "viewport": {
            "ts": number,
            "targets": [
                {"level_id": level["id"], "p_break": dice.random(), "at_ns": time.time_ns()} for level in levels
            ],
        },
    }


@lru_cache(maxsize=64)  # viewers of one gateway get the same text
def read(text: str) -> Shown:
    """A frame."""
    payload = json.loads(text)
    status = payload.get("status")
    is_live = None if status is None else status["cause"] is None
    if payload.keys() == {"status"}:
        return Shown({}, {}, is_live)
    return Shown(
        {subject: number_in(subject, payload.get(names[0])) for subject, names in SECTIONS.items()},
        {subject: _digest([payload.get(name) for name in names]) for subject, names in SECTIONS.items()},
        is_live,
    )


def number_in(subject: str, message: Any) -> int:
    """The number of Core's message, or of the section that it became; 0 where there is none."""
    if message is None:
        return 0
    return int(message["n"] if subject == MARKET_FLOW else message["levels"][0]["id"])


def _digest(sections: Any) -> bytes:
    return blake2b(json.dumps(sections, sort_keys=True).encode(), digest_size=16).digest()


def _contract(dice: random.Random) -> dict[str, float]:
    return {"cumulative_volume": dice.randrange(1 << 20), "cumulative_premium": dice.random(), "delta": dice.random()}


def _level(dice: random.Random, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "price": dice.uniform(600, 700),
        "kind": "STRIKE",
        "direction": dice.choice(("SUPPORT", "RESISTANCE")),
        "distance": dice.uniform(-9, 9),
        "break_score_raw": dice.uniform(0, 100),
        "signal": dice.choice(("BREAK", "REJECT", "CONTESTED", "NEUTRAL")),
        "barrier": {"state": "WALL", "delta_liq": dice.uniform(-1e9, 1e9), "depth_in_zone": dice.randrange(9000)},
        "tape": {"imbalance": dice.uniform(-1, 1), "buy_vol": dice.randrange(9999), "velocity": dice.gauss(0, 1)},
        "fuel": {"effect": "AMPLIFY", "net_dealer_gamma": dice.gauss(0, 1e9)},
    }
