"""The HTTP routes, and the stream on an ASGI server that is not the gateway's own."""

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.routing import APIRoute
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from src.gateway.close_codes import ORIGIN_NOT_ALLOWED
from src.gateway.delivery.stream_peer import STREAM_PATH
from src.gateway.http.app import make_app
from src.gateway.listener.server import Server
from src.gateway.settings import Settings
from src.gateway.socket_broadcaster import SocketBroadcaster
from tests.documents import routes
from tests.gateway.fake_bus import FakeBus
from tests.waiting import until

LEVELS = "levels.signals"
FLOW = "market.flow"


@dataclass
class Api:
    """The application on a port, with the WebSockets of uvicorn."""

    broadcaster: SocketBroadcaster
    bus: FakeBus
    port: int

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON."""
        return await asyncio.to_thread(self._get, path)

    def stream(self, compression: str | None = "deflate", **asking: Any) -> connect:
        return connect(f"ws://127.0.0.1:{self.port}{STREAM_PATH}", proxy=None, compression=compression, **asking)

    def _get(self, path: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, json.loads(body) if body else None


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving(Settings()) as api:
        yield api


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Api]:
    bus: Any = FakeBus()
    broadcaster = SocketBroadcaster(bus, settings=settings)
    config = uvicorn.Config(
        make_app(broadcaster), ws="websockets-sansio", lifespan="off", log_config=None, timeout_graceful_shutdown=1
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield Api(broadcaster, bus, listener.getsockname()[1])
        await broadcaster.close()
        server.should_exit = True
        await serving


# -- health and readiness ----------------------------------------------------------------------------------------------


async def test_before_the_start_it_is_degraded_and_not_ready(api: Api) -> None:
    status, health = await api.get("/health")
    assert (status, health["status"], health["nats_connected"]) == (200, "degraded", False)
    assert health["nats_url"] == "nats://***@fake:4222"
    assert (health["last_message_ts"], health["subscriptions"]) == (None, {})
    status, readiness = await api.get("/ready")
    assert (status, readiness["ready"]) == (503, False)
    assert readiness["reasons"] == [
        "nats_down: The gateway is not connected to NATS. nats://***@fake:4222: no answer",
        "subscription_lost: A subscription of the gateway does not work. None is there yet.",
    ]


async def test_it_is_healthy_and_ready_while_all_is_live(api: Api) -> None:
    await api.broadcaster.start()
    assert (await api.get("/health"))[1]["status"] == "healthy"
    assert await api.get("/ready") == (200, {"ready": True, "reasons": []})


async def test_a_subscription_in_trouble_is_degraded_and_not_ready(api: Api) -> None:
    await api.broadcaster.start()
    api.bus.subscriptions[1].trouble = "consumer gateway_flow is gone"
    health = (await api.get("/health"))[1]
    assert (health["status"], health["nats_connected"]) == ("degraded", True)
    assert health["subscriptions"][FLOW]["trouble"] == "consumer gateway_flow is gone"
    assert health["subscriptions"][FLOW]["live"] is False
    assert health["subscriptions"][LEVELS]["live"] is True
    status, readiness = await api.get("/ready")
    assert (status, readiness["ready"]) == (503, False)
    assert readiness["reasons"] == [
        "subscription_lost: A subscription of the gateway does not work. market.flow: consumer gateway_flow is gone"
    ]


async def test_what_keeps_it_from_being_ready_is_told_in_the_words_of_health(api: Api) -> None:
    await api.broadcaster.start()

    async def see_told(cause: str) -> None:
        health, (reason, *_) = (await api.get("/health"))[1], (await api.get("/ready"))[1]["reasons"]
        assert health["cause"] == cause
        assert reason.startswith(f"{cause}: {health['explanation']}")

    api.bus.subscriptions[1].trouble = "consumer gateway_flow is gone"
    await see_told("subscription_lost")
    api.bus.is_connected = False
    await see_told("nats_down")
    api.broadcaster.begin_drain()
    await see_told("gateway_draining")


async def test_a_lost_connection_is_degraded_and_not_ready(api: Api) -> None:
    await api.broadcaster.start()
    api.bus.is_connected = False
    assert (await api.get("/health"))[1]["status"] == "degraded"
    assert (await api.get("/ready"))[0] == 503


async def test_health_adds_up_what_the_subscriptions_counted(api: Api) -> None:
    await api.broadcaster.start()
    levels, flow = api.bus.subscriptions
    levels.lag, flow.lag = 2, 3
    levels.last_message_s, flow.last_message_s = 1_766_154_600.5, 1_766_154_601.25
    flow.rejected["not_json"] = 7
    api.bus.reconnects = 4
    await api.bus.deliver(LEVELS, {"ts": 1, "levels": [7]})
    health = (await api.get("/health"))[1]
    assert (health["consumer_lag"], health["last_message_ts"], health["reconnects"]) == (5, 1_766_154_601_250, 4)
    assert health["subscriptions"][LEVELS]["last_message_ts"] == 1_766_154_600_500
    assert health["subscriptions"][FLOW]["rejected"] == {"not_json": 7}
    assert health["faults"] == {"level_left_out": 1}


async def test_the_snapshot_is_the_current_payload_or_204(api: Api) -> None:
    await api.broadcaster.start()
    assert await api.get("/snapshot") == (204, None)
    await api.bus.deliver(FLOW, {"n": 2**60 + 1})
    assert await api.get("/snapshot") == (200, {"flow": {"n": 2**60 + 1}})


async def test_what_is_not_there_is_a_short_json_404(api: Api) -> None:
    assert await api.get("/nothing") == (404, {"detail": "nothing at /nothing; see /docs"})


# -- the stream on another ASGI server ---------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["deflate", None], ids=["compressed", "plain"])
async def test_a_viewer_gets_the_current_payload_then_each_that_follows(api: Api, compression: str | None) -> None:
    await api.broadcaster.start()
    await api.bus.deliver(FLOW, {"n": 1})
    async with api.stream(compression) as viewer:
        for n in range(1, 6):
            assert json.loads(await viewer.recv()) == {"flow": {"n": n}}
            await api.bus.deliver(FLOW, {"n": n + 1})
        assert (await api.get("/health"))[1]["connections"] == 1
    await until(lambda: api.broadcaster.active_connections == [], "the viewer has left")


async def test_what_a_viewer_says_is_dropped(api: Api) -> None:
    await api.broadcaster.start()
    async with api.stream() as viewer:
        await viewer.send("hello")
        await viewer.send(b"\x00")
        await api.bus.deliver(FLOW, {"n": 1})
        assert json.loads(await viewer.recv()) == {"flow": {"n": 1}}


async def test_a_viewer_that_is_gone_without_a_word_is_forgotten(api: Api) -> None:
    await api.broadcaster.start()
    async with api.stream() as viewer:
        await until(lambda: len(api.broadcaster.active_connections) == 1, "the viewer is in")
        viewer.transport.abort()
        await until(lambda: api.broadcaster.active_connections == [], "the viewer is forgotten")


async def test_viewers_are_told_that_the_gateway_goes_away(api: Api) -> None:
    await api.broadcaster.start()
    async with api.stream() as viewer:
        await until(lambda: len(api.broadcaster.active_connections) == 1, "the viewer is in")
        await api.broadcaster.close()
        await viewer.wait_closed()
        assert viewer.close_code == 1001


# -- who may connect there ---------------------------------------------------------------------------------------------

TOKEN = "desk-token-0123456789abcdef"
OTHER = "other-token-0123456789abcde"


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(TOKEN)
    return path


@pytest.mark.parametrize(
    ("asking", "status"),
    [
        ({}, 401),
        ({"subprotocols": ["bearer", OTHER]}, 401),
    ],
)
async def test_admission_is_decided_on_another_server_too(tokens: Path, asking: dict[str, Any], status: int) -> None:
    async with serving(Settings(auth="token", tokens_file=str(tokens))) as api:
        await api.broadcaster.start()
        with pytest.raises(InvalidStatus) as refused:
            await api.stream(**asking)
        assert refused.value.response.status_code == status
        assert b"detail" in (refused.value.response.body or b"")
        assert api.broadcaster.active_connections == []


async def test_a_page_of_another_origin_is_told_so_on_another_server_too() -> None:
    async with serving(Settings()) as api:
        await api.broadcaster.start()
        async with api.stream(origin="https://evil.example.com") as viewer:
            await viewer.wait_closed()
            assert viewer.close_code == ORIGIN_NOT_ALLOWED.code
        assert api.broadcaster.active_connections == []


async def test_a_viewer_there_has_a_place_until_it_leaves_or_its_token_is_gone(tokens: Path) -> None:
    async with serving(Settings(auth="token", tokens_file=str(tokens), max_viewers=1)) as api:
        await api.broadcaster.start()
        asking: dict[str, Any] = {"subprotocols": ["bearer", TOKEN]}
        async with api.stream(**asking) as viewer:
            assert viewer.subprotocol == "bearer"
            with pytest.raises(InvalidStatus) as refused:
                await api.stream(**asking)
            assert refused.value.response.headers["Retry-After"] == "10"
        await until(lambda: api.broadcaster.active_connections == [], "it has left")
        async with api.stream(**asking) as viewer:
            tokens.write_text(OTHER)
            api.broadcaster.admission_control.reread()
            await viewer.wait_closed()
            assert viewer.close_code == 4004
        assert (await api.get("/health"))[1]["refused"] == {"full": 1}


def test_every_route_is_open_or_asks_for_a_token() -> None:
    """Whoever adds a route decides which."""
    served = routes(make_app(SocketBroadcaster(settings=Settings())))
    asking = {path for path, each in served.items() if isinstance(each, APIRoute) and each.dependencies}
    described = {"/docs", "/openapi.json", "/asyncapi.json"}
    assert asking == {"/snapshot"}
    console = {"/", "/assets/{name}", "/client.js"}
    assert served.keys() - asking == {STREAM_PATH, "/health", "/ready", "/metrics"} | described | console
