"""The past in memory: what the messages of the last day said, a second a cell.

It is a function of the set of messages that it was given, in whatever order they came. So it may be filled from the
newest message backwards while the live end grows, and two gateways that read the same stream answer alike. It belongs
to one life of the streams: sequences that begin again need another `Past`.

Seconds are Core's. A Core that replays a day publishes old seconds after new ones, perhaps several times. So a block
holds a quarter of an hour of Core's time, of those messages that NATS stored in one quarter of a day.
"""

from array import array
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from src.gateway.history.block import SECONDS, Block
from src.gateway.history.entries import FlowEntry, LevelsEntry

STORED_IN_MS: Final = 6 * 3_600_000
LOOK_BACK_MS: Final = 7 * 24 * 3_600_000  # a time before that is an error of Core's, or another day that it replayed

# 24 hours, the quarter that grows, and 7 spare ones: for what crosses a quarter of a day, and for odd times. The bound
# of the memory: of more blocks, those stay which NATS stored last, and of these the newest by Core's time. A year 9999
# costs one block; what Core replays is there at once; hours without a message cost nothing.
# Measured (`benchmarks.past`): a day takes 39 MB with 16 levels and 71 MB with 40. The most that a Core can cause, 64
# levels and 1,024 long names in each block, took 135 MB.
MAX_BLOCKS: Final = 24 * 4 + 1 + 7


class Layer(NamedTuple):
    """A block, and the second since 1970 with which it begins."""

    start_s: int
    block: Block


class _Key(NamedTuple):
    """When NATS stored the messages of a block, and which quarter of an hour it is by Core's time, both since 1970."""

    stored_in: int
    quarter: int


class _Newest(NamedTuple):
    seq: int
    ts_ms: int


class Past:
    """Grows with each message; `history.py` reads it."""

    def __init__(self, max_blocks: int = MAX_BLOCKS) -> None:
        self._max_blocks = max_blocks
        self._blocks: dict[_Key, Block] = {}
        self._newest_levels: _Newest | None = None
        self._newest_flow: _Newest | None = None

    def add_levels(self, entry: LevelsEntry) -> None:
        assert entry.seq >= 1, "sequences of a stream begin at 1"
        if self._newest_levels is None or entry.seq > self._newest_levels.seq:
            self._newest_levels = _Newest(entry.seq, entry.ts_ms)
        block = self._block(entry)
        if block is not None:
            block.add_levels(entry.ts_ms // 1000 % SECONDS, entry)

    def add_flow(self, entry: FlowEntry) -> None:
        assert entry.seq >= 1, "sequences of a stream begin at 1"
        if self._newest_flow is None or entry.seq > self._newest_flow.seq:
            self._newest_flow = _Newest(entry.seq, entry.ts_ms)
        block = self._block(entry)
        if block is not None:
            block.add_flow(entry.ts_ms // 1000 % SECONDS, entry)

    @property
    def newest_ms(self) -> int | None:
        """Core's time of the newest message: of the levels, or of the flow where there are none; None at first."""
        newest = self._newest_levels or self._newest_flow
        return None if newest is None else newest.ts_ms

    @property
    def oldest_ms(self) -> int | None:
        """The first second that has a message of that kind, in the week before `newest_ms`; None at first."""
        newest_ms = self.newest_ms
        if newest_ms is None:
            return None
        oldest_ms = newest_ms - newest_ms % 1000
        for start_s, block in self._layers():
            first = block.first_flow if self._newest_levels is None else block.first_levels
            if first is not None and 0 <= newest_ms - (start_s + first) * 1000 <= LOOK_BACK_MS:
                oldest_ms = min(oldest_ms, (start_s + first) * 1000)
        return oldest_ms

    def layers(self, from_s: int, to_s: int) -> list[Layer]:
        """The blocks with seconds of from_s <= s < to_s, by time; those of equal time in the order of the stream."""
        return [layer for layer in self._layers() if layer.start_s < to_s and layer.start_s + SECONDS > from_s]

    def levels_before(self, second: int) -> int:
        """The sequence of the newest levels message of the seconds before this one, since 1970; 0 for none."""
        return self._newest_before(second, lambda block: None if block.levels is None else block.levels.seq)

    def flow_before(self, second: int) -> int:
        """Likewise of the flow."""
        return self._newest_before(second, lambda block: None if block.flow is None else block.flow.seq)

    def _newest_before(self, second: int, seqs_of: Callable[[Block], "array[int] | None"]) -> int:
        for layer in reversed(self.layers(0, second)):
            seqs = seqs_of(layer.block)
            if seqs is not None:
                for cell in range(min(second - layer.start_s, SECONDS) - 1, -1, -1):
                    if seqs[cell]:
                        return seqs[cell]
        return 0

    def _layers(self) -> Iterator[Layer]:
        for key in sorted(self._blocks, key=lambda key: (key.quarter, key.stored_in)):
            yield Layer(key.quarter * SECONDS, self._blocks[key])

    def _block(self, entry: LevelsEntry | FlowEntry) -> Block | None:
        """The block of an entry; None where it is not one of those that stay."""
        key = _Key(entry.stored_ms // STORED_IN_MS, entry.ts_ms // 1000 // SECONDS)
        block = self._blocks.get(key)
        if block is None:
            if len(self._blocks) == self._max_blocks:
                least = min(self._blocks)
                if key < least:
                    return None
                del self._blocks[least]
            block = self._blocks[key] = Block()
        return block
