"""The answers of `/history` and `/events`: their types, with a description, unit and range of each field.

That of `/history` is written by columns: all arrays of a section have one element a point, null where nothing was
published.
"""

from typing import Annotated, NotRequired, TypedDict

from src.gateway.signals.contract import AS_CORE_HAS_IT, LAST_TS_MS, POINTS, UTC_MS, Events, FieldDescription


class SpotHistory(TypedDict):
    """The spot of an instrument, of all messages of a point."""

    open: Annotated[list[float | None], FieldDescription("the first", POINTS)]
    high: Annotated[list[float | None], FieldDescription("the highest", POINTS)]
    low: Annotated[list[float | None], FieldDescription("the lowest", POINTS)]
    close: Annotated[list[float | None], FieldDescription("the last", POINTS)]


class LevelHistory(TypedDict):
    """A level, from the point `at` to the last that has it; null where the last message of a point did not list it."""

    id: Annotated[str, FieldDescription("names the level")]
    kind: Annotated[str, FieldDescription("`level_kind_name`, the last")]
    price: Annotated[float, FieldDescription("`level_price`, the last", POINTS)]
    prices: NotRequired[Annotated[list[float | None], FieldDescription("of each point, where it moved", POINTS)]]
    at: Annotated[int, FieldDescription("the first point that has it, from 0", least=0)]
    first_ms: Annotated[int, FieldDescription("the second of that point's last message", UTC_MS)]
    last_ms: Annotated[int, FieldDescription("the second of the last point's last message", UTC_MS)]
    score: Annotated[list[float | None], FieldDescription("`break_score_smooth`", least=0, most=100)]
    distance: Annotated[list[float | None], FieldDescription("from spot", POINTS)]
    signal: Annotated[list[int | None], FieldDescription("its place in `signals`", least=0)]
    confidence: Annotated[list[int | None], FieldDescription("its place in `confidences`", least=0)]


class FlowHistory(TypedDict):
    """The totals of the last flow message of a point, over the contracts that it listed. Signs are Core's."""

    call_volume: Annotated[list[int | None], FieldDescription("of calls, cumulative", "contracts", least=0)]
    put_volume: Annotated[list[int | None], FieldDescription("of puts, cumulative", "contracts", least=0)]
    call_premium: Annotated[list[int | None], FieldDescription("of calls, cumulative", "dollars", least=0)]
    put_premium: Annotated[list[int | None], FieldDescription("of puts, cumulative", "dollars", least=0)]
    net_delta: Annotated[list[float | None], FieldDescription("the sum of `net_delta_flow`", AS_CORE_HAS_IT)]
    net_gamma: Annotated[list[float | None], FieldDescription("the sum of `net_gamma_flow`", AS_CORE_HAS_IT)]


class History(TypedDict):
    """What the market looked like: the point i covers `step_ms` from `from_ms` + i · `step_ms` on, by Core's time."""

    from_ms: Annotated[int, FieldDescription("the beginning of the first point", UTC_MS, least=0, most=LAST_TS_MS)]
    step_ms: Annotated[int, FieldDescription("the length of a point", "ms", least=1000)]
    count: Annotated[int, FieldDescription("how many points", least=1)]
    available_from_ms: Annotated[
        int | None,
        FieldDescription("the first second that has levels, or flow where there are none; null: nothing", UTC_MS),
    ]
    available_to_ms: Annotated[int | None, FieldDescription("Core's time of the newest message; likewise", UTC_MS)]
    complete: Annotated[
        bool, FieldDescription("whether all was read that the streams still have of the span; false while it is filled")
    ]
    spy: NotRequired[
        Annotated[SpotHistory, FieldDescription("the underlying; a copy of `es` when Core sent only that")]
    ]
    es: NotRequired[Annotated[SpotHistory, FieldDescription("the future, where Core sent it about that time")]]
    signals: NotRequired[
        Annotated[list[str], FieldDescription("those of `levels`", known=("BREAK", "BOUNCE", "NO_TRADE"))]
    ]
    confidences: NotRequired[Annotated[list[str], FieldDescription("likewise", known=("HIGH", "MEDIUM", "LOW"))]]
    levels: NotRequired[Annotated[list[LevelHistory], FieldDescription("by price, the highest first; 256 at most")]]
    flow: NotRequired[Annotated[FlowHistory, FieldDescription("totals of the option flow")]]


class EventPage(Events):
    """What happened since a cursor, the oldest first."""

    more: Annotated[bool, FieldDescription("whether later events were left out: ask for them by `since=`, this cursor")]
