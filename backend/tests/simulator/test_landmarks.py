from random import Random

from src.simulator.landmarks import Level, draw_hotzones, nearest

SPOT = 6900.0


def test_the_nearest_levels_come_nearest_first() -> None:
    levels = [Level("A", "VWAP", 6910.0), Level("B", "PM_LOW", 6899.0), Level("C", "PM_HIGH", 6903.0)]
    assert [level.id for level in nearest(levels, SPOT, 2, set())] == ["B", "C"]


def test_a_watched_level_beats_one_that_is_a_little_nearer() -> None:
    levels = [Level("A", "VWAP", 6902.0), Level("B", "PM_LOW", 6897.5)]
    assert [level.id for level in nearest(levels, SPOT, 1, set())] == ["A"]
    assert [level.id for level in nearest(levels, SPOT, 1, {"B"})] == ["B"]


def test_the_rarer_levels_stay_in_the_list_beside_strikes() -> None:
    levels = [Level("STRIKE_6905", "STRIKE", 6905.0), Level("PM_LOW", "PM_LOW", 6893.0)]
    assert [level.id for level in nearest(levels, SPOT, 1, set())] == ["PM_LOW"]


def test_hotzones_have_ids_of_their_own() -> None:
    for seed in range(20):
        zones = draw_hotzones(Random(seed), SPOT)
        assert len({zone.id for zone in zones}) == len(zones) > 0
        assert all(zone.price % 0.25 == 0 for zone in zones)
