"""The day's option chain: contracts by strike, what traded in each, and what that leaves the dealers with.

Greeks and prices are those of the Bachelier model (normal moves in points), which needs no rate and no root search.
"""

import math
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any, NamedTuple

from src.simulator.customers import CALL, PUT, Customers, Kind
from src.simulator.pacing import CLOSE_S, OPEN_S, PREMARKET_S
from src.simulator.randomness import arrivals, clamp
from src.simulator.spot_path import POINT_VALUE, activity_shape

STRIKE_STEP = 5.0

# Points: what is left of the day's expected move at the open, and never less than in the last minutes.
_MOVE_AT_OPEN = 42.0
_SMALLEST_MOVE = 4.0
# Traded contracts a second in the strike at the spot, at shape 1; options in the money trade less.
_VOLUME_A_SECOND = 1.4
_IN_THE_MONEY = 0.45
# Session seconds after which the customers' wishes are asked for again.
_ASK_EVERY_S = 120.0
# How much of what the underlying is bought more than sold shows in the options.
_FOLLOWS_THE_UNDERLYING = 0.6
# Standard deviations from the spot beyond which the normal law has nothing more to say.
_FURTHEST_MONEYNESS = 4.0
# Points from the spot over which trading in a strike falls to 1/e.
_VOLUME_REACH = 28.0
# Points by which the spot has to cross a wall before another strike is the wall.
_WALL_STANDS = 2.5
# Points around a price whose strikes count for the dealers' gamma there.
_GAMMA_REACH = 10.0


class Greeks(NamedTuple):
    price: float
    delta: float
    gamma: float


@dataclass(slots=True)
class Contract:
    """One option and what traded in it so far; volume and premium only grow.

    The net flows are those of the recorded Core, in units of the underlying: the delta is what customers bought, the
    gamma what dealers are left with, so customers who buy an option take gamma from the dealers.
    """

    ticker: str
    strike: float
    kind: Kind
    open_interest: int
    net_share: float = 0.0
    volume: int = 0
    premium: float = 0.0
    last_price: float = 0.0
    net_delta_flow: float = 0.0
    net_gamma_flow: float = 0.0
    delta: float = 0.0
    gamma: float = 0.0
    last_ts_ms: int = 0

    def trade(self, quantity: int, net: int, ts_ms: int) -> None:
        """Record `quantity` contracts at the last price; customers bought `net` more than they sold."""
        self.volume += quantity
        self.premium += quantity * self.last_price * POINT_VALUE
        self.net_delta_flow += net * self.delta * POINT_VALUE
        self.net_gamma_flow -= net * self.gamma * POINT_VALUE
        self.last_ts_ms = ts_ms


def call_and_put(spot: float, strike: float, expected_move: float) -> tuple[Greeks, Greeks]:
    """Bachelier values of one contract each; `expected_move` is one standard deviation at expiry, in points."""
    moneyness = clamp((spot - strike) / expected_move, -_FURTHEST_MONEYNESS, _FURTHEST_MONEYNESS)
    density = math.exp(-moneyness * moneyness / 2) / math.sqrt(2 * math.pi)
    above = (1 + math.erf(moneyness / math.sqrt(2))) / 2
    call_price, gamma = (spot - strike) * above + expected_move * density, density / expected_move
    return Greeks(call_price, above, gamma), Greeks(call_price - (spot - strike), above - 1, gamma)


def expected_move(second: float) -> float:
    """One standard deviation of the rest of the day, in points."""
    left = min(1.0, max(0.0, (CLOSE_S - second) / (CLOSE_S - OPEN_S)))
    return max(_SMALLEST_MOVE, _MOVE_AT_OPEN * math.sqrt(left))


def to_option_tick(price: float) -> float:
    """Options trade in 0.05 below 5 points and in 0.25 from there on."""
    return max(0.05, round(round(price / 0.05) * 0.05, 2)) if price < 5 else round(price * 4) / 4


def ticker(expiration: date, kind: Kind, strike: float) -> str:
    return f"O:ES{expiration:%y%m%d}{kind}{round(strike * 1000):08d}"


class OptionChain:
    """`contracts` calls and as many puts around the first spot, all expiring that day.

    Attributes:
        call_wall: the strike at or above the spot with most calls open or traded; None where the spot left the chain.
        put_wall: the strike at or below it with most puts.
    """

    def __init__(self, rng: Random, expiration: date, spot: float, contracts: int) -> None:
        self._rng = rng
        self._customers = Customers(Random(rng.random()))
        self._ask_again_s = -math.inf
        self._expiration = expiration.isoformat()
        middle = round(spot / STRIKE_STEP)
        strikes = [(middle + i - contracts // 2) * STRIKE_STEP for i in range(contracts)]
        self._calls, self._puts = (
            [self._listed(expiration, kind, strike, spot) for strike in strikes] for kind in (CALL, PUT)
        )
        self._net_gamma_by_strike: dict[float, float] = {}
        self.call_wall: float | None = None
        self.put_wall: float | None = None
        self._find_walls(spot)

    def advance(self, spot: float, second: float, elapsed_s: float, ts_ms: int, buy_share: float) -> None:
        """Let `elapsed_s` of trading happen; `buy_share` (0 to 1) of the underlying sets who buys what."""
        self._customers.advance(elapsed_s)
        if second >= self._ask_again_s:
            self._ask_customers(spot, second)
        move, volume = expected_move(second), _VOLUME_A_SECOND * activity_shape(second) * elapsed_s
        calls, puts = (volume * self._customers.activity(kind) for kind in (CALL, PUT))
        # Customers buy calls when the underlying is bought, and puts when it is sold.
        bullish = _FOLLOWS_THE_UNDERLYING * (buy_share - 0.5)
        for call, put in zip(self._calls, self._puts, strict=True):
            call_value, put_value = call_and_put(spot, call.strike, move)
            reach = math.exp(-abs(call.strike - spot) / _VOLUME_REACH)
            call_reach, put_reach = (
                (reach, reach * _IN_THE_MONEY) if call.strike > spot else (reach * _IN_THE_MONEY, reach)
            )
            self._trade(call, call_value, calls * call_reach, bullish, ts_ms)
            self._trade(put, put_value, puts * put_reach, -bullish, ts_ms)
            self._net_gamma_by_strike[call.strike] = _dealer_gamma(call, put)
        self._find_walls(spot)

    def dealer_gamma(self, price: float) -> float:
        """The dealers' net gamma in the strikes near a price; below 0 they chase the market, above they fade it."""
        lowest, highest = (price - _GAMMA_REACH) / STRIKE_STEP, (price + _GAMMA_REACH) / STRIKE_STEP
        near = range(math.ceil(lowest), math.floor(highest) + 1)
        return sum(self._net_gamma_by_strike.get(step * STRIKE_STEP, 0.0) for step in near)

    def high_volume_price(self) -> float:
        """Mean strike by traded volume."""
        contracts = [*self._calls, *self._puts]
        total = sum(contract.volume for contract in contracts)
        return sum(contract.strike * contract.volume for contract in contracts) / max(1, total)

    def message(self) -> dict[str, Any]:
        """The body of one `market.flow` message."""
        return {contract.ticker: self._entry(contract) for contract in (*self._calls, *self._puts)}

    def _listed(self, expiration: date, kind: Kind, strike: float, spot: float) -> Contract:
        """A contract as the night left it: round strikes out of the money hold most open interest."""
        weight = 2.0 if strike % 25 == 0 else 1.4 if strike % 10 == 0 else 1.0
        out_of_the_money = (strike - spot) * (1 if kind == CALL else -1)
        reach = math.exp(-abs(out_of_the_money - 10) / 15)
        interest = round(60_000 * weight * reach * self._rng.uniform(0.7, 1.3))
        night = arrivals(self._rng, 1500 * weight * math.exp(-abs(strike - spot) / _VOLUME_REACH)) + 1
        contract = Contract(ticker(expiration, kind, strike), strike, kind, interest)
        value = call_and_put(spot, strike, _MOVE_AT_OPEN)[0 if kind == CALL else 1]
        contract.delta, contract.gamma, contract.last_price = value.delta, value.gamma, to_option_tick(value.price)
        share = self._customers.net_share(kind, strike, spot, PREMARKET_S)
        contract.trade(night, _net(self._rng, night, share), 0)
        return contract

    def _ask_customers(self, spot: float, second: float) -> None:
        self._ask_again_s = second + _ASK_EVERY_S
        for contract in (*self._calls, *self._puts):
            contract.net_share = self._customers.net_share(contract.kind, contract.strike, spot, second)

    def _find_walls(self, spot: float) -> None:
        """A wall that the spot just crossed stands for a while: it does not come and go with each tick."""
        calls = [c for c in self._calls if c.strike >= spot - (_WALL_STANDS if c.strike == self.call_wall else 0)]
        puts = [c for c in self._puts if c.strike <= spot + (_WALL_STANDS if c.strike == self.put_wall else 0)]
        self.call_wall, self.put_wall = _thickest(calls), _thickest(puts)

    def _trade(self, contract: Contract, value: Greeks, expected: float, leaning: float, ts_ms: int) -> None:
        """Let about `expected` contracts trade; `leaning` is what customers buy of them beyond their usual share."""
        contract.delta, contract.gamma = value.delta, value.gamma
        quantity = arrivals(self._rng, expected)
        if quantity or not contract.last_ts_ms:
            contract.last_price = to_option_tick(value.price)
            net = _net(self._rng, quantity, contract.net_share + leaning)
            contract.trade(quantity, net, ts_ms - self._rng.randint(0, 999))

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


def _thickest(contracts: list[Contract]) -> float | None:
    """The strike with most contracts open or traded."""
    return max(contracts, key=lambda c: c.open_interest + c.volume).strike if contracts else None


def _net(rng: Random, quantity: int, share: float) -> int:
    """How many more of `quantity` contracts were bought than sold, where `share` (-1 to 1) of them is expected."""
    spread = math.sqrt(max(0.0, quantity * (1 - share * share)))
    return max(-quantity, min(quantity, round(rng.gauss(quantity * share, spread))))


def _dealer_gamma(call: Contract, put: Contract) -> float:
    """Of one strike: dealers hold the open calls and owe the open puts, beside what customers left them with."""
    return (
        (call.open_interest - put.open_interest) * call.gamma * POINT_VALUE + call.net_gamma_flow + put.net_gamma_flow
    )
