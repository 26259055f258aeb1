"""The console with frames that a test makes up: what a real gateway says of a closed market, or of a replay."""

import asyncio
import contextlib
import json
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from src.gateway.http.console_files import BUILT, PAGE
from src.gateway.signals.intake import levels_message
from src.gateway.signals.normalize import normalize_levels
from src.simulator.pacing import Moment
from src.simulator.session import Session

TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
HEARTBEAT_S = 1.0
MIDDAY = Moment(0, 12 * 3600.0)


def now_ms() -> int:
    return int(time.time() * 1000)


def market_now() -> dict[str, Any]:
    """The sections of a simulated market, with the time of now."""
    snapshot = Session(3, datetime.now(UTC).date(), 12, 60).snapshot(MIDDAY)
    levels = normalize_levels(levels_message(snapshot.levels), now_ms=now_ms())
    return {"levels": {**levels, "ts": now_ms()}, "flow": snapshot.flow}


def section(verdict: str = "live", age_ms: int = 200, core_lag_ms: int | None = 12) -> dict[str, Any]:
    """What `status` says of one section."""
    published = now_ms() - age_ms
    return {
        "seq": 1,
        "age_ms": age_ms,
        "published_ms": published,
        "core_lag_ms": core_lag_ms,
        "verdict": verdict,
    }


def status(**further: Any) -> dict[str, Any]:
    """A section `status`: all is live, and the market trades, unless `further` says otherwise."""
    market = {"name": "XNYS", "open": True, "sentence": "Open; closes 16:00.", "opens_ms": None, "closes_ms": None}
    return {
        "seq": 1,
        "epoch": "crafted",
        "sent_ms": now_ms(),
        "heartbeat_ms": 1000,
        "skipped": {"frames": 0, "why": None},
        "cause": None,
        "explanation": None,
        "market": market,
        **further,
    }


class CraftedGateway:
    """Serves the built console, and sends each viewer `frame`, what it is told to `say`, and heartbeats."""

    def __init__(self, frame: dict[str, Any]) -> None:
        self.frame, self._said_ms = frame, now_ms()
        self.past: dict[str, Any] = {}  # by path, what it answers of the past; else it has none
        self._viewers: set[ServerConnection] = set()

    async def __aenter__(self) -> Self:
        self._server: Server = await serve(self._welcome, "127.0.0.1", 0, process_request=self._answer)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.stop()
        await self._server.wait_closed()

    def stop(self) -> None:
        """Drop all viewers, and take no more."""
        self._server.close(close_connections=True)

    async def say(self, **sections: Any) -> None:
        """Another frame, to all."""
        self.frame, self._said_ms = sections, now_ms()
        for viewer in self._viewers:
            await viewer.send(json.dumps(sections))

    async def _welcome(self, viewer: ServerConnection) -> None:
        self._viewers.add(viewer)
        with contextlib.suppress(ConnectionClosed):
            await viewer.send(json.dumps(self.frame))
            while True:
                await asyncio.sleep(HEARTBEAT_S)
                await viewer.send(json.dumps({"status": self._status_now()}))
        self._viewers.discard(viewer)

    def _status_now(self) -> dict[str, Any]:
        """The status of the last frame, with the ages of now."""
        said, passed_ms = self.frame["status"], now_ms() - self._said_ms
        sections = {name: said[name] for name in ("levels", "flow") if name in said}
        older = {name: {**of, "age_ms": of["age_ms"] + passed_ms} for name, of in sections.items()}
        return {**said, "sent_ms": now_ms(), **older}

    def _answer(self, _viewer: ServerConnection, request: Request) -> Response | None:
        path = request.path.partition("?")[0]
        if path == "/ws/stream":
            return None
        if path == "/health":
            return answer(b'{"nats_connected": true}', "application/json")
        if path == "/snapshot":
            return answer(b"{}", "application/json")
        if path in self.past:
            return answer(json.dumps(self.past[path]).encode(), "application/json")
        if path in ("/history", "/events"):
            return answer(b'{"detail": "no history here"}', "application/json", HTTPStatus.NOT_FOUND)
        file = BUILT / (PAGE if path == "/" else path.removeprefix("/"))
        return answer(file.read_bytes(), TYPES[file.suffix])


def answer(body: bytes, content_type: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    headers = Headers({"Content-Type": content_type, "Content-Length": str(len(body)), "Connection": "close"})
    return Response(status, status.phrase, headers, body)
