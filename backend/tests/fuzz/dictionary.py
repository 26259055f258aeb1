"""Pieces of what viewers and Core send; fuzzers put them together in ways that nobody would."""

from soak.hostile_viewers import client_frame
from tests.fuzz.gateway_under_test import DEFLATE, UPGRADE

WORDS = (
    *(b"GET", b"POST", b" /ws/stream", b" /health", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"\r\n", b"\n", b": ", b","),
    *(b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n", b"Host: x\r\n", UPGRADE, DEFLATE),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n"),
    *(b"0\r\n\r\n", b"5\r\nhello\r\n", b"GET /snapshot HTTP/1.1\r\n\r\n"),
    *(client_frame(first) for first in (0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0x41, 0x91, 0x8B)),
    *(client_frame(0x81, b"\xff"), client_frame(0x88, b"\x03\xe8"), client_frame(0x82, bytes(5000)), b"\x82\xff"),
    *(b'{"ts":', b'"levels":', b'"viewport":', b'"targets":[', b'"spy":{', b"NaN", b"1e999"),
    *(b"[", b"{", b"]", b"}", b'"', b","),
)
