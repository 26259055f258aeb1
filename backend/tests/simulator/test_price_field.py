from random import Random

from src.simulator.price_field import PriceField


def test_one_price_has_one_value_at_a_time() -> None:
    field = PriceField(Random(1), time_constant_s=60)
    assert field.at(6900.25, 10.0) == field.at(6900.25, 10.0)


def test_close_prices_agree_more_than_distant_ones() -> None:
    field = PriceField(Random(1), time_constant_s=60)
    close = distant = 0.0
    for second in range(0, 20_000, 100):
        here = field.at(6900.0, second)
        close += abs(field.at(6900.25, second) - here)
        distant += abs(field.at(6910.0, second) - here)
    assert close < 0.6 * distant


def test_values_last_for_a_while_and_then_change() -> None:
    field = PriceField(Random(1), time_constant_s=60)
    before = field.at(6900.0, 0.0)
    assert abs(field.at(6900.0, 0.01) - before) < 0.1
    values = [field.at(6900.0, second) for second in range(0, 60_000, 600)]
    assert min(values) < -0.5
    assert max(values) > 0.5
