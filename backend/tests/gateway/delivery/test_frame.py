"""The prepared bytes, read back by the library that viewers use."""

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame as ReadFrame
from websockets.frames import Opcode
from websockets.streams import StreamReader

from src.gateway.delivery.frame import Frame

SIZES = [2, 125, 126, 127, 65_535, 65_536, 300_000]


def payload_of(size: int) -> bytes:
    return b'"' + bytes(ord("a") + (n * n) % 26 for n in range(size - 2)) + b'"'


def read(wire: bytes, *, deflate: bool) -> ReadFrame:
    """As a client reads one frame; fails when bytes are left."""
    reader = StreamReader()
    reader.feed_data(wire)
    extensions = [PerMessageDeflate(True, True, 15, 15)] if deflate else []
    parser = ReadFrame.parse(reader.read_exact, mask=False, extensions=extensions)
    with pytest.raises(StopIteration) as parsed:
        next(parser)
    assert not reader.buffer, "one frame and no more"
    frame: ReadFrame = parsed.value.value
    return frame


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("deflate", [False, True], ids=["plain", "deflated"])
def test_a_frame_is_one_complete_text_message(size: int, deflate: bool) -> None:
    frame = Frame(payload_of(size))
    received = read(frame.deflated if deflate else frame.plain, deflate=deflate)
    assert (received.opcode, received.fin, bytes(received.data)) == (Opcode.TEXT, True, frame.payload)


def test_every_peer_gets_the_same_bytes() -> None:
    frame = Frame(b'{"levels":{}}')
    assert frame.plain is frame.plain
    assert frame.deflated is frame.deflated
    assert frame.text is frame.text


def test_a_deflated_frame_needs_nothing_of_the_one_before() -> None:
    frames = [Frame(payload_of(size)) for size in (5000, 5000, 4000)]
    for frame in reversed(frames):
        assert bytes(read(frame.deflated, deflate=True).data) == frame.payload
