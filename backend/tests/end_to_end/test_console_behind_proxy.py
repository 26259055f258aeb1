"""The console in a real Chromium behind a real nginx: under a path, and with another `Host` than the page's."""

from pathlib import Path
from typing import Final

import pytest
from playwright.async_api import Browser, expect

from spymaster_client import stream
from src.demo.nats_server import HOST, free_port
from tests.browser import Complaints
from tests.conftest import LaunchGateway
from tests.end_to_end.proxy_process import nginx
from tests.end_to_end.publisher import Publisher
from tests.end_to_end.test_console import alive

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

# The page of localhost would be allowed without a list.
LISTED: Final = {"GATEWAY_ALLOWED_ORIGINS": "https://elsewhere.example.com", "GATEWAY_MARKET": "24x7"}
SERVER: Final = """
server {{
    listen {host}:{port};
    location /gw/ {{
        proxy_pass http://{host}:{to}/;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
        {headers}
    }}
}}
"""
OTHER_HOST: Final = ""  # nginx's default is the address of `proxy_pass`
NO_PORT: Final = "proxy_set_header Host $host;"


@pytest.mark.parametrize(
    "headers",
    [
        "proxy_set_header Host $http_host;",
        f"{OTHER_HOST} proxy_set_header X-Forwarded-Host $http_host;",
        f"{NO_PORT} proxy_set_header X-Forwarded-Host $http_host;",
    ],
    ids=["the page's host", "another host, and X-Forwarded-Host", "no port, and X-Forwarded-Host"],
)
async def test_the_console_and_the_clients_work_under_a_path(
    browser: Browser, make_gateway: LaunchGateway, core: Publisher, tmp_path: Path, headers: str
) -> None:
    gateway = make_gateway(**LISTED).start()
    port = free_port()
    server = SERVER.format(host=HOST, port=port, to=gateway.port, headers=headers)
    with nginx(server, port, tmp_path / "nginx"):
        page = await browser.new_page()
        complaints = Complaints(page, f"http://{HOST}:{port}/gw")
        await page.goto(f"http://{HOST}:{port}/gw")  # nginx adds the slash
        async with alive(core, page):
            await expect(page.locator("#round-trip")).to_contain_text("ms")
        assert await page.evaluate("document.styleSheets.length") == 1
        await page.add_script_tag(url="client.js")
        first = "new Promise(done => spymaster.connect('ws/stream').on('payload', p => done(Object.keys(p).sort())))"
        assert await page.evaluate(first) == ["flow", "levels", "status"]
        await page.close()
        assert complaints.all == []
        async with stream(f"ws://{HOST}:{port}/gw/ws/stream") as states:
            async for state in states:
                if state.payload is not None:
                    break
    assert gateway.health()["refused"] == {}


@pytest.mark.parametrize("headers", [OTHER_HOST, NO_PORT], ids=["another host", "no port"])
async def test_a_console_that_the_gateway_cannot_know_as_its_own_names_the_setting(
    browser: Browser, make_gateway: LaunchGateway, tmp_path: Path, headers: str
) -> None:
    gateway = make_gateway(**LISTED).start()
    port = free_port()
    with nginx(SERVER.format(host=HOST, port=port, to=gateway.port, headers=headers), port, tmp_path / "nginx"):
        page = await browser.new_page()
        await page.goto(f"http://{HOST}:{port}/gw/")
        await expect(page.locator("html")).to_have_attribute("data-state", "closed")
        await expect(page.locator("#reason")).to_contain_text("GATEWAY_ALLOWED_ORIGINS")
        await page.close()
    assert gateway.health()["refused"] == {"origin_refused": 1}
