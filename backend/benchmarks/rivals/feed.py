"""From the bus to one JSON text for each message, as the gateway would send it."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import nats
from nats.aio.msg import Msg
from nats.js.api import DeliverPolicy

from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from src.gateway.signals.intake import read_flow, read_levels
from src.gateway.signals.latest_state import LatestState
from src.gateway.signals.normalize import normalize_levels

Send = Callable[[str], Awaitable[None]]


async def feed(nats_url: str, send: Send) -> None:
    """Subscribe to both subjects and return; from then on `send` is called with each new payload."""
    state = LatestState()

    async def on_levels(message: Msg) -> None:
        levels = read_levels(message.data).value
        state.levels = normalize_levels(levels, now_ms=time.time_ns() // 1_000_000)
        state.viewport = levels.viewport
        await send(_text(state.payload()))

    async def on_flow(message: Msg) -> None:
        state.flow = read_flow(message.data).value
        await send(_text(state.payload()))

    jetstream = (await nats.connect(nats_url)).jetstream()
    for subject, callback in ((LEVELS_SIGNALS, on_levels), (MARKET_FLOW, on_flow)):
        await jetstream.subscribe(subject, cb=callback, ordered_consumer=True, deliver_policy=DeliverPolicy.NEW)


def _text(payload: dict[str, Any]) -> str:
    return msgspec.json.encode(payload).decode()
