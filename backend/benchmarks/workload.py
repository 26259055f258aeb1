"""What is sent: messages of the simulator's market, in the sizes that are measured."""

from datetime import date
from typing import Any, Final, NamedTuple

import msgspec

from src.gateway.signals.intake import read_flow, read_levels
from src.gateway.signals.latest_state import LatestState
from src.gateway.signals.normalize import normalize_levels
from src.simulator.pacing import Pace
from src.simulator.session import Session, Snapshot

SEED: Final = 1
ON: Final = date(2025, 3, 3)
PREMARKET_S: Final = (9 * 60 + 29) * 60.0  # no viewport yet, so that payloads keep their size
MORNING_S: Final = 11 * 3600.0
RATE_HZ: Final = 4
SNAPSHOTS: Final = 16
FEW_CONTRACTS: Final = 8  # where only levels are wanted
TARGETS_LOOKED_AT: Final = 2000


class Payload(NamedTuple):
    """A size of payload: about `name`, of that many levels and that many calls and puts each."""

    name: str
    levels: int
    contracts: int


SMALL: Final = Payload("10 KB", levels=6, contracts=8)
USUAL: Final = Payload("25 KB", levels=10, contracts=26)
LARGE: Final = Payload("45 KB", levels=10, contracts=58)
HUGE: Final = Payload("100 KB", levels=16, contracts=136)


class Bodies(NamedTuple):
    """Messages as they are published, one of each subject for each snapshot."""

    levels: list[bytes]
    flow: list[bytes]


def bodies(payload: Payload, count: int = SNAPSHOTS) -> Bodies:
    pace = Pace(RATE_HZ, 1.0, PREMARKET_S)
    session = Session(SEED, ON, payload.levels, payload.contracts)
    snapshots = [session.snapshot(pace.moment(index)) for index in range(count)]
    return Bodies([_json(one.levels) for one in snapshots], [_json(one.flow) for one in snapshots])


def payload_bytes(payload: Payload) -> bytes:
    """What a viewer gets."""
    message = bodies(payload, count=1)
    state = LatestState()
    state.flow = read_flow(message.flow[0]).value
    state.levels = normalize_levels(read_levels(message.levels[0]).value, now_ms=0)
    return _json(state.payload())


def levels_without_viewport(levels: int) -> bytes:
    """A levels message of the early morning."""
    return bodies(Payload("", levels, FEW_CONTRACTS), count=1).levels[0]


def levels_with_viewport(levels: int) -> bytes:
    """A levels message of the late morning, when its viewport has predictions."""
    pace = Pace(RATE_HZ, 1.0, MORNING_S)
    session = Session(SEED, ON, levels, FEW_CONTRACTS)
    for index in range(TARGETS_LOOKED_AT):
        snapshot = session.snapshot(pace.moment(index))
        if _has_targets(snapshot):
            return _json(snapshot.levels)
    raise AssertionError("the simulated spot touches levels all the time")


def flow_of(contracts: int) -> bytes:
    """A flow message of that many contracts, calls and puts together."""
    return bodies(Payload("", 1, contracts // 2), count=1).flow[0]


def _has_targets(snapshot: Snapshot) -> bool:
    return bool(snapshot.levels.get("viewport", {}).get("targets"))


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)
