"""One simulated day, looked at from outside: what the two subjects carry."""

import gzip
import json
import math
from collections import Counter
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from src.simulator.landmarks import WEIGHT
from src.simulator.pacing import PAST_STEP_S, Pace
from src.simulator.session import Session, Snapshot

TUESDAY = date(2025, 12, 16)
HALF_PAST_NINE = 9.5 * 3600
BEYOND_DOUBLES = 2**53

LEVELS = "levels.signals"
NUMBER = (int, float)
LEVEL_FIELDS: dict[str, Any] = {
    "id": str,
    "price": float,
    "kind": str,
    "direction": str,
    "distance": float,
    "break_score_raw": float,
    "break_score_smooth": float,
    "signal": str,
    "confidence": str,
    "approach_velocity": float,
    "approach_bars": int,
    "approach_distance": float,
    "prior_touches": int,
    "barrier": dict,
    "tape": dict,
    "fuel": dict,
    "runway": dict,
    "confluence_count": int,
    "confluence_pressure": float,
    "confluence_alignment": int,
    "confluence_level": int,
    "confluence_level_name": str,
    "note": str,
}
BARRIER_FIELDS: dict[str, Any] = {
    "state": str,
    "delta_liq": float,
    "delta_liq_smooth": float,
    "replenishment_ratio": float,
    "replenishment_ratio_smooth": float,
    "added": float,
    "canceled": float,
    "filled": float,
    "defending_quote": dict,
    "churn": float,
    "depth_in_zone": int,
}
TAPE_FIELDS: dict[str, Any] = {
    "imbalance": float,
    "buy_vol": int,
    "sell_vol": int,
    "velocity": float,
    "velocity_smooth": float,
    "sweep": dict,
}
SWEEP_FIELDS: dict[str, Any] = {
    "detected": bool,
    "direction": str,
    "notional": float,
    "num_prints": int,
    "window_ms": float,
}
FUEL_FIELDS: dict[str, Any] = {
    "effect": str,
    "net_dealer_gamma": float,
    "net_dealer_gamma_smooth": float,
    "call_wall": (float, type(None)),
    "put_wall": (float, type(None)),
    "hvl": float,
}
TARGET_FIELDS: dict[str, Any] = {
    "level_id": str,
    "level_kind_name": str,
    "level_price": float,
    "direction": str,
    "distance": float,
    "distance_signed": float,
    "p_tradeable_2": float,
    "p_no_trade": float,
    "p_break": float,
    "p_bounce": float,
    "strength_signed": float,
    "strength_abs": float,
    "time_to_threshold": dict,
    "retrieval": dict,
    "ensemble": dict,
    "feasibility_mask": dict,
    "utility_score": float,
    "viewport_state": str,
    "pinned": bool,
    "stage": str,
    "touch_ts_ns": int,
    "confirm_ts_ns": int,
    "relevance": float,
}
CONTRACT_FIELDS: dict[str, Any] = {
    "cumulative_volume": int,
    "cumulative_premium": float,
    "last_price": float,
    "net_delta_flow": float,
    "net_gamma_flow": float,
    "delta": float,
    "gamma": float,
    "strike_price": float,
    "type": str,
    "expiration": str,
    "last_timestamp": int,
}
ALLOWED = {
    "signal": {"BREAK", "REJECT", "CONTESTED", "NEUTRAL"},
    "direction": {"SUPPORT", "RESISTANCE"},
    "confidence": {"HIGH", "MEDIUM", "LOW"},
    "kind": set(WEIGHT),
}


def snapshots(pace: Pace, count: int, seed: int = 1, **settings: int) -> Iterator[Snapshot]:
    session = Session(seed, TUESDAY, **settings)
    return (session.snapshot(pace.moment(index)) for index in range(count))


@pytest.fixture(scope="module")
def day() -> list[Snapshot]:
    """From a minute before the open to the close, every twelve seconds; a small chain, for speed."""
    pace = Pace(rate_hz=1, speed=12, start_s=HALF_PAST_NINE - 60)
    return list(snapshots(pace, count=(390 + 1) * 5, contracts=12))


def fields_are(entry: dict[str, Any], fields: dict[str, Any]) -> bool:
    return entry.keys() == fields.keys() and all(
        isinstance(entry[name], kind) and (kind is bool or not isinstance(entry[name], bool))
        for name, kind in fields.items()
    )


def size(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":"), allow_nan=False))


def levels_of(day: list[Snapshot]) -> Iterator[dict[str, Any]]:
    return (level for snapshot in day for level in snapshot.levels["levels"])


def targets_of(day: list[Snapshot]) -> Iterator[dict[str, Any]]:
    return (target for snapshot in day for target in snapshot.levels.get("viewport", {}).get("targets", []))


def test_a_snapshot_at_the_present_has_the_same_market_and_another_time(day: list[Snapshot]) -> None:
    now_ms = 1_800_000_000_000
    snapshot = next(one for one in day if one.levels.get("viewport", {}).get("targets"))
    present = snapshot.at(now_ms)
    assert (present.levels["ts"], present.levels["viewport"]["ts"]) == (now_ms, now_ms)
    assert present.levels["levels"] == snapshot.levels["levels"]
    later_ms = now_ms - snapshot.levels["ts"]
    touched, then = (one.levels["viewport"]["targets"][0] for one in (present, snapshot))
    later_ns = later_ms * 1_000_000
    assert touched["touch_ts_ns"] == then["touch_ts_ns"] + later_ns
    assert touched["confirm_ts_ns"] == then["confirm_ts_ns"] + later_ns
    assert touched["retrieval"] == then["retrieval"]
    for ticker, contract in snapshot.flow.items():
        assert present.flow[ticker] == {**contract, "last_timestamp": contract["last_timestamp"] + later_ms}


def test_the_same_seed_and_settings_give_the_same_bytes() -> None:
    pace = Pace(4, 30, HALF_PAST_NINE)
    first, second = ([json.dumps([s.levels, s.flow]) for s in snapshots(pace, 20, seed=7)] for _ in range(2))
    assert first == second


def test_another_seed_gives_another_session() -> None:
    pace = Pace(4, 30, HALF_PAST_NINE)
    one, other = ([s.levels["spy"]["spot"] for s in snapshots(pace, 20, seed=seed)] for seed in (1, 2))
    assert one != other


def test_the_path_does_not_depend_on_the_number_of_levels_or_contracts() -> None:
    pace = Pace(4, 30, HALF_PAST_NINE)
    few = [s.levels["spy"] for s in snapshots(pace, 20, levels=1, contracts=2)]
    many = [s.levels["spy"] for s in snapshots(pace, 20, levels=25, contracts=80)]
    assert few == many


def test_the_past_is_the_market_that_the_live_part_continues() -> None:
    pace = Pace(rate_hz=4, speed=1, start_s=HALF_PAST_NINE, past_s=900)
    session = Session(1, TUESDAY, contracts=4)
    past = [session.snapshot(each.moment, with_flow=each.has_flow) for each in pace.past()]
    live = [session.snapshot(pace.moment(index)) for index in range(40)]
    assert [bool(snapshot.flow) for snapshot in past] == [each.has_flow for each in pace.past()]
    stamps = [snapshot.levels["ts"] for snapshot in (*past, *live)]
    assert stamps == sorted(set(stamps))
    assert live[0].levels["ts"] - past[-1].levels["ts"] == PAST_STEP_S * 1000
    spots = [snapshot.levels["spy"]["spot"] for snapshot in (*past, *live)]
    moves = [abs(later - earlier) for earlier, later in pairwise(spots)]
    assert moves[len(past) - 1] <= max(moves[: len(past) - 1])
    volumes = [sum(c["cumulative_volume"] for c in one.flow.values()) for one in (*past, *live) if one.flow]
    assert volumes == sorted(volumes)
    shared = {level["id"] for level in past[-1].levels["levels"]} & {level["id"] for level in live[0].levels["levels"]}
    assert len(shared) > 5


@pytest.mark.parametrize(("levels", "contracts"), [(1, 1), (10, 60), (60, 250)])
def test_as_many_levels_and_contracts_as_asked_for(levels: int, contracts: int) -> None:
    for snapshot in snapshots(Pace(4, 1, HALF_PAST_NINE), 2, levels=levels, contracts=contracts):
        ids = [level["id"] for level in snapshot.levels["levels"]]
        assert len(ids) == len(set(ids)) == levels
        assert len(snapshot.flow) == 2 * contracts


def test_every_message_is_strict_json(day: list[Snapshot]) -> None:
    for snapshot in day:
        assert size(snapshot.levels) > 0
        assert size(snapshot.flow) > 0


def test_a_message_has_time_spot_and_levels(day: list[Snapshot]) -> None:
    for snapshot in day:
        message = snapshot.levels
        assert message.keys() - {"viewport"} == {"ts", "spy", "levels"}
        assert isinstance(message["ts"], int)
        assert fields_are(message["spy"], {"spot": float, "bid": float, "ask": float})
        assert 6500 < message["spy"]["bid"] < message["spy"]["ask"] < 7300


def test_session_time_starts_and_advances_as_told(day: list[Snapshot]) -> None:
    stamps = [snapshot.levels["ts"] for snapshot in day]
    assert stamps[0] == 1_765_895_340_000  # 2025-12-16 09:29 in New York
    assert {later - earlier for earlier, later in pairwise(stamps)} == {12_000}


def test_every_level_has_the_upstream_fields_and_types(day: list[Snapshot]) -> None:
    for level in levels_of(day):
        assert fields_are(level, LEVEL_FIELDS), level
        assert fields_are(level["barrier"], BARRIER_FIELDS), level
        assert fields_are(level["barrier"]["defending_quote"], {"price": float, "size": int})
        assert fields_are(level["tape"], TAPE_FIELDS), level
        assert fields_are(level["tape"]["sweep"], SWEEP_FIELDS), level
        assert fields_are(level["fuel"], FUEL_FIELDS), level
        assert level["runway"].keys() == {"direction", "distance", "next_obstacle", "quality"}
        assert fields_are(level["runway"]["next_obstacle"], {"id": str, "price": float})


def test_values_stay_in_their_ranges(day: list[Snapshot]) -> None:
    for level in levels_of(day):
        assert all(level[name] in allowed for name, allowed in ALLOWED.items())
        assert 0 <= level["break_score_raw"] <= 100
        assert 0 <= level["break_score_smooth"] <= 100
        assert -1 <= level["tape"]["imbalance"] <= 1
        assert 0 <= level["barrier"]["replenishment_ratio"] <= 1e9
        assert 0 <= level["confluence_pressure"] <= 1
        assert level["confluence_alignment"] in (-1, 0, 1)
        assert level["runway"]["distance"] > 0


def test_direction_and_distance_are_those_from_the_spot(day: list[Snapshot]) -> None:
    for snapshot in day:
        spot = snapshot.levels["spy"]["spot"]
        for level in snapshot.levels["levels"]:
            assert level["distance"] == abs(level["price"] - spot)
            assert level["direction"] == ("RESISTANCE" if level["price"] >= spot else "SUPPORT")


def test_levels_come_nearest_first(day: list[Snapshot]) -> None:
    for snapshot in day:
        distances = [level["distance"] for level in snapshot.levels["levels"]]
        assert distances == sorted(distances)


def test_every_signal_occurs_and_flips_both_ways(day: list[Snapshot]) -> None:
    flips = Counter[tuple[str, str]]()
    last: dict[str, str] = {}
    for level in levels_of(day):
        before = last.get(level["id"], level["signal"])
        flips[before, level["signal"]] += before != level["signal"]
        last[level["id"]] = level["signal"]
    for name in ALLOWED["signal"]:
        assert sum(count for (before, _), count in flips.items() if before == name) > 20, flips
        assert sum(count for (_, after), count in flips.items() if after == name) > 20, flips


def test_every_signal_has_a_fair_share_of_the_day(day: list[Snapshot]) -> None:
    signals = Counter(level["signal"] for level in levels_of(day))
    assert all(signals[name] / signals.total() > 0.02 for name in ALLOWED["signal"]), signals


def test_breaks_score_high_and_rejects_score_low(day: list[Snapshot]) -> None:
    for level in levels_of(day):
        if level["signal"] == "BREAK":
            assert level["break_score_smooth"] > 50
        if level["signal"] == "REJECT":
            assert level["break_score_smooth"] < 50


def test_signals_live_for_minutes() -> None:
    """A trader has to read one, decide and act; a signal of some seconds is noise."""
    lives_s: list[float] = []
    begun: dict[str, int] = {}
    pace = Pace(rate_hz=1, speed=1, start_s=10.5 * 3600)
    for second, snapshot in enumerate(snapshots(pace, count=1800, contracts=2)):
        standing = {level["id"] for level in snapshot.levels["levels"] if level["signal"] in ("BREAK", "REJECT")}
        lives_s += [second - begun.pop(name) for name in begun.keys() - standing]
        begun |= dict.fromkeys(standing - begun.keys(), second)
    assert len(lives_s) >= 8
    assert median(lives_s) >= 60
    assert sum(life_s < 10 for life_s in lives_s) <= 0.2 * len(lives_s)


def test_every_kind_of_level_and_barrier_occurs(day: list[Snapshot]) -> None:
    assert {level["kind"] for level in levels_of(day)} == set(WEIGHT)
    states = {level["barrier"]["state"] for level in levels_of(day)}
    assert states == {"WALL", "ABSORPTION", "VACUUM", "WEAK", "CONSUMED", "NEUTRAL"}


def test_sweeps_occur_and_pass(day: list[Snapshot]) -> None:
    assert {level["tape"]["sweep"]["direction"] for level in levels_of(day)} == {"UP", "DOWN", "NONE"}


def test_levels_come_and_go_with_the_spot(day: list[Snapshot]) -> None:
    shown = [{level["id"] for level in snapshot.levels["levels"]} for snapshot in day]
    pairs = list(pairwise(shown))
    assert any(after - before for before, after in pairs)
    returned = {name for before, after in pairs for name in before - after} & shown[-1]
    assert len(set.union(*shown)) > 2 * len(shown[0])
    assert returned


def test_levels_at_one_price_see_one_tape(day: list[Snapshot]) -> None:
    for snapshot in day:
        by_id = {level["id"]: level for level in snapshot.levels["levels"]}
        for name, level in by_id.items():
            twin = by_id.get(name.replace("ROUND", "STRIKE"), level)
            assert level["tape"] == twin["tape"]


def test_touches_only_grow_within_a_day(day: list[Snapshot]) -> None:
    touches: dict[str, int] = {}
    for level in levels_of(day):
        assert level["prior_touches"] >= touches.get(level["id"], 0)
        touches[level["id"]] = level["prior_touches"]
    assert max(touches.values()) > 3


def test_some_messages_have_no_viewport_and_some_an_empty_one(day: list[Snapshot]) -> None:
    counts = Counter(len(s.levels["viewport"]["targets"]) if "viewport" in s.levels else None for s in day)
    assert counts[None] > 0
    assert counts[0] > 0
    assert sum(count for targets, count in counts.items() if targets) > len(day) / 3


def test_targets_name_levels_of_their_message(day: list[Snapshot]) -> None:
    for snapshot in day:
        ids = [level["id"] for level in snapshot.levels["levels"]]
        targets = [target["level_id"] for target in snapshot.levels.get("viewport", {}).get("targets", [])]
        assert set(targets) <= set(ids)
        assert len(targets) == len(set(targets)) <= 10


def test_every_target_has_the_upstream_fields_and_types(day: list[Snapshot]) -> None:
    for target in targets_of(day):
        assert fields_are(target, TARGET_FIELDS), target
        assert math.isclose(target["p_break"] + target["p_bounce"], 1)
        assert target["stage"] in ("stage_a", "stage_b")
        assert all(set(by_horizon) >= {"60", "120"} for by_horizon in target["time_to_threshold"].values())
        assert len(target["retrieval"]["neighbors"]) == target["retrieval"]["n_retrieved"]


def test_nanosecond_integers_go_beyond_what_a_double_holds(day: list[Snapshot]) -> None:
    neighbors = [neighbor for target in targets_of(day) for neighbor in target["retrieval"]["neighbors"]]
    assert len(neighbors) > 0
    assert all(neighbor["ts_ns"] > BEYOND_DOUBLES for neighbor in neighbors)
    assert any(float(neighbor["ts_ns"]) != neighbor["ts_ns"] for neighbor in neighbors)
    assert all(target["touch_ts_ns"] > BEYOND_DOUBLES for target in targets_of(day))


def test_every_contract_has_the_upstream_fields_and_types(day: list[Snapshot]) -> None:
    for snapshot in day:
        for contract in snapshot.flow.values():
            assert fields_are(contract, CONTRACT_FIELDS), contract


def test_flow_volumes_and_premiums_never_decrease(day: list[Snapshot]) -> None:
    for before, after in pairwise(day):
        for name, contract in after.flow.items():
            assert contract["cumulative_volume"] >= before.flow[name]["cumulative_volume"]
            assert contract["cumulative_premium"] >= before.flow[name]["cumulative_premium"]


def test_messages_are_about_as_large_as_recorded_ones(day: list[Snapshot]) -> None:
    """Recorded: a level 1.15 to 1.34 KB, a contract 320 B, a viewport 1.5 to 36 KB."""
    assert all(1100 < size(level) < 1500 for level in levels_of(day[::10]))
    assert all(250 < size(contract) < 400 for s in day[::50] for contract in s.flow.values())
    viewports = [size(s.levels["viewport"]) for s in day if "viewport" in s.levels]
    assert 25_000 < max(viewports) < 60_000


def test_the_next_day_has_a_chain_of_its_own_and_a_price_not_far_from_the_last() -> None:
    pace = Pace(rate_hz=1, speed=600, start_s=15 * 3600)
    days = list(snapshots(pace, count=8))
    before, after = days[5], days[6]
    assert before.flow.keys().isdisjoint(after.flow)
    assert abs(before.levels["spy"]["spot"] - after.levels["spy"]["spot"]) < 100
    assert after.levels["ts"] - days[0].levels["ts"] == 24 * 3600 * 1000


@pytest.mark.parametrize("name", ["core-session.jsonl.gz", "core-session-viewport.jsonl.gz"])
def test_nothing_that_recorded_messages_have_is_missing(name: str, day: list[Snapshot]) -> None:
    level, target, contract = (next(levels_of(day)), next(targets_of(day)), next(iter(day[0].flow.values())))
    for record in recorded_messages(name):
        if record["subject"] == "market.flow":
            assert all(_shape(entry) == _shape(contract) for entry in record["data"].values())
            continue
        assert all(_shape(entry) == _shape(level) for entry in record["data"]["levels"])
        for recorded in record["data"].get("viewport", {"targets": []})["targets"]:
            assert recorded.keys() == target.keys()
            assert recorded["retrieval"].keys() == target["retrieval"].keys()


def test_net_flows_have_the_signs_of_recorded_ones(day: list[Snapshot]) -> None:
    """Who buys a call buys delta, and who buys a put sells it; both take gamma from the dealers."""
    flows = [record["data"] for record in recorded_messages("core-session.jsonl.gz") if record["subject"] != LEVELS]
    for flow in (flows[-1], day[-1].flow):
        agree = [
            contract["net_delta_flow"] * (1 if contract["type"] == "C" else -1) * contract["net_gamma_flow"] <= 0
            for contract in flow.values()
        ]
        assert sum(agree) > 0.8 * len(agree)  # not all: the greeks change over the day


def recorded_messages(name: str) -> Iterator[dict[str, Any]]:
    recording = next(
        (up / "shared/real" / name for up in Path(__file__).parents if (up / "shared/real").exists()), None
    )
    if recording is None:
        pytest.skip("no recording here")
    with gzip.open(recording, "rt") as lines:
        yield from map(json.loads, lines)


def _shape(value: Any) -> Any:
    """The keys, all the way down."""
    return {name: _shape(inner) for name, inner in value.items()} if isinstance(value, dict) else None
