"""Viewers of every kind, many and hostile: what one does is nobody else's trouble."""

import asyncio
import os
import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from src.common.tasks import end
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher, fresh
from tests.end_to_end.sockets import PING, PONG, TEXT, client_frame, deaf_viewer, raw_viewer
from tests.end_to_end.viewer import Viewer, numbers_in
from tests.waiting import until

MANY = 200
TOO_MANY = (1008).to_bytes(2) + b"sent too many messages"


async def test_many_viewers_at_once_each_get_the_newest(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    await shared_publisher.levels(first := fresh())
    async with AsyncExitStack() as stack:
        kinds = ["deflate", None]
        viewers = [Viewer(shared_gateway, kinds[number % 2]) for number in range(MANY)]
        await asyncio.gather(*(stack.enter_async_context(viewer) for viewer in viewers))
        assert shared_gateway.health()["connections"] == MANY
        for viewer in viewers:
            await viewer.until_newest(levels=first)
        for _ in range(10):
            await shared_publisher.levels(newest := fresh())
        for viewer in viewers:
            await viewer.until_newest(levels=newest)
        for viewer in viewers:
            shown = [numbers_in(payload)["levels"] for payload in viewer.payloads]
            assert shown == sorted(shown)
    await until(lambda: shared_gateway.health()["connections"] == 0, "all have left")


async def test_a_viewer_that_connects_while_messages_pour_in_never_sees_an_older_one_after_a_newer(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    await shared_publisher.levels(fresh())

    async def pour() -> int:
        for _ in range(100):
            await shared_publisher.levels(newest := fresh())
        return newest

    async with AsyncExitStack() as stack:
        pouring = asyncio.create_task(pour())
        viewers = []
        while not pouring.done():
            viewers.append(await stack.enter_async_context(Viewer(shared_gateway)))
        newest = await pouring
        for viewer in viewers:
            await viewer.until_newest(levels=newest)
            shown = [numbers_in(payload)["levels"] for payload in viewer.payloads]
            assert shown == sorted(shown)


async def test_a_viewer_that_never_reads_keeps_no_other_from_any_message(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    async with deaf_viewer(shared_gateway), Viewer(shared_gateway) as viewer:
        numbers = [fresh() for _ in range(20)]
        for number in numbers:
            await shared_publisher.flow(number, padding=os.urandom(200_000).hex())
            await viewer.until_newest(flow=number)
    shown = [numbers_in(payload).get("flow") for payload in viewer.payloads]
    assert shown[-len(numbers) :] == numbers


async def test_a_viewer_that_reads_again_is_sent_the_newest(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    """Between what was already on its way and the newest, everything is skipped."""
    async with deaf_viewer(shared_gateway) as deaf, Viewer(shared_gateway, compression=None) as viewer:
        numbers = [fresh() for _ in range(40)]
        for number in numbers:
            await shared_publisher.flow(number, padding="x" * 500_000)
            await viewer.until_newest(flow=number)
        received = b""
        while b'{"n": %d,' % numbers[-1] not in received:
            received += await asyncio.wait_for(asyncio.get_running_loop().sock_recv(deaf, 1 << 20), 20)
    skipped = [number for number in numbers if b'{"n": %d,' % number not in received]
    assert skipped, "frames that were never sent to it"
    await shared_publisher.flow(fresh())


async def test_a_viewer_that_takes_nothing_for_too_long_is_closed_also_when_it_goes_on_talking(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    limits = {"GATEWAY_STALL_LIMIT": "1", "GATEWAY_PING_INTERVAL": "1", "GATEWAY_PONG_TIMEOUT": "1"}
    gateway = make_gateway(**limits, GATEWAY_MAX_INCOMING_RATE="1000000").start()
    async with Viewer(gateway, compression=None) as viewer:
        async with deaf_viewer(gateway), deaf_viewer(gateway) as talking, sending_pings(talking):
            for number in range(1, 11):
                await publisher.flow(number, padding="x" * 1_000_000)
                await viewer.until_newest(flow=number)
            await until(lambda: gateway.health()["connections"] == 1, "the stalled viewers are let go")
        async with Viewer(gateway, compression=None) as answering, deaf_viewer(gateway):
            assert gateway.health()["connections"] == 3
            await until(lambda: gateway.health()["connections"] == 2, "one that answers no ping is let go too")
            assert viewer.connected
            assert answering.connected


@asynccontextmanager
async def sending_pings(raw: socket.socket) -> AsyncIterator[None]:
    """Whose answers nobody reads, until the gateway has had enough."""

    async def send() -> None:
        with suppress(OSError):
            while True:
                await asyncio.get_running_loop().sock_sendall(raw, 100 * client_frame(PING, b"x" * 125))
                await asyncio.sleep(0)

    sending = asyncio.create_task(send())
    try:
        yield
    finally:
        await end(sending)


FLOODS = {
    "pings": client_frame(PING),
    "pongs": client_frame(PONG, b"unasked"),
    "messages": client_frame(TEXT, b"x" * 20),
    "a message in parts without an end": client_frame(0x00),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_viewer_that_sends_thousands_of_frames_is_closed_with_1008_and_told_when_to_reconnect(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, name: str
) -> None:
    loop = asyncio.get_running_loop()
    begin = client_frame(0x01) if name == "a message in parts without an end" else b""
    async with Viewer(shared_gateway) as viewer:
        with await raw_viewer(shared_gateway) as raw:
            await loop.sock_sendall(raw, begin + FLOODS[name] * 3000)
            received = b""
            async with asyncio.timeout(20):
                while TOO_MANY not in received:
                    received += (piece := await loop.sock_recv(raw, 1 << 16))
                    assert piece, "closed without a word"
            assert received.count(b"\x8a\x00") <= 100, "the rest is not even answered"
            await until(
                lambda: shared_gateway.health()["connections"] == 1, "it is removed, though it sends no close frame"
            )
        await shared_publisher.levels(n := fresh())
        await viewer.until_newest(levels=n)


async def test_a_viewer_that_talks_within_its_rate_stays(make_gateway: LaunchGateway, publisher: Publisher) -> None:
    gateway = make_gateway(GATEWAY_MAX_INCOMING_RATE="5").start()
    async with Viewer(gateway) as talking, Viewer(gateway) as flooding:
        for _ in range(5):
            await talking.socket.send("hello")
        for _ in range(6):
            await flooding.socket.send("hello")
        assert await flooding.close_code() == 1008
        assert re.search(r"reconnect in (\d+) s", flooding.socket.close_reason or "")
        await publisher.levels(1)
        await talking.until_newest(levels=1)


async def test_pings_are_answered(shared_gateway: GatewayProcess) -> None:
    async with Viewer(shared_gateway) as viewer, Viewer(shared_gateway, compression=None) as other:
        for each in (viewer, other):
            for _ in range(10):
                await each.ping()
            assert await (await each.socket.ping(b"x" * 125)) >= 0


async def test_what_a_viewer_says_is_dropped(shared_gateway: GatewayProcess, shared_publisher: Publisher) -> None:
    async with Viewer(shared_gateway) as viewer, Viewer(shared_gateway) as other:
        for text in ("hello", "{}", "", b"\x00", "x" * 4096):
            await viewer.socket.send(text)
        await shared_publisher.levels(n := fresh())
        for each in (viewer, other):
            await each.until_newest(levels=n)


@pytest.mark.parametrize("size", [4097, 20_000])
async def test_a_message_over_the_limit_is_closed_with_1009(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, size: int
) -> None:
    async with Viewer(shared_gateway, compression=None) as viewer, Viewer(shared_gateway) as other:
        await viewer.socket.send("x" * size)
        assert await viewer.close_code() == 1009
        await shared_publisher.levels(n := fresh())
        await other.until_newest(levels=n)


async def test_a_message_that_inflates_over_the_limit_is_closed_with_1009(shared_gateway: GatewayProcess) -> None:
    async with Viewer(shared_gateway) as viewer:
        await viewer.socket.send("x" * 10_000_000)
        assert await viewer.close_code() == 1009


async def test_a_viewer_that_is_gone_without_a_word_is_forgotten(shared_gateway: GatewayProcess) -> None:
    async with Viewer(shared_gateway) as viewer:
        viewer.socket.transport.abort()
        await until(lambda: shared_gateway.health()["connections"] == 0, "it is forgotten")


async def test_a_close_frame_is_answered(shared_gateway: GatewayProcess) -> None:
    async with Viewer(shared_gateway) as viewer:
        await viewer.socket.close(1000, "enough")
        assert viewer.socket.close_code == 1000


# -- the handshake -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/ws", "/ws/stream/", "/ws/other", "/health", "/ws/stream2"])
async def test_any_other_path_is_no_stream(shared_gateway: GatewayProcess, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(shared_gateway.url(path), proxy=None)
    response = refused.value.response
    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/json"
    assert b"/ws/stream" in (response.body or b"")


async def test_a_query_is_no_obstacle(shared_gateway: GatewayProcess, shared_publisher: Publisher) -> None:
    await shared_publisher.levels(fresh())
    uri = shared_gateway.url("/ws/stream?token=1&x=%20")
    async with connect(uri, proxy=None) as socket:
        assert "levels" in str(await socket.recv())


@pytest.mark.parametrize("window_bits", [9, 12, 15])
@pytest.mark.parametrize("takeover", [True, False], ids=["takeover", "no takeover"])
async def test_every_offer_of_compression_is_understood(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, window_bits: int, takeover: bool
) -> None:
    offer = ClientPerMessageDeflateFactory(
        server_max_window_bits=window_bits,
        client_max_window_bits=True,
        server_no_context_takeover=not takeover,
        client_no_context_takeover=not takeover,
    )
    uri = shared_gateway.url()
    async with connect(uri, proxy=None, compression=None, extensions=[offer], max_size=None) as socket:
        for _ in range(5):
            text = "words and words " * 5000
            await shared_publisher.flow(n := fresh(), note=text)
            while f'"n": {n}, "note": "{text}"' not in str(await asyncio.wait_for(socket.recv(), 20)):
                pass
    await shared_publisher.flow(fresh())
