"""`deploy/nginx` and `deploy/haproxy`: each configuration before two real gateways.

Only addresses, ports and paths are changed, because the real ones need root.
"""

import asyncio
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urljoin

import pytest

from src.demo.nats_server import HOST, free_port
from src.gateway.http.console_files import BUILT, PAGE
from src.gateway.settings import Settings
from tests.certificates import Authority
from tests.conftest import LaunchGateway
from tests.documents import ROOT
from tests.end_to_end.gateway_process import Answer, GatewayProcess
from tests.end_to_end.proxy_process import haproxy, nginx
from tests.end_to_end.publisher import Publisher
from tests.end_to_end.test_rolling_restart import Watcher, until_all_see
from tests.waiting import LIMIT_S, until

pytestmark = pytest.mark.timeout(120)

DEPLOY: Final = ROOT / "deploy"
VIEWERS: Final = 12
GATEWAYS: Final = ("127.0.0.1:8001", "127.0.0.1:8002")
CASES: Final = {"plain": "", "tls": "", "prefix": "/gw"}


class ProxyAddress(NamedTuple):
    """Where the proxy serves.

    Attributes:
        port: of the case itself.
        other_port: that which redirects to it, with TLS.
        trust: None without TLS.
        prefix: of each path.
    """

    port: int
    other_port: int
    trust: ssl.SSLContext | None
    prefix: str

    @property
    def url(self) -> str:
        return f"{'wss' if self.trust else 'ws'}://{HOST}:{self.port}{self.prefix}/ws/stream"

    def get(self, path: str) -> Answer:
        if self.trust is None:
            return got(HTTPConnection(HOST, self.port, timeout=LIMIT_S), path)
        return got(HTTPSConnection(HOST, self.port, timeout=LIMIT_S, context=self.trust), path)


def got(connection: HTTPConnection, path: str) -> Answer:
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def changed(text: str, changes: Mapping[str, str]) -> str:
    for before, after in changes.items():
        text = text.replace(before, after)
    return text


@contextmanager
def served(program: str, case: str, ports: list[int], folder: Path) -> Iterator[ProxyAddress]:
    """The proxy of a case before the gateways at these ports."""
    folder.mkdir()
    authority = Authority(folder)
    signed = authority.certificate("proxy")
    port, other_port = free_port(), free_port()
    trust = ssl.create_default_context(cafile=str(authority.ca)) if case == "tls" else None
    plain_port = other_port if case == "tls" else port
    both = folder / "spymaster.pem"
    both.write_bytes(signed.cert.read_bytes() + signed.key.read_bytes())
    changes = {
        **dict(zip(GATEWAYS, (f"{HOST}:{each}" for each in ports), strict=True)),
        "listen 80;": f"listen {HOST}:{plain_port};",
        "listen 443 ssl;": f"listen {HOST}:{port} ssl;",
        "bind :80\n": f"bind {HOST}:{plain_port}\n",
        "bind :443 ": f"bind {HOST}:{port} ",
        "/etc/nginx/spymaster/proxy.conf": str(DEPLOY / "nginx" / "proxy.conf"),
        "/etc/nginx/spymaster/cert.pem": str(signed.cert),
        "/etc/nginx/spymaster/key.pem": str(signed.key),
        "/etc/haproxy/spymaster.pem": str(both),
        "maxconn 20000 ": "maxconn 200 ",  # the tests may not open so many files
    }
    names = ("upstream.conf", f"{case}.conf") if program == "nginx" else ("common.cfg", f"{case}.cfg")
    texts = [changed((DEPLOY / program / name).read_text(), changes) for name in names]
    with ExitStack() as stack:
        if program == "nginx":
            stack.enter_context(nginx("\n".join(texts), port, folder))
        else:
            stack.enter_context(haproxy(texts, port, folder))
        yield ProxyAddress(port, other_port, trust, CASES[case])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("program", ["nginx", "haproxy"])
async def test_a_proxy_as_deployed_serves_all_and_a_rolling_restart_locks_nobody_out(
    program: str, case: str, make_gateway: LaunchGateway, publisher: Publisher, tmp_path: Path
) -> None:
    gateways = [make_gateway(GATEWAY_CONSUMERS="ephemeral") for _ in range(2)]
    await asyncio.gather(*(asyncio.to_thread(gateway.start) for gateway in gateways))
    await publisher.flow(0)
    async with AsyncExitStack() as stack:
        proxy = stack.enter_context(served(program, case, [gateway.port for gateway in gateways], tmp_path / "proxy"))
        await until_serving(proxy)
        see_that_pages_load(proxy)
        watchers = [Watcher(proxy.url, **({"ssl": proxy.trust} if proxy.trust else {})) for _ in range(VIEWERS)]
        for watcher in watchers:
            stack.callback(watcher.task.cancel)
        await until_all_see(watchers, 0)
        assert all(gateway.health()["connections"] for gateway in gateways), "viewers are spread"
        for number, gateway in enumerate(gateways, 1):
            await restart(gateway)
            await publisher.flow(number)
            await until_all_see(watchers, number)
            await until_serving(proxy)
        assert all(watcher.numbers == sorted(watcher.numbers) for watcher in watchers)


async def until_serving(proxy: ProxyAddress) -> None:
    """Return when new requests reach a gateway: HAProxy's first check may be to come."""
    await until(lambda: proxy.get(f"{proxy.prefix}/ready").status == 200, "a gateway behind the proxy")


async def restart(gateway: GatewayProcess) -> None:
    assert await asyncio.to_thread(gateway.stop) == 0
    await asyncio.to_thread(gateway.start)
    await until(lambda: gateway.ready, "it takes viewers again")


def see_that_pages_load(proxy: ProxyAddress) -> None:
    health = proxy.get(f"{proxy.prefix}/health")
    assert (health.status, json.loads(health.body)["service"]) == (200, "gateway")
    assert proxy.get(f"{proxy.prefix}/metrics").status == 404
    see_that_the_docs_load(proxy)
    page = proxy.get(f"{proxy.prefix}/")
    assert page.status == 200
    if (BUILT / PAGE).exists():
        loaded = re.findall(r'(?:src|href)="\./(assets/[^"]+)"', page.body.decode())
        assert len(loaded) == 3, "script, style and icon"
        assert {proxy.get(f"{proxy.prefix}/{name}").status for name in (*loaded, "client.js")} == {200}
    if proxy.prefix:
        redirect = proxy.get(proxy.prefix)
        assert (redirect.status, redirect.headers["Location"]) == (301, f"{proxy.prefix}/")
        assert proxy.get("/health").status == 404
    if proxy.trust:
        redirect = got(HTTPConnection(HOST, proxy.other_port, timeout=LIMIT_S), "/")
        assert (redirect.status, redirect.headers["Location"][:8]) == (301, "https://")


def see_that_the_docs_load(proxy: ProxyAddress) -> None:
    """The page names the description, and the description the server, by addresses that a browser resolves."""
    page = f"{proxy.prefix}/docs"
    (named,) = re.findall(r'"?url"?: [\'"]([^\'"]+)[\'"]', proxy.get(page).body.decode())
    described_at = urljoin(page, named)
    description = json.loads(proxy.get(described_at).body)
    (server,) = description["servers"]
    assert "/health" in description["paths"]
    assert proxy.get(urljoin(described_at, server["url"]).rstrip("/") + "/health").status == 200


def test_the_time_limits_are_longer_than_the_gateways() -> None:
    limits = re.findall(r"proxy_(?:read|send)_timeout (\d+)s;", (DEPLOY / "nginx" / "proxy.conf").read_text())
    limits += re.findall(r"timeout tunnel (\d+)s", (DEPLOY / "haproxy" / "common.cfg").read_text())
    assert len(limits) == 3
    settings = Settings()
    assert all(int(limit) > max(settings.ping_interval_s, settings.pong_timeout_s) for limit in limits)
