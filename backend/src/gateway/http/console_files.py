"""The files that `make console` builds, in memory, with the headers that let browsers cache them.

Without a build there is a short page that says how to make one.
"""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse

BUILT: Final = Path(__file__).parent / "console"
PAGE: Final = "index.html"
ASSETS: Final = "assets"
CLIENT: Final = "client.js"

# Scripts, styles and pictures of our own only. The stream is named by scheme: not every browser counts it as 'self'.
POLICY: Final = (
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
SECURITY: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
ASK_AGAIN: Final = "no-cache"  # keep it, and ask with its ETag
FOR_EVER: Final = "public, max-age=31536000, immutable"  # the name of an asset holds a hash of its content
WORTH_PACKING_BYTES: Final = 1024

CLIENT_NOT_BUILT: Final = "not built: run `make console`, then start the gateway again"
NOT_BUILT: Final = b"""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Spymaster Gateway</title>
<h1>The gateway runs. Its console is not built.</h1>
<p>In the checkout: <code>make console</code>, then start the gateway again. <code>make demo</code> does both.
It needs Node 20.19 or later, or a network to install one.</p>
<p>Without it: <a href="health">/health</a>, <a href="snapshot">/snapshot</a>, <a href="docs">/docs</a>, and the
stream at <code>/ws/stream</code>.</p>
</html>
"""


@dataclass(frozen=True, slots=True)
class ConsoleFile:
    """One file, as it is sent.

    Attributes:
        packed: compressed with gzip; None where that saves nothing.
    """

    body: bytes
    packed: bytes | None
    media_type: str
    caching: str
    etag: str

    def answer(self, request: Request) -> Response:
        """The file, or 304 where the browser's copy is up to date."""
        packed = self.packed is not None and "gzip" in request.headers.get("accept-encoding", "")
        etag = f'"{self.etag}-gzip"' if packed else f'"{self.etag}"'
        headers = {**SECURITY, "Cache-Control": self.caching, "ETag": etag, "Vary": "Accept-Encoding"}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if packed:
            headers["Content-Encoding"] = "gzip"
        return Response(self.packed if packed else self.body, media_type=self.media_type, headers=headers)


class ConsoleFiles:
    """The page with its assets, and the TypeScript client as one script for other pages."""

    def __init__(self, folder: Path = BUILT) -> None:
        """Read a build; without one there is the short page and nothing else."""
        page = folder / PAGE
        self.page = _file(page.read_bytes() if page.exists() else NOT_BUILT, PAGE, ASK_AGAIN)
        client = folder / CLIENT
        self.client = _file(client.read_bytes(), CLIENT, ASK_AGAIN) if client.exists() else None
        assets = sorted((folder / ASSETS).glob("*"))
        self.assets: Mapping[str, ConsoleFile] = {
            path.name: _file(path.read_bytes(), path.name, FOR_EVER) for path in assets
        }


def console_router(folder: Path = BUILT) -> APIRouter:
    """The page at `/`, the assets that it loads, and `/client.js`."""
    router = APIRouter(include_in_schema=False)
    console = ConsoleFiles(folder)

    @router.head("/")
    @router.get("/")
    async def console_page(request: Request) -> Response:
        return console.page.answer(request)

    @router.head("/client.js")
    @router.get("/client.js")
    async def client_script(request: Request) -> Response:
        return console.client.answer(request) if console.client else JSONResponse({"detail": CLIENT_NOT_BUILT}, 404)

    @router.head("/assets/{name}")
    @router.get("/assets/{name}")
    async def console_asset(request: Request, name: str) -> Response:
        asset = console.assets.get(name)
        if asset is None:
            raise HTTPException(404)
        return asset.answer(request)

    return router


def _file(body: bytes, name: str, caching: str) -> ConsoleFile:
    packed = gzip.compress(body, mtime=0) if len(body) >= WORTH_PACKING_BYTES else None
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    etag = hashlib.sha256(body).hexdigest()[:16]
    return ConsoleFile(body, packed if packed and len(packed) < len(body) else None, media_type, caching, etag)
