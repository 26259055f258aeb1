"""The environment as one value: what is read, what is refused and in which words."""

import re

import pytest

from src.common import logs
from src.gateway.settings import VARIABLES, SettingError, Settings, overruled_variables, unknown_variables

NAMES = [name for variable in VARIABLES for name in variable.names]


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
        ("GATEWAY_HOST", "0.0.0.0", "host", "0.0.0.0"),
        ("GATEWAY_HOST", "::1", "host", "::1"),
        ("GATEWAY_PORT", " 1 ", "port", 1),
        ("PORT", "65535", "port", 65535),
        ("GATEWAY_WORKERS", "64", "workers", 64),
        ("GATEWAY_CONNECT_TIMEOUT", "0.5", "connect_timeout_s", 0.5),
        ("GATEWAY_MAX_MESSAGE", "1024", "max_message_bytes", 1024),
        ("GATEWAY_CONSUMERS", "EPHEMERAL", "consumers", "ephemeral"),
        ("GATEWAY_WALL_BASELINE", "250", "wall_baseline", 250.0),
        ("GATEWAY_STALL_LIMIT", "1", "stall_limit_s", 1.0),
        ("GATEWAY_PING_INTERVAL", "3600", "ping_interval_s", 3600.0),
        ("GATEWAY_PONG_TIMEOUT", "2.5", "pong_timeout_s", 2.5),
        ("GATEWAY_MAX_INCOMING", "125", "max_incoming_bytes", 125),
        ("GATEWAY_METRICS", "OFF", "metrics", "off"),
        ("GATEWAY_LOG_FORMAT", "json", "log_format", "json"),
        ("GATEWAY_LOG_LEVEL", "debug", "log_level", "DEBUG"),
    ],
)
def test_a_variable_sets_its_field(name: str, text: str, field: str, value: object) -> None:
    assert getattr(Settings.from_environment({name: text}), field) == value


def test_every_variable_is_tried_above() -> None:
    tried = test_a_variable_sets_its_field.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {row[0] for row in tried} == set(NAMES)


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
        ("GATEWAY_CONSUMERS", "both", "one of durable, ephemeral"),
        ("GATEWAY_WALL_BASELINE", "0", "a number of contracts"),
        ("GATEWAY_STALL_LIMIT", "0", "a number of seconds from 1 to 3600"),
        ("GATEWAY_PING_INTERVAL", "x", "a number of seconds from 1 to 3600"),
        ("GATEWAY_METRICS", "1", "one of on, off"),
        ("GATEWAY_LOG_FORMAT", "xml", "one of text, json"),
        ("GATEWAY_LOG_LEVEL", "loud", "one of DEBUG, INFO, WARNING, ERROR"),
        ("GATEWAY_HOST", "http://0.0.0.0", "an address or host name"),
        ("GATEWAY_HOST", "a b", "an address or host name"),
        *[
            ("NATS_URL", text, "nats://host:port")
            for text in (
                "http://nats:4222",
                "nats://",
                "nats://a:port",
                "nats://a:65536",
                "nats://a:1,,nats://b:1",
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


def test_a_value_of_several_lines_is_told_in_one() -> None:
    with pytest.raises(SettingError) as refused:
        Settings.from_environment({"GATEWAY_LOG_LEVEL": "loud\nand clear"})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["http://ann:s3cret@nats:4222", "nats://ann:s3cret@:4222", "nats://s3cret@nats:port", "nats://ann:s3cret@[::1"],
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
    for variable in VARIABLES:
        assert variable.meaning
        assert variable.accepted.words
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
