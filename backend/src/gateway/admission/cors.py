"""What lets a page of another origin read the plain HTTP routes: the CORS protocol of the Fetch standard.

Only origins that may connect to the stream are answered, each with itself and never with `*`. Cookies play no part.
"""

from collections.abc import Container, Sequence
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.gateway.admission.origins import Origins, asked_hosts
from src.gateway.refusals import ORIGIN_REFUSED

VARY: Final = {"Vary": "Origin"}  # a cache must not give one origin's answer to another
HOSTS: Final = ("Host", "X-Forwarded-Host")
PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD",
    "Access-Control-Allow-Headers": "Authorization",
    "Access-Control-Max-Age": "600",
}


class Cors:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, origins: Origins, paths: Container[str]) -> None:
        """
        Args:
            app: what answers.
            origins: which may read it.
            paths: on which routes; the others are answered as ever.
        """
        self._app = app
        self._origins = origins
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        request = Headers(scope=scope)
        extra = answer_headers(self._origins, request.getlist("Origin"), asked_hosts(*map(request.getlist, HOSTS)))
        if scope["method"] == "OPTIONS" and "Access-Control-Request-Method" in request:
            await _preflight(extra)(scope, receive, send)
            return

        async def send_with_extra(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(extra)
            await send(message)

        await self._app(scope, receive, send_with_extra)


def answer_headers(origins: Origins, named: list[str], hosts: Sequence[str]) -> dict[str, str]:
    """What an answer says besides.

    Args:
        origins: which may read it.
        named: the values of the header `Origin`.
        hosts: see `asked_hosts`.
    """
    if len(named) == 1 and origins.allow(named[0], hosts):
        exposed = "Retry-After, WWW-Authenticate"
        return VARY | {"Access-Control-Allow-Origin": named[0], "Access-Control-Expose-Headers": exposed}
    return VARY


def _preflight(extra: dict[str, str]) -> Response:
    """What a browser asks before it sends a token."""
    if "Access-Control-Allow-Origin" in extra:
        return Response(status_code=204, headers=extra | PREFLIGHT)
    return JSONResponse({"detail": ORIGIN_REFUSED.detail}, ORIGIN_REFUSED.status, extra)
