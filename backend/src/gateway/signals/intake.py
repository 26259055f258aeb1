"""What Core publishes, and how it is read: tolerance for odd input lives here, and nowhere behind it.

The structs below are the table of every field that the payload needs, with the type that it must have. All may be
missing; null is missing, and so are NaN and Infinity. A bool is not a number, a number is not a string. Core's other
fields are skipped unread.

**A relayed section stays bytes.** `msgspec.Raw` of strict JSON is spliced into the frame, so each number in it keeps
its value. What is skipped on the way is validated all the same, to the last escape.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypedDict, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from src.common.messages import (
    BadMessage,
    Decoded,
    check_depth,
    check_section_depth,
    decode_value,
    is_object,
    parse_sections,
)
from src.gateway.signals.contract import EXACT

LARGEST_DOUBLE: Final = 1.7976931348623157e308

Finite = Annotated[float, Meta(ge=-LARGEST_DOUBLE, le=LARGEST_DOUBLE)]
Count = Annotated[int, Meta(ge=-EXACT, le=EXACT)] | Annotated[float, Meta(ge=-float(EXACT), le=float(EXACT))]

Faults = Counter[str]
"""How often something bad in a good message was left out: `non_finite`, `level_left_out`, `prediction_left_out`,
`spot_left_out`, `viewport_dropped`."""


class WrongType(ValueError):
    """A value that the payload needs has another type than Core's schema says."""


class Spot(Struct, gc=False):
    """`spy` or `es`."""

    spot: Finite | None = None
    bid: Finite | None = None
    ask: Finite | None = None


class Barrier(Struct, gc=False):
    """Resting liquidity at a level."""

    state: str | None = None
    delta_liq: Finite | None = None
    replenishment_ratio: Finite | None = None
    depth_in_zone: Finite | None = None


class Sweep(Struct, gc=False):
    """Aggressive orders through several prices at once."""

    detected: bool | None = None


class Tape(Struct, gc=False):
    """Trades near a level."""

    imbalance: Finite | None = None
    velocity: Finite | None = None
    buy_vol: Count | None = None
    sell_vol: Count | None = None
    sweep: Sweep | None = None


class Fuel(Struct, gc=False):
    """What dealers' hedging does to a move."""

    effect: str | None = None
    net_dealer_gamma: Finite | None = None


class Level(Struct, gc=False):
    """One element of `levels`."""

    id: str | None = None
    price: Finite | None = None
    kind: str | None = None
    direction: str | None = None
    distance: Finite | None = None
    barrier: Barrier | None = None
    tape: Tape | None = None
    fuel: Fuel | None = None
    wall_ratio: Finite | None = None
    approach_velocity: Finite | None = None
    approach_bars: Count | None = None
    approach_distance: Finite | None = None
    prior_touches: Count | None = None
    break_score_raw: Finite | None = None
    break_score_smooth: Finite | None = None
    signal: str | None = None
    confidence: str | None = None
    note: str | None = None
    confluence_count: Count | None = None
    confluence_pressure: Finite | None = None
    confluence_alignment: Count | None = None
    confluence_level: Count | None = None
    confluence_level_name: str | None = None


class RetrievalSummary(Struct, gc=False):
    """A target's `retrieval`, without its neighbours; what Core calls by two names is here by both."""

    p_break: Finite | None = None
    similarity: Finite | None = None
    avg_similarity: Finite | None = None
    entropy: Finite | None = None
    n_neighbors: Count | None = None
    n_retrieved: Count | None = None
    feature_set: str | None = None


class Target(Struct, gc=False):
    """One element of the viewport's `targets`. A retrieval that is there but empty is None."""

    level_id: str | None = None
    p_tradeable_2: Finite | None = None
    p_break: Finite | None = None
    p_bounce: Finite | None = None
    strength_signed: Finite | None = None
    strength_abs: Finite | None = None
    utility_score: Finite | None = None
    stage: str | None = None
    time_to_threshold: dict[str, Any] | None = None
    retrieval: RetrievalSummary | None = None


class _NestedLevels(Struct, gc=False):
    levels: list[Level] | None = None


class _LevelsMessage(TypedDict, total=False):
    """The message as it should be; one that differs is read piece by piece."""

    ts: Any
    spy: Spot | None
    es: Spot | None
    levels: list[Level] | _NestedLevels | None
    viewport: Raw


class _Viewport(Struct, gc=False):
    targets: list[Target]


class _PlainViewport(Struct, gc=False):
    targets: list[Raw]


class _RetrievalFields(Struct, gc=False):
    retrieval: dict[str, Raw] | None = None


_FLOW: Final = msgspec.json.Decoder(dict[str, Raw])
_SECTIONS: Final = _FLOW
_LEVELS: Final = msgspec.json.Decoder(_LevelsMessage)
_VIEWPORT: Final = msgspec.json.Decoder(_Viewport)
_PLAIN_VIEWPORT: Final = msgspec.json.Decoder(_PlainViewport)
_TARGET: Final = msgspec.json.Decoder(Target)
_RETRIEVAL_FIELDS: Final = msgspec.json.Decoder(_RetrievalFields)
_BLANK_RETRIEVAL: Final = RetrievalSummary()


def read_flow(body: bytes) -> Decoded:
    """Validate a flow snapshot, an object of anything.

    Returns:
        The whole object as `msgspec.Raw`, unread.

    Raises:
        BadMessage: it is not a strict JSON object.
    """
    text, contracts, non_finite = parse_sections(body, _FLOW.decode)
    assert contracts is not None, "any JSON object is a mapping of names to raw values"
    for contract in contracts.values():
        check_section_depth(contract)
    return Decoded(Raw(text), non_finite)


def read_levels(body: bytes) -> Decoded:
    """Read a levels message for `normalize_levels`.

    Returns:
        A dict with those of `ts`, `spy`, `es`, `levels` and `viewport` that the message has. A viewport that is an
        object is `msgspec.Raw`; spots and levels are structs, or as decoded where one of them is odd.

    Raises:
        BadMessage: it is not a strict JSON object.
    """
    check_depth(body)
    text, message, non_finite = parse_sections(body, _LEVELS.decode)
    if message is None:
        return _read_odd_levels(text, non_finite)
    if isinstance(nested := message.get("levels"), _NestedLevels):
        message["levels"] = nested.levels
    viewport = message.get("viewport")
    if viewport is None or is_object(viewport):
        return Decoded(message, non_finite)
    value, beyond_double = decode_value(viewport)
    return Decoded({**message, "viewport": value}, non_finite + beyond_double)


def _read_odd_levels(text: bytes, non_finite: int) -> Decoded:
    sections = _SECTIONS.decode(text)
    message: dict[str, Any] = {}
    for name in _LevelsMessage.__annotations__.keys() & sections.keys():
        section = sections[name]
        if name == "viewport" and is_object(section):
            message[name] = section
            continue
        message[name], beyond_double = decode_value(section)
        non_finite += beyond_double
    return Decoded(message, non_finite)


def section_in(message: Mapping[str, Any], name: str, faults: Faults) -> Any:
    """A section of the message; None when it is missing."""
    section = message.get(name)
    if isinstance(section, float) and section - section != 0.0:
        faults["non_finite"] += 1
        return None
    return section


def levels_in(message: Mapping[str, Any], faults: Faults) -> list[Any]:
    """The message's levels, each a `Level` or still to be read by `read_level`.

    Raises:
        BadMessage: `levels` is no list, and no object that holds one.
    """
    levels = section_in(message, "levels", faults)
    if isinstance(levels, Mapping):
        levels = section_in(levels, "levels", faults)
    if levels is None:
        return []
    if not isinstance(levels, list):
        raise BadMessage("levels_not_a_list")
    return levels


def read_level(level: object, faults: Faults) -> Level:
    """A level from JSON's Python types.

    Raises:
        WrongType: it is not an object, or a field that the payload needs has a wrong type.
    """
    return _read(level, Level, faults)


def read_spot(spot: object, faults: Faults) -> Spot | None:
    """`spy` or `es`; None when Core did not send it. A price of a wrong type is null and a fault."""
    if spot is None or isinstance(spot, Spot):
        return spot
    try:
        return _read(spot, Spot, faults)
    except WrongType:
        faults["spot_left_out"] += 1
    if not isinstance(spot, Mapping):
        return None
    prices = Spot()
    for name in Spot.__struct_fields__:
        try:
            setattr(prices, name, getattr(_read({name: spot.get(name)}, Spot, faults), name))
        except WrongType:
            continue
    return prices


def read_targets(viewport: object, faults: Faults) -> dict[str, Target] | None:
    """The viewport's targets by `level_id`; the last of two with one id wins.

    Args:
        viewport: a dict, or `msgspec.Raw` of strict JSON.

    Returns:
        None when it is no object with a list of `targets`, so that the viewport is to be dropped.
    """
    if isinstance(viewport, Raw):
        return _read_raw_targets(viewport, faults)
    targets = viewport.get("targets") if isinstance(viewport, Mapping) else None
    if not isinstance(targets, list):
        return None
    return _by_level_id([_read_or_none(target, faults) for target in targets], faults)


def read_target(target: object, faults: Faults) -> Target:
    """A target from JSON's Python types.

    Raises:
        WrongType: it is not an object, or a field that the payload needs has a wrong type.
    """
    read = _read(target, Target, faults)
    if read.time_to_threshold is not None:
        read.time_to_threshold = _nulls_for_non_finite(read.time_to_threshold, faults)
    if isinstance(target, Mapping) and not target.get("retrieval"):
        read.retrieval = None
    return read


def _read_or_none(target: object, faults: Faults) -> Target | None:
    try:
        return read_target(target, faults)
    except WrongType:
        return None


def _read_raw_targets(viewport: Raw, faults: Faults) -> dict[str, Target] | None:
    try:
        targets = _VIEWPORT.decode(viewport).targets
    except msgspec.ValidationError:
        pass
    else:
        if all(target.retrieval != _BLANK_RETRIEVAL for target in targets):
            return _by_level_id(targets, faults)
    try:
        plain = _PLAIN_VIEWPORT.decode(viewport).targets
    except msgspec.ValidationError:
        return None
    return _by_level_id([_read_raw_target(target) for target in plain], faults)


def _read_raw_target(text: Raw) -> Target | None:
    try:
        target = _TARGET.decode(text)
    except msgspec.ValidationError:
        return None
    if target.retrieval == _BLANK_RETRIEVAL and not _RETRIEVAL_FIELDS.decode(text).retrieval:
        target.retrieval = None
    return target


def _by_level_id(targets: list[Target] | list[Target | None], faults: Faults) -> dict[str, Target]:
    by_level_id = {target.level_id: target for target in targets if target is not None and target.level_id is not None}
    if left_out := sum(1 for target in targets if target is None or target.level_id is None):
        faults["prediction_left_out"] += left_out
    return by_level_id


Shape = TypeVar("Shape", bound=Struct)

_NESTED: Final[dict[type[Struct], dict[str, type[Struct]]]] = {
    Level: {"barrier": Barrier, "tape": Tape, "fuel": Fuel},
    Tape: {"sweep": Sweep},
    Target: {"retrieval": RetrievalSummary},
}


def _read(value: object, shape: type[Shape], faults: Faults) -> Shape:
    """Convert strictly; only if that fails, count the numbers that are none, and convert without them."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError:
        if not isinstance(value, Mapping):
            raise WrongType from None
    non_finite: Faults = Counter()
    try:
        read = msgspec.convert(_needed_and_finite(value, shape, non_finite), shape)
    except msgspec.ValidationError as wrong:
        raise WrongType(str(wrong)) from None
    faults.update(non_finite)
    return read


def _needed_and_finite(value: Mapping[str, Any], shape: type[Struct], faults: Faults) -> dict[str, Any]:
    nested = _NESTED.get(shape, {})
    needed = {name: value[name] for name in shape.__struct_fields__ if name in value}
    for name, field in needed.items():
        if name in nested and isinstance(field, Mapping):
            needed[name] = _needed_and_finite(field, nested[name], faults)
        elif isinstance(field, float) and field - field != 0.0:
            needed[name] = None
            faults["non_finite"] += 1
    return needed


def _nulls_for_non_finite(value: Any, faults: Faults) -> Any:
    if isinstance(value, dict):
        return {name: _nulls_for_non_finite(inner, faults) for name, inner in value.items()}
    if isinstance(value, list):
        return [_nulls_for_non_finite(inner, faults) for inner in value]
    if isinstance(value, float) and value - value != 0.0:
        faults["non_finite"] += 1
        return None
    return value
