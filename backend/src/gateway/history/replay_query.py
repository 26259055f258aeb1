"""What a viewer asks of a replay: the moment with which it begins, its speed, and later pauses, steps and jumps."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from src.gateway.history.history_query import read_time
from src.gateway.signals.contract import LAST_TS_MS
from src.gateway.signals.shape import WrongParameter, given_in_query, number_reader

SLOWEST, FASTEST = 0.1, 60.0  # times Core's own speed
MOST_STEPS: Final = 1_000  # messages, in either direction
PRESENT: Final = "live"


class ReplayAsked(NamedTuple):
    """A change of a replay. A field that is None changes nothing.

    Attributes:
        at: the moment to go to, as text of `read_time`, or `PRESENT`.
        speed: times Core's own.
        paused: whether it stands still.
        step: levels messages to go, forward or back; it stands still then.
    """

    at: str | None = None
    speed: float | None = None
    paused: bool | None = None
    step: int | None = None


def replay_of_query(query: str) -> ReplayAsked | None:
    """Read `at=` and `speed=` of a handshake; None where there is no `at`.

    Raises:
        WrongParameter: one is there twice, or has a value that is not accepted.
    """
    given = given_in_query(query, ("at", "speed"), advice="")
    return replay_of(given) if "at" in given else None


class _ReplayMessage(msgspec.Struct):
    replay: dict[str, Any]


_MESSAGE: Final = msgspec.json.Decoder(_ReplayMessage)


def replay_of_message(text: bytes) -> ReplayAsked | None:
    """Read a message of a viewer, `{"replay": {"at": …, "speed": …, "paused": …, "step": …}}`; None for any other.

    Raises:
        WrongParameter: a value is not accepted.
    """
    try:
        given = _MESSAGE.decode(text).replay
    except (msgspec.DecodeError, RecursionError):
        return None
    return replay_of({name: value for name, value in given.items() if value is not None})


def replay_of(given: Mapping[str, Any]) -> ReplayAsked:
    """Read values by name; names that are not known are ignored.

    Raises:
        WrongParameter: a value is not accepted.
    """
    return ReplayAsked(**{name: READERS[name](name, value) for name, value in given.items() if name in READERS})


def _at(name: str, value: Any) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if text != PRESENT:
        read_time(name, text, LAST_TS_MS)
    return text


def _paused(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise WrongParameter(f"{name} accepts true and false")
    return value


def _step(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < abs(value) <= MOST_STEPS:
        raise WrongParameter(f"{name} accepts a whole number from -{MOST_STEPS} to {MOST_STEPS}, and not 0")
    return value


READERS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "at": _at,
    "speed": number_reader(SLOWEST, FASTEST),
    "paused": _paused,
    "step": _step,
}
