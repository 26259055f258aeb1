"""A new gateway takes over the port of an old one."""

import asyncio
import contextlib
import socket
from signal import SIGTERM
from typing import NamedTuple

import pytest

from src.demo.nats_server import HOST
from src.gateway.listener.server import bind, reserve
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.viewer import Viewer

CLIENTS = 8


class Reconnecting:
    """A client that connects again and again."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.rounds = 0
        self.stopped = False
        self.task = asyncio.create_task(self._run(gateway))

    async def _run(self, gateway: GatewayProcess) -> None:
        while not self.stopped:
            with contextlib.suppress(ConnectionResetError):  # between the last look at the queue and its end
                _, writer = await asyncio.open_connection(HOST, gateway.port)
                writer.close()
                self.rounds += 1


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_no_client_is_refused_while_the_second_takes_over(make_gateway: LaunchGateway, workers: str) -> None:
    old = make_gateway(GATEWAY_HANDOVER="on", GATEWAY_WORKERS=workers, GATEWAY_CONSUMERS="ephemeral").launch()
    old.until_it_says("✅")
    new = make_gateway(
        GATEWAY_HANDOVER="on", GATEWAY_WORKERS=workers, GATEWAY_CONSUMERS="ephemeral", GATEWAY_PORT=str(old.port)
    )
    new.launch()
    new.until_it_says("✅")
    clients = [Reconnecting(new) for _ in range(CLIENTS)]
    assert await asyncio.to_thread(old.stop) == 0
    for client in clients:
        client.stopped = True
        await client.task
        assert client.rounds
    async with Viewer(new):
        assert new.ready
    assert new.stop() == 0


async def test_connections_that_wait_at_the_stop_are_accepted_and_closed_in_order(gateway: GatewayProcess) -> None:
    gateway.freeze()
    waiting = [socket.create_connection((HOST, gateway.port)) for _ in range(CLIENTS)]
    gateway.signal(SIGTERM)
    gateway.thaw()
    for client in waiting:
        with client:
            assert await asyncio.to_thread(client.recv, 1) == b"", "not reset"
    assert await asyncio.to_thread(gateway.wait) == 0


class Pair(NamedTuple):
    """Two gateways on one port, and what each is told."""

    first: str
    workers_of_first: str
    second: str
    workers_of_second: str
    host_of_first: str = HOST


@pytest.mark.parametrize(
    "pair",
    [
        Pair("off", "1", "off", "1"),
        Pair("off", "1", "on", "1"),
        Pair("on", "1", "off", "2"),
        Pair("off", "2", "off", "2"),
        Pair("off", "2", "on", "1"),
        Pair("off", "2", "on", "2"),
        Pair("off", "2", "on", "1", host_of_first="0.0.0.0"),
        Pair("on", "2", "off", "1"),
    ],
    ids=lambda pair: "-".join(pair),
)
async def test_the_port_is_busy_unless_both_hand_over(make_gateway: LaunchGateway, pair: Pair) -> None:
    first = make_gateway(
        GATEWAY_HANDOVER=pair.first, GATEWAY_WORKERS=pair.workers_of_first, GATEWAY_HOST=pair.host_of_first
    ).launch()
    first.until_it_says("✅")
    second = make_gateway(
        GATEWAY_HANDOVER=pair.second, GATEWAY_WORKERS=pair.workers_of_second, GATEWAY_PORT=str(first.port)
    ).launch()
    assert await asyncio.to_thread(second.wait) == 1
    assert "another program has that port" in second.stderr
    assert first.ready


def test_of_two_that_start_at_once_with_workers_one_has_the_port() -> None:
    """As long as nobody listens, the kernel lets both bind."""
    with bind(HOST, 0) as first, bind(HOST, first.getsockname()[1]) as second:
        with reserve(first), pytest.raises(OSError, match="another program has that port"):
            reserve(second)
        reserve(second).close()
