"""The gateway's own port with TLS: served, renewed while viewers watch, and refused where the files are wrong."""

import asyncio
import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from signal import SIGHUP, SIGTERM
from typing import Any

import pytest
from cryptography import x509
from websockets.asyncio.client import ClientConnection, connect

from src.demo.nats_server import HOST, NatsServer
from tests.certificates import Authority, Certificate
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import BACKEND, GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.end_to_end.test_process import start_up_lines
from tests.waiting import LIMIT_S, until


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def files(authority: Authority) -> Certificate:
    return authority.certificate("first")


@pytest.fixture
def trust(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.ca)


@pytest.fixture(params=["1", "2"], ids=["one process", "two workers"])
async def gateway(make_gateway: LaunchGateway, files: Certificate, request: pytest.FixtureRequest) -> GatewayProcess:
    gateway = make_gateway(
        GATEWAY_TLS_CERT=str(files.cert), GATEWAY_TLS_KEY=str(files.key), GATEWAY_WORKERS=request.param
    ).launch()
    await until(lambda: gateway.takes_connections, "it listens")
    return gateway


def put(certificate: Certificate, files: Certificate) -> None:
    shutil.copy(certificate.cert, files.cert)
    shutil.copy(certificate.key, files.key)


def shown_by(gateway: GatewayProcess, trust: ssl.SSLContext) -> str:
    """The name in the certificate that a new connection is shown."""
    with (
        socket.create_connection((HOST, gateway.port), timeout=LIMIT_S) as plain,
        trust.wrap_socket(plain, server_hostname=HOST) as encrypted,
    ):
        shown = encrypted.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown).subject.rfc4514_string()


def get(gateway: GatewayProcess, trust: ssl.SSLContext, path: str) -> Any:
    connection = http.client.HTTPSConnection(HOST, gateway.port, timeout=LIMIT_S, context=trust)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def viewer_of(gateway: GatewayProcess, trust: ssl.SSLContext) -> connect:
    return connect(gateway.url().replace("ws://", "wss://"), ssl=trust, proxy=None, max_size=None)


async def flow_number(viewer: ClientConnection) -> int:
    async with asyncio.timeout(LIMIT_S):
        return int(json.loads(await viewer.recv())["flow"]["n"])


async def test_the_stream_and_the_routes_speak_tls(
    gateway: GatewayProcess, nats_server: NatsServer, publisher: Publisher, trust: ssl.SSLContext
) -> None:
    await publisher.flow(1, padding="x" * 100_000)
    async with viewer_of(gateway, trust) as viewer:
        assert await flow_number(viewer) == 1
        assert get(gateway, trust, "/health")["status"] == "healthy"
        assert get(gateway, trust, "/snapshot")["flow"]["n"] == 1
        gateway.signal(SIGTERM)
        await viewer.wait_closed()
        assert viewer.close_code == 1001
    assert await asyncio.to_thread(gateway.wait) == 0
    assert gateway.stdout == start_up_lines(nats_server.url, gateway.port), "as fixed, also where it is wss://"
    assert "with TLS" in gateway.stderr
    assert "Traceback" not in gateway.stderr


def test_the_images_health_check_believes_it(gateway: GatewayProcess) -> None:
    (check, _) = re.findall(r"^(?:\s+)?CMD (.*)$", (BACKEND / "Dockerfile").read_text(), re.MULTILINE)
    checked = subprocess.run([sys.executable, *json.loads(check)[1:]], env=gateway.environment)
    assert checked.returncode == 0


async def test_a_client_without_tls_is_told_and_harms_no_other(
    gateway: GatewayProcess, publisher: Publisher, trust: ssl.SSLContext
) -> None:
    await publisher.flow(1)
    async with viewer_of(gateway, trust) as viewer:
        assert await flow_number(viewer) == 1
        assert gateway.get("/health").status == 400
        await publisher.flow(2)
        assert await flow_number(viewer) == 2


async def test_a_new_certificate_counts_from_sighup_on_and_costs_no_viewer_anything(
    gateway: GatewayProcess, publisher: Publisher, authority: Authority, files: Certificate, trust: ssl.SSLContext
) -> None:
    await publisher.flow(1)
    async with AsyncExitStack() as stack:
        before = [await stack.enter_async_context(viewer_of(gateway, trust)) for _ in range(4)]
        for viewer in before:
            assert await flow_number(viewer) == 1
        put(authority.certificate("second"), files)
        assert shown_by(gateway, trust) == "CN=first"
        gateway.signal(SIGHUP)
        for _ in range(10):  # whichever worker takes it
            await until(lambda: shown_by(gateway, trust) == "CN=second", "the new certificate")
        async with viewer_of(gateway, trust) as after:
            await publisher.flow(2)
            for viewer in [*before, after]:
                while await flow_number(viewer) != 2:
                    pass


async def test_a_certificate_that_cannot_be_used_is_told_and_the_one_before_still_counts(
    gateway: GatewayProcess, authority: Authority, files: Certificate, trust: ssl.SSLContext
) -> None:
    other = authority.certificate("second")
    shutil.copy(other.cert, files.cert)
    gateway.signal(SIGHUP)
    await until(lambda: "GATEWAY_TLS_KEY is not the key of GATEWAY_TLS_CERT" in gateway.stderr, "the fault is told")
    assert shown_by(gateway, trust) == "CN=first"
    shutil.copy(other.key, files.key)
    gateway.signal(SIGHUP)
    await until(lambda: shown_by(gateway, trust) == "CN=second", "the next SIGHUP finds it repaired")


def test_files_that_cannot_be_used_end_the_start_with_one_line(make_gateway: LaunchGateway, files: Certificate) -> None:
    wrong = [
        {"GATEWAY_TLS_CERT": str(files.cert)},
        {"GATEWAY_TLS_CERT": str(files.cert), "GATEWAY_TLS_KEY": str(files.key) + ".missing"},
        {"GATEWAY_TLS_CERT": str(files.key), "GATEWAY_TLS_KEY": str(files.cert)},
    ]
    launched = [make_gateway(**settings).launch() for settings in wrong]
    for gateway in launched:
        assert gateway.wait() == 2
        (line,) = gateway.stderr.splitlines()
        assert "GATEWAY_TLS_" in line
        assert gateway.stdout == ""
