"""What the screens showed at a moment: the newest message of each subject whose time is not after it."""

import contextlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from src.common.bus import NATSBus
from src.common.messages import BadMessage
from src.common.ordered_consumer import StoredMessage
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from src.gateway.history.archive import Archive
from src.gateway.history.entries import flow_with_entry
from src.gateway.history.reader import span
from src.gateway.signals.freshness import Message
from src.gateway.signals.intake import read_levels
from src.gateway.signals.latest_state import LatestState
from src.gateway.signals.normalize import normalize_levels
from src.gateway.signals.shape import Contracts, Shape, shaped

MOST_READ: Final = 600  # messages of one subject that are looked through: a minute of a Core that is ten times as fast


class NotKept(Exception):
    """Nothing is known of that moment, or not yet; the text says what is."""


class Read(NamedTuple):
    """One message, read.

    Attributes:
        message: as its stream has it.
        ts_ms: Core's time in it, as the history has it.
        sections: what it changes of the state.
    """

    message: StoredMessage
    ts_ms: int
    sections: Mapping[str, Any]

    @property
    def is_levels(self) -> bool:
        return self.message.subject == LEVELS_SIGNALS

    @property
    def stored_ms(self) -> int:
        return self.message.stored_us // 1000


def read_message(message: StoredMessage, wall_baseline: float) -> Read | None:
    """None for a message that cannot be read, as on the live path."""
    try:
        return _read_levels(message, wall_baseline) if message.subject == LEVELS_SIGNALS else _read_flow(message)
    except BadMessage:
        return None


def _read_levels(message: StoredMessage, wall_baseline: float) -> Read:
    read = read_levels(message.body).value
    levels = normalize_levels(read, now_ms=message.stored_us // 1000, wall_baseline=wall_baseline)
    return Read(message, levels["ts"], {"levels": levels, "viewport": read.viewport})


def _read_flow(message: StoredMessage) -> Read:
    entry, section = flow_with_entry(message.body, seq=message.seq, stored_ms=message.stored_us // 1000)
    return Read(message, entry.ts_ms, {"flow": section})


class Scene:
    """The state of one moment, built message by message.

    Attributes:
        ts_ms: Core's time of the newest levels message, or of the flow while there is none; 0 before the first.
        messages: the newest of each section.
    """

    def __init__(self) -> None:
        self.ts_ms = 0
        self.messages: dict[str, Message] = {}
        self._state = LatestState()
        self._contracts: Contracts | None = None

    def add(self, read: Read) -> None:
        """A message comes."""
        for section, value in read.sections.items():
            setattr(self._state, section, value)
        if read.is_levels or self._state.levels is None:
            self.ts_ms = read.ts_ms
        if not read.is_levels:
            self._contracts = Contracts(self._state.flow)
        section = "levels" if read.is_levels else "flow"
        self.messages[section] = Message(read.message.seq, read.stored_ms, read.stored_ms - read.ts_ms)

    def sections(self, shape: Shape) -> dict[str, Any]:
        """Those that are asked for, and known."""
        return shaped(self._state.payload(), self._contracts, shape)


class Place(NamedTuple):
    """A scene, and the sequences of the messages that come next."""

    scene: Scene
    levels_seq: int
    flow_seq: int


async def place_at(bus: NATSBus, archive: Archive, at_ms: int, wall_baseline: float) -> Place:
    """The scene at a moment; where the streams begin later, an empty one at their beginning.

    Raises:
        NotKept: it has not been read back so far.
        LifeEnded: a stream was made anew.
    """
    reached_ms = archive.reached_ms
    if reached_ms is None:
        raise NotKept("the streams are empty")
    if not archive.reaches(at_ms):
        raise NotKept(f"the history is read back to {reached_ms} so far; try again in a few seconds")
    scene, next_seqs = Scene(), []
    before = {LEVELS_SIGNALS: archive.past.levels_before, MARKET_FLOW: archive.past.flow_before}
    for subject, seq_before in before.items():
        life = archive.life(subject)
        next_seq = seq_before(at_ms // 1000) or life.first_seq
        newest = None
        async with contextlib.aclosing(span(bus, subject, next_seq, next_seq + MOST_READ, life)) as messages:
            async for message in messages:
                read = read_message(message, wall_baseline)
                if read is not None and read.ts_ms > at_ms:
                    break
                newest, next_seq = read or newest, message.seq + 1
        if newest is not None:
            scene.add(newest)
        next_seqs.append(next_seq)
    return Place(scene, *next_seqs)
