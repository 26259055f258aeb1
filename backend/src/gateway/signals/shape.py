"""What a viewer may ask for instead of the whole payload: sections, levels, strikes and a rate.

A request names it as query parameters, and a connected viewer in a `subscribe` message. Parameters that are not in
`PARAMETERS` are ignored. Two requests that mean the same are equal shapes, in whatever order and spelling.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_plus

import msgspec
from msgspec import Raw

from src.gateway.signals.contract import LevelSignal, LevelsPayload

SECTIONS: Final = ("flow", "levels", "viewport")
CONFIDENCES: Final = ("HIGH", "MEDIUM", "LOW")
SIGNALS: Final = ("BREAK", "BOUNCE", "NO_TRADE")
MAX_NAMES: Final = 64  # in one parameter
MAX_NAME_CHARACTERS: Final = 64
SMALLEST_RATE, LARGEST_RATE = 0.1, 50.0  # frames a second
LARGEST_DISTANCE: Final = 1e6  # points
SEQ_DIGITS: Final = 15  # exact in JavaScript
STRIKE_DIGITS: Final = 8  # at the end of an option ticker, in thousandths of a point (OCC symbols)


class WrongParameter(ValueError):
    """A known parameter has a value that is not accepted; the text names it and what is accepted."""


class Shape(NamedTuple):
    """What one viewer asks for. A field that is None asks for everything.

    Attributes:
        sections: names of sections; None asks for `SECTIONS`.
        near: largest distance from spot, in points, of a level and of an option's strike.
        kinds: `level_kind_name`, in upper case.
        levels: `id`.
        confidence: of `CONFIDENCES`.
        signals: of `SIGNALS`.
        rate: frames a second, at most.
        status: whether the section `status` is sent as well, and heartbeats.
        events: whether the section `events` is sent as well.
    """

    sections: frozenset[str] | None = None
    near: float | None = None
    kinds: frozenset[str] | None = None
    levels: frozenset[str] | None = None
    confidence: frozenset[str] | None = None
    signals: frozenset[str] | None = None
    rate: float | None = None
    status: bool = False
    events: bool = False


class Since(NamedTuple):
    """The last state that a viewer has, from an earlier connection.

    Attributes:
        epoch: of the section `status`.
        seq: likewise.
    """

    epoch: str
    seq: int


WHOLE: Final = Shape()
"""The payload of the contract."""


# -- from a request ----------------------------------------------------------------------------------------------------


def shape_of_query(query: str, further: Sequence[str] = ()) -> Shape:
    """Read the query of a request.

    Args:
        query: as in the request, percent-encoded.
        further: names of sections beside `SECTIONS`.

    Raises:
        WrongParameter: a known parameter is there twice, or has a value that is not accepted.
    """
    return shape_of(given_in_query(query, PARAMETERS), further)


def given_in_query(
    query: str, known: Container[str], advice: str = "; separate several values by commas"
) -> dict[str, str]:
    """The values of the `known` parameters, by name; any other parameter is ignored.

    Args:
        query: as in the request, percent-encoded.
        known: names.
        advice: the end of the sentence about one that is there twice.

    Raises:
        WrongParameter: a known parameter is there twice.
    """
    given: dict[str, str] = {}
    for part in query.split("&"):
        name, _, text = part.partition("=")
        name = unquote_plus(name)
        if name not in known:
            continue
        if name in given:
            raise WrongParameter(f"{name} is given twice{advice}")
        given[name] = unquote_plus(text)
    return given


def since_of_query(query: str) -> Since | None:
    """Read `since=EPOCH:SEQ`; None where there is none, or it is not one."""
    epoch, _, seq = (_first_in_query(query, "since") or "").rpartition(":")
    return Since(epoch, int(seq)) if seq.isascii() and seq.isdigit() and len(seq) <= SEQ_DIGITS else None


def events_since_of_query(query: str) -> str | None:
    """Read `events_since=CURSOR`; None where there is none."""
    return _first_in_query(query, "events_since")


def _first_in_query(query: str, wanted: str) -> str | None:
    for part in query.split("&"):
        name, _, text = part.partition("=")
        if name == wanted:
            return unquote_plus(text)
    return None


def shape_of_message(text: bytes, further: Sequence[str] = ()) -> Shape | None:
    """Read a message of a viewer, `{"subscribe": {…}}`; None where it is anything else.

    The keys are the query parameters. A value may be the text of the query, a number, or a list of names; null counts
    as not given. `further` as for `shape_of_query`.

    Raises:
        WrongParameter: as `shape_of_query`.
    """
    try:
        given = _SUBSCRIBE.decode(text).subscribe
    except (msgspec.DecodeError, RecursionError):
        return None
    return shape_of({name: value for name, value in given.items() if name in PARAMETERS and value is not None}, further)


def shape_of(given: Mapping[str, Any], further: Sequence[str] = ()) -> Shape:
    """Read values by the name of their parameter; `further` as for `shape_of_query`.

    Raises:
        WrongParameter: a value is not accepted.
    """
    readers = {**PARAMETERS, "sections": _known((*SECTIONS, *further), str.lower)}
    shape = Shape(**{name: readers[name](name, value) for name, value in given.items()})
    return shape._replace(sections=None) if shape.sections == frozenset(SECTIONS) else shape


class _Subscribe(msgspec.Struct):
    subscribe: dict[str, Any]


_SUBSCRIBE: Final = msgspec.json.Decoder(_Subscribe)


def _names(name: str, value: Any) -> frozenset[str]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise WrongParameter(f"{name} accepts names separated by commas")
    names = frozenset(part.strip() for part in parts)
    if not 1 <= len(names) <= MAX_NAMES or not all(0 < len(each) <= MAX_NAME_CHARACTERS for each in names):
        raise WrongParameter(f"{name} accepts 1 to {MAX_NAMES} names of 1 to {MAX_NAME_CHARACTERS} characters")
    return names


def _upper_names(name: str, value: Any) -> frozenset[str]:
    return frozenset(each.upper() for each in _names(name, value))


def _known(known: tuple[str, ...], spelling: Callable[[str], str]) -> Callable[[str, Any], frozenset[str]]:
    def read(name: str, value: Any) -> frozenset[str]:
        names = frozenset(spelling(each) for each in _names(name, value))
        if not names <= set(known):
            raise WrongParameter(f"{name} accepts {', '.join(known)}, separated by commas")
        return names

    return read


def number_reader(least: float, most: float) -> Callable[[str, Any], float]:
    """Reads a number within these bounds, which are included, from the name of its parameter and its value."""

    def read(name: str, value: Any) -> float:
        try:
            number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
        except (ValueError, OverflowError):
            number = None
        if number is None or not least <= number <= most:
            raise WrongParameter(f"{name} accepts a number from {least:g} to {most:.0f}")
        return number

    return read


def _switch(name: str, value: Any) -> bool:
    if value in (True, 1, "1", "true"):
        return True
    if value in (False, 0, "0", "false", ""):
        return False
    raise WrongParameter(f"{name} accepts 1 and 0")


PARAMETERS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "sections": _known(SECTIONS, str.lower),
    "near": number_reader(0, LARGEST_DISTANCE),
    "kinds": _upper_names,
    "levels": _names,
    "confidence": _known(CONFIDENCES, str.upper),
    "signals": _known(SIGNALS, str.upper),
    "rate": number_reader(SMALLEST_RATE, LARGEST_RATE),
    "status": _switch,
    "events": _switch,
}


# -- applied to the state ----------------------------------------------------------------------------------------------


class Contracts:
    """A flow section, divided into its contracts when the first shape needs them."""

    def __init__(self, flow: Any) -> None:
        """
        Args:
            flow: a mapping, or the bytes of one (`msgspec.Raw`).
        """
        self.whole = flow
        self._by_ticker: Mapping[str, Any] | None = None

    def near(self, spot: float, reach: float) -> dict[str, Any]:
        """The contracts whose strike is within `reach` points of `spot`; entries without a strike stay."""
        if self._by_ticker is None:
            self._by_ticker = _CONTRACTS.decode(self.whole) if isinstance(self.whole, Raw) else self.whole
        return {
            ticker: contract
            for ticker, contract in self._by_ticker.items()
            if (strike := strike_of(ticker)) is None or abs(strike - spot) <= reach
        }


_CONTRACTS: Final = msgspec.json.Decoder(dict[str, Raw])


def shaped(payload: Mapping[str, Any], contracts: Contracts | None, shape: Shape) -> dict[str, Any]:
    """What a viewer of this shape sees of a payload.

    Args:
        payload: the sections that are known.
        contracts: its section `flow`; None where that is not known.
        shape: see there. Levels are filtered by `near`, `kinds`, `levels`, `confidence` and `signals`, all of which a
            level has to meet; `near` compares `distance`. While spot is null, all strikes stay.
    """
    asked = SECTIONS if shape.sections is None else shape.sections
    seen = {name: section for name, section in payload.items() if name in asked}
    if "levels" in seen:
        seen["levels"] = _levels_of(seen["levels"], shape)
    if "flow" in seen and contracts is not None and shape.near is not None:
        spot = _spot(payload.get("levels"))
        if spot is not None:
            seen["flow"] = contracts.near(spot, shape.near)
    return seen


def judged_sections(shape: Shape) -> tuple[str, ...]:
    """The sections whose freshness counts for a viewer of this shape: a viewport comes with the levels."""
    if shape.sections is None:
        return ("levels", "flow")
    return tuple(name for name, of in (("levels", {"levels", "viewport"}), ("flow", {"flow"})) if of & shape.sections)


def strike_of(ticker: str) -> float | None:
    """The strike of an option ticker such as `O:ES251216C06895000`, in points; None where it has none."""
    digits = ticker[-STRIKE_DIGITS:]
    return int(digits) / 1000 if len(digits) == STRIKE_DIGITS and digits.isascii() and digits.isdigit() else None


def _levels_of(section: LevelsPayload, shape: Shape) -> LevelsPayload:
    kept = [level for level in section["levels"] if _takes(shape, level)]
    return section if len(kept) == len(section["levels"]) else {**section, "levels": kept}


def _takes(shape: Shape, level: LevelSignal) -> bool:
    return (
        (shape.near is None or abs(level["distance"]) <= shape.near)
        and (shape.kinds is None or level["level_kind_name"].upper() in shape.kinds)
        and (shape.levels is None or level["id"] in shape.levels)
        and (shape.confidence is None or level["confidence"] in shape.confidence)
        and (shape.signals is None or level["signal"] in shape.signals)
    )


def _spot(levels: LevelsPayload | None) -> float | None:
    """Of the future where Core sends it, because the options are its; else of the underlying."""
    if levels is None:
        return None
    future = levels.get("es")
    spot = None if future is None else future["spot"]
    return levels["spy"]["spot"] if spot is None else spot
