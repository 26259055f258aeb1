"""The environment, read once, as one frozen value. A wrong value ends the start with a line that says what is right."""

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from src.common import logs
from src.common.bus import CONNECT_TIMEOUT_S, DEFAULT_NATS_URL, MAX_MESSAGE_BYTES

N = TypeVar("N", int, float)


class SettingError(ValueError):
    """A variable has a value that is not accepted; the text names variable, value and what is accepted."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How this gateway runs. What each field means stands in `VARIABLES`."""

    nats_url: str = DEFAULT_NATS_URL
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    max_message_bytes: int = MAX_MESSAGE_BYTES
    consumers: str = "durable"
    wall_baseline: float = 5000.0
    stall_limit_s: float = 30.0
    ping_interval_s: float = 20.0
    pong_timeout_s: float = 20.0
    max_incoming_bytes: int = 4096
    metrics: str = "on"
    log_format: str = "text"
    log_level: str = "INFO"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read every variable of `VARIABLES`; an empty one counts as not set.

        Raises:
            SettingError: a value is not accepted.
        """
        values: dict[str, Any] = {}
        for variable in VARIABLES:
            for name in variable.names:
                if text := environment.get(name, "").strip():
                    values[variable.field] = _parsed(name, text, variable)
                    break
        return cls(**values)


class Accepted(NamedTuple):
    """What a variable accepts, in words, and the reader that raises ValueError for anything else."""

    words: str
    read: Callable[[str], Any]


class Variable(NamedTuple):
    """One setting. Where it has several names, the first that is set counts."""

    names: tuple[str, ...]
    field: str
    accepted: Accepted
    meaning: str


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A line for each `GATEWAY_…` variable that is no setting, with the nearest that is."""
    known = [name for variable in VARIABLES for name in variable.names]
    lines = []
    for name in sorted(environment):
        if name.startswith("GATEWAY_") and name not in known:
            nearest = difflib.get_close_matches(name, known, 1)
            lines.append(f"{name} is not a setting" + (f"; did you mean {nearest[0]}?" if nearest else ""))
    return lines


def overruled_variables(settings: Settings, environment: Mapping[str, str]) -> list[str]:
    """A line for each variable that was set and that another setting leaves without effect."""
    if settings.workers > 1 and settings.consumers == "durable" and environment.get("GATEWAY_CONSUMERS", "").strip():
        return [
            f"GATEWAY_CONSUMERS=durable has no effect: GATEWAY_WORKERS={settings.workers}, and a durable is for one"
        ]
    return []


def _parsed(name: str, text: str, variable: Variable) -> Any:
    try:
        return variable.accepted.read(text)
    except ValueError:
        shown = logs.redacted(text) if variable.field == "nats_url" else text
        raise SettingError(f"{name}={shown!r} is not accepted: {variable.accepted.words}") from None


def _integer(low: int, high: int, unit: str = "") -> Accepted:
    def read(text: str) -> int:
        return _within(int(text), low, high)

    return Accepted(f"a whole number{unit} from {low} to {high}", read)


def _number(low: float, high: float, unit: str) -> Accepted:
    def read(text: str) -> float:
        return _within(float(text), low, high)

    return Accepted(f"a number {unit} from {low:g} to {high:g}", read)


def _choice(*words: str) -> Accepted:
    def read(text: str) -> str:
        for word in words:
            if word.lower() == text.lower():
                return word
        raise ValueError(text)

    return Accepted("one of " + ", ".join(words), read)


def _within(number: N, low: float, high: float) -> N:
    if not (math.isfinite(number) and low <= number <= high):
        raise ValueError(number)
    return number


def _servers(text: str) -> str:
    for server in text.split(","):
        url = urlsplit(server.strip() if "://" in server else f"nats://{server.strip()}")
        if url.scheme not in ("nats", "tls") or not url.hostname:
            raise ValueError(server)
        _within(url.port or 4222, 1, 65535)
    return text


def _host(text: str) -> str:
    if any(character.isspace() or character in "/@?#" for character in text):
        raise ValueError(text)
    return text


VARIABLES: Final = (
    Variable(
        ("NATS_URL",),
        "nats_url",
        Accepted("nats://host:port or tls://host:port, or several separated by commas", _servers),
        "the NATS servers",
    ),
    Variable(("GATEWAY_HOST",), "host", Accepted("an address or host name", _host), "the address to listen on"),
    Variable(("GATEWAY_PORT", "PORT"), "port", _integer(1, 65535), "the port for HTTP and WebSocket"),
    Variable(
        ("GATEWAY_WORKERS",),
        "workers",
        _integer(1, 64),
        "how many processes serve the port; above 1 needs Linux, and each has ephemeral consumers",
    ),
    Variable(
        ("GATEWAY_CONNECT_TIMEOUT",),
        "connect_timeout_s",
        _number(0.1, 3600, "of seconds"),
        "how long to try to reach NATS at start before giving up",
    ),
    Variable(
        ("GATEWAY_MAX_MESSAGE",),
        "max_message_bytes",
        _integer(1024, 1 << 30, " of bytes"),
        "a larger message from NATS is rejected",
    ),
    Variable(
        ("GATEWAY_CONSUMERS",),
        "consumers",
        _choice("durable", "ephemeral"),
        "how to subscribe: `durable` (`gateway_levels`, `gateway_flow`) or `ephemeral`",
    ),
    Variable(
        ("GATEWAY_WALL_BASELINE",),
        "wall_baseline",
        _number(1, 1e12, "of contracts"),
        "what `depth_in_zone` is divided by where Core sends no `wall_ratio`",
    ),
    Variable(
        ("GATEWAY_STALL_LIMIT",),
        "stall_limit_s",
        _number(1, 3600, "of seconds"),
        "a viewer that takes nothing for this long is closed with 4001",
    ),
    Variable(
        ("GATEWAY_PING_INTERVAL",),
        "ping_interval_s",
        _number(1, 3600, "of seconds"),
        "a viewer that says nothing for this long is pinged",
    ),
    Variable(
        ("GATEWAY_PONG_TIMEOUT",),
        "pong_timeout_s",
        _number(1, 3600, "of seconds"),
        "a viewer that answers nothing for this long after a ping is closed with 4002",
    ),
    Variable(
        ("GATEWAY_MAX_INCOMING",),
        "max_incoming_bytes",
        _integer(125, 1 << 20, " of bytes"),
        "the largest message that a viewer may send; beyond it is closed with 1009",
    ),
    Variable(("GATEWAY_METRICS",), "metrics", _choice("on", "off"), "whether `/metrics` is there"),
    Variable(("GATEWAY_LOG_FORMAT",), "log_format", _choice(*logs.FORMATS), "the form of the lines on stderr"),
    Variable(("GATEWAY_LOG_LEVEL",), "log_level", _choice(*logs.LEVELS), "the least level of the lines on stderr"),
)
