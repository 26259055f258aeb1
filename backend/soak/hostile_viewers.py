"""What hostile viewers send, as bytes: in the soak by the thousand, in the tests one by one."""

import zlib
from typing import Final

HOST: Final = "127.0.0.1"
PATH: Final = "/ws/stream"

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A  # FIN set, RFC 6455 §5.2
FIN: Final = 0x80
RSV1: Final = 0x40
MASKED: Final = 0x80
OFFER: Final = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"


def upgrade_request(port: int, *, deflate: bool = False, query: str = "") -> bytes:
    """The handshake, as a browser does it."""
    return (
        f"GET {PATH}{query and '?'}{query} HTTP/1.1\r\nHost: {HOST}:{port}\r\nOrigin: http://{HOST}:{port}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{OFFER if deflate else ''}\r\n"
    ).encode()


def client_frame(first_byte: int, body: bytes = b"", *, announced: int | None = None) -> bytes:
    """A frame as a client has to send it, masked (with zeros).

    Args:
        first_byte: FIN, reserved bits and opcode.
        announced: the length that the header tells, where it is not that of the body.
    """
    length = len(body) if announced is None else announced
    if length < 126:
        size = bytes((MASKED | length,))
    elif length < 1 << 16:
        size = bytes((MASKED | 126,)) + length.to_bytes(2)
    else:
        size = bytes((MASKED | 127,)) + length.to_bytes(8)
    return bytes((first_byte,)) + size + bytes(4) + body


def deflated_zeros(inflated_bytes: int) -> bytes:
    """The body of a compressed message of zeros, about a thousandth of their number long."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(bytes(inflated_bytes)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return body.removesuffix(b"\x00\x00\xff\xff")  # RFC 7692 §7.2.1


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return client_frame(CLOSE, code.to_bytes(2) + reason)


# The code that each is closed with, where it is closed for that.
PROTOCOL_ERROR_CODES: Final = {
    "a frame without a mask": (bytes((TEXT, 2)) + b"hi", 1002),
    "a reserved bit": (client_frame(TEXT | 0x20), 1002),
    "compressed without agreement": (client_frame(CONTINUATION | RSV1), 1002),
    "an unknown opcode": (client_frame(FIN | 0x03), 1002),
    "an unknown control opcode": (client_frame(FIN | 0x0B), 1002),
    "a fragmented ping": (client_frame(PING & ~FIN), 1002),
    "a ping of 126 bytes": (client_frame(PING, b"x" * 126), 1002),
    "a continuation of nothing": (client_frame(CONTINUATION, b"x"), 1002),
    "text amid a fragmented message": (client_frame(TEXT & ~FIN, b"a") + client_frame(TEXT, b"b"), 1002),
    "a close of one byte": (client_frame(CLOSE, b"\x03"), 1002),
    "a close code of 0": (close_frame(0), 1002),
    "a close code of 999": (close_frame(999), 1002),
    "a close code that is reserved": (close_frame(1005), 1002),
    "a close code of 65535": (close_frame(65535), 1002),
    "a close reason that is not UTF-8": (close_frame(1000, b"\xff"), 1007),
    "HTTP": (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", 1002),
    "zeros": (bytes(1000), 1002),
    "text that is not UTF-8": (client_frame(TEXT, b"\xff"), 1007),
    "half a character": (client_frame(TEXT, b"\xc3"), 1007),
    "a character cut by a fragment": (client_frame(TEXT & ~FIN, b"\xc3") + client_frame(CONTINUATION, b"("), 1007),
    "a surrogate in UTF-8": (client_frame(TEXT, b"\xed\xa0\x80"), 1007),
    "a megabyte announced": (client_frame(BINARY, announced=1 << 20), 1009),
    "an exabyte announced": (client_frame(BINARY, announced=1 << 60), 1009),
    "a message too large in fragments": (
        client_frame(BINARY & ~FIN, bytes(4000)) + client_frame(CONTINUATION & ~FIN, bytes(4000)),
        1009,
    ),
}

# For viewers with permessage-deflate; each frame is below the usual limit of 4096 bytes, what comes out is far above.
BOMBS: Final = {
    "a bomb of 3 MB": client_frame(BINARY | RSV1, deflated_zeros(3 << 20)),
    "a bomb of 10 MB in fragments": client_frame(BINARY & ~FIN | RSV1, deflated_zeros(10 << 20)[:4000])
    + client_frame(CONTINUATION, deflated_zeros(10 << 20)[4000:8000]),
}

# Before there is a WebSocket.
UNFINISHED: Final = {
    "nothing": b"",
    "half a request": b"GET /ws/stream HTTP/1.1\r\nHost: x\r\nUpg",
    "half a body": b"POST /snapshot HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nhello",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "a question": b"GET /snapshot HTTP/1.1\r\nHost: x\r\n\r\n",
    "another path": b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n",
    "several questions": 5 * b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    "an upgrade with a body": upgrade_request(80).replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\nabc"),
    "an upgrade without a key": b"GET /ws/stream HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
}
