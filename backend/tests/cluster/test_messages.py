"""The check of `make cluster` that gateways make the same of the same message."""

import json
from typing import Any

import pytest

from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from tests.cluster.messages import Replicas, body_of, read

FLOW = body_of(MARKET_FLOW, 7)
LEVELS = {key: value for key, value in body_of(LEVELS_SIGNALS, 8).items() if key != "viewport"}
VIEWPORT = body_of(LEVELS_SIGNALS, 8)["viewport"]
PAYLOAD = {"flow": FLOW, "levels": LEVELS, "viewport": VIEWPORT}
STATUS = {"cause": None, "seq": 1}


def differences(*payloads: dict[str, Any]) -> int:
    """Of gateways that show these, one each."""
    replicas = Replicas()
    for number, payload in enumerate(payloads):
        replicas.note(f"gateway {number}", read(json.dumps(payload)))
    assert replicas.compared == (2 if len(payloads) > 1 else 0)
    return len(replicas.differences)


@pytest.mark.parametrize(
    "other",
    [
        PAYLOAD,
        {**PAYLOAD, "status": STATUS},
        {**PAYLOAD, "status": {**STATUS, "cause": "core_silent", "seq": 99}},
        dict(reversed(PAYLOAD.items())),
    ],
    ids=["equal", "a status", "another status", "another order"],
)
def test_status_alone_may_differ(other: dict[str, Any]) -> None:
    assert differences(PAYLOAD) == 0
    assert differences(PAYLOAD, other) == 0


@pytest.mark.parametrize(
    "other",
    [
        {**PAYLOAD, "flow": {**FLOW, "further": 1}},
        {**PAYLOAD, "levels": {**LEVELS, "spy": {"spot": 1.0, "bid": None, "ask": None}}},
        {**PAYLOAD, "viewport": {**VIEWPORT, "ts": 1}},
        {"flow": FLOW, "levels": LEVELS},
    ],
    ids=["flow", "spot", "viewport", "no viewport"],
)
def test_any_other_difference_is_found(other: dict[str, Any]) -> None:
    assert differences(PAYLOAD, other) == 1


def test_a_heartbeat_is_no_state() -> None:
    shown = read(json.dumps({"status": {**STATUS, "cause": "core_silent"}}))
    assert (shown.numbers, shown.is_live) == ({}, False)
