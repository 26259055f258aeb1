from random import Random

from src.simulator.customers import CALL, PUT, Customers

SPOT = 6900.0
STRIKES = [SPOT + 5.0 * step for step in range(-20, 21)]


def test_they_sell_calls_above_the_spot_and_buy_puts_below_it() -> None:
    days = [Customers(Random(seed)) for seed in range(30)]
    calls = sum(day.net_share(CALL, SPOT + 40, SPOT, 0.0) for day in days) / len(days)
    puts = sum(day.net_share(PUT, SPOT - 40, SPOT, 0.0) for day in days) / len(days)
    assert calls < -0.1
    assert puts > 0.2


def test_what_they_want_drifts_over_hours_and_stays_in_its_range() -> None:
    customers = Customers(Random(1))
    for kind in (CALL, PUT):
        first = [customers.net_share(kind, strike, SPOT, 0.0) for strike in STRIKES]
        a_moment_later = [customers.net_share(kind, strike, SPOT, 1.0) for strike in STRIKES]
        hours_later = [customers.net_share(kind, strike, SPOT, 9000.0) for strike in STRIKES]
        assert all(-0.9 <= share <= 0.9 for share in (*first, *hours_later))
        assert max(abs(a - b) for a, b in zip(first, a_moment_later, strict=True)) < 0.05
        assert max(abs(a - b) for a, b in zip(first, hours_later, strict=True)) > 0.1


def test_more_trading_in_calls_is_less_in_puts() -> None:
    customers = Customers(Random(1))
    seen = []
    for _ in range(200):
        customers.advance(600.0)
        seen.append(customers.activity(CALL))
        assert abs(customers.activity(CALL) * customers.activity(PUT) - 1) < 1e-9
    assert min(seen) < 0.9 < 1.1 < max(seen)
