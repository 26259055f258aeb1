"""Clients that ask for the past and do not read the answer: what they cost has a bound, and others are served on."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

import pytest

from src.demo.nats_server import HOST, NatsServer
from src.gateway.http.past_answers import MOST_KEPT_BYTES
from src.gateway.refusals import TOO_MANY_OF_THE_PAST
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.end_to_end.sockets import SMALL_BUFFER_BYTES
from tests.end_to_end.viewer import Viewer
from tests.waiting import LIMIT_S, until

FLOW_BYTES = 7_500_000  # more than a kernel takes for a client that reads nothing


@pytest.fixture
async def large_publisher(nats_server: NatsServer) -> AsyncIterator[Publisher]:
    nats_server.stop()
    nats_server.config = "max_payload: 9MB"
    nats_server.start()
    async with Publisher(nats_server) as publisher:
        yield publisher


async def ask_and_read_a_byte(gateway: GatewayProcess, path: str, address: str) -> socket.socket:
    raw = socket.socket()
    raw.bind((address, 0))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (HOST, gateway.port))
    await loop.sock_sendall(raw, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    async with asyncio.timeout(LIMIT_S):
        assert await loop.sock_recv(raw, 1) == b"H"
    return raw


async def test_answers_that_nobody_reads_are_bounded_and_hold_up_neither_others_nor_a_stop(
    make_gateway: LaunchGateway, large_publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on", GATEWAY_HANDSHAKE_TIMEOUT="60").start()
    begin_ms = time.time_ns() // 1_000_000
    await large_publisher.flow(1, padding="x" * FLOW_BYTES)
    await large_publisher.levels(begin_ms)
    await until(lambda: time.time_ns() // 1_000_000 > begin_ms + 1000, "the next second, which is not asked for")
    await large_publisher.flow(2)
    await large_publisher.levels(begin_ms + 1000)
    past = f"/snapshot?at={begin_ms + 999}"

    def status() -> int:
        return gateway.get(past).status

    await until(lambda: status() == 200, "the past is read")
    with contextlib.ExitStack() as readers:
        asked = [
            readers.enter_context(await ask_and_read_a_byte(gateway, past, f"127.0.1.{number + 1}"))
            for number in range(MOST_KEPT_BYTES // FLOW_BYTES)
        ]
        refused = gateway.get(past)
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert refused.json == {"detail": TOO_MANY_OF_THE_PAST.detail}
        assert gateway.health()["refused"] == {"too_many_of_the_past": 1}
        async with Viewer(gateway) as viewer:
            await large_publisher.levels(begin_ms + 2000)
            await viewer.until_newest(levels=begin_ms + 2000)
        asked[0].close()
        await until(lambda: status() == 200, "a place is free")
        assert gateway.stop() == 0
    assert "Traceback" not in gateway.stderr
    assert "ERROR" not in gateway.stderr
