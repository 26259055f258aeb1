"""A payload as frames: framed once and compressed once, for any number of peers.

A server does not mask its frames (RFC 6455 §5.1), so their bytes are the same for every peer. Compression keeps them
so, in two forms. `deflated` uses no context of the frame before (`server_no_context_takeover`, RFC 7692 §7.1.1.1).
`deflated_after` uses the payload of one earlier frame as dictionary: with context takeover a receiver's window is the
last 32 KB that it inflated, and that is equal for all peers that were sent the same compressed frame last.
"""

import zlib
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, NamedTuple

TEXT: Final = 0x81  # FIN and opcode 1, RFC 6455 §5.2
TEXT_DEFLATED: Final = 0xC1  # the same with RSV1, RFC 7692 §6
FLUSH_TAIL: Final = b"\x00\x00\xff\xff"  # RFC 7692 §7.2.1 takes it off the end
COMPRESSION_LEVEL: Final = 1
# Of a payload that the window holds whole, and of a larger one. Measured on two recorded sessions with a frame for each
# pair of messages; mean bytes and time at levels 1, 3, 6 and 9. 17.7 KB a frame: 878, 674, 526 and 489 bytes in 43, 43,
# 98 and 116 µs. 54 KB: 13.7, 12.6, 11.4 and 11.2 KB in 0.3, 0.5, 1.0 and 1.6 ms. Without one, at level 1: 4.5 KB.
DICTIONARY_LEVEL: Final = 6
LARGE_DICTIONARY_LEVEL: Final = 3
VARIANT_BITS: Final = 32
POSITION_BITS: Final = 40
WINDOW_BYTES: Final = 1 << zlib.MAX_WBITS


class Last(NamedTuple):
    """The frame that a peer was sent last.

    Attributes:
        number: 0 where it was sent none.
        payload: None where it was sent none, or where the payload is no longer kept.
    """

    number: int
    payload: bytes | None


class Frame:
    """The whole state at one moment. Each form is made when the first peer needs it, and then kept.

    Attributes:
        number: of the state and the variant; unique among the frames of a channel.
        messages: which ones it shows, for the stamp of its channel.
    """

    def __init__(
        self, payload: bytes, state: int = 0, variant: int = 0, messages: object = None, position: int = 0
    ) -> None:
        """
        Args:
            payload: one complete JSON object, UTF-8.
            state: its position in the order of states, from 1.
            variant: of frames that show the same state, from 0 to 2^32 - 1.
            messages: as the attribute.
            position: up to which it tells events; 0 where it tells none.
        """
        self.payload = payload
        self.number = number_of(state, variant, position)
        self.messages = messages
        self._after: dict[int, bytes] = {}

    @cached_property
    def plain(self) -> bytes:
        """A text frame, as bytes on the wire."""
        return _header(TEXT, len(self.payload)) + self.payload

    @cached_property
    def deflated(self) -> bytes:
        """The same under permessage-deflate without context takeover."""
        return _deflated(self.payload, zlib.compressobj(COMPRESSION_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS))

    def deflated_after(self, last: Last) -> bytes:
        """The same for peers whose last compressed frame was `last`; without a dictionary where there is none."""
        if last.payload is None:
            return self.deflated
        wire = self._after.get(last.number)
        if wire is None:
            level = DICTIONARY_LEVEL if len(self.payload) <= WINDOW_BYTES else LARGE_DICTIONARY_LEVEL
            deflate = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS, zdict=last.payload[-WINDOW_BYTES:])
            wire = self._after[last.number] = _deflated(self.payload, deflate)
        return wire

    @property
    def compression_ratio(self) -> float | None:
        """Smallest compressed size by plain size; None while no peer has needed a compressed form."""
        made = [*self._after.values(), *filter(None, [self.__dict__.get("deflated")])]
        return min(map(len, made)) / len(self.plain) if made else None

    @cached_property
    def text(self) -> str:
        """The payload alone, for peers whose own server does the framing."""
        return self.payload.decode()


def number_of(state: int, variant: int = 0, position: int = 0) -> int:
    """The number of a frame: by state, then by the position up to which it tells events, then by variant."""
    return (state << POSITION_BITS | position) << VARIANT_BITS | variant


def state_of(number: int) -> int:
    """The state that the frame with this number shows; 0 for none."""
    return number >> VARIANT_BITS + POSITION_BITS


def position_of(number: int) -> int:
    """Up to where the frame with this number tells events; 0 where it tells none."""
    return number >> VARIANT_BITS & (1 << POSITION_BITS) - 1


def shown_of(number: int) -> int:
    """State and position of the frame with this number, in one: a frame with a larger one shows something newer."""
    return number >> VARIANT_BITS


Form = Callable[[Frame, Last], Any]
"""The bytes or text of a frame, for peers that were sent `Last`."""


def plain(frame: Frame, _last: Last) -> bytes:
    return frame.plain


def deflated(frame: Frame, _last: Last) -> bytes:
    return frame.deflated


def deflated_after_last(frame: Frame, last: Last) -> bytes:
    return frame.deflated_after(last)


def text(frame: Frame, _last: Last) -> str:
    return frame.text


FORM_NAMES: Final[dict[Form, str]] = {plain: "plain", deflated: "deflate", text: "text"}


def form_name(form: Form, last: Last) -> str:
    """The form as metrics name it; one with a dictionary differs from one without."""
    if form is deflated_after_last:
        return "deflate" if last.payload is None else "deflate_dictionary"
    return FORM_NAMES.get(form, form.__name__)


def _deflated(payload: bytes, deflate: "zlib._Compress") -> bytes:
    body = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
    body = body.removesuffix(FLUSH_TAIL)
    return _header(TEXT_DEFLATED, len(body)) + body


def _header(first_byte: int, length: int) -> bytes:
    """RFC 6455 §5.2: the length in 7 bits, or in 16 or 64 bits that follow."""
    if length < 126:
        return bytes((first_byte, length))
    if length < 1 << 16:
        return bytes((first_byte, 126)) + length.to_bytes(2)
    return bytes((first_byte, 127)) + length.to_bytes(8)
