"""The Spymaster Gateway's stream: typed, reconnecting, always the newest state.

    from spymaster_client import stream

    async with stream("ws://localhost:8000/ws/stream") as states:
        async for state in states:
            print(state.connection, state.payload.get("levels"))

`state.connection` says whether to believe `state.payload`. Its words and rules are those of the TypeScript client.
"""

from spymaster_client.contract import (
    Event,
    Events,
    FlowHistory,
    History,
    LevelHistory,
    LevelSignal,
    LevelsPayload,
    MarketStatus,
    MlPredictions,
    Payload,
    ReplayStatus,
    Retrieval,
    SectionStatus,
    Skipped,
    SpotHistory,
    SpotSnapshot,
    Status,
)
from spymaster_client.disconnect import Disconnect
from spymaster_client.freshness import Age, Freshness, SectionFreshness
from spymaster_client.past import Moment, events, history
from spymaster_client.replay import Replay, at
from spymaster_client.request import RequestError
from spymaster_client.shape import Shape
from spymaster_client.stream import ConnectionState, State, Stream, stream

__all__ = [
    "Age",
    "ConnectionState",
    "Disconnect",
    "Event",
    "Events",
    "FlowHistory",
    "Freshness",
    "History",
    "LevelHistory",
    "LevelSignal",
    "LevelsPayload",
    "MarketStatus",
    "MlPredictions",
    "Moment",
    "Payload",
    "Replay",
    "ReplayStatus",
    "RequestError",
    "Retrieval",
    "SectionFreshness",
    "SectionStatus",
    "Shape",
    "Skipped",
    "SpotHistory",
    "SpotSnapshot",
    "State",
    "Status",
    "Stream",
    "at",
    "events",
    "history",
    "stream",
]
