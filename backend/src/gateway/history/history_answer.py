"""From the past to the answer of `/history`.

A point takes its spot from all seconds, and its levels and flow from the last second that has a message of them. So
the cost of levels grows with the points that are asked for, not with the span.

Measured on two busy cores (`benchmarks.past`): 6.5 h of 16 levels in 780 points take 38 ms and 284 KB.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import repeat
from math import inf
from typing import Final, Generic, NamedTuple, TypeVar

from src.gateway.history.block import SECONDS, FlowColumns, LevelRows, SpotColumns, Verdict
from src.gateway.history.contract import FlowHistory, History, LevelHistory, SpotHistory
from src.gateway.history.history_query import HistoryQuery
from src.gateway.history.store import Layer, Past

PRICE_DIGITS: Final = 2  # a cent
SCORE_DIGITS: Final = 1  # of 100
NET_DIGITS: Final = 7  # significant ones: the unit is Core's
ROWS_A_SLICE: Final = 64  # measured: 40 levels take 2 ms
FLOWS_A_SLICE: Final = 256
MAX_LEVELS_TOLD: Final = 256  # against a Core whose ids change all the time: those of the most points are told

T = TypeVar("T")
Slices = Generator[None, None, T]
"""Work that ends with a value; whoever runs it may do other things after each slice."""


def history(past: Past, query: HistoryQuery, *, complete: bool) -> History:
    """Answer a query at once; for the arguments see `history_in_slices`."""
    slices = history_in_slices(past, query, complete=complete)
    while True:
        try:
            next(slices)
        except StopIteration as end:
            answer: History = end.value
            return answer


def history_in_slices(past: Past, query: HistoryQuery, *, complete: bool) -> Slices[History]:
    """Answer a query in slices of some milliseconds, between which the past may grow.

    Args:
        past: what is known.
        query: from `history_query`.
        complete: whether all was read that the streams have of the span.
    """
    layers = past.layers(query.from_ms // 1000, query.to_ms // 1000)
    answer: History = {
        "from_ms": query.from_ms,
        "step_ms": query.step_ms,
        "count": query.points,
        "available_from_ms": past.oldest_ms,
        "available_to_ms": past.newest_ms,
        "complete": complete,
    }
    if "spot" in query.fields:
        answer["spy"] = yield from _spot(layers, query, lambda layer: layer.block.spy)
        if any(layer.block.es for layer in layers):
            answer["es"] = yield from _spot(layers, query, lambda layer: layer.block.es)
    if "levels" in query.fields:
        read = yield from _levels(layers, query)
        answer["signals"] = read.signals
        answer["confidences"] = read.confidences
        answer["levels"] = read.levels
    if "flow" in query.fields:
        answer["flow"] = yield from _flow(layers, query)
    return answer


class _Part(NamedTuple):
    """The seconds of a block that belong to one point: begin <= second < end, counted in the block."""

    point: int
    begin: int
    end: int


def _parts(layer: Layer, query: HistoryQuery) -> Iterator[_Part]:
    step_s, from_s = query.step_ms // 1000, query.from_ms // 1000
    begin_s = max(from_s, layer.start_s)
    end_s = min(query.to_ms // 1000, layer.start_s + SECONDS)
    while begin_s < end_s:
        point = (begin_s - from_s) // step_s
        next_s = min(from_s + (point + 1) * step_s, end_s)
        yield _Part(point, begin_s - layer.start_s, next_s - layer.start_s)
        begin_s = next_s


# -- spot --------------------------------------------------------------------------------------------------------------


def _spot(
    layers: list[Layer], query: HistoryQuery, columns_of: Callable[[Layer], SpotColumns | None]
) -> Slices[SpotHistory]:
    points = query.points
    opens: list[float | None] = [None] * points
    closes: list[float | None] = [None] * points
    highs, lows = [-inf] * points, [inf] * points
    opened_s, closed_s = [inf] * points, [-inf] * points
    for layer in layers:
        yield
        columns = columns_of(layer)
        if columns is None:
            continue
        for point, begin, end in _parts(layer, query):
            high = max(columns.high[begin:end])
            if high == -inf:
                continue
            highs[point] = max(highs[point], high)
            lows[point] = min(lows[point], *columns.low[begin:end])
            first, last = begin, end - 1
            while columns.high[first] == -inf:
                first += 1
            while columns.high[last] == -inf:
                last -= 1
            # Of two blocks with the same second, the first is older in the stream.
            if layer.start_s + first < opened_s[point]:
                opened_s[point] = layer.start_s + first
                opens[point] = round(columns.open[first], PRICE_DIGITS)
            if layer.start_s + last >= closed_s[point]:
                closed_s[point] = layer.start_s + last
                closes[point] = round(columns.close[last], PRICE_DIGITS)
    return {
        "open": opens,
        "high": [None if high == -inf else round(high, PRICE_DIGITS) for high in highs],
        "low": [None if low == inf else round(low, PRICE_DIGITS) for low in lows],
        "close": closes,
    }


# -- levels ------------------------------------------------------------------------------------------------------------


class _Levels(NamedTuple):
    """`signals` and `confidences` are the names that the levels refer to, sorted."""

    signals: list[str]
    confidences: list[str]
    levels: list[LevelHistory]


_Cell = tuple[int, float, float, float, int]  # point, price, score, distance, verdict


class _Series:
    """One level, point by point.

    Attributes:
        cells: their verdicts are places in a list of all.
    """

    __slots__ = ("cells", "first_s", "id", "kind", "last_s")

    def __init__(self, level_id: str, first_s: int) -> None:
        self.id = level_id
        self.kind = ""
        self.first_s = self.last_s = first_s
        self.cells: list[_Cell] = []


class _Roster(NamedTuple):
    """Whose values a row has, in its order, and what its verdicts are in the list of all. None is not asked for."""

    rows: LevelRows
    names: tuple[int, ...]
    series: list[_Series | None]
    verdicts: list[int]


def _levels(layers: list[Layer], query: HistoryQuery) -> Slices[_Levels]:
    series: dict[str, _Series] = {}
    verdicts: dict[Verdict, int] = {}
    roster: _Roster | None = None
    for turn, last in enumerate((yield from _last(layers, query, lambda layer: layer.block.levels))):
        if turn % ROWS_A_SLICE == 0:
            yield
            roster = None  # its tables may have grown
        row = last.columns.at(last.second)
        if roster is None or roster.rows is not last.columns or roster.names != row.names:
            roster = _roster(last, row.names, query, series, verdicts)
        numbers = [roster.verdicts[verdict] for verdict in row.verdicts]
        cells = zip(repeat(last.point), row.prices, row.scores, row.distances, numbers, strict=False)
        for one, cell in zip(roster.series, cells, strict=True):
            if one is not None:
                one.cells.append(cell)
                one.last_s = last.second_s
    return (yield from _answered(list(series.values()), verdicts))


def _roster(
    last: "_Last[LevelRows]",
    names: tuple[int, ...],
    query: HistoryQuery,
    series: dict[str, _Series],
    verdicts: dict[Verdict, int],
) -> _Roster:
    """Make the series that are new, and number the verdicts that are."""
    of_names: list[_Series | None] = []
    table = last.columns.name_list()
    for level_id, kind in map(table.__getitem__, names):
        if query.levels is not None and level_id not in query.levels:
            of_names.append(None)
            continue
        one = series.get(level_id)
        if one is None:
            one = series[level_id] = _Series(level_id, last.second_s)
        one.kind = kind
        of_names.append(one)
    numbers = [verdicts.setdefault(verdict, len(verdicts)) for verdict in last.columns.verdict_list()]
    return _Roster(last.columns, names, of_names, numbers)


def _answered(found: list[_Series], verdicts: Iterable[Verdict]) -> Slices[_Levels]:
    if len(found) > MAX_LEVELS_TOLD:
        found = sorted(found, key=lambda one: (-len(one.cells), one.id))[:MAX_LEVELS_TOLD]
    table = list(verdicts)
    seen: set[Verdict] = set()
    for one in found:
        yield
        seen.update(map(table.__getitem__, {cell[-1] for cell in one.cells}))
    signals = sorted({verdict.signal for verdict in seen})
    confidences = sorted({verdict.confidence for verdict in seen})
    places = [
        (signals.index(verdict.signal), confidences.index(verdict.confidence)) if verdict in seen else (0, 0)
        for verdict in table
    ]
    levels = []
    for one in found:
        yield
        levels.append(_level_history(one, places))
        one.cells.clear()  # all at once take 10 ms
    return _Levels(signals, confidences, sorted(levels, key=lambda level: (-level["price"], level["id"])))


def _level_history(one: _Series, places: list[tuple[int, int]]) -> LevelHistory:
    points, prices, scores, distances, verdicts = zip(*one.cells, strict=True)
    at = points[0]

    def column(values: Iterable[T]) -> list[T | None]:
        """One value a point, null where the level was not there."""
        placed: list[T | None] = [None] * (points[-1] - at + 1)
        for point, value in zip(points, values, strict=True):
            placed[point - at] = value
        return placed

    last_price = round(prices[-1], PRICE_DIGITS)
    answer: LevelHistory = {
        "id": one.id,
        "kind": one.kind,
        "price": last_price,
        "at": at,
        "first_ms": one.first_s * 1000,
        "last_ms": one.last_s * 1000,
        "score": column([round(score, SCORE_DIGITS) for score in scores]),
        "distance": column([round(distance, PRICE_DIGITS) for distance in distances]),
        "signal": column([places[verdict][0] for verdict in verdicts]),
        "confidence": column([places[verdict][1] for verdict in verdicts]),
    }
    if len(set(prices)) > 1:
        told_prices = [round(price, PRICE_DIGITS) for price in prices]
        if len(set(told_prices)) > 1:
            answer["prices"] = column(told_prices)
    return answer


# -- flow --------------------------------------------------------------------------------------------------------------


def _flow(layers: list[Layer], query: HistoryQuery) -> Slices[FlowHistory]:
    points = query.points
    answer: FlowHistory = {
        "call_volume": [None] * points,
        "put_volume": [None] * points,
        "call_premium": [None] * points,
        "put_premium": [None] * points,
        "net_delta": [None] * points,
        "net_gamma": [None] * points,
    }
    for turn, last in enumerate((yield from _last(layers, query, lambda layer: layer.block.flow))):
        if turn % FLOWS_A_SLICE == 0:
            yield
        point, totals = last.point, last.columns.at(last.second)
        answer["call_volume"][point] = _whole(totals.call_volume)
        answer["put_volume"][point] = _whole(totals.put_volume)
        answer["call_premium"][point] = _whole(totals.call_premium)
        answer["put_premium"][point] = _whole(totals.put_premium)
        answer["net_delta"][point] = _significant(totals.net_delta)
        answer["net_gamma"][point] = _significant(totals.net_gamma)
    return answer


def _whole(total: float | None) -> int | None:
    return None if total is None else round(total)


def _significant(total: float | None) -> float | None:
    return None if total is None else float(f"{total:.{NET_DIGITS}g}")


# -- the last second of a point ----------------------------------------------------------------------------------------

Columns = TypeVar("Columns", LevelRows, FlowColumns)


class _Last(NamedTuple, Generic[Columns]):
    """The last second of a point that has a message: `second` in the block, `second_s` since 1970."""

    point: int
    columns: Columns
    second: int
    second_s: int


def _last(
    layers: list[Layer], query: HistoryQuery, columns_of: Callable[[Layer], Columns | None]
) -> Slices[list[_Last[Columns]]]:
    """By point, without those that have none. Of two blocks with the same second, the later in the stream counts."""
    found: dict[int, _Last[Columns]] = {}
    for layer in layers:
        yield
        columns = columns_of(layer)
        if columns is None:
            continue
        for point, begin, end in _parts(layer, query):
            second = end - 1
            while second >= begin and not columns.seq[second]:
                second -= 1
            second_s = layer.start_s + second
            if second >= begin and (point not in found or second_s >= found[point].second_s):
                found[point] = _Last(point, columns, second, second_s)
    return [found[point] for point in sorted(found)]
