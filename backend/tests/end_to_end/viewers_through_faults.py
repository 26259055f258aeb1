"""Core and its viewers through a fault: what every viewer must have seen, and when it must be live again."""

import asyncio
import contextlib
import itertools
import json
import random
import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

import nats
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from src.common.tasks import end
from src.demo.nats_server import HOST, NatsServer
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import FLOW, LEVELS, Publisher
from tests.waiting import LIMIT_S, until

RATE_HZ: Final = 20.0
PADDING: Final = random.Random(1).randbytes(10_000).hex()  # so that a slow viewer falls behind
LIVE_AGAIN_S: Final = 5.0  # promised after the end of each cause
MACHINE_FACTOR: Final = 4  # how much slower than promised a busy machine may be
START_MS: Final = 1_766_000_000_000
SLOW_READ_S: Final = 0.3
SMALL_BUFFER_BYTES: Final = 4096

_numbers = itertools.count(1)  # also of tests that share a gateway, whose state outlives each of them

Numbers = dict[str, int]
"""By subject, the number of a message."""


class Core:
    """Publishes numbers that only grow, on both subjects, through whatever happens to NATS.

    Attributes:
        stored: what a stream has acknowledged last.
        clock_ms: the `ts` of its next message.
    """

    def __init__(self, server: NatsServer) -> None:
        self.publisher = Publisher(server)
        self.stored: Numbers = {}
        self.clock_ms = START_MS
        self._last = 0
        self._speaks = asyncio.Event()
        self._quiet = asyncio.Event()
        self._speaking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.publisher.__aenter__()
        self._speaking = asyncio.create_task(self._speak())
        self.speak()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await end(self._speaking)
        await self.publisher.__aexit__(kind, error, trace)

    @property
    def next_number(self) -> int:
        """No message published before this moment has it."""
        return self._last + 1

    def speak(self) -> None:
        self._quiet.clear()
        self._speaks.set()

    async def fall_silent(self) -> Numbers:
        """Store one more message on each subject; return their numbers when nothing more comes."""
        self._speaks.clear()
        async with asyncio.timeout(LIMIT_S):
            await self._quiet.wait()
        number = self._next()
        for subject, body in self._messages(number):
            await self.publisher.publish(subject, body)
            self.stored[subject] = number
        return dict(self.stored)

    async def _speak(self) -> None:
        while True:
            if not self._speaks.is_set():
                self._quiet.set()
                await self._speaks.wait()
            number = self._next()
            for subject, body in self._messages(number):
                with contextlib.suppress(nats.errors.Error, TimeoutError):
                    await self.publisher.jetstream.publish(subject, json.dumps(body).encode(), timeout=0.5)
                    self.stored[subject] = number
            await asyncio.sleep(1 / RATE_HZ)

    def _next(self) -> int:
        self._last = next(_numbers)
        self.clock_ms += 50
        return self._last

    def _messages(self, number: int) -> list[tuple[str, dict[str, Any]]]:
        level = {"id": str(number), "price": 687.25, "note": PADDING}
        return [
            (LEVELS, {"ts": self.clock_ms, "spy": {"spot": 687.5}, "levels": [level]}),
            (FLOW, {"n": number, "padding": PADDING}),
        ]


class Watcher:
    """A viewer that comes back whenever it has lost the gateway, and remembers each number that it was shown.

    Attributes:
        shown: by subject, the numbers in the order in which they came, over all its connections.
        connections: how many it had.
    """

    def __init__(self, gateway: GatewayProcess, compression: str | None, pause_s: float) -> None:
        self.shown: dict[str, list[int]] = {LEVELS: [], FLOW: []}
        self.connections = 0
        self._gateway = gateway
        self._compression = compression
        self._pause_s = pause_s

    @property
    def newest(self) -> Numbers:
        return {subject: numbers[-1] for subject, numbers in self.shown.items() if numbers}

    async def watch(self) -> None:
        while True:
            with contextlib.suppress(OSError, TimeoutError, WebSocketException):
                await self._follow()
            await asyncio.sleep(0.05)

    async def _follow(self) -> None:
        line = socket.socket()
        if self._pause_s:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        line.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(line, (HOST, self._gateway.port))
            async with connect(
                self._gateway.url(), sock=line, compression=self._compression, max_size=None, max_queue=1
            ) as stream:
                self.connections += 1
                async for text in stream:
                    self._remember(json.loads(text))
                    await asyncio.sleep(self._pause_s)
        finally:
            line.close()

    def _remember(self, payload: dict[str, Any]) -> None:
        if "levels" in payload:
            self.shown[LEVELS].append(int(payload["levels"]["levels"][0]["id"]))
        if "flow" in payload:
            self.shown[FLOW].append(payload["flow"]["n"])


class ViewersThroughFaults:
    """Fast and slow viewers, with and without compression, for as long as the `async with` lasts."""

    def __init__(self, gateway: GatewayProcess, core: Core) -> None:
        self.core = core
        self.watchers = [
            Watcher(gateway, compression, pause_s)
            for compression in ("deflate", None)
            for pause_s in (0.0, SLOW_READ_S)
        ]
        self._watching: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._watching = [asyncio.create_task(watcher.watch()) for watcher in self.watchers]
        await self.until_live("before the fault")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._watching:
            await end(task)

    async def until_live(self, when: str) -> None:
        """Wait until each viewer shows, of each subject, what was published after this call; say how long it took."""
        began_s, number = time.monotonic(), self.core.next_number
        await self._until(lambda shown: all(shown.get(subject, 0) >= number for subject in (LEVELS, FLOW)), when)
        print(f"{when}: live after {time.monotonic() - began_s:.2f} s")

    async def require_newest_and_never_older(self, *, stayed: bool = True) -> None:
        """What must be true after every fault.

        Args:
            stayed: whether the viewers must have kept their connection.
        """
        newest = await self.core.fall_silent()
        await self._until(lambda shown: shown == newest, f"each viewer shows the newest, {newest}")
        for watcher in self.watchers:
            for subject, numbers in watcher.shown.items():
                older = [(one, other) for one, other in itertools.pairwise(numbers) if other < one]
                assert not older, f"{subject}: an older payload after a newer one"
            assert watcher.connections == 1 or not stayed, "a viewer was sent away"

    async def _until(self, true_of: Callable[[Numbers], bool], what: str) -> None:
        await until(
            lambda: all(true_of(watcher.newest) for watcher in self.watchers),
            f"{what}: {[watcher.newest for watcher in self.watchers]}",
            LIVE_AGAIN_S * MACHINE_FACTOR,
        )
