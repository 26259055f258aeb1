"""The environment as one value: what is read, what is refused and in which words."""

import re
from ipaddress import ip_network

import pytest

from src.common import logs
from src.gateway.settings import SettingError, Settings, overruled_variables, unknown_variables, variables

NAMES = [name for variable in variables() for name in variable.names]


def test_nothing_set_is_the_documented_defaults() -> None:
    settings = Settings.from_environment({})
    assert settings == Settings()
    assert (settings.nats_url, settings.host, settings.port) == ("nats://nats:4222", "127.0.0.1", 8000)
    assert (settings.connect_timeout_s, settings.max_message_bytes) == (10.0, 8 << 20)
    assert (settings.wall_baseline, settings.consumers) == (5000.0, "durable")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_variable_counts_as_not_set(name: str, text: str) -> None:
    assert Settings.from_environment({name: text}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("NATS_URL", "nats://a:1,tls://b:2, c:3", "nats_url", "nats://a:1,tls://b:2, c:3"),
        ("NATS_URL", "nats://ann:s3cret@127.0.0.1", "nats_url", "nats://ann:s3cret@127.0.0.1"),
        ("NATS_URL", "nats://[::1]:4222", "nats_url", "nats://[::1]:4222"),
        ("GATEWAY_NATS_TOKEN_FILE", "/run/token", "nats_token_file", "/run/token"),
        ("GATEWAY_NATS_NKEY_FILE", "/run/nkey", "nats_nkey_file", "/run/nkey"),
        ("GATEWAY_NATS_CREDS_FILE", "/run/a.creds", "nats_creds_file", "/run/a.creds"),
        ("GATEWAY_NATS_CA", "/run/ca.pem", "nats_ca", "/run/ca.pem"),
        ("GATEWAY_NATS_CERT", "/run/cert.pem", "nats_cert", "/run/cert.pem"),
        ("GATEWAY_NATS_TLS_FIRST", "ON", "nats_tls_first", "on"),
        ("GATEWAY_NATS_DOMAIN", "hub", "nats_domain", "hub"),
        ("GATEWAY_LEVELS_STREAM", "EDGE_LEVELS", "levels_stream", "EDGE_LEVELS"),
        ("GATEWAY_FLOW_STREAM", "EDGE_FLOW", "flow_stream", "EDGE_FLOW"),
        ("GATEWAY_HOST", "0.0.0.0", "host", "0.0.0.0"),
        ("GATEWAY_HOST", "::1", "host", "::1"),
        ("GATEWAY_PORT", " 1 ", "port", 1),
        ("PORT", "65535", "port", 65535),
        ("GATEWAY_WORKERS", "64", "workers", 64),
        ("GATEWAY_CONNECT_TIMEOUT", "0.5", "connect_timeout_s", 0.5),
        ("GATEWAY_MAX_MESSAGE", "1024", "max_message_bytes", 1024),
        ("GATEWAY_CONSUMERS", "EPHEMERAL", "consumers", "ephemeral"),
        ("GATEWAY_LAST_STATE", "off", "last_state", "off"),
        ("GATEWAY_STREAM_REPLICAS", "3", "stream_replicas", 3),
        ("GATEWAY_STREAM_MAX_BYTES", "1000000000", "stream_max_bytes", 1_000_000_000),
        ("GATEWAY_WALL_BASELINE", "250", "wall_baseline", 250.0),
        ("GATEWAY_DRAIN", "0", "drain_s", 0.0),
        ("GATEWAY_HANDOVER", "on", "handover", "on"),
        ("GATEWAY_HISTORY", "off", "history", "off"),
        ("GATEWAY_MAX_REPLAYS", "3", "max_replays", 3),
        ("GATEWAY_PRE_STOP", "12.5", "pre_stop_s", 12.5),
        ("GATEWAY_STALL_LIMIT", "1", "stall_limit_s", 1.0),
        ("GATEWAY_COALESCE", "0", "coalesce_s", 0.0),
        ("GATEWAY_PING_INTERVAL", "3600", "ping_interval_s", 3600.0),
        ("GATEWAY_MARKET", "cmes", "market", "CMES"),
        ("GATEWAY_MARKET", "24X7", "market", "24x7"),
        ("GATEWAY_PONG_TIMEOUT", "2.5", "pong_timeout_s", 2.5),
        ("GATEWAY_MAX_INCOMING", "125", "max_incoming_bytes", 125),
        ("GATEWAY_METRICS", "OFF", "metrics", "off"),
        ("GATEWAY_ALLOWED_ORIGINS", "https://a.b", "allowed_origins", ("https://a.b",)),
        ("GATEWAY_ALLOWED_ORIGINS", "*, null", "allowed_origins", ("*", "null")),
        ("GATEWAY_AUTH", "None", "auth", "none"),
        ("GATEWAY_AUTH_QUERY", "1", "auth_query", True),
        ("GATEWAY_TOKENS_FILE", "/run/tokens", "tokens_file", "/run/tokens"),
        ("GATEWAY_JWT_SECRET_FILE", "/run/secret", "jwt_secret_file", "/run/secret"),
        ("GATEWAY_JWKS", "https://idp:8443/jwks?v=1", "jwks", "https://idp:8443/jwks?v=1"),
        ("GATEWAY_JWKS", "keys.json", "jwks", "keys.json"),
        ("GATEWAY_JWT_AUDIENCE", "spymaster", "jwt_audience", "spymaster"),
        ("GATEWAY_JWT_ISSUER", "https://idp/", "jwt_issuer", "https://idp/"),
        ("GATEWAY_TRUSTED_PROXIES", "10.0.0.1", "trusted_proxies", (ip_network("10.0.0.1/32"),)),
        ("GATEWAY_MAX_VIEWERS", "0", "max_viewers", 0),
        ("GATEWAY_MAX_VIEWERS_PER_ADDRESS", "10", "max_viewers_of_address", 10),
        ("GATEWAY_MAX_HANDSHAKES", "100", "max_handshakes", 100),
        ("GATEWAY_MAX_SHAPES", "8", "max_shapes", 8),
        (
            "GATEWAY_SECTIONS",
            "pentaview=pentaview.streams, b=x",
            "sections",
            (("pentaview", "pentaview.streams"), ("b", "x")),
        ),
        ("GATEWAY_MAX_INCOMING_RATE", "1000000", "max_incoming_rate", 1_000_000),
        ("GATEWAY_HANDSHAKE_TIMEOUT", "0.5", "handshake_timeout_s", 0.5),
        ("GATEWAY_RESPONSE_TIMEOUT", "5", "response_timeout_s", 5.0),
        ("GATEWAY_MAX_HEADERS", "65536", "max_head_bytes", 65536),
        ("GATEWAY_LOG_FORMAT", "json", "log_format", "json"),
        ("GATEWAY_LOG_LEVEL", "debug", "log_level", "DEBUG"),
    ],
)
def test_a_variable_sets_its_field(name: str, text: str, field: str, value: object) -> None:
    """GATEWAY_AUTH is set too: some of them are refused where it is not."""
    assert getattr(Settings.from_environment({"GATEWAY_AUTH": "none", name: text}), field) == value


TOGETHER = {  # these mean nothing alone
    "GATEWAY_NATS_USER": ("nats_user", "ann"),
    "GATEWAY_NATS_PASSWORD_FILE": ("nats_password_file", "/run/password"),
    "GATEWAY_NATS_CERT": ("nats_cert", "/run/cert.pem"),
    "GATEWAY_NATS_KEY": ("nats_key", "/run/key.pem"),
    "GATEWAY_TLS_CERT": ("tls_cert", "/run/our-cert.pem"),
    "GATEWAY_TLS_KEY": ("tls_key", "/run/our-key.pem"),
}


def test_variables_that_belong_together_set_their_fields() -> None:
    settings = Settings.from_environment({name: text for name, (_, text) in TOGETHER.items()})
    assert all(getattr(settings, field) == text for field, text in TOGETHER.values())


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"GATEWAY_NATS_USER": "ann"}, "GATEWAY_NATS_USER is not accepted without GATEWAY_NATS_PASSWORD_FILE"),
        ({"GATEWAY_NATS_PASSWORD_FILE": "/p"}, "GATEWAY_NATS_PASSWORD_FILE is not accepted without GATEWAY_NATS_USER"),
        ({"GATEWAY_NATS_KEY": "/k"}, "GATEWAY_NATS_KEY is not accepted without GATEWAY_NATS_CERT"),
        ({"GATEWAY_TLS_CERT": "/c"}, "GATEWAY_TLS_CERT is not accepted without GATEWAY_TLS_KEY"),
        ({"GATEWAY_TLS_KEY": "/k"}, "GATEWAY_TLS_KEY is not accepted without GATEWAY_TLS_CERT"),
        (
            {"GATEWAY_NATS_CREDS_FILE": "/c", "GATEWAY_NATS_NKEY_FILE": "/n"},
            "GATEWAY_NATS_NKEY_FILE and GATEWAY_NATS_CREDS_FILE are not accepted together: one login is enough",
        ),
        (
            {"NATS_URL": "nats://ann:s3cret@nats", "GATEWAY_NATS_TOKEN_FILE": "/t"},
            "a login in NATS_URL and GATEWAY_NATS_TOKEN_FILE are not accepted together: one login is enough",
        ),
    ],
)
def test_half_a_login_and_two_logins_are_told(environment: dict[str, str], said: str) -> None:
    with pytest.raises(SettingError) as refused:
        Settings.from_environment(environment)
    assert str(refused.value) == said


def test_every_variable_is_tried_above() -> None:
    tried = test_a_variable_sets_its_field.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {row[0] for row in tried} | TOGETHER.keys() == set(NAMES)


@pytest.mark.parametrize(
    ("environment", "port"),
    [
        ({"GATEWAY_PORT": "1", "PORT": "2"}, 1),
        ({"PORT": "2"}, 2),
        ({"GATEWAY_PORT": "", "PORT": "2"}, 2),
        ({"GATEWAY_PORT": "1", "PORT": "of Spain"}, 1),
    ],
)
def test_gateway_port_counts_before_port(environment: dict[str, str], port: int) -> None:
    assert Settings.from_environment(environment).port == port


@pytest.mark.parametrize(
    ("name", "text", "accepted"),
    [
        *[
            ("GATEWAY_PORT", text, "a whole number from 1 to 65535")
            for text in ("http", "0", "65536", "-1", "1.0", "nan")
        ],
        ("PORT", "of Spain", "a whole number from 1 to 65535"),
        *[("GATEWAY_WORKERS", text, "a whole number from 1 to 64") for text in ("0", "65", "many", "2.5")],
        *[
            ("GATEWAY_CONNECT_TIMEOUT", text, "a number of seconds from 0.1 to 3600")
            for text in ("soon", "0", "-1", "inf", "nan", "3601", "10s")
        ],
        ("GATEWAY_MAX_MESSAGE", "8M", "a whole number of bytes from 1024 to 1073741824"),
        ("GATEWAY_MAX_INCOMING", "124", "a whole number of bytes from 125 to 1048576"),
        ("GATEWAY_MAX_INCOMING_RATE", "0", "a whole number of messages from 1 to 1000000"),
        ("GATEWAY_HANDSHAKE_TIMEOUT", "0", "a number of seconds from 0.1 to 3600"),
        ("GATEWAY_RESPONSE_TIMEOUT", "0", "a number of seconds from 0.1 to 3600"),
        ("GATEWAY_MAX_HEADERS", "1023", "a whole number of bytes from 1024 to 65536"),
        ("GATEWAY_CONSUMERS", "both", "one of durable, ephemeral"),
        ("GATEWAY_WALL_BASELINE", "0", "a number of contracts"),
        ("GATEWAY_DRAIN", "-1", "a number of seconds from 0 to 3600"),
        ("GATEWAY_HANDOVER", "1", "one of on, off"),
        ("GATEWAY_HISTORY", "yes", "one of on, off"),
        ("GATEWAY_MAX_REPLAYS", "1001", "a whole number from 1 to 1000, or 0 for no limit"),
        ("GATEWAY_PRE_STOP", "-1", "a number of seconds from 0 to 3600"),
        ("GATEWAY_STALL_LIMIT", "0", "a number of seconds from 1 to 3600"),
        ("GATEWAY_COALESCE", "3", "a number of seconds from 0 to 0.1"),
        ("GATEWAY_PING_INTERVAL", "x", "a number of seconds from 1 to 3600"),
        ("GATEWAY_METRICS", "1", "one of on, off"),
        ("GATEWAY_LOG_FORMAT", "xml", "one of text, json"),
        ("GATEWAY_LOG_LEVEL", "loud", "one of DEBUG, INFO, WARNING, ERROR"),
        *[
            ("GATEWAY_NATS_DOMAIN", text, "a name without spaces, dots, slashes, * and >")
            for text in ("a.b", "a b", "*", "a>", "a/b")
        ],
        ("GATEWAY_HOST", "http://0.0.0.0", "an address or host name"),
        ("GATEWAY_HOST", "a b", "an address or host name"),
        ("GATEWAY_AUTH", "basic", "one of none, token, jwt"),
        *[("GATEWAY_AUTH_QUERY", text, "0 or 1") for text in ("yes", "2", "-1")],
        *[
            ("GATEWAY_ALLOWED_ORIGINS", text, "https://host, https://host:port, https://*.host, null or *")
            for text in (
                "**",
                "app.example.com",
                "https://",
                "https://*",
                "https://*.",
                "https://a.*.com",
                "https://*a.com",
                "https://a.com/",
                "https://a.com/x",
                "https://u@a.com",
                "https://a.com:0",
                "https://a.com:65536",
                "https://a.com,",
                "https://a.com https://b.com",
            )
        ],
        *[
            ("GATEWAY_TRUSTED_PROXIES", text, "an address or network such as 10.0.0.0/8")
            for text in ("proxy", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.1,,10.0.0.2", "*")
        ],
        *[
            ("GATEWAY_JWKS", text, "the path of a file, or http://host/path")
            for text in ("ftp://idp/jwks", "https://", "file:///etc/passwd", "https://idp:port/")
        ],
        ("GATEWAY_MAX_VIEWERS", "-1", "a whole number from 1 to 1000000, or 0 for no limit"),
        ("GATEWAY_MAX_VIEWERS_PER_ADDRESS", "few", "a whole number from 1 to 1000000, or 0 for no limit"),
        *(
            (
                "GATEWAY_SECTIONS",
                text,
                "name=subject, or several separated by commas; a name of a-z, 0-9 and _, not that",
            )
            for text in (
                "x",
                "x=",
                "=x",
                "X=x",
                "flow=x",
                "x=a.*",
                "x=a.>",
                "x=a,x=b",
                "x=a,y=a",
                "x=market.flow",
                "x=a,",
            )
        ),
        ("GATEWAY_MAX_HANDSHAKES", "0.5", "a whole number a second from 1 to 1000000, or 0 for no limit"),
        *[
            ("NATS_URL", text, "nats://host:port")
            for text in (
                "http://nats:4222",
                "nats://",
                "nats://a:port",
                "nats://a:65536",
                "nats://a:1,,nats://b:1",
                "nats://a:1/x",
                "nats://a:1#x",
                ",",
            )
        ],
    ],
)
def test_a_wrong_value_is_told_with_variable_value_and_what_is_accepted(name: str, text: str, accepted: str) -> None:
    with pytest.raises(SettingError, match=re.escape(accepted)) as refused:
        Settings.from_environment({name: text})
    said = str(refused.value)
    assert said.startswith(f"{name}={text!r}")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("https://A.Example.com:443", ("https://a.example.com",)),
        ("http://a.example.com:80", ("http://a.example.com",)),
        ("https://a.example.com:80", ("https://a.example.com:80",)),
        ("https://*.example.com:8443", ("https://*.example.com:8443",)),
        ("http://[::1]:4200", ("http://[::1]:4200",)),
        ("capacitor://localhost", ("capacitor://localhost",)),
        ("chrome-extension://abcdef", ("chrome-extension://abcdef",)),
        (" https://a.com , https://b.com ", ("https://a.com", "https://b.com")),
    ],
)
def test_origins_are_kept_as_browsers_write_them(text: str, origins: tuple[str, ...]) -> None:
    assert Settings.from_environment({"GATEWAY_ALLOWED_ORIGINS": text}).allowed_origins == origins


# -- the parts of GATEWAY_AUTH -----------------------------------------------------------------------------------------

TOKENS = {"GATEWAY_TOKENS_FILE": "t"}
SECRET = {"GATEWAY_JWT_SECRET_FILE": "s"}
JWKS = {"GATEWAY_JWKS": "https://idp/jwks"}


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"GATEWAY_AUTH": "token"}, "GATEWAY_AUTH=token needs GATEWAY_TOKENS_FILE"),
        ({"GATEWAY_AUTH": "token", **SECRET}, "GATEWAY_AUTH=token needs GATEWAY_TOKENS_FILE"),
        ({"GATEWAY_AUTH": "jwt"}, "GATEWAY_AUTH=jwt needs GATEWAY_JWT_SECRET_FILE or GATEWAY_JWKS, and not both"),
        ({"GATEWAY_AUTH": "jwt", **SECRET, **JWKS}, "GATEWAY_AUTH=jwt needs GATEWAY_JWT_SECRET_FILE or GATEWAY_JWKS"),
        (TOKENS, "GATEWAY_TOKENS_FILE is set and GATEWAY_AUTH is not: set GATEWAY_AUTH=token, or none"),
        (SECRET, "GATEWAY_JWT_SECRET_FILE is set and GATEWAY_AUTH is not: set GATEWAY_AUTH=jwt, or none"),
        ({"GATEWAY_JWT_ISSUER": "x", "GATEWAY_AUTH": ""}, "GATEWAY_JWT_ISSUER is set and GATEWAY_AUTH is not"),
    ],
)
def test_a_login_that_would_not_work_is_refused(environment: dict[str, str], said: str) -> None:
    with pytest.raises(SettingError, match=re.escape(said)):
        Settings.from_environment(environment)


@pytest.mark.parametrize(
    ("environment", "without_effect"),
    [
        ({"GATEWAY_AUTH": "token", **TOKENS}, []),
        ({"GATEWAY_AUTH": "jwt", **JWKS, "GATEWAY_JWT_AUDIENCE": "a", "GATEWAY_JWT_ISSUER": "i"}, []),
        ({"GATEWAY_AUTH": "jwt", **SECRET, **TOKENS}, ["GATEWAY_TOKENS_FILE"]),
        ({"GATEWAY_AUTH": "none", **TOKENS, **JWKS}, ["GATEWAY_TOKENS_FILE", "GATEWAY_JWKS"]),
    ],
)
def test_what_another_kind_of_login_needs_is_told_to_have_no_effect(
    environment: dict[str, str], without_effect: list[str]
) -> None:
    settings = Settings.from_environment(environment)
    assert overruled_variables(settings, environment) == [
        f"{name} has no effect: GATEWAY_AUTH={settings.auth}" for name in without_effect
    ]


def test_a_key_set_address_with_a_password_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingError, match="GATEWAY_JWKS") as refused:
        Settings.from_environment({"GATEWAY_JWKS": "https://ann:s3cret@idp/jwks"})
    assert "s3cret" not in str(refused.value)


def test_a_value_of_several_lines_is_told_in_one() -> None:
    with pytest.raises(SettingError) as refused:
        Settings.from_environment({"GATEWAY_LOG_LEVEL": "loud\nand clear"})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://ann:s3cret@nats:4222",
        "nats://ann:s3cret@:4222",
        "nats://s3cret@nats:port",
        "nats://ann:s3cret@[::1",
        "nats://nats:4222?token=s3cret",
        "nats://ann@nats:4222?token=s3cret,s3cret",
    ],
)
def test_a_refused_nats_url_is_shown_without_its_password(url: str) -> None:
    with pytest.raises(SettingError, match="NATS_URL") as refused:
        Settings.from_environment({"NATS_URL": url})
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("between", [*"/?#,@:[]% ", "@[::1"])
def test_a_password_of_any_characters_is_never_shown(between: str) -> None:
    """Where the URL is refused for it, half of the password is not shown either."""
    url = f"nats://ann:s3cret{between}s3cret@127.0.0.1:4222"
    try:
        shown = logs.redacted(Settings.from_environment({"NATS_URL": url}).nats_url)
    except SettingError as refused:
        shown = str(refused)
    assert "s3cret" not in shown


def test_every_variable_says_what_it_means_and_what_it_accepts() -> None:
    for variable in variables():
        assert variable.text
        assert variable.accepted
        assert hasattr(Settings(), variable.field)


@pytest.mark.parametrize(
    ("environment", "lines"),
    [
        ({"GATEWAY_PORT": "1", "NATS_URL": "x", "PORT": "2", "PATH": "/bin"}, []),
        ({"GATEWAY_PROT": "1"}, ["GATEWAY_PROT is not a setting; did you mean GATEWAY_PORT?"]),
        ({"GATEWAY_LOGLEVEL": "1"}, ["GATEWAY_LOGLEVEL is not a setting; did you mean GATEWAY_LOG_LEVEL?"]),
        ({"GATEWAY_XYZZY_QUUX_PLUGH": "1"}, ["GATEWAY_XYZZY_QUUX_PLUGH is not a setting"]),
    ],
)
def test_an_unknown_gateway_variable_is_told_with_the_nearest_name(
    environment: dict[str, str], lines: list[str]
) -> None:
    assert unknown_variables(environment) == lines


@pytest.mark.parametrize(
    ("environment", "overruled"),
    [
        ({}, False),
        ({"GATEWAY_CONSUMERS": "durable"}, False),
        ({"GATEWAY_WORKERS": "2"}, False),
        ({"GATEWAY_WORKERS": "2", "GATEWAY_CONSUMERS": "ephemeral"}, False),
        ({"GATEWAY_WORKERS": "2", "GATEWAY_CONSUMERS": " "}, False),
        ({"GATEWAY_WORKERS": "2", "GATEWAY_CONSUMERS": "Durable"}, True),
    ],
)
def test_durables_that_were_asked_for_and_cannot_be_had_are_told(environment: dict[str, str], overruled: bool) -> None:
    lines = overruled_variables(Settings.from_environment(environment), environment)
    assert len(lines) == overruled
    assert all(line.startswith("GATEWAY_CONSUMERS=durable has no effect: GATEWAY_WORKERS=2") for line in lines)
