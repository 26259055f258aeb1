"""Plain pages in a real Chromium, as the documents print them, served from another port."""

import functools
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser import chromium, require_browser
from tests.documents import README, ROOT, Document
from tests.end_to_end.crafted_gateway import now_ms
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.waiting import LIMIT_S

LIMIT_MS = LIMIT_S * 1000

pytestmark = pytest.mark.timeout(120)

PAGE = ROOT / "client" / "typescript" / "examples" / "page.html"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        return


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    """What `python3 -m http.server` does, for a folder."""
    (tmp_path / "pages").mkdir()
    handler = functools.partial(_Quiet, directory=str(tmp_path / "pages"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@asynccontextmanager
async def shown(page: str, gateway: GatewayProcess, pages: ThreadingHTTPServer, folder: Path) -> AsyncIterator[Page]:
    """A page as printed, with the address of this gateway, in a browser; it must run without an error."""
    require_browser()
    (folder / "pages" / "market.html").write_text(page.replace("localhost:8000", f"localhost:{gateway.port}"))
    async with chromium() as browser:
        opened = await browser.new_page()
        failures: list[str] = []
        opened.on("pageerror", lambda error: failures.append(str(error)))
        await opened.goto(f"http://localhost:{pages.server_port}/market.html")
        yield opened
        assert failures == []


async def test_the_page_of_the_package_shows_spot_and_state(
    gateway: GatewayProcess, publisher: Publisher, pages: ThreadingHTTPServer, tmp_path: Path
) -> None:
    async with shown(PAGE.read_text(), gateway, pages, tmp_path) as page:
        await publisher.levels(1)
        await expect(page.locator("#state")).to_have_text("replay", timeout=LIMIT_MS)
        await publisher.levels(2, ts=now_ms(), spy={"spot": 688})
        await expect(page.locator("#spot")).to_have_text("688", timeout=LIMIT_MS)
        await expect(page.locator("#state")).to_have_text("live", timeout=LIMIT_MS)


async def test_the_first_client_of_the_readme_shows_spot_and_that_it_is_disconnected(
    gateway: GatewayProcess, publisher: Publisher, pages: ThreadingHTTPServer, tmp_path: Path
) -> None:
    (printed,) = Document(README).code("html")
    async with shown(printed, gateway, pages, tmp_path) as page:
        await publisher.flow(1)
        await expect(page.locator("#market")).to_contain_text("no levels yet, received", timeout=LIMIT_MS)
        await publisher.levels(2, spy={"spot": 688})
        await expect(page.locator("#market")).to_contain_text("spot 688, received", timeout=LIMIT_MS)
        assert gateway.stop() == 0
        await expect(page.locator("#market")).to_have_text(
            "disconnected: 1001 the gateway is stopping; reconnect", timeout=LIMIT_MS
        )
