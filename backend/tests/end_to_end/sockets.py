"""Viewers that no well-behaved client would be: raw sockets that have done the handshake."""

import asyncio
import base64
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from src.demo.nats_server import HOST
from tests.end_to_end.gateway_process import GatewayProcess

PING: Final = 0x89
PONG: Final = 0x8A
TEXT: Final = 0x81
SMALL_BUFFER_BYTES: Final = 4096


async def raw_viewer(gateway: GatewayProcess) -> socket.socket:
    """A non-blocking socket after the handshake, with the smallest of receive buffers."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, (HOST, gateway.port))
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET /ws/stream HTTP/1.1\r\nHost: {HOST}:{gateway.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await loop.sock_sendall(raw, request.encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += await loop.sock_recv(raw, 1)
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    return raw


@asynccontextmanager
async def deaf_viewer(gateway: GatewayProcess) -> AsyncIterator[socket.socket]:
    """A viewer that reads nothing for as long as the `async with` lasts."""
    with await raw_viewer(gateway) as raw:
        yield raw


def client_frame(first_byte: int, body: bytes = b"") -> bytes:
    """A frame as a client has to send it, masked (with zeros)."""
    length = bytes((0x80 | len(body),)) if len(body) < 126 else b"\xfe" + len(body).to_bytes(2)
    return bytes((first_byte,)) + length + bytes(4) + body
