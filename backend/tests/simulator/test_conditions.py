"""What a Core on request publishes, read and mapped as the gateway does it."""

import json
from collections.abc import Iterator
from datetime import date
from itertools import islice
from typing import Any

import pytest

from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from src.gateway.signals.contract import LevelsPayload
from src.gateway.signals.intake import read_flow, read_levels
from src.gateway.signals.normalize import normalize_levels
from src.simulator.conditions import Conditions, Silence
from src.simulator.pacing import Pace
from src.simulator.session import Session, Snapshot

BOTH = (LEVELS_SIGNALS, MARKET_FLOW)
EACH = {
    "none": Conditions(),
    "es": Conditions(has_es=True),
    "lag": Conditions(lag_ms=4000),
    "null spot": Conditions(lacks_spot=True),
    "no trade": Conditions(lacks_signals=True),
    "all": Conditions(has_es=True, lag_ms=4000, lacks_spot=True, lacks_signals=True),
}


@pytest.fixture(scope="module")
def morning() -> list[Snapshot]:
    return list(islice(_snapshots(), 240))


def _snapshots() -> Iterator[Snapshot]:
    session, pace = Session(1, date(2025, 12, 16), contracts=4), Pace(rate_hz=1, speed=15, start_s=9.5 * 3600)
    return (session.snapshot(pace.moment(index)) for index in range(10**6))


def mapped(snapshot: Snapshot) -> LevelsPayload:
    """What the gateway makes of the levels message; nothing of it may be odd."""
    message = read_levels(json.dumps(snapshot.levels, allow_nan=False).encode()).value
    assert not message.faults
    return normalize_levels(message, now_ms=1)


@pytest.mark.parametrize("name", EACH)
def test_every_message_is_one_that_the_gateway_reads_whole(name: str, morning: list[Snapshot]) -> None:
    for snapshot in morning:
        changed = EACH[name].change(snapshot)
        payload = mapped(changed)
        assert len(payload["levels"]) == len(snapshot.levels["levels"])
        assert changed.levels.keys() - {"es"} == snapshot.levels.keys()
        flow = read_flow(json.dumps(changed.flow, allow_nan=False).encode())
        assert flow.value is not None


def test_without_conditions_nothing_changes(morning: list[Snapshot]) -> None:
    assert [Conditions().change(snapshot) for snapshot in morning] == morning


def test_spy_is_a_tenth_of_the_future_that_the_levels_belong_to(morning: list[Snapshot]) -> None:
    for snapshot in morning:
        payload = mapped(Conditions(has_es=True).change(snapshot))
        assert payload["es"] == snapshot.levels["spy"]
        spy, es = payload["spy"], payload["es"]
        assert spy["spot"] is not None
        assert es["spot"] is not None
        assert spy["bid"] is not None
        assert spy["ask"] is not None
        assert abs(spy["spot"] * 10.0232 - es["spot"]) < 0.1
        assert spy["spot"] in (spy["bid"], spy["ask"])
        assert round(spy["ask"] - spy["bid"], 6) == 0.01
        assert all(
            abs(abs(level["level_price"] - es["spot"]) - level["distance"]) < 1e-6 for level in payload["levels"]
        )


def test_a_core_that_lags_tells_earlier_times_and_the_same_market(morning: list[Snapshot]) -> None:
    for snapshot in morning:
        changed = Conditions(lag_ms=2500).change(snapshot)
        assert changed == snapshot.at(snapshot.levels["ts"] - 2500)
        assert changed.levels["ts"] == snapshot.levels["ts"] - 2500


@pytest.mark.parametrize("has_es", [False, True])
def test_the_live_part_alone_lacks_its_spot(has_es: bool, morning: list[Snapshot]) -> None:
    conditions = Conditions(has_es=has_es, lacks_spot=True)
    nothing = {"spot": None, "bid": None, "ask": None}
    live, past = mapped(conditions.change(morning[0])), mapped(conditions.change(morning[0], is_past=True))
    assert live["spy"] == nothing
    assert live.get("es", nothing) == nothing
    assert past == mapped(Conditions(has_es=has_es).change(morning[0]))


def test_no_level_of_a_core_without_signals_is_to_be_traded(morning: list[Snapshot]) -> None:
    def signals(conditions: Conditions) -> set[str]:
        return {level["signal"] for one in morning for level in mapped(conditions.change(one))["levels"]}

    assert signals(Conditions()) == {"BREAK", "BOUNCE", "NO_TRADE"}
    assert signals(Conditions(lacks_signals=True)) == {"NO_TRADE"}


@pytest.mark.parametrize(
    ("elapsed_s", "silent"), [(0, False), (59.9, False), (60, True), (79.9, True), (80, False), (140, True)]
)
def test_silence_returns(elapsed_s: float, silent: bool) -> None:
    conditions = Conditions(silence=Silence(60, 20))
    assert [conditions.are_silent(subject, elapsed_s) for subject in BOTH] == [silent, silent]
    assert not Conditions().are_silent(LEVELS_SIGNALS, elapsed_s)


def test_one_subject_may_be_silent_alone() -> None:
    conditions = Conditions(silence=Silence(60, 20, (MARKET_FLOW,)))
    assert [conditions.are_silent(subject, 70) for subject in BOTH] == [False, True]


def test_the_market_itself_is_not_touched(morning: list[Snapshot]) -> None:
    before: list[dict[str, Any]] = [json.loads(json.dumps(one.levels)) for one in morning[:20]]
    for snapshot in morning[:20]:
        EACH["all"].change(snapshot)
    assert [one.levels for one in morning[:20]] == before
