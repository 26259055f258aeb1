"""A viewer in Python: `async for state in stream(url)`, typed, reconnecting, always the newest.

    from src.client import stream

    async with stream("ws://localhost:8000/ws/stream") as states:
        async for state in states:
            print(state.connection, state.payload.get("levels"))

`state.connection` says whether to believe `state.payload`. Its words and rules are those of the TypeScript client.
"""

from src.client.close_codes import CloseCode
from src.client.freshness import Age, Freshness, SectionFreshness
from src.client.stream import ConnectionState, State, Stream, stream
from src.gateway.signals.contract import (
    LevelSignal,
    LevelsPayload,
    MlPredictions,
    Payload,
    Retrieval,
    SpotSnapshot,
)

__all__ = [
    "Age",
    "CloseCode",
    "ConnectionState",
    "Freshness",
    "LevelSignal",
    "LevelsPayload",
    "MlPredictions",
    "Payload",
    "Retrieval",
    "SectionFreshness",
    "SpotSnapshot",
    "State",
    "Stream",
    "stream",
]
