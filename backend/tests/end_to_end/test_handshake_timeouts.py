"""Sockets that never become viewers: each is gone in time, and nobody else notices."""

import asyncio

import pytest

from src.demo.nats_server import HOST
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.end_to_end.viewer import Viewer
from tests.waiting import LIMIT_S, until

HANDSHAKE = (
    b"GET /ws/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
MANY = 30


@pytest.fixture
def gateway(make_gateway: LaunchGateway) -> GatewayProcess:
    """One that does not wait long."""
    return make_gateway(GATEWAY_HANDSHAKE_TIMEOUT="2", GATEWAY_MAX_HEADERS="1024").start()


async def said_to_a_slow_one(gateway: GatewayProcess) -> bytes:
    """Send the handshake byte by byte for as long as the gateway takes it."""
    reader, writer = await asyncio.open_connection(HOST, gateway.port)
    answer = asyncio.create_task(reader.read())
    for byte in HANDSHAKE:
        writer.write(bytes((byte,)))
        await asyncio.wait({answer}, timeout=0.1)
        if answer.done():
            break
    writer.close()
    return await answer


async def said_to_a_silent_one(gateway: GatewayProcess) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, gateway.port)
    said = await reader.read()
    writer.close()
    return said


async def test_slow_and_silent_sockets_are_gone_in_time_and_viewers_are_not(
    gateway: GatewayProcess, publisher: Publisher
) -> None:
    async with Viewer(gateway) as viewer, asyncio.timeout(LIMIT_S):
        slow = [said_to_a_slow_one(gateway) for _ in range(MANY)]
        silent = [said_to_a_silent_one(gateway) for _ in range(MANY)]
        said = await asyncio.gather(*slow, *silent)
        assert all(answer.startswith(b"HTTP/1.1 408 ") for answer in said[:MANY])
        assert not any(said[MANY:])
        await publisher.levels(1)
        await viewer.until_newest(levels=1)
        assert gateway.health()["connections"] == 1
    assert "WARNING" not in gateway.stderr


async def test_an_idle_connection_is_closed_and_a_new_one_taken(gateway: GatewayProcess) -> None:
    async with asyncio.timeout(LIMIT_S):
        for _ in range(2):
            reader, writer = await asyncio.open_connection(HOST, gateway.port)
            writer.write(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200 "), "then it is closed"
            writer.close()


async def test_headers_over_the_setting_are_answered_with_431(gateway: GatewayProcess) -> None:
    async with asyncio.timeout(LIMIT_S):
        reader, writer = await asyncio.open_connection(HOST, gateway.port)
        writer.write(HANDSHAKE.replace(b"Host: x", b"Host: x\r\nCookie: " + b"x" * 1000))
        assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
        writer.close()


async def test_a_viewer_whose_other_end_vanished_amid_the_handshake_leaves_no_descriptor(
    gateway: GatewayProcess,
) -> None:
    """As the gateway sees it: neither a byte nor an end comes."""
    before = gateway.descriptors
    half_open = [await asyncio.open_connection(HOST, gateway.port) for _ in range(MANY)]
    for _, writer in half_open:
        writer.write(HANDSHAKE[:50])
    await until(lambda: gateway.health()["refused"] == {"too_slow": MANY}, "none is waited for")
    await until(lambda: gateway.descriptors <= before, "all are let go")
    for _, writer in half_open:
        writer.close()
