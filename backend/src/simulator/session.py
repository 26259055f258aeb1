"""The simulated session: for a moment of a trading day, the messages that Core would publish. Deterministic.

The parts of a day draw from streams of their own, so that the path of the spot depends on the seed and the moments
asked for, not on how many levels or contracts are wanted.
"""

from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

from src.simulator.level_board import LevelBoard
from src.simulator.option_chain import OptionChain
from src.simulator.pacing import CLOSE_S, PREMARKET_S, Moment, timestamp_ms, trading_date
from src.simulator.spot_path import SpotPath
from src.simulator.viewport import Viewport

_FIRST_PRICE = 6900.0
# The day before its first snapshot: in coarse steps, the last minutes in finer ones, with the levels watched.
_COARSE_STEP_S = 60.0
_WATCHED_BEFORE_S = 300.0
_WATCHED_STEP_S = 2.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One message of each subject. `flow` is empty where only levels were asked for."""

    levels: dict[str, Any]
    flow: dict[str, Any]

    def at(self, now_ms: int) -> "Snapshot":
        """The same with the times of a Core whose clock says `now_ms`, ms UTC."""
        later_ms = now_ms - self.levels["ts"]
        levels = {**self.levels, "ts": now_ms}
        if "viewport" in levels:
            targets = [_later_touch(target, later_ms * 1_000_000) for target in levels["viewport"]["targets"]]
            levels["viewport"] = {**levels["viewport"], "ts": now_ms, "targets": targets}
        flow = {
            ticker: {**contract, "last_timestamp": contract["last_timestamp"] + later_ms}
            for ticker, contract in self.flow.items()
        }
        return Snapshot(levels, flow)


def _later_touch(target: dict[str, Any], later_ns: int) -> dict[str, Any]:
    """A target of the viewport; the past approaches that it is compared with stay where they are."""
    return {**target, **{name: target[name] + later_ns for name in ("touch_ts_ns", "confirm_ts_ns")}}


class Session:
    """Trading days, one after another, from one seed.

    Moments must be asked for in order. The same seed, settings and moments give the same snapshots.

    Args:
        first_date: the date of day 0.
        levels: how many levels a message has.
        contracts: how many calls, and how many puts, the option chain has.
    """

    def __init__(self, seed: int, first_date: date, levels: int = 10, contracts: int = 60) -> None:
        self._seed = seed
        self._first_date = first_date
        self._levels = levels
        self._contracts = contracts
        self._day: TradingDay | None = None

    def snapshot(self, moment: Moment, *, with_flow: bool = True) -> Snapshot:
        day = self._day
        if day is None or day.number != moment.day:
            day = self._day = self._begin(moment, day.path.spot if day else _FIRST_PRICE)
        day.advance(moment.second, with_flow=with_flow)
        return Snapshot(day.levels(), day.flow() if with_flow else {})

    def _begin(self, moment: Moment, previous_close: float) -> "TradingDay":
        on = trading_date(self._first_date, moment.day)
        day = TradingDay(f"{self._seed}/{moment.day}", moment.day, on, previous_close, self._levels, self._contracts)
        day.warm_up(moment.second)
        return day


class TradingDay:
    """One day: the path, the chain, the levels and the predictions, advanced together."""

    def __init__(self, seed: str, number: int, on: date, previous_close: float, levels: int, contracts: int) -> None:
        self.number = number
        self._on = on
        gap = Random(f"{seed}/gap").gauss(0, 6)
        # Pulled half way back to where days begin: an endless demo stays in a believable range.
        first_price = _FIRST_PRICE + (previous_close - _FIRST_PRICE) / 2 + gap
        self.path = SpotPath(Random(f"{seed}/path"), first_price)
        self._chain = OptionChain(Random(f"{seed}/chain"), on, self.path.spot, contracts)
        self._board = LevelBoard(Random(f"{seed}/levels"), self.path, self._chain, levels)
        self._viewport = Viewport(Random(f"{seed}/viewport"), on, self.path, self._board)
        self._chain_s = self.path.second
        self._bought = self._sold = 0.0  # since then

    def warm_up(self, second: float) -> None:
        """Live the day from its premarket to `second`, so that the first snapshot has a past."""
        watched_from = max(PREMARKET_S, second - _WATCHED_BEFORE_S)
        while self.path.second + _COARSE_STEP_S < watched_from:
            self._trade(self.path.second + _COARSE_STEP_S, with_flow=True)
        while self.path.second + _WATCHED_STEP_S < second:
            self.advance(self.path.second + _WATCHED_STEP_S, with_flow=False)

    def advance(self, second: float, *, with_flow: bool) -> None:
        """Go on to `second`. Without the flow the options wait for the next time: they are half of the work."""
        elapsed_s = second - self.path.second
        self._trade(second, with_flow=with_flow)
        self._board.advance(elapsed_s)
        self._viewport.advance(elapsed_s)

    def levels(self) -> dict[str, Any]:
        """The body of one `levels.signals` message."""
        ts_ms = timestamp_ms(self._on, min(self.path.second, CLOSE_S))
        levels: dict[str, Any] = {
            "ts": ts_ms,
            "spy": {"spot": self.path.spot, "bid": self.path.bid, "ask": self.path.ask},
            "levels": self._board.message(),
        }
        viewport = self._viewport.message(ts_ms)
        if viewport is not None:
            levels["viewport"] = viewport
        return levels

    def flow(self) -> dict[str, Any]:
        """The body of one `market.flow` message."""
        return self._chain.message()

    def _trade(self, second: float, *, with_flow: bool) -> None:
        self.path.advance(second)
        self._bought += self.path.bought
        self._sold += self.path.sold
        if not with_flow:
            return
        volume = self._bought + self._sold
        buy_share = self._bought / volume if volume else 0.5
        elapsed_s, ts_ms = second - self._chain_s, timestamp_ms(self._on, second)
        self._chain.advance(self.path.spot, second, elapsed_s, ts_ms, buy_share)
        self._chain_s = second
        self._bought = self._sold = 0.0
