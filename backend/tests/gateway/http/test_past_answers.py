"""Answers of the past to clients that do not read them, on real sockets."""

import asyncio
import http.client
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from src.gateway.history import messages
from src.gateway.history.client import HistoryClient
from src.gateway.http.history import history_router
from src.gateway.http.past_answers import Budget, PastAnswers
from src.gateway.listener.handshake_timeouts import HandshakeLimits, HandshakeTimeouts
from src.gateway.listener.server import connection_factory
from src.gateway.refusals import TOO_MANY_OF_THE_PAST
from src.gateway.settings import Settings
from src.gateway.socket_broadcaster import SocketBroadcaster
from tests.gateway.fake_bus import FakeBus
from tests.waiting import until

LARGE = b"1" * 30_000_000  # no kernel buffer takes it at once
ONE, ANOTHER = "127.0.0.1", "127.0.0.2"
FULL = (503, "1", TOO_MANY_OF_THE_PAST.detail)


@dataclass
class Gateway:
    """The routes of the past on a port, and a history process that answers each path with a body."""

    bodies: dict[str, bytes] = field(default_factory=lambda: {"/history": LARGE, "/events": b"{}"})
    port: int = 0
    now_s: float = 0.0
    asked: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.timeouts = HandshakeTimeouts(HandshakeLimits(), self.refused, lambda: self.now_s)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while isinstance(ask := await messages.read(reader), messages.Ask):
                self.asked += 1
                messages.write(writer, messages.Answer(ask.number, 200, self.bodies[ask.path]))
                await writer.drain()
        except (EOFError, ConnectionError):
            writer.close()

    async def get(self, path: str, address: str = ONE) -> tuple[int, str | None, Any]:
        """Status, Retry-After, and what is said or how much."""
        return await asyncio.to_thread(self._get, path, address)

    def _get(self, path: str, address: str) -> tuple[int, str | None, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20, source_address=(address, 0))
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        said = json.loads(body)["detail"] if response.status != 200 else len(body)
        return response.status, response.headers["Retry-After"], said

    async def ask_and_read_nothing(self) -> socket.socket:
        little = socket.socket()
        little.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        little.setblocking(False)
        loop, before = asyncio.get_running_loop(), self.asked
        await loop.sock_connect(little, ("127.0.0.1", self.port))
        await loop.sock_sendall(little, b"GET /history HTTP/1.1\r\nHost: x\r\n\r\n")
        await loop.sock_recv(little, 1)
        assert self.asked == before + 1
        return little

    async def until_free(self) -> None:
        """Wait until an answer is given again."""
        async with asyncio.timeout(20):
            while (await self.get("/events"))[0] != 200:
                await asyncio.sleep(0.01)


Serving = Callable[..., AbstractAsyncContextManager[Gateway]]


@pytest.fixture
def serving(tmp_path: Path) -> Serving:
    @asynccontextmanager
    async def serve(**bounds: int) -> AsyncIterator[Gateway]:
        gateway, path = Gateway(), str(tmp_path / "history")
        history_process = await asyncio.start_unix_server(gateway.answer, path)
        bus: Any = FakeBus()
        address_of = SocketBroadcaster(bus, settings=Settings()).admission_control.counted_address
        broadcaster = SocketBroadcaster(bus, settings=Settings(), history=HistoryClient(path))
        history = broadcaster.history
        assert history is not None
        history.open()
        app = FastAPI()
        app.include_router(history_router(broadcaster, PastAnswers(history, gateway.refused, address_of, **bounds)))
        make_connection: Any = connection_factory(gateway.timeouts, None)
        server = uvicorn.Server(uvicorn.Config(app, http=make_connection, ws="none", lifespan="off", log_config=None))
        with socket.create_server(("127.0.0.1", 0)) as listener:
            gateway.port = listener.getsockname()[1]
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            await until(lambda: history.is_connected and server.started, "all is there")
            yield gateway
            for connection in list(server.server_state.connections):
                connection.transport.abort()
            server.should_exit = True
            await serving
        await broadcaster.close()
        history_process.close()

    return serve


async def test_no_more_answers_are_under_way_than_the_bound(serving: Serving) -> None:
    async with serving(most=4) as gateway:
        with await gateway.ask_and_read_nothing() as first, await gateway.ask_and_read_nothing():
            assert await gateway.get("/events") == FULL
            assert gateway.refused == {"too_many_of_the_past": 1}
            assert (await gateway.get("/events", ANOTHER))[0] == 200
            first.close()
            await gateway.until_free()
        await gateway.until_free()
        assert await gateway.get("/history") == (200, None, len(LARGE))


async def test_no_more_bytes_are_kept_than_the_bound(serving: Serving) -> None:
    async with serving(most_bytes=2 * len(LARGE) + 100) as gateway:
        with await gateway.ask_and_read_nothing():
            assert await gateway.get("/history") == FULL
            assert await gateway.get("/history", ANOTHER) == (200, None, len(LARGE))
        async with asyncio.timeout(20):
            while await gateway.get("/history") == FULL:
                await asyncio.sleep(0.01)
        assert await gateway.get("/history") == (200, None, len(LARGE))


async def test_a_small_answer_fits_beside_a_large_one_that_nobody_reads(serving: Serving) -> None:
    async with serving(most_bytes=3 * len(LARGE)) as gateway:
        with await gateway.ask_and_read_nothing():
            assert await gateway.get("/events") == (200, None, 2)
            assert await gateway.get("/history") == FULL


def test_whoever_takes_all_he_can_leaves_some_for_who_comes_then() -> None:
    budget = Budget(128)
    for address, had in ((ONE, 64), (ANOTHER, 32), ("127.0.0.3", 16)):
        assert [budget.take(address, 1) for _ in range(had + 1)] == [True] * had + [False]
    assert not budget.take("127.0.0.4", 17)
    assert budget.take("127.0.0.4", 16)  # the first needs only to fit
    assert not budget.take("127.0.0.5", 1)
    budget.give_back("127.0.0.4", 16)
    assert budget.take("127.0.0.5", 1)


async def test_a_client_that_stops_to_read_gives_its_place_back(serving: Serving) -> None:
    async with serving(most=1) as gateway:
        with await gateway.ask_and_read_nothing():
            assert await gateway.get("/events") == FULL
            for _ in range(2):  # the first look tells that it waits, the second that it waits still
                gateway.now_s += 11.0
                gateway.timeouts.sweep()
            await gateway.until_free()
        assert gateway.refused["untaken"] == 1


async def test_answers_that_are_read_leave_nothing_behind(serving: Serving) -> None:
    async with serving(most=1, most_bytes=len(LARGE)) as gateway:
        for path, size in (("/history", len(LARGE)), ("/events", 2)) * 3:
            assert await gateway.get(path) == (200, None, size)
        assert not gateway.refused
