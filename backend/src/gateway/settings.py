"""The environment, read once, as one frozen value. A wrong value ends the start with a line that says what is right."""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlsplit

from src.common import logs
from src.common.access import Access
from src.common.bus import CONNECT_TIMEOUT_S, DEFAULT_NATS_URL, MAX_MESSAGE_BYTES

N = TypeVar("N", int, float)

# An origin as browsers write it (RFC 6454 §6.2), or with `*.` before its host name.
ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://((?:\*\.)?[a-z0-9_-][a-z0-9_.-]*|\[[0-9a-f:.]+\])(?::(\d{1,5}))?")
DEFAULT_PORTS: Final = (("http", "80"), ("https", "443"))


class SettingError(ValueError):
    """A variable has a value that is not accepted; the text names variable, value and what is accepted."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How this gateway runs. What each field means stands in `VARIABLES`."""

    nats_url: str = DEFAULT_NATS_URL
    nats_user: str = ""
    nats_password_file: str = ""
    nats_token_file: str = ""
    nats_nkey_file: str = ""
    nats_creds_file: str = ""
    nats_ca: str = ""
    nats_cert: str = ""
    nats_key: str = ""
    nats_tls_first: str = "off"
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    max_message_bytes: int = MAX_MESSAGE_BYTES
    consumers: str = "durable"
    wall_baseline: float = 5000.0
    drain_s: float = 3.0
    stall_limit_s: float = 30.0
    ping_interval_s: float = 20.0
    pong_timeout_s: float = 20.0
    max_incoming_bytes: int = 4096
    metrics: str = "on"
    allowed_origins: tuple[str, ...] = ()
    auth: str = "none"
    auth_query: bool = False
    tokens_file: str = ""
    jwt_secret_file: str = ""
    jwks: str = ""
    jwt_audience: str = ""
    jwt_issuer: str = ""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    max_viewers: int = 20_000
    max_viewers_of_address: int = 0
    max_handshakes: int = 5_000
    max_incoming_rate: int = 100
    handshake_timeout_s: float = 10.0
    max_head_bytes: int = 16384
    tls_cert: str = ""
    tls_key: str = ""
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
        _require_one_login(values)
        settings = cls(**values)
        _check_auth(settings, "auth" in values)
        return settings


def nats_access(settings: Settings) -> Access:
    """How NATS lets us in, by the settings."""
    return Access(
        user=settings.nats_user,
        password_file=settings.nats_password_file,
        token_file=settings.nats_token_file,
        nkey_file=settings.nats_nkey_file,
        creds_file=settings.nats_creds_file,
        ca_file=settings.nats_ca,
        cert_file=settings.nats_cert,
        key_file=settings.nats_key,
        tls_first=settings.nats_tls_first == "on",
    )


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
    lines = []
    if settings.workers > 1 and settings.consumers == "durable" and environment.get("GATEWAY_CONSUMERS", "").strip():
        lines.append(
            f"GATEWAY_CONSUMERS=durable has no effect: GATEWAY_WORKERS={settings.workers}, and a durable is for one"
        )
    for variable in VARIABLES:
        of_auth = AUTH_OF.get(variable.field, settings.auth)
        if of_auth != settings.auth and environment.get(variable.names[0], "").strip():
            lines.append(f"{variable.names[0]} has no effect: GATEWAY_AUTH={settings.auth}")
    return lines


def _require_one_login(values: Mapping[str, Any]) -> None:
    """Which of two logins counts would be a guess, and half of one is none.

    Raises:
        SettingError: NATS is told twice who we are, or only half of it.
    """
    set_here = [name for name in LOGINS if values.get(LOGINS[name])]
    if "@" in values.get("nats_url", ""):
        set_here.insert(0, "a login in NATS_URL")
    if len(set_here) > 1:
        raise SettingError(f"{' and '.join(set_here)} are not accepted together: one login is enough")
    for name, field, needed_name, needed in NEEDS:
        if values.get(field) and not values.get(needed):
            raise SettingError(f"{name} is not accepted without {needed_name}")


def _parsed(name: str, text: str, variable: Variable) -> Any:
    try:
        return variable.accepted.read(text)
    except ValueError:
        shown = logs.redacted(text) if variable.field in ("nats_url", "jwks") else text
        raise SettingError(f"{name}={shown!r} is not accepted: {variable.accepted.words}") from None


def _check_auth(settings: Settings, chosen: bool) -> None:
    """What is meant to keep strangers out must not be without effect unnoticed.

    Raises:
        SettingError: the parts do not fit together; the text says which is missing.
    """
    fields = {field for field in AUTH_OF if getattr(settings, field)}
    names = {variable.field: variable.names[0] for variable in VARIABLES}
    if fields and not chosen:
        field = min(fields)
        raise SettingError(f"{names[field]} is set and GATEWAY_AUTH is not: set GATEWAY_AUTH={AUTH_OF[field]}, or none")
    if settings.auth == "token" and not settings.tokens_file:
        raise SettingError("GATEWAY_AUTH=token needs GATEWAY_TOKENS_FILE")
    if settings.auth == "jwt" and bool(settings.jwt_secret_file) == bool(settings.jwks):
        raise SettingError("GATEWAY_AUTH=jwt needs GATEWAY_JWT_SECRET_FILE or GATEWAY_JWKS, and not both")


def _integer(low: int, high: int, unit: str = "") -> Accepted:
    def read(text: str) -> int:
        return _within(int(text), low, high)

    return Accepted(f"a whole number{unit} from {low} to {high}", read)


def _number(low: float, high: float, unit: str) -> Accepted:
    def read(text: str) -> float:
        return _within(float(text), low, high)

    return Accepted(f"a number {unit} from {low:g} to {high:g}", read)


def _limit(high: int, unit: str) -> Accepted:
    return Accepted(f"a whole number{unit} from 1 to {high}, or 0 for no limit", _integer(0, high).read)


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
        if url.scheme not in ("nats", "tls") or not url.hostname or url.path.strip("/") or url.query or url.fragment:
            raise ValueError(server)
        _within(url.port or 4222, 1, 65535)
    return text


def _host(text: str) -> str:
    if any(character.isspace() or character in "/@?#" for character in text):
        raise ValueError(text)
    return text


def _flag(text: str) -> bool:
    return bool(_within(int(text), 0, 1))


def _any_text(text: str) -> str:
    return text


def _origins(text: str) -> tuple[str, ...]:
    return tuple(_origin(one.strip().lower()) for one in text.split(","))


def _origin(text: str) -> str:
    origin = ORIGIN.fullmatch(text)
    if origin is None:
        raise ValueError(text)
    scheme, host, port = origin.groups()
    if port is None or (scheme, port) in DEFAULT_PORTS:
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{_within(int(port), 1, 65535)}"


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(one.strip()) for one in text.split(","))


def _key_set(text: str) -> str:
    """A path, or an address without a login, which would be shown where it is logged."""
    if "://" in text:
        url = urlsplit(text)
        if url.scheme not in ("http", "https") or not url.hostname or "@" in url.netloc:
            raise ValueError(text)
        _within(url.port or 443, 1, 65535)
    return text


# What is of use with one kind of GATEWAY_AUTH only.
AUTH_OF: Final = {
    "tokens_file": "token",
    "jwt_secret_file": "jwt",
    "jwks": "jwt",
    "jwt_audience": "jwt",
    "jwt_issuer": "jwt",
}

LOGINS: Final = {  # the ways to tell NATS who we are: the variable that stands for each, and its field
    "GATEWAY_NATS_USER": "nats_user",
    "GATEWAY_NATS_TOKEN_FILE": "nats_token_file",
    "GATEWAY_NATS_NKEY_FILE": "nats_nkey_file",
    "GATEWAY_NATS_CREDS_FILE": "nats_creds_file",
}
NEEDS: Final = (  # a variable and its field, and those without which it means nothing
    ("GATEWAY_NATS_USER", "nats_user", "GATEWAY_NATS_PASSWORD_FILE", "nats_password_file"),
    ("GATEWAY_NATS_PASSWORD_FILE", "nats_password_file", "GATEWAY_NATS_USER", "nats_user"),
    ("GATEWAY_NATS_KEY", "nats_key", "GATEWAY_NATS_CERT", "nats_cert"),
    ("GATEWAY_TLS_CERT", "tls_cert", "GATEWAY_TLS_KEY", "tls_key"),
    ("GATEWAY_TLS_KEY", "tls_key", "GATEWAY_TLS_CERT", "tls_cert"),
)

VARIABLES: Final = (
    Variable(
        ("NATS_URL",),
        "nats_url",
        Accepted("nats://host:port or tls://host:port, or several separated by commas", _servers),
        "the NATS servers",
    ),
    Variable(("GATEWAY_NATS_USER",), "nats_user", Accepted("a name", _any_text), "who we are to NATS, by password"),
    Variable(
        ("GATEWAY_NATS_PASSWORD_FILE",),
        "nats_password_file",
        Accepted("the path of a file of one line", _any_text),
        "the password of that user",
    ),
    Variable(
        ("GATEWAY_NATS_TOKEN_FILE",),
        "nats_token_file",
        Accepted("the path of a file of one line", _any_text),
        "a token for NATS",
    ),
    Variable(
        ("GATEWAY_NATS_NKEY_FILE",),
        "nats_nkey_file",
        Accepted("the path of a file of one line, the seed (SU…)", _any_text),
        "the nkey that we are to NATS",
    ),
    Variable(
        ("GATEWAY_NATS_CREDS_FILE",),
        "nats_creds_file",
        Accepted("the path of a `.creds` file", _any_text),
        "who we are to NATS, by JWT and nkey, as `nsc` writes it",
    ),
    Variable(
        ("GATEWAY_NATS_CA",),
        "nats_ca",
        Accepted("the path of a PEM file", _any_text),
        "who may sign the NATS server's certificate; asks for TLS",
    ),
    Variable(
        ("GATEWAY_NATS_CERT",),
        "nats_cert",
        Accepted("the path of a PEM file", _any_text),
        "our certificate for the NATS server; asks for TLS",
    ),
    Variable(
        ("GATEWAY_NATS_KEY",),
        "nats_key",
        Accepted("the path of a PEM file", _any_text),
        "its key, not encrypted, where `GATEWAY_NATS_CERT` has none",
    ),
    Variable(
        ("GATEWAY_NATS_TLS_FIRST",),
        "nats_tls_first",
        _choice("on", "off"),
        "whether NATS expects the TLS handshake before it says a word (`handshake_first`)",
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
        ("GATEWAY_DRAIN",),
        "drain_s",
        _number(0, 3600, "of seconds"),
        "over how long viewers are let go at a stop, 100 a second at least; a stop may take 2 s more",
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
    Variable(
        ("GATEWAY_ALLOWED_ORIGINS",),
        "allowed_origins",
        Accepted("https://host, https://host:port or https://*.host, or several separated by commas", _origins),
        "the pages that may connect; where it is not set, those of the gateway's own address and of localhost",
    ),
    Variable(
        ("GATEWAY_AUTH",),
        "auth",
        _choice("none", "token", "jwt"),
        "what a viewer has to bring: nothing, one of `GATEWAY_TOKENS_FILE`, or a JSON Web Token",
    ),
    Variable(
        ("GATEWAY_AUTH_QUERY",),
        "auth_query",
        Accepted("0 or 1", _flag),
        "1 accepts a token also as `?token=`, which proxies and browsers may keep in logs and histories",
    ),
    Variable(
        ("GATEWAY_TOKENS_FILE",),
        "tokens_file",
        Accepted("the path of a file", _any_text),
        "the tokens, one a line, with a name after it where wanted, `#` for comments; read anew at SIGHUP",
    ),
    Variable(
        ("GATEWAY_JWT_SECRET_FILE",),
        "jwt_secret_file",
        Accepted("the path of a file", _any_text),
        "the secret of HS256, 32 bytes at least; read anew at SIGHUP",
    ),
    Variable(
        ("GATEWAY_JWKS",),
        "jwks",
        Accepted("the path of a file, or http://host/path or https://host/path without a user", _key_set),
        "the JWK set with the public keys of RS256 and ES256; read anew at SIGHUP, from an address every 5 minutes too",
    ),
    Variable(
        ("GATEWAY_JWT_AUDIENCE",),
        "jwt_audience",
        Accepted("a text", _any_text),
        "what `aud` must be or have; where it is not set, `aud` is not looked at",
    ),
    Variable(
        ("GATEWAY_JWT_ISSUER",),
        "jwt_issuer",
        Accepted("a text", _any_text),
        "what `iss` must be; where it is not set, `iss` is not looked at",
    ),
    Variable(
        ("GATEWAY_TRUSTED_PROXIES",),
        "trusted_proxies",
        Accepted("an address or network such as 10.0.0.0/8, or several separated by commas", _networks),
        "the proxies before the gateway; from them, and nobody else, `X-Forwarded-For` says who connects",
    ),
    Variable(
        ("GATEWAY_MAX_VIEWERS",),
        "max_viewers",
        _limit(1_000_000, ""),
        "how many viewers may be connected, to all workers; the next is refused with 503",
    ),
    Variable(
        ("GATEWAY_MAX_VIEWERS_PER_ADDRESS",),
        "max_viewers_of_address",
        _limit(1_000_000, ""),
        "how many of them of one address, in each worker; the next is refused with 429",
    ),
    Variable(
        ("GATEWAY_MAX_HANDSHAKES",),
        "max_handshakes",
        _limit(1_000_000, " a second"),
        "how many viewers may try to connect, in each worker; more are refused with 503",
    ),
    Variable(
        ("GATEWAY_MAX_INCOMING_RATE",),
        "max_incoming_rate",
        _integer(1, 1_000_000, " of messages"),
        "how many messages, pings and parts of messages a viewer may send in a second; beyond it is closed with 1008",
    ),
    Variable(
        ("GATEWAY_HANDSHAKE_TIMEOUT",),
        "handshake_timeout_s",
        _number(0.1, 3600, "of seconds"),
        "how long a socket may take for a whole request, counted from its start or from its last answer",
    ),
    Variable(
        ("GATEWAY_MAX_HEADERS",),
        "max_head_bytes",
        _integer(1024, 1 << 16, " of bytes"),
        "the largest request line and headers together; beyond it is answered with 431",
    ),
    Variable(
        ("GATEWAY_TLS_CERT",),
        "tls_cert",
        Accepted("the path of a PEM file", _any_text),
        "the gateway's certificate, then what leads to its authority; the port speaks TLS then; read anew at SIGHUP",
    ),
    Variable(
        ("GATEWAY_TLS_KEY",),
        "tls_key",
        Accepted("the path of a PEM file", _any_text),
        "its key, not encrypted; read anew at SIGHUP",
    ),
    Variable(("GATEWAY_LOG_FORMAT",), "log_format", _choice(*logs.FORMATS), "the form of the lines on stderr"),
    Variable(("GATEWAY_LOG_LEVEL",), "log_level", _choice(*logs.LEVELS), "the least level of the lines on stderr"),
)
