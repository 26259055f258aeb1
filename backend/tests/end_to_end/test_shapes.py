"""What a viewer asks for, from its query to its frames."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher, fresh
from tests.end_to_end.sockets import client_frame, raw_viewer
from tests.end_to_end.viewer import Viewer
from tests.waiting import until

NEAR, FAR = "O:ES251216C06895000", "O:ES251216P07950000"
STREAM = "/ws/stream"


def levels(number: int) -> dict[str, Any]:
    return {
        "ts": number,
        "es": {"spot": 6900.0},
        "levels": [
            {"id": "A", "kind": "VWAP", "distance": 2.0, "confidence": "HIGH", "signal": "REJECT"},
            {"id": "B", "kind": "STRIKE", "distance": 90.0, "confidence": "LOW", "signal": "BREAK"},
        ],
        "viewport": {"targets": []},
    }


@pytest.fixture
async def published(shared_publisher: Publisher) -> int:
    """The number of a levels message, published beside a flow of two contracts."""
    number = fresh()
    await shared_publisher.publish("levels.signals", levels(number))
    await shared_publisher.flow(number, **{NEAR: {"v": 1}, FAR: {"v": 2}})
    return number


def ids(payload: dict[str, Any]) -> str:
    return "".join(level["id"] for level in payload["levels"]["levels"])


@pytest.mark.parametrize(
    ("query", "sections", "level_ids"),
    [
        ("sections=levels", {"levels"}, "AB"),
        ("sections=levels,viewport&near=25", {"levels", "viewport"}, "A"),
        ("kinds=strike", {"levels", "viewport", "flow"}, "B"),
        ("confidence=HIGH&signals=BOUNCE", {"levels", "viewport", "flow"}, "A"),
        ("levels=B,C&rate=50", {"levels", "viewport", "flow"}, "B"),
    ],
)
@pytest.mark.parametrize("compression", ["deflate", None])
async def test_a_viewer_gets_what_it_asks_for(
    shared_gateway: GatewayProcess,
    shared_publisher: Publisher,
    published: int,
    query: str,
    sections: set[str],
    level_ids: str,
    compression: str | None,
) -> None:
    async with Viewer(shared_gateway, compression, f"{STREAM}?{query}") as viewer:
        await until(lambda: viewer.newest.keys() == sections, f"{sections} instead of {viewer.newest.keys()}")
        await viewer.until_newest(levels=published)
        assert ids(viewer.newest) == level_ids
        await shared_publisher.publish("levels.signals", levels(later := fresh()))
        assert ids(await viewer.until_newest(levels=later)) == level_ids
    answer = shared_gateway.get(f"/snapshot?{query}")
    assert (answer.status, answer.json.keys()) == (200, sections)


async def test_strikes_far_from_spot_are_left_out(shared_gateway: GatewayProcess, published: int) -> None:
    async with Viewer(shared_gateway, path=f"{STREAM}?sections=flow&near=25") as viewer:
        await until(lambda: viewer.newest.get("flow", {}).get("n") == published, "the flow")
        assert viewer.newest["flow"].keys() == {NEAR, "n"}


async def test_a_viewer_that_asks_for_nothing_gets_the_whole_payload_beside_them(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, published: int
) -> None:
    async with (
        Viewer(shared_gateway, path=f"{STREAM}?sections=flow") as narrow,
        Viewer(shared_gateway, path=f"{STREAM}?further=1") as whole,
    ):
        await narrow.until_newest(flow=published)
        for _ in range(3):
            await shared_publisher.publish("levels.signals", levels(newest := fresh()))
        assert (await whole.until_newest(levels=newest)).keys() == {"flow", "levels", "viewport"}
        await narrow.ping()
        assert len(narrow.payloads) == 1, "its section did not change"


async def test_a_viewer_changes_its_shape_while_connected(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, published: int
) -> None:
    async with Viewer(shared_gateway) as viewer:
        await viewer.until_newest(levels=published)
        await viewer.socket.send(json.dumps({"subscribe": {"sections": ["levels"], "near": 25}}))
        await until(lambda: viewer.newest.keys() == {"levels"}, "the new shape")
        assert ids(viewer.newest) == "A"
        await shared_publisher.publish("levels.signals", levels(newest := fresh()))
        await viewer.until_newest(levels=newest)
        await viewer.socket.send(['{"subs', 'cribe": ', "{}}"])  # in fragments
        await until(lambda: "flow" in viewer.newest, "everything again")
        assert ids(viewer.newest) == "AB"


async def test_other_messages_of_a_viewer_are_dropped(shared_gateway: GatewayProcess, published: int) -> None:
    async with Viewer(shared_gateway, path=f"{STREAM}?sections=levels") as viewer:
        await viewer.until_newest(levels=published)
        for message in ("hello", "{", '{"near": 1}', "[]", b'{"subscribe": {"near": 1}}'):
            await viewer.socket.send(message)
        await viewer.ping()
        assert viewer.connected
        assert len(viewer.payloads) == 1


async def test_a_wrong_parameter_is_refused_with_a_sentence(shared_gateway: GatewayProcess) -> None:
    detail = {"detail": "near accepts a number from 0 to 1000000"}
    with pytest.raises(InvalidStatus) as refused:
        await connect(shared_gateway.url(f"{STREAM}?near=far"), proxy=None)
    assert (refused.value.response.status_code, json.loads(refused.value.response.body or b"")) == (400, detail)
    answer = shared_gateway.get("/snapshot?near=far")
    assert (answer.status, answer.json) == (400, detail)
    assert shared_gateway.health()["refused"]["wrong_parameter"] == 1


async def test_a_wrong_subscribe_message_closes_with_a_sentence(shared_gateway: GatewayProcess, published: int) -> None:
    async with Viewer(shared_gateway) as viewer:
        await viewer.socket.send('{"subscribe": {"rate": 1000}}')
        assert await viewer.close_code() == 4005
        assert viewer.socket.close_reason == "rate accepts a number from 0.1 to 50"


async def test_there_are_at_most_so_many_shapes_at_a_time(make_gateway: LaunchGateway) -> None:
    gateway = make_gateway(GATEWAY_MAX_SHAPES="2").start()
    async with AsyncExitStack() as stack:
        viewers = [
            await stack.enter_async_context(Viewer(gateway, path=f"{STREAM}?{query}"))
            for query in ("near=1", "near=2", "near=2.0", "")
        ]
        with pytest.raises(InvalidStatus) as refused:
            await connect(gateway.url(f"{STREAM}?near=3"), proxy=None)
        assert refused.value.response.status_code == 503
        await viewers[-1].socket.send('{"subscribe": {"near": 3}}')
        assert await viewers[-1].close_code() == 4006
        assert gateway.health()["refused"]["too_many_shapes"] == 1
        await viewers[0].socket.close()
        await until(lambda: gateway.health()["connections"] == 2, "it has left")
        async with connect(gateway.url(f"{STREAM}?near=3"), proxy=None):
            pass


async def test_a_refused_handshake_leaves_no_shape_behind(make_gateway: LaunchGateway) -> None:
    gateway = make_gateway(GATEWAY_MAX_SHAPES="1").start()
    request = (
        b"GET /ws/stream?near=1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"  # no key
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(request)
    assert b" 400 " in await reader.readline()
    writer.close()
    async with connect(gateway.url(f"{STREAM}?near=2"), proxy=None):
        pass


async def test_a_slow_viewer_that_changes_its_shape_goes_on_with_the_new_one(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, published: int
) -> None:
    """It reads nothing while the frame is larger than the socket takes, then asks and reads."""
    socket = await raw_viewer(shared_gateway)
    loop = asyncio.get_running_loop()
    await until(lambda: shared_gateway.health()["connections"] == 1, "the viewers of other tests have left")
    await shared_publisher.flow(fresh(), text="x" * 4_000_000)
    await until(lambda: shared_gateway.health()["viewers"]["behind"] == 1, "it is blocked")
    await loop.sock_sendall(socket, client_frame(0x81, b'{"subscribe": {"sections": ["levels"], "near": 25}}'))
    await shared_publisher.publish("levels.signals", levels(newest := fresh()))
    await shared_publisher.flow(fresh())
    read = b""
    async with asyncio.timeout(20):
        while b'{"levels":{"ts":%d' % newest not in read[-3000:]:
            read += await loop.sock_recv(socket, 1 << 20)
    socket.close()
