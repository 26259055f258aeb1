"""What hostile viewers send after the handshake, and how they leave: each alone pays for it.

A healthy viewer is there through every test and is sent every message that is published meanwhile. The gateway's memory
is looked at from outside, as the highest that it ever was.
"""

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from soak.hostile_viewers import BOMBS, PING, PROTOCOL_ERROR_CODES, client_frame, close_frame, upgrade_request
from src.demo.nats_server import HOST
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher, fresh
from tests.end_to_end.viewer import Viewer, numbers_in
from tests.waiting import LIMIT_S, until

MB = 1 << 20
BOMBERS = 100
FLOOD = 1_000_000
PINGS = 50_000
SILENT, AT_ONCE = 10_000, 1_000
RESETS = 200
DEAF_S = 1.0
ABRUPT = struct.pack("ii", 1, 0)

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")


@contextlib.asynccontextmanager
async def somebody_healthy(gateway: GatewayProcess, publisher: Publisher) -> AsyncIterator[Viewer]:
    """Is sent each message, before the next is published, for as long as others misbehave."""
    published: list[int] = []
    over = asyncio.Event()

    async def publish_all_along() -> None:
        while not over.is_set() or not published:
            published.append(fresh())
            await publisher.levels(published[-1])
            await viewer.until_newest(levels=published[-1])

    async with Viewer(gateway) as viewer:
        publishing = asyncio.create_task(publish_all_along())
        try:
            yield viewer
        finally:
            over.set()
            await publishing
        await until(lambda: gateway.health()["connections"] == 1, "nobody else is left")
        assert viewer.connected
    shown = [numbers_in(payload)["levels"] for payload in viewer.payloads]
    assert shown[-len(published) :] == published


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def hostile(gateway: GatewayProcess, *, deflate: bool = False) -> AsyncIterator[Streams]:
    """A viewer that has done the handshake, and whose frames are its own affair."""
    reader, writer = await asyncio.open_connection(HOST, gateway.port)
    try:
        writer.write(upgrade_request(gateway.port, deflate=deflate))
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def close_code(reader: asyncio.StreamReader) -> int:
    """The code of the close frame with which all ends."""
    code = 0
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                first, length = await reader.readexactly(2)
            except asyncio.IncompleteReadError:
                return code
            if length >= 126:
                length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8))
            body = await reader.readexactly(length)
            if first == 0x88:
                code = int.from_bytes(body[:2])


async def misbehaves(gateway: GatewayProcess, wire: bytes, *, deflate: bool = False) -> int:
    """Send `wire` on a connection of its own; the code that it is closed with."""
    async with hostile(gateway, deflate=deflate) as (reader, writer):
        writer.write(wire)
        return await close_code(reader)


def peak_bytes(gateway: GatewayProcess) -> int:
    """The most memory that the process ever had."""
    assert gateway.process is not None, "it runs"
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def descriptors(gateway: GatewayProcess) -> int:
    """How many the process has open."""
    assert gateway.process is not None, "it runs"
    return sum(1 for _ in Path(f"/proc/{gateway.process.pid}/fd").iterdir())


@pytest.mark.parametrize("name", PROTOCOL_ERROR_CODES)
async def test_a_viewer_that_breaks_the_protocol_is_closed_and_no_other(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, name: str
) -> None:
    wire, code = PROTOCOL_ERROR_CODES[name]
    async with somebody_healthy(shared_gateway, shared_publisher):
        assert await misbehaves(shared_gateway, wire) == code


@on_linux
@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_not_inflated_beyond_the_limit(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, name: str
) -> None:
    async with somebody_healthy(shared_gateway, shared_publisher):
        assert await misbehaves(shared_gateway, BOMBS[name], deflate=True) == 1009
        before = peak_bytes(shared_gateway)
        attacks = (misbehaves(shared_gateway, BOMBS[name], deflate=True) for _ in range(BOMBERS))
        assert set(await asyncio.gather(*attacks)) == {1009}
        assert peak_bytes(shared_gateway) - before < 10 * MB, "of 300 MB or more that were in them"


FLOODS = {
    "a million empty fragments": client_frame(0x01) + FLOOD * client_frame(0x00),
    "pings by the thousand": PINGS * client_frame(PING, b"x" * 100),
    "messages by the thousand": PINGS * client_frame(0x81, b"hello"),
}


@on_linux
@pytest.mark.parametrize("reads", [True, False], ids=["reading", "deaf"])
@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_delays_no_other_viewer_and_fills_nothing(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, name: str, reads: bool
) -> None:
    before = peak_bytes(shared_gateway)
    async with somebody_healthy(shared_gateway, shared_publisher), hostile(shared_gateway) as (reader, writer):
        writer.write(FLOODS[name] + close_frame(1000))
        if reads:
            assert await close_code(reader) == 1008
        else:
            await asyncio.wait({asyncio.ensure_future(writer.drain())}, timeout=DEAF_S)
    assert peak_bytes(shared_gateway) - before < 10 * MB


async def test_a_half_open_viewer_is_let_go(shared_gateway: GatewayProcess, shared_publisher: Publisher) -> None:
    """It ends its direction of TCP, so it cannot answer a ping."""
    async with somebody_healthy(shared_gateway, shared_publisher), hostile(shared_gateway) as (reader, writer):
        writer.write_eof()
        assert await close_code(reader) == 0


async def test_viewers_that_cut_their_line_amid_a_fan_out_are_forgotten(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    async with somebody_healthy(shared_gateway, shared_publisher), contextlib.AsyncExitStack() as stack:
        doomed = [await stack.enter_async_context(hostile(shared_gateway)) for _ in range(RESETS)]
        for reader, writer in doomed:
            await reader.readexactly(1)  # frames are under way
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPT)
            writer.transport.abort()


@on_linux
async def test_sockets_that_say_nothing_and_leave_cost_nothing_that_stays(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    async def come_and_leave() -> None:
        lines = [await silent_line(shared_gateway) for _ in range(AT_ONCE)]
        for line in lines:
            line.close()

    async with somebody_healthy(shared_gateway, shared_publisher):
        open_before = descriptors(shared_gateway)
        await come_and_leave()
        before = peak_bytes(shared_gateway)
        for _ in range(SILENT // AT_ONCE - 1):
            await come_and_leave()
        await until(lambda: descriptors(shared_gateway) <= open_before, "their descriptors are closed")
        assert peak_bytes(shared_gateway) - before < 10 * MB


async def silent_line(gateway: GatewayProcess) -> socket.socket:
    line = socket.socket()
    line.setblocking(False)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPT)
    await asyncio.get_running_loop().sock_connect(line, (HOST, gateway.port))
    return line


async def test_nothing_of_all_this_is_logged(shared_gateway: GatewayProcess, shared_publisher: Publisher) -> None:
    logged = shared_gateway.stderr
    async with somebody_healthy(shared_gateway, shared_publisher):
        for wire, _ in PROTOCOL_ERROR_CODES.values():
            await misbehaves(shared_gateway, wire)
    assert shared_gateway.stderr == logged
