"""A quarter of an hour of the past, a second a cell, in columns of plain numbers.

A cell is a function of the set of messages of its second, in whatever order they came: the open is of the lowest
sequence, the close of the highest, high and low of all; levels and flow are those of the message with the highest.
"""

import struct
from array import array
from functools import lru_cache
from math import inf, nan
from typing import Final, NamedTuple

from src.gateway.history.entries import FlowEntry, FlowTotals, LevelPoint, LevelsEntry

SECONDS: Final = 900

# Bounds against a Core that goes wrong. Of a message with more levels, those nearest to spot stay. A level with a
# longer name is left out. A block in which more names appear has no levels any more: which of them would stay must not
# depend on the order in which messages are read.
MAX_LEVELS: Final = 64  # in one message; Core sends 6 to 16
MAX_NAME_CHARACTERS: Final = 64
MAX_LEVEL_NAMES: Final = 1024  # ids and kinds in a block
MAX_VERDICTS: Final = 256  # signals and confidences in a block: one byte

LARGEST_FLOAT: Final = 3.4028234e38  # of four bytes; what is beyond is stored as that


class LevelName(NamedTuple):
    id: str
    kind: str


class Verdict(NamedTuple):
    signal: str
    confidence: str


class SpotColumns:
    """Open, high, low and close of one instrument. A second without a price has a high of -inf."""

    __slots__ = ("close", "close_seq", "high", "low", "open", "open_seq")

    def __init__(self) -> None:
        self.open = array("d", [0.0]) * SECONDS
        self.high = array("d", [-inf]) * SECONDS
        self.low = array("d", [inf]) * SECONDS
        self.close = array("d", [0.0]) * SECONDS
        self.open_seq = array("Q", [0]) * SECONDS
        self.close_seq = array("Q", [0]) * SECONDS  # 0: none; sequences begin at 1

    def add(self, second: int, seq: int, price: float) -> None:
        if price > self.high[second]:
            self.high[second] = price
        if price < self.low[second]:
            self.low[second] = price
        if seq > self.close_seq[second]:
            self.close[second] = price
            if self.close_seq[second] == 0:
                self.open[second] = price
                self.open_seq[second] = seq
            self.close_seq[second] = seq
        if seq < self.open_seq[second]:
            self.open[second] = price
            self.open_seq[second] = seq


class FlowColumns:
    """The totals of a second; NaN where no contract had the field."""

    __slots__ = ("seq", "totals")

    def __init__(self) -> None:
        self.seq = array("Q", [0]) * SECONDS
        self.totals = array("d", [nan]) * (SECONDS * len(FlowTotals._fields))

    def add(self, second: int, seq: int, totals: FlowTotals) -> None:
        if seq <= self.seq[second]:
            return
        self.seq[second] = seq
        width = len(totals)
        self.totals[second * width : (second + 1) * width] = array(
            "d", [nan if total is None else total for total in totals]
        )

    def at(self, second: int) -> FlowTotals:
        width = len(FlowTotals._fields)
        found = self.totals[second * width : (second + 1) * width]
        return FlowTotals(*[total if total == total else None for total in found])


class Row(NamedTuple):
    """The levels of a second, column by column; `names` and `verdicts` are places in the block's tables."""

    names: tuple[int, ...]
    prices: tuple[float, ...]
    scores: tuple[float, ...]
    distances: tuple[float, ...]
    verdicts: tuple[int, ...]


class LevelRows:
    """The levels of each second, as one row of bytes: 15 a level, and 41 for the row."""

    __slots__ = ("is_overfull", "names", "rows", "seq", "verdicts")

    def __init__(self) -> None:
        self.seq = array("Q", [0]) * SECONDS
        self.rows: list[bytes] = [b""] * SECONDS
        self.names: dict[tuple[str, str], int] = {}
        self.verdicts: dict[tuple[str, str], int] = {}
        self.is_overfull = False

    def add(self, second: int, seq: int, levels: list[LevelPoint]) -> None:
        if self.is_overfull:
            return
        row: list[float] = []
        kept = _nearest(levels)
        for level in kept:
            name = self.names.get((level.id, level.kind))
            if name is None:
                name = self.names[level.id, level.kind] = len(self.names)
            verdict = self.verdicts.get((level.signal, level.confidence))
            if verdict is None:
                verdict = self.verdicts[level.signal, level.confidence] = len(self.verdicts)
            row += (name, level.price, level.score, level.distance, verdict)
        if len(self.names) > MAX_LEVEL_NAMES or len(self.verdicts) > MAX_VERDICTS:
            self.is_overfull = True
            self.names, self.verdicts = {}, {}
            self.seq, self.rows = array("Q", [0]) * SECONDS, [b""] * SECONDS
        elif seq > self.seq[second]:  # not before: the names of each message count, in whatever order they come
            self.seq[second] = seq
            self.rows[second] = _packed(len(kept), row)

    def name_list(self) -> list[LevelName]:
        return [LevelName._make(name) for name in self.names]

    def verdict_list(self) -> list[Verdict]:
        return [Verdict._make(verdict) for verdict in self.verdicts]

    def at(self, second: int) -> Row:
        row = self.rows[second]
        plain = _row_format(len(row) // _LEVEL_BYTES).unpack(row)
        return Row(*(plain[column :: len(Row._fields)] for column in range(len(Row._fields))))


class Block:
    """What was in 900 seconds. Columns are made when there is something for them.

    Attributes:
        first_levels: the first second that has a levels message, of 0 to 899; None where none has.
        first_flow: likewise.
    """

    __slots__ = ("es", "first_flow", "first_levels", "flow", "levels", "spy")

    def __init__(self) -> None:
        self.first_levels: int | None = None
        self.first_flow: int | None = None
        self.spy: SpotColumns | None = None
        self.es: SpotColumns | None = None
        self.levels: LevelRows | None = None
        self.flow: FlowColumns | None = None

    def add_levels(self, second: int, entry: LevelsEntry) -> None:
        self.first_levels = second if self.first_levels is None else min(self.first_levels, second)
        if entry.spy is not None:
            self.spy = self.spy or SpotColumns()
            self.spy.add(second, entry.seq, entry.spy)
        if entry.es is not None:
            self.es = self.es or SpotColumns()
            self.es.add(second, entry.seq, entry.es)
        self.levels = self.levels or LevelRows()
        self.levels.add(second, entry.seq, entry.levels)

    def add_flow(self, second: int, entry: FlowEntry) -> None:
        self.first_flow = second if self.first_flow is None else min(self.first_flow, second)
        self.flow = self.flow or FlowColumns()
        self.flow.add(second, entry.seq, entry.totals)


_LEVEL: Final = "HfffB"
_LEVEL_BYTES: Final = struct.calcsize("<" + _LEVEL)


def _nearest(levels: list[LevelPoint]) -> list[LevelPoint]:
    """The levels to keep: the last of those with one id, without those of long names, the nearest of too many."""
    kept = list({level.id: level for level in levels if _is_short(level)}.values())
    if len(kept) > MAX_LEVELS:
        kept = sorted(kept, key=lambda level: abs(level.distance))[:MAX_LEVELS]
    return kept


def _is_short(level: LevelPoint) -> bool:
    return (
        len(level.id) <= MAX_NAME_CHARACTERS
        and len(level.kind) <= MAX_NAME_CHARACTERS
        and len(level.signal) <= MAX_NAME_CHARACTERS
        and len(level.confidence) <= MAX_NAME_CHARACTERS
    )


def _packed(count: int, row: list[float]) -> bytes:
    try:
        return _row_format(count).pack(*row)
    except OverflowError:
        return _row_format(count).pack(
            *[min(max(value, -LARGEST_FLOAT), LARGEST_FLOAT) if isinstance(value, float) else value for value in row]
        )


@lru_cache(maxsize=MAX_LEVELS + 1)
def _row_format(count: int) -> struct.Struct:
    return struct.Struct("<" + _LEVEL * count)
