"""Somebody else on the same NATS: a plain client that publishes what tests want the gateway to read."""

import asyncio
import contextlib
import itertools
import json
from types import TracebackType
from typing import Any, Final, Self

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext

from src.demo.nats_server import NatsServer
from tests.waiting import LIMIT_S

LEVELS: Final = "levels.signals"
FLOW: Final = "market.flow"

_fresh = itertools.count(1)


class Publisher:
    """Comes back when the server does."""

    def __init__(self, server: NatsServer) -> None:
        self._url = server.url

    async def __aenter__(self) -> Self:
        self.client: Client = await nats.connect(
            self._url, error_cb=_expected_while_down, max_reconnect_attempts=-1, reconnect_time_wait=0.1
        )
        self.jetstream: JetStreamContext = self.client.jetstream(timeout=2)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()

    async def publish(self, subject: str, body: bytes | dict[str, Any]) -> None:
        """Publish until the stream has it: a server that just came back, or a stream that is gone, is not ready."""
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        async with asyncio.timeout(LIMIT_S):
            while True:
                with contextlib.suppress(nats.errors.Error, TimeoutError):
                    await self.jetstream.publish(subject, body, timeout=2)
                    return
                await asyncio.sleep(0.02)

    async def levels(self, number: int, **further: Any) -> None:
        """A levels message that `numbers_in` finds again."""
        await self.publish(LEVELS, levels_message(number, **further))

    async def flow(self, number: int, **further: Any) -> None:
        """A flow snapshot that `numbers_in` finds again."""
        await self.publish(FLOW, {"n": number, **further})

    async def backlog(self, count: int) -> None:
        """Numbers 1 to `count` on both subjects, without a wait between; returns when all are stored."""
        stored = []
        for number in range(1, count + 1):
            stored.append(await self.jetstream.publish_async(LEVELS, json.dumps(levels_message(number)).encode()))
            stored.append(await self.jetstream.publish_async(FLOW, b'{"n":%d}' % number))
        await asyncio.gather(*stored)


def fresh() -> int:
    """A number that no message had yet: tests that share a gateway also share its state."""
    return next(_fresh)


def levels_message(number: int, **further: Any) -> dict[str, Any]:
    """Its number is its `ts`."""
    return {"ts": number, "spy": {"spot": 687.5}, "levels": [{"id": "VWAP", "price": 687.25}], **further}


async def _expected_while_down(_error: Exception) -> None:
    return
