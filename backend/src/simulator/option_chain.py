"""The day's option chain: contracts by strike, what traded in each, and what that leaves the dealers with.

Greeks and prices are those of the Bachelier model (normal moves in points), which needs no rate and no root search.
"""

import math
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any, Literal

from src.simulator.pacing import CLOSE_S, OPEN_S
from src.simulator.randomness import arrivals, clamp
from src.simulator.spot_path import POINT_VALUE, activity_shape

STRIKE_STEP = 5.0

# Points: what is left of the day's expected move at the open, and never less than in the last minutes.
_MOVE_AT_OPEN = 42.0
_SMALLEST_MOVE = 4.0
# Traded contracts a second in the strike at the spot, at shape 1.
_VOLUME_A_SECOND = 1.1
# Standard deviations from the spot beyond which the normal law has nothing more to say.
_FURTHEST_MONEYNESS = 4.0
# Points from the spot over which trading in a strike falls to 1/e.
_VOLUME_REACH = 28.0
# Points around a price whose strikes count for the dealers' gamma there.
_GAMMA_REACH = 10.0


@dataclass(frozen=True, slots=True)
class Greeks:
    price: float
    delta: float
    gamma: float


@dataclass(slots=True)
class Contract:
    """One option and what traded in it so far; volume and premium only grow."""

    ticker: str
    strike: float
    kind: Literal["C", "P"]
    open_interest: int
    volume: int = 0
    premium: float = 0.0
    last_price: float = 0.0
    net_delta_flow: float = 0.0
    net_gamma_flow: float = 0.0
    delta: float = 0.0
    gamma: float = 0.0
    last_ts_ms: int = 0

    def trade(self, quantity: int, side: int, ts_ms: int) -> None:
        """Record `quantity` contracts at the last price; `side` 1: customers bought, -1: they sold."""
        self.volume += quantity
        self.premium += quantity * self.last_price * POINT_VALUE
        self.net_delta_flow += side * quantity * self.delta
        self.net_gamma_flow += side * quantity * self.gamma
        self.last_ts_ms = ts_ms


def greeks(spot: float, strike: float, kind: Literal["C", "P"], expected_move: float) -> Greeks:
    """Bachelier value of one contract; `expected_move` is one standard deviation at expiry, in points."""
    moneyness = clamp((spot - strike) / expected_move, -_FURTHEST_MONEYNESS, _FURTHEST_MONEYNESS)
    density = math.exp(-moneyness * moneyness / 2) / math.sqrt(2 * math.pi)
    above = (1 + math.erf(moneyness / math.sqrt(2))) / 2
    call_price = (spot - strike) * above + expected_move * density
    if kind == "C":
        return Greeks(call_price, above, density / expected_move)
    return Greeks(call_price - (spot - strike), above - 1, density / expected_move)


def expected_move(second: float) -> float:
    """One standard deviation of the rest of the day, in points."""
    left = min(1.0, max(0.0, (CLOSE_S - second) / (CLOSE_S - OPEN_S)))
    return max(_SMALLEST_MOVE, _MOVE_AT_OPEN * math.sqrt(left))


def to_option_tick(price: float) -> float:
    """Options trade in 0.05 below 5 points and in 0.25 from there on."""
    return max(0.05, round(round(price / 0.05) * 0.05, 2)) if price < 5 else round(price * 4) / 4


def ticker(expiration: date, kind: Literal["C", "P"], strike: float) -> str:
    return f"O:ES{expiration:%y%m%d}{kind}{round(strike * 1000):08d}"


class OptionChain:
    """`contracts` calls and as many puts around the first spot, all expiring that day."""

    def __init__(self, rng: Random, expiration: date, spot: float, contracts: int) -> None:
        self._rng = rng
        self._expiration = expiration.isoformat()
        middle = round(spot / STRIKE_STEP)
        strikes = [(middle + i - contracts // 2) * STRIKE_STEP for i in range(contracts)]
        self.contracts = [self._listed(expiration, kind, strike, spot) for kind in ("C", "P") for strike in strikes]
        self._net_gamma_by_strike: dict[float, float] = {}

    def advance(self, spot: float, second: float, elapsed_s: float, ts_ms: int, buy_share: float) -> None:
        """Let `elapsed_s` of trading happen; `buy_share` (0 to 1) of the underlying sets who buys what."""
        move = expected_move(second)
        for contract in self.contracts:
            value = greeks(spot, contract.strike, contract.kind, move)
            contract.delta, contract.gamma = value.delta, value.gamma
            quantity = arrivals(self._rng, self._expected_volume(contract, spot, second) * elapsed_s)
            if quantity or not contract.last_ts_ms:
                contract.last_price = to_option_tick(value.price)
                contract.trade(quantity, self._side(contract, buy_share), ts_ms - self._rng.randint(0, 999))
        self._net_gamma_by_strike = self._dealer_gamma()

    def dealer_gamma(self, price: float) -> float:
        """The dealers' net gamma in the strikes near a price; below 0 they chase the market, above they fade it."""
        near = (gamma for strike, gamma in self._net_gamma_by_strike.items() if abs(strike - price) <= _GAMMA_REACH)
        return sum(near)

    def wall(self, kind: Literal["C", "P"], spot: float) -> float | None:
        """The strike out of the money with most contracts open or traded; none when the spot left the chain."""
        sign = 1 if kind == "C" else -1
        beyond = [c for c in self.contracts if c.kind == kind and (c.strike - spot) * sign >= 0]
        return max(beyond, key=lambda c: c.open_interest + c.volume).strike if beyond else None

    def high_volume_price(self) -> float:
        """Mean strike by traded volume."""
        total = sum(contract.volume for contract in self.contracts)
        return sum(contract.strike * contract.volume for contract in self.contracts) / max(1, total)

    def message(self) -> dict[str, Any]:
        """The body of one `market.flow` message."""
        return {contract.ticker: self._entry(contract) for contract in self.contracts}

    def _listed(self, expiration: date, kind: Literal["C", "P"], strike: float, spot: float) -> Contract:
        """A contract as the night left it: round strikes out of the money hold most open interest."""
        weight = 2.0 if strike % 25 == 0 else 1.4 if strike % 10 == 0 else 1.0
        out_of_the_money = (strike - spot) * (1 if kind == "C" else -1)
        reach = math.exp(-abs(out_of_the_money - 10) / 15)
        interest = round(60_000 * weight * reach * self._rng.uniform(0.7, 1.3))
        night = arrivals(self._rng, 3000 * weight * math.exp(-abs(strike - spot) / _VOLUME_REACH)) + 1
        contract = Contract(ticker(expiration, kind, strike), strike, kind, interest)
        value = greeks(spot, strike, kind, _MOVE_AT_OPEN)
        contract.delta, contract.gamma, contract.last_price = value.delta, value.gamma, to_option_tick(value.price)
        contract.trade(night, self._rng.choice((-1, 1)), 0)
        return contract

    def _expected_volume(self, contract: Contract, spot: float, second: float) -> float:
        """Contracts a second."""
        reach = math.exp(-abs(contract.strike - spot) / _VOLUME_REACH)
        return _VOLUME_A_SECOND * activity_shape(second) * reach

    def _side(self, contract: Contract, buy_share: float) -> int:
        """Customers buy calls when the underlying is bought, and puts when it is sold."""
        bullish = buy_share if contract.kind == "C" else 1 - buy_share
        return 1 if self._rng.random() < bullish else -1

    def _dealer_gamma(self) -> dict[float, float]:
        """Dealers hold the other side of what customers bought, and are long the open interest sold to them."""
        by_strike: dict[float, float] = {}
        for contract in self.contracts:
            sign = 1 if contract.kind == "C" else -1
            held = sign * contract.open_interest * contract.gamma - contract.net_gamma_flow
            by_strike[contract.strike] = by_strike.get(contract.strike, 0.0) + held * POINT_VALUE
        return by_strike

    def _entry(self, contract: Contract) -> dict[str, Any]:
        return {
            "cumulative_volume": contract.volume,
            "cumulative_premium": contract.premium,
            "last_price": contract.last_price,
            "net_delta_flow": contract.net_delta_flow,
            "net_gamma_flow": contract.net_gamma_flow,
            "delta": contract.delta,
            "gamma": contract.gamma,
            "strike_price": contract.strike,
            "type": contract.kind,
            "expiration": self._expiration,
            "last_timestamp": contract.last_ts_ms,
        }
