"""A payload as frames: framed once and compressed once, for any number of peers.

A server does not mask its frames (RFC 6455 §5.1), so their bytes are the same for every peer. The compressed frame
uses no context of the frame before (`server_no_context_takeover`, RFC 7692 §7.1.1.1), so it is the same for every peer
that negotiated the full window.
"""

import zlib
from functools import cached_property
from typing import Final

TEXT: Final = 0x81  # FIN and opcode 1, RFC 6455 §5.2
TEXT_DEFLATED: Final = 0xC1  # the same with RSV1, RFC 7692 §6
PING: Final = b"\x89\x00"  # an empty ping
FLUSH_TAIL: Final = b"\x00\x00\xff\xff"  # RFC 7692 §7.2.1 takes it off the end
COMPRESSION_LEVEL: Final = 1


class Frame:
    """The whole state at one moment. Each form is made when the first peer needs it, and then kept."""

    def __init__(self, payload: bytes, number: int = 0) -> None:
        """
        Args:
            payload: one complete JSON object, UTF-8.
            number: its position in the order of frames, from 1.
        """
        self.payload = payload
        self.number = number

    @cached_property
    def plain(self) -> bytes:
        """A text frame, as bytes on the wire."""
        return _header(TEXT, len(self.payload)) + self.payload

    @cached_property
    def deflated(self) -> bytes:
        """The same under permessage-deflate without context takeover."""
        deflate = zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = deflate.compress(self.payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
        body = body.removesuffix(FLUSH_TAIL)
        return _header(TEXT_DEFLATED, len(body)) + body

    @property
    def compression_ratio(self) -> float | None:
        """Compressed size by plain size; None while no peer has needed the compressed form."""
        made: bytes | None = self.__dict__.get("deflated")
        return None if made is None else len(made) / len(self.plain)

    @cached_property
    def text(self) -> str:
        """The payload alone, for peers whose own server does the framing."""
        return self.payload.decode()


def plain(frame: Frame) -> bytes:
    return frame.plain


def deflated(frame: Frame) -> bytes:
    return frame.deflated


def text(frame: Frame) -> str:
    return frame.text


def _header(first_byte: int, length: int) -> bytes:
    """RFC 6455 §5.2: the length in 7 bits, or in 16 or 64 bits that follow."""
    if length < 126:
        return bytes((first_byte, length))
    if length < 1 << 16:
        return bytes((first_byte, 126)) + length.to_bytes(2)
    return bytes((first_byte, 127)) + length.to_bytes(8)
