"""The environment, read once, as one frozen value. A wrong value ends the start with one line: what is accepted.

Each field is one variable: its name, default, type, range and description. `docs/configuration.md` is written from it.
"""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, Self, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import AliasChoices, BeforeValidator, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from src.common import logs
from src.common.access import Access
from src.common.bus import CONNECT_TIMEOUT_S, DEFAULT_NATS_URL, MAX_MESSAGE_BYTES
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW, JetStreamOptions, StreamLimits
from src.gateway.setting_types import (
    Accepted,
    File,
    Flag,
    Host,
    KeySet,
    Limit,
    LineFile,
    Market,
    Name,
    Networks,
    Origins,
    Pem,
    Seconds,
    Sections,
    Servers,
    Switch,
    Text,
    Unit,
    Whole,
)

LARGEST_LIMIT: Final = 1_000_000

AUTH_OF: Final = {  # fields that have an effect with one kind of GATEWAY_AUTH only
    "tokens_file": "token",
    "jwt_secret_file": "jwt",
    "jwks": "jwt",
    "jwt_audience": "jwt",
    "jwt_issuer": "jwt",
}
LOGINS: Final = ("nats_user", "nats_token_file", "nats_nkey_file", "nats_creds_file")  # at most one of them
NEEDS: Final = (  # a field, and the field without which it means nothing
    ("nats_user", "nats_password_file"),
    ("nats_password_file", "nats_user"),
    ("nats_key", "nats_cert"),
    ("tls_cert", "tls_key"),
    ("tls_key", "tls_cert"),
)
SECRET_IN_URL: Final = ("nats_url", "jwks")  # shown without user and password in an error


class SettingError(ValueError):
    """A variable has a value that is not accepted; the text names variable, value and what is accepted."""


def _variable(*names: str, default: object, text: str) -> Any:
    """One setting. Where it has several names, the first that is set counts."""
    return Field(default, validation_alias=AliasChoices(*names), description=text)


# -- the settings ------------------------------------------------------------------------------------------------------


class Settings(BaseSettings):
    """How this gateway runs."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)

    # The connection to NATS
    nats_url: Servers = _variable("NATS_URL", default=DEFAULT_NATS_URL, text="The NATS servers.")
    nats_user: Annotated[str, Accepted("a name")] = _variable(
        "GATEWAY_NATS_USER", default="", text="The user of the gateway at NATS, with a password."
    )
    nats_password_file: LineFile = _variable(
        "GATEWAY_NATS_PASSWORD_FILE", default="", text="The password of that user."
    )
    nats_token_file: LineFile = _variable("GATEWAY_NATS_TOKEN_FILE", default="", text="The token of the gateway.")
    nats_nkey_file: Annotated[str, Accepted("the path of a file of one line, the seed (SU…)")] = _variable(
        "GATEWAY_NATS_NKEY_FILE", default="", text="The nkey of the gateway."
    )
    nats_creds_file: Annotated[str, Accepted("the path of a `.creds` file")] = _variable(
        "GATEWAY_NATS_CREDS_FILE", default="", text="The JWT and nkey of the gateway, as `nsc` writes them."
    )
    nats_ca: Pem = _variable(
        "GATEWAY_NATS_CA",
        default="",
        text="The authorities that may sign the certificate of the NATS server. Requires TLS.",
    )
    nats_cert: Pem = _variable(
        "GATEWAY_NATS_CERT", default="", text="The gateway's client certificate for NATS. Requires TLS."
    )
    nats_key: Pem = _variable(
        "GATEWAY_NATS_KEY",
        default="",
        text="The key of that certificate, not encrypted, where `GATEWAY_NATS_CERT` does not hold it.",
    )
    nats_tls_first: Switch = _variable(
        "GATEWAY_NATS_TLS_FIRST",
        default="off",
        text="`on` where the server expects the TLS handshake first (`handshake_first`).",
    )
    nats_domain: Name = _variable(
        "GATEWAY_NATS_DOMAIN",
        default="",
        text="The JetStream domain that has the streams, where it is not that of the server in `NATS_URL`.",
    )
    levels_stream: Name = _variable(
        "GATEWAY_LEVELS_STREAM",
        default="",
        text="The stream that has `levels.signals`, where the subject does not find it: a mirror, for example. The "
        "gateway never makes it.",
    )
    flow_stream: Name = _variable(
        "GATEWAY_FLOW_STREAM", default="", text="The stream that has `market.flow`, likewise."
    )
    sections: Sections = _variable(
        "GATEWAY_SECTIONS",
        default=(),
        text="Further subjects that are relayed like `market.flow`, each under a name, to viewers that ask for it by "
        "`sections=`.",
    )
    connect_timeout_s: Annotated[Seconds, Ge(0.1), Le(3600)] = _variable(
        "GATEWAY_CONNECT_TIMEOUT",
        default=CONNECT_TIMEOUT_S,
        text="How long the gateway tries to reach NATS at the start before it gives up.",
    )
    max_message_bytes: Annotated[Whole, Unit("of bytes"), Ge(1024), Le(1 << 30)] = _variable(
        "GATEWAY_MAX_MESSAGE", default=MAX_MESSAGE_BYTES, text="A larger message from NATS is rejected."
    )
    consumers: Annotated[Literal["durable", "ephemeral"], BeforeValidator(str.lower)] = _variable(
        "GATEWAY_CONSUMERS",
        default="durable",
        text="How to subscribe: with the durables `gateway_levels` and `gateway_flow`, or with ephemeral consumers.",
    )

    stream_replicas: Annotated[Whole, Ge(1), Le(5)] = _variable(
        "GATEWAY_STREAM_REPLICAS",
        default=1,
        text="On how many servers a stream is that the gateway makes: 3 on a cluster of three.",
    )
    stream_max_bytes: Annotated[Whole, Unit("of bytes"), Ge(0), Le(1 << 50)] = _variable(
        "GATEWAY_STREAM_MAX_BYTES",
        default=0,
        text="How large such a stream may become before its oldest messages go; 0 for no bound but its age of 24 h.",
    )

    last_state: Switch = _variable(
        "GATEWAY_LAST_STATE",
        default="on",
        text="`on` keeps the last message of each subject beyond the age limit of its stream, in a stream that mirrors "
        "it, and shows it where the stream has none: after a weekend.",
    )

    market: Market = _variable(
        "GATEWAY_MARKET",
        default="XNYS",
        text="Whose hours say whether silence is an outage: the US exchanges, the ES future, or one without hours.",
    )

    # The port
    host: Host = _variable("GATEWAY_HOST", default="127.0.0.1", text="The address to listen on.")
    port: Annotated[Whole, Ge(1), Le(65535)] = _variable(
        "GATEWAY_PORT", "PORT", default=8000, text="The port for HTTP and WebSocket."
    )
    handover: Switch = _variable(
        "GATEWAY_HANDOVER",
        default="off",
        text="`on` lets another gateway of the same user, also with `on`, listen on the same port. Needs Linux.",
    )
    workers: Annotated[Whole, Ge(1), Le(64)] = _variable(
        "GATEWAY_WORKERS",
        default=1,
        text="How many processes serve the port. More than 1 needs Linux, and each has ephemeral consumers.",
    )
    tls_cert: Pem = _variable(
        "GATEWAY_TLS_CERT",
        default="",
        text="The gateway's certificate and its chain; with it the port speaks TLS only. Read again at SIGHUP.",
    )
    tls_key: Pem = _variable(
        "GATEWAY_TLS_KEY", default="", text="The key of that certificate, not encrypted. Read again at SIGHUP."
    )
    handshake_timeout_s: Annotated[Seconds, Ge(0.1), Le(3600)] = _variable(
        "GATEWAY_HANDSHAKE_TIMEOUT",
        default=10.0,
        text="How long a socket may take for a whole request, from its start or from its last response.",
    )
    response_timeout_s: Annotated[Seconds, Ge(0.1), Le(3600)] = _variable(
        "GATEWAY_RESPONSE_TIMEOUT",
        default=60.0,
        text="How long a response may wait for a client that reads it slowly. The client is then dropped; it is looked "
        "for every `GATEWAY_HANDSHAKE_TIMEOUT`.",
    )
    max_head_bytes: Annotated[Whole, Unit("of bytes"), Ge(1024), Le(1 << 16)] = _variable(
        "GATEWAY_MAX_HEADERS",
        default=16384,
        text="The largest request line and headers together. A larger head is answered with 431.",
    )
    metrics: Switch = _variable("GATEWAY_METRICS", default="on", text="`off` removes the route `/metrics`.")

    # Admission
    allowed_origins: Origins = _variable(
        "GATEWAY_ALLOWED_ORIGINS",
        default=(),
        text="The pages that may connect, beside those of the gateway's own address: `null` are pages without an "
        "origin, such as files, `*` are all. By default those of localhost.",
    )
    auth: Annotated[Literal["none", "token", "jwt"], BeforeValidator(str.lower)] = _variable(
        "GATEWAY_AUTH",
        default="none",
        text="What a viewer has to send: nothing, a token of `GATEWAY_TOKENS_FILE`, or a JSON Web Token.",
    )
    auth_query: Flag = _variable(
        "GATEWAY_AUTH_QUERY",
        default=False,
        text="`1` accepts a token as `?token=` too. Proxies and browsers may keep it in logs and histories.",
    )
    tokens_file: File = _variable(
        "GATEWAY_TOKENS_FILE",
        default="",
        text="The tokens, one a line, with an optional name after each; `#` starts a comment. Read again at SIGHUP.",
    )
    jwt_secret_file: File = _variable(
        "GATEWAY_JWT_SECRET_FILE",
        default="",
        text="The secret of HS256, at least 32 bytes. Read again at SIGHUP.",
    )
    jwks: KeySet = _variable(
        "GATEWAY_JWKS",
        default="",
        text="The JWK set with the public keys of RS256 and ES256. Read again at SIGHUP; a URL every 5 minutes too.",
    )
    jwt_audience: Text = _variable(
        "GATEWAY_JWT_AUDIENCE", default="", text="What `aud` must be or contain. By default `aud` is not checked."
    )
    jwt_issuer: Text = _variable(
        "GATEWAY_JWT_ISSUER", default="", text="What `iss` must be. By default `iss` is not checked."
    )
    trusted_proxies: Networks = _variable(
        "GATEWAY_TRUSTED_PROXIES",
        default=(),
        text="The proxies before the gateway. Only their `X-Forwarded-For` names the client.",
    )
    max_viewers: Annotated[Limit, Le(LARGEST_LIMIT)] = _variable(
        "GATEWAY_MAX_VIEWERS",
        default=20_000,
        text="How many viewers may be connected to all workers together. The next one is refused with 503.",
    )
    max_viewers_of_address: Annotated[Limit, Le(LARGEST_LIMIT)] = _variable(
        "GATEWAY_MAX_VIEWERS_PER_ADDRESS",
        default=0,
        text="How many viewers of one address may be connected to each worker. The next one is refused with 429.",
    )
    max_shapes: Annotated[Limit, Le(LARGEST_LIMIT)] = _variable(
        "GATEWAY_MAX_SHAPES",
        default=64,
        text="How many different shapes viewers may ask each worker for at a time. The next one is refused with 503.",
    )
    max_replays: Annotated[Limit, Le(1_000)] = _variable(
        "GATEWAY_MAX_REPLAYS",
        default=8,
        text="How many viewers of each worker may watch the past at a time. The next one is refused with 503.",
    )
    max_handshakes: Annotated[Limit, Unit("a second"), Le(LARGEST_LIMIT)] = _variable(
        "GATEWAY_MAX_HANDSHAKES",
        default=5_000,
        text="How many handshakes each worker accepts. Further ones are refused with 503.",
    )

    history: Switch = _variable(
        "GATEWAY_HISTORY",
        default="on",
        text="Whether the past can be asked for: a process of its own reads the streams, and keeps 24 h in memory.",
    )

    # Viewers
    drain_s: Annotated[Seconds, Ge(0), Le(3600)] = _variable(
        "GATEWAY_DRAIN",
        default=3.0,
        text="Over how long viewers are closed at a stop: 100 at once, then 100/s or more. It may take 2 s more.",
    )
    pre_stop_s: Annotated[Seconds, Ge(0), Le(3600)] = _variable(
        "GATEWAY_PRE_STOP",
        default=0.0,
        text="How long after the signal to stop `/ready` says 503 and the port stays open, before viewers are closed.",
    )
    stall_limit_s: Annotated[Seconds, Ge(1), Le(3600)] = _variable(
        "GATEWAY_STALL_LIMIT", default=30.0, text="A viewer that takes no byte for this long is closed with 4001."
    )
    coalesce_s: Annotated[Seconds, Ge(0), Le(0.1)] = _variable(
        "GATEWAY_COALESCE",
        default=0.003,
        text="How long levels wait for the flow, or any section for another, that regularly comes right after it, so "
        "that both are one frame. 0: each message is sent at once.",
    )
    ping_interval_s: Annotated[Seconds, Ge(1), Le(3600)] = _variable(
        "GATEWAY_PING_INTERVAL",
        default=8.0,
        text="The longest time between two pings of a viewer. Its pongs tell whether frames wait on their way to it.",
    )
    pong_timeout_s: Annotated[Seconds, Ge(1), Le(3600)] = _variable(
        "GATEWAY_PONG_TIMEOUT",
        default=30.0,
        text="A viewer that does not answer a ping for this long is closed with 4002.",
    )
    max_incoming_bytes: Annotated[Whole, Unit("of bytes"), Ge(125), Le(1 << 20)] = _variable(
        "GATEWAY_MAX_INCOMING",
        default=4096,
        text="The largest message that a viewer may send. The sender of a larger one is closed with 1009.",
    )
    max_incoming_rate: Annotated[Whole, Unit("of messages"), Ge(1), Le(LARGEST_LIMIT)] = _variable(
        "GATEWAY_MAX_INCOMING_RATE",
        default=100,
        text="How many messages, pings and fragments a viewer may send in a second. Beyond it is closed with 1008.",
    )

    # Signals and logs
    wall_baseline: Annotated[float, Unit("of contracts"), Ge(1), Le(1e12), Field(allow_inf_nan=False)] = _variable(
        "GATEWAY_WALL_BASELINE",
        default=5000.0,
        text="The divisor of `depth_in_zone` where Core sends no `wall_ratio`.",
    )
    log_format: Annotated[Literal["text", "json"], BeforeValidator(str.lower)] = _variable(
        "GATEWAY_LOG_FORMAT", default="text", text="The format of the lines on stderr."
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)] = _variable(
        "GATEWAY_LOG_LEVEL", default="INFO", text="The least severe level on stderr."
    )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read every variable; an empty one counts as not set.

        Raises:
            SettingError: a value is not accepted.
        """
        given = _Environment(cls, environment)
        try:
            return cls(**given())
        except ValidationError as wrong:
            raise SettingError(_text_of(wrong.errors()[0], given.environment)) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """`Settings(…)` reads nothing but its arguments."""
        return (init_settings,)

    @model_validator(mode="after")
    def _check_login(self) -> Self:
        """Two logins to NATS would leave a guess, and half of one is none."""
        logins = [name_of(field) for field in LOGINS if getattr(self, field)]
        if "@" in self.nats_url:
            logins.insert(0, "a login in NATS_URL")
        if len(logins) > 1:
            raise ValueError(f"{' and '.join(logins)} are not accepted together: one login is enough")
        for field, needed in NEEDS:
            if getattr(self, field) and not getattr(self, needed):
                raise ValueError(f"{name_of(field)} is not accepted without {name_of(needed)}")
        return self

    @model_validator(mode="after")
    def _check_auth(self) -> Self:
        """A setting that shall keep strangers out must not be without effect unnoticed."""
        fields = {field for field in AUTH_OF if getattr(self, field)}
        if fields and "auth" not in self.model_fields_set:
            field = min(fields)
            raise ValueError(
                f"{name_of(field)} is set and GATEWAY_AUTH is not: set GATEWAY_AUTH={AUTH_OF[field]}, or none"
            )
        if self.auth == "token" and not self.tokens_file:
            raise ValueError("GATEWAY_AUTH=token needs GATEWAY_TOKENS_FILE")
        if self.auth == "jwt" and bool(self.jwt_secret_file) == bool(self.jwks):
            raise ValueError("GATEWAY_AUTH=jwt needs GATEWAY_JWT_SECRET_FILE or GATEWAY_JWKS, and not both")
        return self


def nats_access(settings: Settings) -> Access:
    """The login to NATS and its TLS, from the settings."""
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


def jetstream_options(settings: Settings) -> JetStreamOptions:
    """How JetStream is deployed, from the settings."""
    named = {LEVELS_SIGNALS: settings.levels_stream, MARKET_FLOW: settings.flow_stream}
    return JetStreamOptions(
        domain=settings.nats_domain,
        streams={subject: name for subject, name in named.items() if name},
        new_streams=StreamLimits(settings.stream_replicas, settings.stream_max_bytes or None),
    )


class _Environment(EnvSettingsSource):
    """The variables of a mapping, which need not be the environment of the process."""

    def __init__(self, settings: type[Settings], environment: Mapping[str, str]) -> None:
        self.environment = {name: text.strip() for name, text in environment.items() if text.strip()}
        super().__init__(settings, case_sensitive=True)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self.environment


def _text_of(wrong: ErrorDetails, environment: Mapping[str, str]) -> str:
    if not wrong["loc"]:  # of a check of several fields
        return str(wrong["ctx"]["error"])
    variable = next(each for each in variables() if wrong["loc"][0] in (*each.names, each.field))
    name = next(name for name in variable.names if name in environment)
    text = environment[name]
    shown = logs.redacted(text) if variable.field in SECRET_IN_URL else text
    return f"{name}={shown!r} is not accepted: {variable.accepted}"


# -- the settings, described -------------------------------------------------------------------------------------------


class Variable(NamedTuple):
    """One setting, as documents and errors name it."""

    names: tuple[str, ...]
    field: str
    default: object
    accepted: str
    text: str


def variables() -> list[Variable]:
    """Every setting, in the order of the model."""
    return [_described(name, field) for name, field in Settings.model_fields.items()]


def _described(name: str, field: FieldInfo) -> Variable:
    accepted = _accepted(field.annotation, field.metadata)
    return Variable(_names(field), name, field.default, accepted, field.description or "")


def name_of(field: str) -> str:
    """The variable of a field; the first where it has several."""
    return _names(Settings.model_fields[field])[0]


def _names(field: FieldInfo) -> tuple[str, ...]:
    assert isinstance(field.validation_alias, AliasChoices), "every field is made by _variable"
    return tuple(map(str, field.validation_alias.choices))


def _accepted(kind: Any, metadata: list[Any]) -> str:
    """What a field accepts, in words."""
    said = [each for each in metadata if isinstance(each, Accepted)]
    if said:
        return said[0].words
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    unit = "".join(f" {each.words}" for each in metadata if isinstance(each, Unit))
    low, high = (next(getattr(each, end) for each in metadata if hasattr(each, end)) for end in ("ge", "le"))
    if kind is int:
        return f"a whole number{unit} from {low or 1} to {high}" + ("" if low else ", or 0 for no limit")
    return f"a number{unit} from {low:g} to {high:g}"


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """A line for each `GATEWAY_…` variable that is not a setting, with the nearest name."""
    known = [name for variable in variables() for name in variable.names]
    lines = []
    for name in sorted(environment):
        if name.startswith("GATEWAY_") and name not in known:
            nearest = difflib.get_close_matches(name, known, 1)
            lines.append(f"{name} is not a setting" + (f"; did you mean {nearest[0]}?" if nearest else ""))
    return lines


def overruled_variables(settings: Settings, environment: Mapping[str, str]) -> list[str]:
    """A line for each variable that is set and that another setting leaves without effect."""
    lines = []
    if settings.workers > 1 and settings.consumers == "durable" and environment.get("GATEWAY_CONSUMERS", "").strip():
        lines.append(
            f"GATEWAY_CONSUMERS=durable has no effect: GATEWAY_WORKERS={settings.workers}, and a durable is for one"
        )
    for field, auth in AUTH_OF.items():
        if auth != settings.auth and environment.get(name_of(field), "").strip():
            lines.append(f"{name_of(field)} has no effect: GATEWAY_AUTH={settings.auth}")
    return lines
