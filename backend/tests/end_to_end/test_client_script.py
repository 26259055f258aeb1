"""`/client.js` in a real Chromium: the plain page that the client's README prints, served from another port."""

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser import chromium, require_browser
from tests.documents import ROOT
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.waiting import LIMIT_S

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


async def test_the_printed_page_shows_spot_and_state(
    gateway: GatewayProcess, publisher: Publisher, pages: ThreadingHTTPServer, tmp_path: Path
) -> None:
    require_browser()
    printed = PAGE.read_text()
    assert printed.count("localhost:8000") == 2
    text = printed.replace("localhost:8000", f"localhost:{gateway.port}")
    (tmp_path / "pages" / "index.html").write_text(text)
    async with chromium() as browser:
        page = await browser.new_page()
        failures: list[str] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        await page.goto(f"http://localhost:{pages.server_port}/")
        await publisher.levels(1)
        await expect(page.locator("#state")).to_have_text("late", timeout=LIMIT_S * 1000)
        await publisher.levels(2, spy={"spot": 688})
        await expect(page.locator("#spot")).to_have_text("688", timeout=LIMIT_S * 1000)
        await expect(page.locator("#state")).to_have_text("live", timeout=LIMIT_S * 1000)
        assert failures == []
