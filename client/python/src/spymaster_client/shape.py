"""What a viewer may ask for instead of the whole payload."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import parse_qs, quote, urlsplit

from spymaster_client.contract import Status


@dataclass(frozen=True, slots=True)
class Shape:
    """Each part that is None asks for everything. The gateway's INTERFACES.md has the ranges.

    Attributes:
        sections: only these of `flow`, `levels`, `viewport`, and of those that a gateway has beside them.
        near: only levels whose `distance` from spot is at most so many points, and contracts whose strike is.
        kinds: only levels of these `level_kind_name`.
        levels: only levels of these `id`.
        confidence: only levels of these.
        signals: only levels with these.
        rate: at most so many frames a second, 0.1 to 50; each is the newest of its moment.
    """

    sections: Sequence[str] | None = None
    near: float | None = None
    kinds: Sequence[str] | None = None
    levels: Sequence[str] | None = None
    confidence: Sequence[Literal["HIGH", "MEDIUM", "LOW"]] | None = None
    signals: Sequence[Literal["BREAK", "BOUNCE", "NO_TRADE"]] | None = None
    rate: float | None = None


WHOLE = Shape()


def with_shape(
    url: str,
    shape: Shape,
    *,
    status: bool,
    last: Status | None = None,
    events: bool = False,
    cursor: str | None = None,
    further: Mapping[str, object] = MappingProxyType({}),
) -> str:
    """The URL with the parts of the shape as query parameters, behind those that it has.

    Args:
        status: whether to ask for the section `status` too, unless the URL itself says so or not.
        last: of the connection before: the gateway then tells how much was missed.
        events: whether to ask for the section `events` too.
        cursor: of the last one: the gateway then tells what happened since.
        further: parameters.
    """
    asked = _asked(shape) | ({"status": 1} if status and "status" not in parse_qs(urlsplit(url).query) else {})
    if status and last is not None:
        asked |= {"since": f"{last['epoch']}:{last['seq']}"}
    if events:
        asked |= {"events": 1} | ({"events_since": cursor} if cursor else {})
    asked |= further
    query = "&".join(f"{name}={quote(_text(value))}" for name, value in asked.items())
    return url + ("&" if "?" in url else "?") * bool(query) + query


def subscribe_message(shape: Shape, *, status: bool, events: bool = False) -> dict[str, Any]:
    """The message by which a connected viewer asks for another shape, and again for the rest: it replaces all."""
    further = {name: True for name, is_asked in (("status", status), ("events", events)) if is_asked}
    return {"subscribe": _asked(shape) | further}


def same_content(one: Shape, other: Shape) -> bool:
    """Whether both ask for the same content, at whatever rate."""
    return {**_asked(one), "rate": 0} == {**_asked(other), "rate": 0}


def _asked(shape: Shape) -> dict[str, object]:
    return {
        name: value if isinstance(value, float | int) else list(value)
        for name, value in asdict(shape).items()
        if value is not None
    }


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
