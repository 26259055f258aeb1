"""Reads what Core publishes into typed values: tolerance for odd input lives here, and nowhere behind it.

A message that is as Core's schema says becomes structs in one pass over its bytes. Any other message is read piece by
piece: a piece that cannot be read is left out and counted, and costs nothing else.

**A relayed section stays bytes.** `msgspec.Raw` of strict JSON is spliced into the frame, so each number in it keeps
its value. Skipped parts are validated all the same, to the last escape.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Raw, Struct

from src.common.messages import (
    BadMessage,
    Decoded,
    check_depth,
    check_section_depth,
    decode_value,
    is_object,
    parse_sections,
)
from src.gateway.signals.contract import LAST_TS_MS
from src.gateway.signals.core_message import (
    Barrier,
    Faults,
    Fuel,
    Level,
    LevelsMessage,
    RetrievalSummary,
    Spot,
    Sweep,
    Tape,
    Target,
)


class WrongType(ValueError):
    """A value that the payload needs has another type than Core's schema says."""


class _NestedLevels(Struct, gc=False):
    levels: list[Level] | None = None


class _Message(Struct, gc=False):
    """A levels message as Core's schema says."""

    ts: Any = None
    spy: Spot | None = None
    es: Spot | None = None
    levels: list[Level] | _NestedLevels | None = None
    viewport: Raw = Raw(b"null")


class _Viewport(Struct, gc=False):
    targets: list[Target]


class _RawTargets(Struct, gc=False):
    targets: list[Raw]


class _RetrievalFields(Struct, gc=False):
    retrieval: dict[str, Raw] | None = None


_SECTIONS: Final = msgspec.json.Decoder(dict[str, Raw])
_MESSAGE: Final = msgspec.json.Decoder(_Message)
_VIEWPORT: Final = msgspec.json.Decoder(_Viewport)
_RAW_TARGETS: Final = msgspec.json.Decoder(_RawTargets)
_TARGET: Final = msgspec.json.Decoder(Target)
_RETRIEVAL_FIELDS: Final = msgspec.json.Decoder(_RetrievalFields)
_LAST_TIMESTAMPS: Final = re.compile(rb'"last_timestamp":\s*(\d{1,15})[,}]')
_BLANK_RETRIEVAL: Final = RetrievalSummary()


def read_flow(body: bytes) -> Decoded:
    """Validate a flow snapshot, an object of anything.

    Returns:
        The whole object as `msgspec.Raw`, unread.

    Raises:
        BadMessage: it is not a strict JSON object.
    """
    text, contracts, non_finite = parse_sections(body, _SECTIONS.decode)
    assert contracts is not None, "any JSON object is a mapping of names to raw values"
    for contract in contracts.values():
        check_section_depth(contract)
    return Decoded(Raw(text), non_finite, traded_ms=_newest_trade_ms(text))


def _newest_trade_ms(text: bytes) -> int | None:
    """The newest `last_timestamp` of a contract, which tells the older of two snapshots; None where there is none."""
    return max(map(int, _LAST_TIMESTAMPS.findall(text)), default=None)


def read_levels(body: bytes) -> Decoded:
    """Read the bytes of a levels message.

    Returns:
        A `LevelsMessage`, and how many numbers of the body were not finite and count as missing. A viewport that is an
        object stays `msgspec.Raw`.

    Raises:
        BadMessage: it is not a strict JSON object, or its `levels` are not a list.
    """
    check_depth(body)
    text, message, non_finite = parse_sections(body, _MESSAGE.decode)
    if message is not None and (is_object(message.viewport) or bytes(message.viewport) == b"null"):
        typed = _typed(message)
        return Decoded(typed, non_finite, typed.ts_ms)
    sections, beyond_double = _decoded_sections(text)
    typed = levels_message(sections)
    return Decoded(typed, non_finite + beyond_double, typed.ts_ms)


def levels_message(message: Mapping[str, Any]) -> LevelsMessage:
    """Read a levels message from JSON's Python types.

    Args:
        message: a viewport in it may be `msgspec.Raw`.

    Raises:
        BadMessage: `levels` is not a list, nor an object that holds one.
    """
    faults: Faults = Counter()
    levels = _read_levels(message, faults)
    viewport, targets = _read_viewport(_section(message, "viewport", faults), faults)
    return LevelsMessage(
        ts_ms=_read_ts(_section(message, "ts", faults)),
        spy=_read_spot(_section(message, "spy", faults), faults),
        es=_read_spot(_section(message, "es", faults), faults),
        levels=levels,
        targets=targets,
        viewport=viewport,
        faults=faults,
    )


def _typed(message: _Message) -> LevelsMessage:
    """A message of which only the time and the viewport can still be odd."""
    faults: Faults = Counter()
    levels = message.levels.levels if isinstance(message.levels, _NestedLevels) else message.levels
    viewport, targets = _read_viewport(message.viewport if is_object(message.viewport) else None, faults)
    ts_ms = _read_ts(message.ts)
    return LevelsMessage(ts_ms, message.spy, message.es, levels or [], targets, viewport, faults)


class _DecodedSections(NamedTuple):
    """The sections of a message in JSON's Python types, and how many numbers in them were beyond a double's range."""

    sections: dict[str, Any]
    beyond_double: int


def _decoded_sections(text: bytes) -> _DecodedSections:
    raw = _SECTIONS.decode(text)
    sections: dict[str, Any] = {}
    beyond_double = 0
    for name in raw.keys() & set(_Message.__struct_fields__):
        if name == "viewport" and is_object(raw[name]):
            sections[name] = raw[name]
            continue
        sections[name], count, *_ = decode_value(raw[name])
        beyond_double += count
    return _DecodedSections(sections, beyond_double)


def _section(message: Mapping[str, Any], name: str, faults: Faults) -> Any:
    """A section of the message; None when it is missing."""
    section = message.get(name)
    if isinstance(section, float) and section - section != 0.0:
        faults["non_finite"] += 1
        return None
    return section


def _read_ts(ts: object) -> int | None:
    if isinstance(ts, bool) or not isinstance(ts, int | float):
        return None
    return int(ts) if 1 <= ts <= LAST_TS_MS else None


# -- levels and spots --------------------------------------------------------------------------------------------------


def _read_levels(message: Mapping[str, Any], faults: Faults) -> list[Level]:
    levels = _section(message, "levels", faults)
    if isinstance(levels, Mapping):
        levels = _section(levels, "levels", faults)
    if levels is None:
        return []
    if not isinstance(levels, list):
        raise BadMessage("levels_not_a_list")
    read = []
    for level in levels:
        try:
            read.append(read_level(level, faults))
        except WrongType:
            faults["level_left_out"] += 1
    return read


def read_level(level: object, faults: Faults) -> Level:
    """A level from JSON's Python types.

    Raises:
        WrongType: it is not an object, or a field that the payload needs has a wrong type.
    """
    return _read(level, Level, faults)


def _read_spot(spot: object, faults: Faults) -> Spot | None:
    """`spy` or `es`; None when Core did not send it. A price of a wrong type is null and a fault."""
    if spot is None:
        return None
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


# -- the viewport ------------------------------------------------------------------------------------------------------


class _ReadViewport(NamedTuple):
    """A viewport to relay, or None, and its targets by `level_id`."""

    viewport: Any | None
    targets: dict[str, Target]


def _read_viewport(viewport: object, faults: Faults) -> _ReadViewport:
    """A viewport without a list of `targets` is dropped; the last of two targets with one id wins."""
    if viewport is None:
        return _ReadViewport(None, {})
    targets = _read_raw_targets(viewport) if isinstance(viewport, Raw) else _read_plain_targets(viewport, faults)
    if targets is None:
        faults["viewport_dropped"] += 1
        return _ReadViewport(None, {})
    by_level_id = {target.level_id: target for target in targets if target is not None and target.level_id is not None}
    if left_out := sum(1 for target in targets if target is None or target.level_id is None):
        faults["prediction_left_out"] += left_out
    return _ReadViewport(viewport, by_level_id)


def _read_raw_targets(viewport: Raw) -> list[Target] | list[Target | None] | None:
    """The targets, None in place of each that cannot be read; None where `targets` is no list."""
    try:
        targets = _VIEWPORT.decode(viewport).targets
    except msgspec.ValidationError:
        pass
    else:
        if all(target.retrieval != _BLANK_RETRIEVAL for target in targets):
            return targets
    try:
        return [_read_raw_target(target) for target in _RAW_TARGETS.decode(viewport).targets]
    except msgspec.ValidationError:
        return None


def _read_raw_target(text: Raw) -> Target | None:
    try:
        target = _TARGET.decode(text)
    except msgspec.ValidationError:
        return None
    if target.retrieval == _BLANK_RETRIEVAL and not _RETRIEVAL_FIELDS.decode(text).retrieval:
        target.retrieval = None
    return target


def _read_plain_targets(viewport: object, faults: Faults) -> list[Target | None] | None:
    """The same for JSON's Python types."""
    targets = viewport.get("targets") if isinstance(viewport, Mapping) else None
    return [read_target(target, faults) for target in targets] if isinstance(targets, list) else None


def read_target(target: object, faults: Faults) -> Target | None:
    """A target from JSON's Python types; None where it is not an object, or a field has a wrong type."""
    try:
        read = _read(target, Target, faults)
    except WrongType:
        return None
    if read.time_to_threshold is not None:
        read.time_to_threshold = _nulls_for_non_finite(read.time_to_threshold, faults)
    if isinstance(target, Mapping) and not target.get("retrieval"):
        read.retrieval = None
    return read


# -- one value ---------------------------------------------------------------------------------------------------------

Wanted = TypeVar("Wanted", bound=Struct)

_NESTED: Final[dict[type[Struct], dict[str, type[Struct]]]] = {
    Level: {"barrier": Barrier, "tape": Tape, "fuel": Fuel},
    Tape: {"sweep": Sweep},
    Target: {"retrieval": RetrievalSummary},
}


def _read(value: object, wanted: type[Wanted], faults: Faults) -> Wanted:
    """Convert strictly; only if that fails, count the numbers that are not finite, and convert without them."""
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        if not isinstance(value, Mapping):
            raise WrongType from None
    non_finite: Faults = Counter()
    try:
        read = msgspec.convert(_needed_and_finite(value, wanted, non_finite), wanted)
    except msgspec.ValidationError as wrong:
        raise WrongType(str(wrong)) from None
    faults.update(non_finite)
    return read


def _needed_and_finite(value: Mapping[str, Any], wanted: type[Struct], faults: Faults) -> dict[str, Any]:
    nested = _NESTED.get(wanted, {})
    needed = {name: value[name] for name in wanted.__struct_fields__ if name in value}
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
