"""A deploy of two gateways behind a proxy, one after the other, with viewers that connect again by themselves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from signal import SIGTERM
from typing import Any, NamedTuple

import pytest

from spymaster_client import Stream, stream
from src.demo.nats_server import HOST
from src.gateway.delivery.hub import DRAIN_AT_ONCE, DRAIN_PER_S
from src.gateway.signals.causes import CAUSES
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.end_to_end.viewer import Viewer
from tests.waiting import until

VIEWERS = 12
READY = b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n"


class Proxy:
    """Hands each new connection to the first of its backends that takes it, and never moves one."""

    def __init__(self) -> None:
        self.backends: list[int] = []
        self._links: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, back = await self._dial()
            links = {asyncio.create_task(copy(reader, back)), asyncio.create_task(copy(there, writer))}
            self._links |= links
            await asyncio.wait(links)
            back.close()
        writer.close()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        for port in self.backends:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(HOST, port)
        raise ConnectionError("no backend takes connections")

    def close(self) -> None:
        for link in self._links:
            link.cancel()


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(1 << 16):
            target.write(piece)
            await target.drain()
        target.write_eof()


@contextlib.asynccontextmanager
async def proxy() -> AsyncIterator[tuple[Proxy, str]]:
    between = Proxy()
    server = await asyncio.start_server(between.serve, HOST, 0)
    try:
        yield between, f"ws://{HOST}:{server.sockets[0].getsockname()[1]}/ws/stream"
    finally:
        server.close()
        between.close()


class Draining(NamedTuple):
    """A gateway at its stop, and the viewers that it had."""

    gateway: GatewayProcess
    viewers: list[Viewer]


class Watcher:
    """One viewer and the flow numbers that it was shown."""

    def __init__(self, url: str, **connecting: Any) -> None:
        """
        Args:
            url: of the stream.
            connecting: further arguments of `stream`.
        """
        self.numbers: list[int] = []
        self.states: Stream = stream(url, **connecting)
        self.task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        async with self.states:
            async for state in self.states:
                if state.payload is not None and "flow" in state.payload:
                    self.numbers.append(int(str(state.payload["flow"]["n"])))


async def until_all_see(watchers: Sequence[Watcher], number: int) -> None:
    await until(lambda: all(watcher.numbers[-1:] == [number] for watcher in watchers), f"flow {number} at every viewer")


async def test_a_rolling_restart_costs_viewers_a_reconnect_and_shows_none_an_older_state(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    async def start() -> GatewayProcess:
        return await asyncio.to_thread(make_gateway(GATEWAY_CONSUMERS="ephemeral").start)

    async with contextlib.AsyncExitStack() as stack:
        between, url = await stack.enter_async_context(proxy())
        gateways = [await start(), await start()]
        between.backends = [gateway.port for gateway in gateways]
        await publisher.flow(0)
        watchers = [Watcher(url) for _ in range(VIEWERS)]
        for watcher in watchers:
            stack.callback(watcher.task.cancel)
        await until_all_see(watchers, 0)
        for number, leaving in enumerate(tuple(gateways), 1):
            gateways = [*gateways[1:], await start()]
            between.backends = [gateway.port for gateway in gateways]
            assert await asyncio.to_thread(leaving.stop) == 0
            await publisher.flow(number)
            await until_all_see(watchers, number)
        assert all(watcher.numbers == sorted(watcher.numbers) for watcher in watchers)


async def test_while_it_stops_it_says_so_on_open_connections_and_takes_no_new_ones(gateway: GatewayProcess) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(DRAIN_AT_ONCE + 2 * DRAIN_PER_S):  # so many that it takes two seconds
            await stack.enter_async_context(Viewer(gateway))
        reader, writer = await asyncio.open_connection(HOST, gateway.port)
        writer.write(READY)
        assert b"HTTP/1.1 503 " not in await reader.readuntil(b"}")
        gateway.signal(SIGTERM)
        await until(lambda: "stopping" in gateway.stderr, "the beginning of the end")
        writer.write(READY)
        answer = await reader.readuntil(b"}")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"gateway_draining: ' in answer
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, gateway.port)
        writer.close()
    assert await asyncio.to_thread(gateway.wait) == 0


async def test_without_a_drain_all_are_let_go_at_once(make_gateway: LaunchGateway) -> None:
    gateway = make_gateway(GATEWAY_DRAIN="0").start()
    async with contextlib.AsyncExitStack() as stack:
        viewers = [await stack.enter_async_context(Viewer(gateway)) for _ in range(5)]
        assert await asyncio.to_thread(gateway.stop) == 0
        assert [await viewer.close_code() for viewer in viewers] == [1001] * 5


@pytest.fixture(params=["1", "2"], ids=["one process", "two workers"])
async def draining(make_gateway: LaunchGateway, request: pytest.FixtureRequest) -> AsyncIterator[Draining]:
    """A gateway that has just begun to let go of its viewers, which takes it two seconds."""
    gateway = make_gateway(GATEWAY_WORKERS=request.param, GATEWAY_DRAIN="10").launch()
    gateway.until_it_says("✅")
    async with contextlib.AsyncExitStack() as stack:
        count = (DRAIN_AT_ONCE + 2 * DRAIN_PER_S) * int(request.param)  # each worker lets go of its own
        await until(lambda: gateway.takes_connections, "it listens")
        viewers = [await stack.enter_async_context(Viewer(gateway, compression=None)) for _ in range(count)]
        gateway.signal(SIGTERM)
        await until(lambda: not gateway.takes_connections, "it takes no new ones")
        yield Draining(gateway, viewers)


async def test_a_viewer_that_is_not_closed_yet_is_sent_what_is_published(
    draining: Draining, publisher: Publisher
) -> None:
    await publisher.flow(1)
    gateway, viewers = draining
    assert await asyncio.to_thread(gateway.wait) == 0
    assert {await viewer.close_code() for viewer in viewers} == {1001}
    assert any(viewer.payloads for viewer in viewers), "those whose turn had not come"
    assert "killed" not in gateway.stderr


# -- before the drain --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_before_the_drain_it_is_unready_and_serves_on_until_a_signal_that_insists(
    make_gateway: LaunchGateway, publisher: Publisher, workers: str
) -> None:
    gateway = make_gateway(GATEWAY_PRE_STOP="3600", GATEWAY_WORKERS=workers).launch()
    gateway.until_it_says("✅")
    async with Viewer(gateway) as one:
        gateway.signal(SIGTERM)
        await until(lambda: gateway.stderr.count("stopping in 3600 s") == int(workers), "all have begun to stop")
        answer = gateway.get("/ready")
        told = f"gateway_draining: {CAUSES['gateway_draining'].sentence}"
        assert (answer.status, answer.json["reasons"]) == (503, [told])
        async with Viewer(gateway) as other:
            await publisher.flow(1)
            for viewer in (one, other):
                await viewer.until_newest(flow=1)
            while gateway.running:
                gateway.signal(SIGTERM)
                await asyncio.sleep(0.1)
            assert gateway.wait() == 1
            assert [await viewer.close_code() for viewer in (one, other)] == [1006, 1006]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_after_that_time_it_drains_as_ever(make_gateway: LaunchGateway, workers: str) -> None:
    gateway = make_gateway(GATEWAY_PRE_STOP="0.5", GATEWAY_WORKERS=workers).launch()
    gateway.until_it_says("✅")
    async with Viewer(gateway) as viewer:
        assert await asyncio.to_thread(gateway.stop) == 0
        assert await viewer.close_code() == 1001
    assert "killed" not in gateway.stderr
