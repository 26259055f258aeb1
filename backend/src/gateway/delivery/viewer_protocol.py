"""Reads a viewer's frames with the sans-I/O core of websockets, and enforces RFC 6455 where that core is lenient.

Two checks are added. Text must be UTF-8 (§8.1): the core leaves that to the reader of the text, and the gateway reads
none. The check runs as bytes arrive, also within an unfinished frame, so a viewer that sends invalid text is closed at
the first wrong byte. And a close frame may come in the middle of a fragmented message (§5.4): the message is dropped
and the close frame answered.

A viewer that sends too many frames is not read to the end: one read may hold thousands of empty frames, and each costs
CPU.
"""

import codecs
import zlib
from collections.abc import Generator, Sequence
from typing import Final
from weakref import WeakSet

from websockets.datastructures import Headers
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import CTRL_OPCODES, CloseCode, Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.streams import StreamReader
from websockets.typing import ExtensionParameter, Subprotocol
from websockets.utils import apply_mask

FULL_WINDOW: Final = 15  # bits; a viewer needs this window for the shared frames, RFC 7692 §7.1.2.1
NO_TAKEOVER: Final = ("server_no_context_takeover", None)
MAX_INFLATERS: Final = 1000  # 45 KB each


class ViewerDeflate(PerMessageDeflate):
    """permessage-deflate with one viewer.

    The library makes a compressor (92 KB) for each viewer with context takeover. The hub compresses for all viewers at
    once, so the library is told that there is no takeover.

    A viewer's messages need no context, as negotiated. But some clients keep theirs all the same, so the inflater of a
    viewer's first compressed message is kept, for `MAX_INFLATERS` viewers at a time.

    Attributes:
        takes_over: whether the viewer keeps the window of the gateway's frames.
    """

    def __init__(self, agreed: PerMessageDeflate, *, takes_over: bool) -> None:
        super().__init__(True, True, agreed.remote_max_window_bits, agreed.local_max_window_bits)
        self.takes_over = takes_over

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        if frame.rsv1 and self.remote_no_context_takeover and len(_INFLATING) < MAX_INFLATERS:
            self.remote_no_context_takeover = False
            self.decoder = zlib.decompressobj(-self.remote_max_window_bits)
            _INFLATING.add(self)
        return super().decode(frame, max_size=max_size)


_INFLATING: Final[WeakSet[ViewerDeflate]] = WeakSet()


class DeflateFactory(ServerPerMessageDeflateFactory):
    """Negotiates context takeover for the gateway's frames, unless the viewer declines it; none for the viewer's."""

    def __init__(self) -> None:
        super().__init__(server_no_context_takeover=True, client_no_context_takeover=True)

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[ExtensionParameter], PerMessageDeflate]:
        response, agreed = super().process_request_params(params, accepted_extensions)
        takes_over = NO_TAKEOVER not in params and agreed.local_max_window_bits == FULL_WINDOW
        if takes_over:
            response.remove(NO_TAKEOVER)
        return response, ViewerDeflate(agreed, takes_over=takes_over)


DEFLATE: Final = (DeflateFactory(),)
Utf8: Final = codecs.getincrementaldecoder("utf-8")

LENGTH_FOLLOWS: Final = (126, 127)  # where the 7 bits of length say this, more bytes have it, RFC 6455 §5.2
RSV1: Final = 0x40


class PartsReader(StreamReader):
    """Remembers the parts of the current frame that were read: header, extended length if there is one, mask."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes | bytearray] = []

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        part = yield from super().read_exact(n)
        self.parts.append(part)
        return part

    def unfinished_text(self) -> bytes | None:
        """The payload that has arrived of a plain text or continuation frame; None for any other frame."""
        if not self.parts:
            return None
        first, second = self.parts[0]
        if first & RSV1 or first & 0x0F not in (Opcode.TEXT, Opcode.CONT):
            return None
        header_parts = 3 if second & 0x7F in LENGTH_FOLLOWS else 2
        if len(self.parts) != header_parts:
            return None
        return apply_mask(self.buffer, self.parts[-1])


class ViewerProtocol(ServerProtocol):
    """One viewer's side of the WebSocket.

    Attributes:
        answered_subprotocol: the subprotocol in the response; set before the handshake is accepted.
        frames_left: how many frames, of any kind, may come until it is set again; below 0 there were more, and the rest
            of that read is dropped.
        owes_pong: whether the next pong was asked for, and does not count.
    """

    def __init__(self, max_size: int) -> None:
        """
        Args:
            max_size: largest message that the viewer may send, in bytes.
        """
        super().__init__(extensions=DEFLATE, max_size=max_size)
        self.answered_subprotocol: Subprotocol | None = None
        self._text: codecs.IncrementalDecoder | None = None
        self._checked_bytes = 0
        self.frames_left = 0
        self.owes_pong = False
        self.reader: PartsReader = PartsReader()
        self.parser = self.parse()
        next(self.parser)

    def process_subprotocol(self, headers: Headers) -> Subprotocol | None:
        """Called for the handshake. Only admission control reads the offer: a token may be in it."""
        return self.answered_subprotocol

    @property
    def own_close_code(self) -> int | None:
        """The close code that the gateway sent, where the viewer had not sent one before."""
        return None if self.close_sent is None or self.close_rcvd_then_sent else self.close_sent.code

    @property
    def viewer_close_code(self) -> int:
        """The viewer's close code; 1006 where it sent none."""
        return CloseCode.ABNORMAL_CLOSURE if self.close_rcvd is None else self.close_rcvd.code

    def receive_data(self, data: bytes | bytearray) -> None:
        super().receive_data(data)
        if self.state is OPEN:
            self._check_unfinished()

    @property
    def between_frames(self) -> bool:
        """Whether the connection is open and no frame is half read."""
        return self.state is OPEN and not self.reader.parts and not self.reader.buffer

    def forget(self) -> None:
        """Break the reference cycles, so that a viewer's memory is free as soon as it leaves."""
        self.parser.close()
        self.parser_exc = self.handshake_exc = None  # their tracebacks

    def recv_frame(self, frame: Frame) -> None:
        """Called for each complete frame."""
        self.reader.parts.clear()
        if frame.opcode is Opcode.PONG and self.owes_pong:
            self.owes_pong = False
        else:
            self.frames_left -= 1
        if self.frames_left < 0:
            self.reader.discard()
            return
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        if frame.opcode not in CTRL_OPCODES:
            self._check(frame)
        super().recv_frame(frame)

    def _check(self, frame: Frame) -> None:
        """Raises UnicodeDecodeError, which the core answers with code 1007."""
        if frame.opcode is Opcode.TEXT and self._text is None:
            self._text = Utf8()
        self._decode(bytes(frame.data)[self._checked_bytes :], final=frame.fin)
        self._checked_bytes = 0
        if frame.fin:
            self._text = None

    def _check_unfinished(self) -> None:
        arrived = self.reader.unfinished_text()
        if arrived is None:
            return
        if self.reader.parts[0][0] & 0x0F == Opcode.TEXT and self._text is None:
            self._text = Utf8()
        try:
            self._decode(arrived[self._checked_bytes :], final=False)
        except UnicodeDecodeError:
            self.fail(CloseCode.INVALID_DATA, "text that is not UTF-8")
        self._checked_bytes = len(arrived)

    def _decode(self, payload: bytes, *, final: bool) -> None:
        if self._text is not None:
            self._text.decode(payload, final)
