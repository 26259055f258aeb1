"""What a gateway process and its history process say to each other, over a Unix socket.

Each message is a length of 4 bytes, most significant first, and MessagePack. Both ends run the same code.
"""

import asyncio
import socket
from typing import Final

import msgspec
from msgspec import Struct

from src.gateway.history.replay_query import ReplayAsked
from src.gateway.signals.contract import Event
from src.gateway.signals.freshness import Message as SectionMessage
from src.gateway.signals.shape import Shape

LARGEST_BYTES: Final = 64 << 20  # of one message: the longest history is 20 MB
LENGTH_BYTES: Final = 4


class Ask(Struct, tag=True):
    """A request: its number, which the answer repeats, path and query as of HTTP, and whether gzip is accepted."""

    number: int
    path: str
    query: str
    takes_gzip: bool = False


class Answer(Struct, tag=True):
    """The answer: an HTTP status, and a body, which is JSON, maybe compressed by gzip."""

    number: int
    status: int
    body: bytes
    is_gzip: bool = False


class Verdict(Struct, tag=True):
    """The verdict of a section has changed, by the clock of a gateway process."""

    section: str
    before: str
    after: str
    now_ms: int


class Begin(Struct, tag=True):
    """The events that are kept, to a process that has just connected.

    Attributes:
        since: the cursor from which on none is missing.
        cursor: up to which they go.
        events: by their last occurrence.
    """

    since: str
    cursor: str
    events: list[Event]


class News(Struct, tag=True):
    """Events that are new, or count one more."""

    cursor: str
    events: list[Event]


class Play(Struct, tag=True):
    """The first message of a connection that is for a replay: what its viewer asks for."""

    shape: Shape
    asked: ReplayAsked


class Change(Struct, tag=True):
    """What the viewer of a replay asks for later."""

    asked: ReplayAsked


class Played(Struct, tag=True):
    """A state of a replay.

    Attributes:
        payload: JSON.
        messages: those that it shows, by section.
        at_ms: Core's time, ms since 1970 UTC.
        speed: times Core's own.
        paused: whether it stands still.
        is_at_end: whether nothing newer has been stored.
    """

    payload: bytes
    messages: dict[str, SectionMessage]
    at_ms: int
    speed: float
    paused: bool
    is_at_end: bool


class Ended(Struct, tag=True):
    """A replay cannot go on; for people."""

    why: str


class Progress(Struct, tag=True, frozen=True):
    """How far the history has been read; told when it has changed, once a second at most.

    Attributes:
        cursor: up to which the events go.
        oldest_ms: Core's time from which on all has been read, ms since 1970 UTC; None: there is nothing.
        complete: whether that is the oldest one of the stream.
        events: how many are kept.
    """

    cursor: str
    oldest_ms: int | None
    complete: bool
    events: int


Message = Ask | Answer | Verdict | Begin | News | Progress | Play | Change | Played | Ended
_DECODER: Final = msgspec.msgpack.Decoder(Message)
_ENCODER: Final = msgspec.msgpack.Encoder()


async def connect(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the history process.

    Args:
        path: of its Unix socket, maybe an abstract one, which uvloop does not connect to by itself.

    Raises:
        OSError: it does not listen.
    """
    line = socket.socket(socket.AF_UNIX)
    try:
        line.setblocking(False)
        line.connect(path)  # at once, or not at all
    except OSError:
        line.close()
        raise
    return await asyncio.open_unix_connection(sock=line)


def write(writer: asyncio.StreamWriter, message: Message) -> None:
    """Hand a message to the transport; the caller bounds what waits there."""
    body = _ENCODER.encode(message)
    writer.write(len(body).to_bytes(LENGTH_BYTES) + body)


async def read(reader: asyncio.StreamReader) -> Message:
    """The next message.

    Raises:
        EOFError: the other end is gone.
        ConnectionError: likewise.
    """
    length = int.from_bytes(await reader.readexactly(LENGTH_BYTES))
    assert length <= LARGEST_BYTES, "both ends are of this program"
    message: Message = _DECODER.decode(await reader.readexactly(length))
    return message
