import itertools
import math
from datetime import date
from random import Random

import pytest

from src.simulator.customers import CALL, PUT, Kind
from src.simulator.option_chain import Contract, OptionChain, call_and_put, expected_move, ticker, to_option_tick
from src.simulator.pacing import CLOSE_S, OPEN_S

EXPIRATION = date(2025, 12, 16)


def test_a_ticker_names_expiration_kind_and_strike() -> None:
    assert ticker(EXPIRATION, "C", 6895.0) == "O:ES251216C06895000"


def test_a_call_and_a_put_differ_by_the_forward() -> None:
    call, put = call_and_put(6903.25, 6895.0, 30.0)
    assert math.isclose(call.price - put.price, 8.25)
    assert math.isclose(call.delta - put.delta, 1.0)
    assert call.gamma == put.gamma > 0


def test_delta_falls_and_gamma_peaks_along_the_strikes() -> None:
    calls = [call_and_put(6900.0, 6800.0 + 5 * step, 40.0)[0] for step in range(41)]
    assert all(lower.delta > higher.delta for lower, higher in itertools.pairwise(calls))
    assert max(calls, key=lambda call: call.gamma) is calls[20]


@pytest.mark.parametrize(("price", "traded"), [(0.0, 0.05), (-1.0, 0.05), (1.234, 1.25), (4.99, 5.0), (15.3, 15.25)])
def test_option_prices_stay_on_their_tick(price: float, traded: float) -> None:
    assert to_option_tick(price) == pytest.approx(traded)


def test_the_expected_move_shrinks_to_a_floor_at_the_close() -> None:
    moves = [expected_move(second) for second in (OPEN_S, 12 * 3600, 15 * 3600, CLOSE_S, CLOSE_S + 60)]
    assert moves == sorted(moves, reverse=True)
    assert moves[-1] > 0


def test_as_many_calls_as_puts_around_the_spot() -> None:
    flow = OptionChain(Random(1), EXPIRATION, 6901.75, contracts=60).message()
    strikes = {kind: [c["strike_price"] for c in flow.values() if c["type"] == kind] for kind in "CP"}
    assert len(flow) == 120
    assert strikes["C"] == strikes["P"]
    assert min(strikes["C"]) < 6901.75 < max(strikes["C"])


def test_volumes_and_premiums_only_grow() -> None:
    chain = OptionChain(Random(1), EXPIRATION, 6900.0, contracts=10)
    before = chain.message()
    for step in range(50):
        chain.advance(6900.0 + step, OPEN_S + step, 1.0, 1_765_895_400_000 + 1000 * step, buy_share=0.6)
        after = chain.message()
        for name, contract in after.items():
            assert contract["cumulative_volume"] >= before[name]["cumulative_volume"]
            assert contract["cumulative_premium"] >= before[name]["cumulative_premium"]
        before = after


@pytest.mark.parametrize(("kind", "delta"), [("C", 0.4), ("P", -0.6)])
def test_customers_who_buy_take_gamma_from_the_dealers(kind: Kind, delta: float) -> None:
    contract = Contract("O:ES", 6900.0, kind, open_interest=0, delta=delta, gamma=0.01, last_price=10.0)
    contract.trade(8, net=6, ts_ms=1)
    assert (contract.volume, contract.premium) == (8, 4000.0)
    assert contract.net_delta_flow == pytest.approx(300 * delta)
    assert contract.net_gamma_flow == pytest.approx(-3.0)


def net_flows(chain: OptionChain) -> dict[str, list[float]]:
    """By field and kind, in the order of the strikes."""
    fields, contracts = ("net_delta_flow", "net_gamma_flow"), chain.message().values()
    return {
        f"{field} {kind}": [contract[field] for contract in contracts if contract["type"] == kind]
        for field in fields
        for kind in (CALL, PUT)
    }


def test_net_flows_have_both_signs_and_drift_and_differ_between_calls_and_puts() -> None:
    chain = OptionChain(Random(1), EXPIRATION, 6900.0, contracts=40)
    hours = []
    for minute in range(181):
        chain.advance(6900.0, OPEN_S + 60.0 * minute, 60.0, 1_765_895_400_000 + 60_000 * minute, buy_share=0.5)
        if minute % 60 == 0:
            hours.append(net_flows(chain))
    for name, last in hours[-1].items():
        assert min(last) < 0 < max(last), name
        assert len({tuple(hour[name]) for hour in hours}) == len(hours), name
    for field in ("net_delta_flow", "net_gamma_flow"):
        calls, puts = hours[-1][f"{field} C"], hours[-1][f"{field} P"]
        assert abs(sum(calls) - sum(puts)) > 0.1 * max(map(abs, (*calls, *puts)))


def test_dealers_are_short_gamma_below_the_spot_and_long_above() -> None:
    """Over the day, and however the customers drift: each seed is another day."""
    below = above = 0.0
    for seed in range(5):
        chain = OptionChain(Random(seed), EXPIRATION, 6900.0, contracts=40)
        for minute in range(120):
            chain.advance(6900.0, OPEN_S + 60.0 * minute, 60.0, 1_765_895_400_000 + 60_000 * minute, buy_share=0.5)
        for contract in chain.message().values():
            below += contract["net_gamma_flow"] if contract["strike_price"] < 6900 else 0.0
            above += contract["net_gamma_flow"] if contract["strike_price"] > 6900 else 0.0
    assert below < 0 < above


def move(chain: OptionChain, spot: float) -> None:
    """A moment without trades."""
    chain.advance(spot, OPEN_S, 0.0, 1_765_895_400_000, buy_share=0.5)


def test_the_walls_lie_to_their_side_of_the_spot() -> None:
    chain = OptionChain(Random(1), EXPIRATION, 6900.0, contracts=60)
    assert chain.call_wall is not None
    assert chain.put_wall is not None
    assert chain.put_wall <= 6900.0 <= chain.call_wall


def test_a_wall_stands_until_the_spot_is_well_beyond_it() -> None:
    chain = OptionChain(Random(1), EXPIRATION, 6900.0, contracts=60)
    wall = chain.call_wall
    assert wall is not None
    move(chain, wall + 1)
    assert chain.call_wall == wall
    move(chain, wall + 3)
    assert chain.call_wall is not None
    assert chain.call_wall > wall + 3


def test_there_is_no_wall_where_the_spot_left_the_chain() -> None:
    chain = OptionChain(Random(1), EXPIRATION, 6900.0, contracts=4)
    move(chain, 7000.0)
    assert chain.call_wall is None
    assert chain.put_wall is not None
