"""What the gateway answers over HTTP."""

import asyncio
import http.client
import json
import re
from email.utils import parsedate_to_datetime

import pytest

from src.demo.nats_server import HOST, NatsServer
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import FLOW, LEVELS, Publisher, fresh
from tests.end_to_end.viewer import Viewer
from tests.waiting import until


async def test_health_has_the_keys_of_the_contract_and_they_are_true(
    shared_gateway: GatewayProcess, shared_nats: NatsServer, shared_publisher: Publisher
) -> None:
    async with Viewer(shared_gateway) as viewer, Viewer(shared_gateway):
        await shared_publisher.levels(n := fresh())
        await shared_publisher.flow(n)
        await viewer.until_newest(levels=n, flow=n)
        answer = shared_gateway.get("/health")
        health = answer.json
        now_ms = parsedate_to_datetime(answer.headers["Date"]).timestamp() * 1000
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert (health["service"], health["status"], health["nats_url"]) == ("gateway", "healthy", shared_nats.url)
    assert (health["connections"], health["nats_connected"], health["consumer_lag"]) == (2, True, 0)
    assert abs(health["last_message_ts"] - now_ms) < 3_600_000, "ms UTC"
    assert health["subscriptions"].keys() == {LEVELS, FLOW}
    for subject in (LEVELS, FLOW):
        subscription = health["subscriptions"][subject]
        assert (subscription["live"], subscription["trouble"]) == (True, None)
        assert subscription["last_message_ts"] <= health["last_message_ts"]
    await until(lambda: shared_gateway.health()["connections"] == 0, "the viewers have left")


def test_ready_is_200_while_all_is_well(shared_gateway: GatewayProcess) -> None:
    answer = shared_gateway.get("/ready")
    assert (answer.status, answer.json) == (200, {"ready": True, "reasons": []})


async def test_the_snapshot_is_the_payload_of_the_stream(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    async with Viewer(shared_gateway) as viewer:
        await shared_publisher.flow(n := fresh(), large=2**60 + 1, small=0.1)
        await shared_publisher.levels(n, viewport={"targets": [], "ns": 2**60 + 1})
        await viewer.until_newest(levels=n, flow=n)
        await viewer.ping()
        answer = shared_gateway.get("/snapshot")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
        assert answer.body.decode() == viewer.texts[-1]


def test_the_docs_name_every_route(make_gateway: LaunchGateway) -> None:
    paths = make_gateway(GATEWAY_HISTORY="on").start().get("/openapi.json").json["paths"]
    assert paths.keys() == {"/health", "/ready", "/snapshot", "/events", "/history", "/metrics"}
    assert paths["/ready"]["get"]["responses"].keys() == {"200", "503"}
    assert paths["/snapshot"]["get"]["responses"].keys() == {"200", "204", "400", "401"}
    assert paths["/events"]["get"]["responses"].keys() >= {"200", "400", "401", "503"}
    assert {each["name"] for each in paths["/events"]["get"]["parameters"]} == {"since", "kinds", "levels", "limit"}


def test_the_root_is_a_page_that_a_browser_may_keep(shared_gateway: GatewayProcess) -> None:
    page = shared_gateway.get("/")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert page.headers["ETag"]
    assert shared_gateway.get("/", "HEAD").body == b""
    for asset in re.findall(rb'(?:src|href)="(/assets/[^"]+)"', page.body):
        assert shared_gateway.get(asset.decode()).status == 200


@pytest.mark.parametrize(
    "path", ["/nothing", "/assets/nothing", "/assets/..%2findex.html", "/%2e%2e/etc/passwd", "/redoc", "/x" * 500]
)
def test_an_unknown_path_is_a_short_json_404(shared_gateway: GatewayProcess, path: str) -> None:
    answer = shared_gateway.get(path)
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/json")
    assert answer.json.keys() == {"detail"}


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/snapshot", "/metrics"])
def test_another_method_is_a_short_json_405(shared_gateway: GatewayProcess, path: str) -> None:
    answer = shared_gateway.get(path, "POST")
    assert (answer.status, answer.json.keys()) == (405, {"detail"})


async def test_many_requests_on_one_connection_are_answered_beside_the_stream(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    def ask() -> set[int]:
        connection = http.client.HTTPConnection(HOST, shared_gateway.port, timeout=20)
        statuses = set()
        for _ in range(100):
            connection.request("GET", "/health")
            response = connection.getresponse()
            statuses.add(response.status)
            json.loads(response.read())
        connection.close()
        return statuses

    async with Viewer(shared_gateway) as viewer:
        asking = asyncio.create_task(asyncio.to_thread(ask))
        while not asking.done():
            await shared_publisher.levels(n := fresh())
            await viewer.until_newest(levels=n)
        assert await asking == {200}


@pytest.mark.parametrize(
    "nonsense", [b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\x00" * 1000, b"GET / HTTP/1.1\r\n: x\r\n\r\n"]
)
async def test_invalid_bytes_on_the_port_trouble_no_viewer(shared_gateway: GatewayProcess, nonsense: bytes) -> None:
    reader, writer = await asyncio.open_connection(HOST, shared_gateway.port)
    writer.write(nonsense)
    writer.write_eof()
    await asyncio.wait_for(reader.read(), 20)
    writer.close()
    assert shared_gateway.ready


def test_the_openapi_document_is_made_without_a_warning(shared_gateway: GatewayProcess) -> None:
    assert shared_gateway.get("/openapi.json").status == 200
    assert "Warning" not in shared_gateway.stderr
