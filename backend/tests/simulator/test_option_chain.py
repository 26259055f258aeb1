import itertools
import math
from datetime import date
from random import Random

import pytest

from src.simulator.option_chain import OptionChain, expected_move, greeks, ticker, to_option_tick
from src.simulator.pacing import CLOSE_S, OPEN_S

EXPIRATION = date(2025, 12, 16)


def test_a_ticker_names_expiration_kind_and_strike() -> None:
    assert ticker(EXPIRATION, "C", 6895.0) == "O:ES251216C06895000"


def test_a_call_and_a_put_differ_by_the_forward() -> None:
    call, put = greeks(6903.25, 6895.0, "C", 30.0), greeks(6903.25, 6895.0, "P", 30.0)
    assert math.isclose(call.price - put.price, 8.25)
    assert math.isclose(call.delta - put.delta, 1.0)
    assert call.gamma == put.gamma > 0


def test_delta_falls_and_gamma_peaks_along_the_strikes() -> None:
    calls = [greeks(6900.0, 6800.0 + 5 * step, "C", 40.0) for step in range(41)]
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


def test_the_walls_lie_to_their_side_of_the_spot() -> None:
    chain = OptionChain(Random(1), EXPIRATION, 6900.0, contracts=60)
    call_wall, put_wall = chain.wall("C", 6902.0), chain.wall("P", 6902.0)
    assert call_wall is not None
    assert put_wall is not None
    assert put_wall <= 6902.0 <= call_wall


def test_there_is_no_wall_where_the_spot_left_the_chain() -> None:
    assert OptionChain(Random(1), EXPIRATION, 6900.0, contracts=4).wall("C", 7000.0) is None
