"""Real browsers inflate every frame exactly: a page hashes what it gets, and posts the hashes here."""

import asyncio
import gzip
import hashlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from signal import SIGTERM
from typing import Any, Final

import pytest

from src.gateway.delivery.hub import Hub
from src.gateway.delivery.stream_peer import PeerLimits, StreamPeer
from tests.documents import ROOT
from tests.waiting import until

pytestmark = pytest.mark.timeout(180)

FRAMES: Final = 1000
RECORDING: Final = ROOT.parent / "shared" / "real" / "core-session.jsonl.gz"
MINI_BROWSER: Final = min(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"), default=Path("MiniBrowser"))
BROWSERS: Final = {  # by the packages of Debian that bring them: how to run one without a screen
    "chromium": ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--user-data-dir={}"],
    "firefox-esr": ["firefox-esr", "--headless", "--no-remote", "--profile", "{}"],
    "webkit2gtk-driver xvfb xauth": ["xvfb-run", "-a", str(MINI_BROWSER)],
}
NO_SANDBOX: Final = {"WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1"}  # as root there is none; the page is ours
PAGE: Final = """\
<!doctype html>
<title>Hashes</title>
<script>
  const hashes = [];
  const hex = (digest) => [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  const socket = new WebSocket("ws://localhost:PORT/ws/stream");
  const post = (path, body) => fetch(path, { method: "POST", body: JSON.stringify(body) });
  let work = Promise.resolve();
  socket.onmessage = ({ data }) => {
    work = work.then(async () => {
      if (data === '{"end":true}') return post("/hashes", hashes);
      hashes.push(hex(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(data))));
    });
  };
  socket.onclose = ({ code, reason }) => post("/closed", [code, reason, socket.extensions]);
</script>
"""


class Posted(ThreadingHTTPServer):
    """Serves the page, and keeps what it posts, by path."""

    def __init__(self, page: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.page = page.encode()
        self.bodies: dict[str, Any] = {}


class _Handler(BaseHTTPRequestHandler):
    server: Posted

    def do_GET(self) -> None:
        self._answer(self.server.page)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies[self.path] = json.loads(body)
        self._answer(b"")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        return


def payloads() -> Iterator[bytes]:
    """States as Core's recording has them, where it is at hand; each a little different from the one before."""
    if RECORDING.exists():
        with gzip.open(RECORDING, "rt") as lines:
            bodies = [json.loads(line)["data"] for line, _ in zip(lines, range(100), strict=False)]
    else:
        bodies = [{"levels": [{"id": f"L{n}", "price": 687.25 + n * 0.25, "note": "x" * (n % 50)} for n in range(100)]}]
    for number in range(FRAMES):
        yield json.dumps({"n": number, "state": bodies[number % len(bodies)]}).encode()


@pytest.mark.parametrize("packages", BROWSERS)
async def test_a_browser_inflates_a_thousand_frames_exactly(packages: str, tmp_path: Path) -> None:
    command = BROWSERS[packages]
    if not all(shutil.which(program) for program in command if "Browser" in program or program == command[0]):
        missing = f"a browser is not installed (on Debian: apt install {packages})"
        if os.environ.get("CI"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    hub = Hub()
    loop = asyncio.get_running_loop()
    gateway = await loop.create_server(lambda: StreamPeer(hub, PeerLimits()), "127.0.0.1", 0)
    port = gateway.sockets[0].getsockname()[1]
    with Posted(PAGE.replace("PORT", str(port))) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        browser = await asyncio.create_subprocess_exec(
            *(argument.format(tmp_path) for argument in command),
            f"http://localhost:{pages.server_port}/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **NO_SANDBOX, "HOME": str(tmp_path)},
            start_new_session=True,  # xvfb-run leaves its child behind
        )
        try:
            await until(lambda: bool(hub.peers), "the page connects")
            sent = []
            for body in payloads():
                sent.append(hashlib.sha256(body).hexdigest())
                hub.publish(body)
                await until(lambda: hub.channel.idle.is_set() and not hub.behind, "the browser has taken the frame")
            hub.publish(b'{"end":true}')
            await until(lambda: bool(pages.bodies), "the page posts")
            assert pages.bodies == {"/hashes": sent}
            assert hub.counters.sent["deflate_dictionary"] >= FRAMES - 1, "each after the one before"
        finally:
            os.killpg(browser.pid, SIGTERM)
            await browser.wait()
            await until(lambda: not hub.peers, "the page is gone")
            pages.shutdown()
            gateway.close()
