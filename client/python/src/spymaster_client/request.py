"""Requests to the gateway of a stream, beside the stream."""

import asyncio
import http.client
import inspect
import json
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from websockets.exceptions import InvalidURI
from websockets.headers import build_authorization_basic
from websockets.uri import WebSocketURI, parse_uri

from spymaster_client.disconnect import Disconnect, disconnect_of_answer

Token = str | Callable[[], str | Awaitable[str]]

LIMIT_S: Final = 30.0
MAX_ANSWER_BYTES: Final = 64 << 20  # as for a frame


class RequestError(Exception):
    """A request was refused, or not answered.

    Attributes:
        disconnect: says why, as of a connection; `reconnect` is whether the same request may be answered later.
    """

    def __init__(self, disconnect: Disconnect) -> None:
        super().__init__(disconnect.explanation)
        self.disconnect = disconnect


async def headers_of(token: Token | None) -> Mapping[str, str]:
    """The header with the token; a function is asked for one."""
    sent = token() if callable(token) else token
    if inspect.isawaitable(sent):
        sent = await sent
    return {} if sent is None else {"Authorization": f"Bearer {sent}"}


def uri_of(url: str) -> WebSocketURI:
    """The parts of the address of a stream.

    Raises:
        ValueError: it is none.
    """
    try:
        return parse_uri(url)
    except (InvalidURI, ValueError):
        raise ValueError(f"{url!r} is not the address of a stream, such as ws://localhost:8000/ws/stream") from None


async def get(
    url: str, path: str, query: Mapping[str, object], token: Token | None, ssl_context: ssl.SSLContext | None
) -> Any:
    """The answer to `path` beside the stream at `url`, with the path prefix and the token of that.

    Args:
        query: what is None is left out; several values are separated by commas.

    Raises:
        RequestError: see there.
        ValueError: `url` is not the address of a WebSocket.
    """
    uri = uri_of(url)
    asked = {"token": parse_qs(uri.query).get("token"), **query}
    given = urlencode({name: _text(value) for name, value in asked.items() if value is not None})
    target = f"{uri.path.rsplit('/', 2)[0]}/{path}" + f"?{given}" * bool(given)
    try:
        headers = await headers_of(token)
    except Exception as error:  # the caller's function may raise anything, and may succeed next time
        raise RequestError(Disconnect(0, f"no token: {error}", True)) from error
    if uri.username is not None and not headers:
        headers = {"Authorization": build_authorization_basic(uri.username, uri.password or "")}
    try:
        return json.loads(await _exchanged(_connection(uri, ssl_context), target, headers))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RequestError(Disconnect(0, f"no answer: {error}", True)) from error


def _connection(uri: WebSocketURI, ssl_context: ssl.SSLContext | None) -> http.client.HTTPConnection:
    if uri.secure:
        return http.client.HTTPSConnection(uri.host, uri.port, timeout=LIMIT_S, context=ssl_context)
    return http.client.HTTPConnection(uri.host, uri.port, timeout=LIMIT_S)


async def _exchanged(connection: http.client.HTTPConnection, target: str, headers: Mapping[str, str]) -> bytes:
    """The body, from a thread; a caller that is cancelled leaves no request behind."""
    is_left = threading.Event()

    def exchange() -> bytes:
        try:
            connection.connect()
            if is_left.is_set():
                return b""
            connection.request("GET", target, headers=dict(headers))
            answer = connection.getresponse()
            body = answer.read(MAX_ANSWER_BYTES + 1)
            if answer.status != http.client.OK:
                raise RequestError(disconnect_of_answer(answer.status, answer.headers.get("Retry-After", ""), body))
            if len(body) > MAX_ANSWER_BYTES:
                raise ValueError(f"more than {MAX_ANSWER_BYTES} bytes")
            return body
        finally:
            connection.close()

    try:
        return await asyncio.to_thread(exchange)
    except asyncio.CancelledError:
        is_left.set()  # and then look: the thread connects first, and looks then
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)
        raise


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else str(value)
