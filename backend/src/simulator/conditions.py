"""What can be odd about a Core, on request: each makes another message of a snapshot's, or keeps it back. Pure."""

from dataclasses import dataclass
from typing import Any

from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from src.simulator.session import Snapshot

# As in the contract's examples: 6926 points of the future are 691 dollars of SPY.
_ES_PER_SPY = 6926 / 691
_CENT = 0.01
_NO_TRADE = {"BREAK": "NEUTRAL", "REJECT": "NEUTRAL"}


@dataclass(frozen=True, slots=True)
class Silence:
    """After each `after_s` nothing comes for `for_s`, of `subjects`."""

    after_s: float
    for_s: float
    subjects: tuple[str, ...] = (LEVELS_SIGNALS, MARKET_FLOW)

    def covers(self, subject: str, elapsed_s: float) -> bool:
        """Whether `subject` is silent so long after the first message."""
        return subject in self.subjects and elapsed_s % (self.after_s + self.for_s) >= self.after_s


@dataclass(frozen=True, slots=True)
class Conditions:
    """The odd things that are asked for; none by default.

    Attributes:
        has_es: the messages have the future beside SPY, and the levels are prices of the future.
        lag_ms: so much the times in the messages lie behind.
        silence: when nothing comes.
        lacks_spot: the live messages have no prices of the underlying. The past has, so that they are seen to go.
        lacks_signals: no level is a BREAK or a REJECT.
    """

    has_es: bool = False
    lag_ms: int = 0
    silence: Silence | None = None
    lacks_spot: bool = False
    lacks_signals: bool = False

    def are_silent(self, subject: str, elapsed_s: float) -> bool:
        return self.silence is not None and self.silence.covers(subject, elapsed_s)

    def change(self, snapshot: Snapshot, *, is_past: bool = False) -> Snapshot:
        """The snapshot as such a Core publishes it."""
        if self.lag_ms:
            snapshot = snapshot.at(snapshot.levels["ts"] - self.lag_ms)
        levels = snapshot.levels
        if self.has_es:
            levels = {"ts": levels["ts"], "spy": _spy_of(levels["spy"]), "es": levels["spy"], **_without_prices(levels)}
        if self.lacks_spot and not is_past:
            levels = {name: _NO_PRICES if name in ("spy", "es") else value for name, value in levels.items()}
        if self.lacks_signals:
            levels = {**levels, "levels": [_without_signal(level) for level in levels["levels"]]}
        return Snapshot(levels, snapshot.flow)


_NO_PRICES = {"spot": None, "bid": None, "ask": None}


def _without_prices(levels: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in levels.items() if name not in ("ts", "spy")}


def _spy_of(es: dict[str, float]) -> dict[str, float]:
    """SPY's prices beside those of the future: a cent wide, the last trade on the same side."""
    spot = round(es["spot"] / _ES_PER_SPY, 2)
    bid = spot if es["spot"] == es["bid"] else round(spot - _CENT, 2)
    return {"spot": spot, "bid": bid, "ask": round(bid + _CENT, 2)}


def _without_signal(level: dict[str, Any]) -> dict[str, Any]:
    return {**level, "signal": _NO_TRADE.get(level["signal"], level["signal"])}
