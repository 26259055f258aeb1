"""How NATS lets us in, against a nats-server that is configured so; whatever is wrong is told without the secret."""

import asyncio
import contextlib
import functools
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nats
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from src.common import last_message
from src.common.access import LARGEST_FILE_BYTES, Access, AccessError
from src.common.bus import BusError, NATSBus
from src.common.last_message import mirror_name
from src.common.subjects import LEVELS_SIGNALS
from src.common.tasks import end
from src.demo.nats_server import HOST, NatsServer
from tests.certificates import Authority, private_pem
from tests.nats_operator import Operator, creds, new_key
from tests.waiting import LIMIT_S, Inbox, until

MakeBus = Callable[..., NATSBus]


@pytest.fixture
async def make_bus() -> AsyncIterator[MakeBus]:
    """Makes buses, and closes them when the test is over."""
    made: list[NATSBus] = []

    def make(
        server: NatsServer, scheme: str = "nats", timeout_s: float = 60.0, *, keeps_last: bool = False, **access: Any
    ) -> NATSBus:
        given: dict[str, Any] = {name: str(it) if isinstance(it, Path) else it for name, it in access.items()}
        url = server.url.replace("nats:", f"{scheme}:")
        made.append(NATSBus(url, connect_timeout_s=timeout_s, access=Access(**given), keeps_last=keeps_last))
        return made[-1]

    yield make
    for bus in made:
        await bus.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def refused(bus: NATSBus, pattern: str) -> None:
    """Return when the bus says that it is not let in, for a reason like `pattern`."""
    connecting = asyncio.create_task(bus.connect())
    try:
        await until(lambda: re.search(pattern, bus.trouble or ""), f"a refusal like {pattern}")
    finally:
        await end(connecting)


def file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# -- logins ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def guarded(login: str, folder: Path) -> Iterator[tuple[NatsServer, dict[str, Any], dict[str, Any]]]:
    """A server that wants this login, access that is right, and access that is wrong."""
    if login == "creds":
        operator, stranger = Operator(), Operator()
        operator.write_creds(folder / "right")
        stranger.write_creds(folder / "wrong")
        config = operator.server_config()
    elif login == "nkey":
        key = new_key()
        file(folder, "right", key.seed + "\n")
        file(folder, "wrong", new_key().seed)
        config = f"authorization {{ users: [{{ nkey: {key.public} }}] }}"
    else:
        secret = "s3cret with spaces, ünïcode & @:/?#"
        file(folder, "right", f"{secret}\r\n")
        file(folder, "wrong", "wr0ng")
        config = {
            "password": f'authorization {{ user: "ann", password: "{secret}" }}',
            "token": f'authorization {{ token: "{secret}" }}',
        }[login]
    field, further = f"{login}_file", {"user": "ann"} if login == "password" else {}
    with NatsServer(config=config) as server:
        yield server, {field: folder / "right", **further}, {field: folder / "wrong", **further}


@pytest.mark.parametrize("login", ["password", "token", "nkey", "creds"])
async def test_the_right_login_relays_and_a_wrong_one_is_told(make_bus: MakeBus, tmp_path: Path, login: str) -> None:
    with guarded(login, tmp_path) as (server, right, wrong):
        bus, inbox = make_bus(server, **right), Inbox()
        await bus.connect()
        await bus.subscribe(LEVELS_SIGNALS, inbox)
        await bus.publish(LEVELS_SIGNALS, {"n": 1})
        await inbox.until_newest({"n": 1})
        for access in (wrong, {}):
            await refused(make_bus(server, **access), "Authorization Violation.*is the login right")


async def test_giving_up_names_the_refusal_and_what_to_check(make_bus: MakeBus, tmp_path: Path) -> None:
    with guarded("password", tmp_path) as (server, _right, wrong):
        with pytest.raises(BusError) as told:
            await make_bus(server, timeout_s=2.0, **wrong).connect()
        assert str(told.value).startswith(f"{server.url} does not let us in: ")
        assert "wr0ng" not in str(told.value)


WRONG_FILES = {
    "no password": ("password_file", None, "GATEWAY_NATS_PASSWORD_FILE: cannot read .*: No such file"),
    "an empty password": ("password_file", "", "GATEWAY_NATS_PASSWORD_FILE: .* does not hold one line"),
    "two lines": ("token_file", "s3cret\ns3cret", "GATEWAY_NATS_TOKEN_FILE: .* does not hold one line"),
    "no text": ("token_file", b"s3cret\xff", "GATEWAY_NATS_TOKEN_FILE: .* is not text"),
    "much too large": ("token_file", "s3cret" * LARGEST_FILE_BYTES, "GATEWAY_NATS_TOKEN_FILE: .* is larger than"),
    "no seed": ("nkey_file", "s3cret", "GATEWAY_NATS_NKEY_FILE: .* does not hold the seed"),
    "a cut seed": ("nkey_file", "SUAs3cret", "GATEWAY_NATS_NKEY_FILE: .* does not hold the seed"),
    "odd letters": ("nkey_file", "s3crét", "GATEWAY_NATS_NKEY_FILE: .* does not hold the seed"),
    "no creds": ("creds_file", "s3cret", "GATEWAY_NATS_CREDS_FILE: .* does not hold the JWT"),
    "half of the creds": ("creds_file", creds("s3cret", "")[:80], "GATEWAY_NATS_CREDS_FILE: .* does not hold the JWT"),
    "creds without a seed": (
        "creds_file",
        creds("eyJh", "s3cret"),
        "GATEWAY_NATS_CREDS_FILE: .* does not hold the seed",
    ),
    "no CA": ("ca_file", "s3cret", "GATEWAY_NATS_CA: .* is no PEM"),
    "no certificate": ("cert_file", "s3cret", "GATEWAY_NATS_CERT: .* are no PEM"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
async def test_a_file_that_is_wrong_is_told_at_once_without_what_it_holds(
    make_bus: MakeBus, nats_server: NatsServer, tmp_path: Path, name: str
) -> None:
    field, content, said = WRONG_FILES[name]
    path = tmp_path / "file" if content is None else file(tmp_path, "file", content)
    user = {"user": "ann"} if field == "password_file" else {}
    with pytest.raises(BusError, match=said) as told:
        await make_bus(nats_server, **user, **{field: path}).connect()
    assert str(path) in str(told.value)
    assert "s3cr" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_key_with_a_passphrase_is_told_instead_of_asked_for(authority: Authority, tmp_path: Path) -> None:
    key = file(tmp_path, "key", private_pem(ec.generate_private_key(ec.SECP256R1()), b"s3cret"))
    access = Access(cert_file=str(authority.certificate("client").cert), key_file=str(key))
    with pytest.raises(AccessError, match="GATEWAY_NATS_KEY: the key is encrypted"):
        access.options(with_tls=True)


# -- TLS ---------------------------------------------------------------------------------------------------------------


def tls_config(authority: Authority, *further: str) -> str:
    server = authority.certificate("server")
    lines = (f'cert_file: "{server.cert}"', f'key_file: "{server.key}"', f'ca_file: "{authority.ca}"', *further)
    return "tls {\n%s\n}\n" % "\n".join(lines)


TLS: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "its authority is known": ("", {"ca_file": "ca"}, None),
    "its authority is not known": ("", {}, "certificate verify failed.*GATEWAY_NATS_CA"),
    "its authority is another": ("", {"ca_file": "other ca"}, "certificate verify failed.*GATEWAY_NATS_CA"),
    "it wants a certificate and gets it": ("verify: true", {"ca_file": "ca", "cert_file": "c", "key_file": "k"}, None),
    "certificate and key are in one file": ("verify: true", {"ca_file": "ca", "cert_file": "both"}, None),
    "it wants a certificate and gets none": ("verify: true", {"ca_file": "ca"}, "set GATEWAY_NATS_CERT"),
    "it wants a certificate that it knows": (
        "verify: true",
        {"ca_file": "ca", "cert_file": "other c", "key_file": "other k"},
        "GATEWAY_NATS_CERT",
    ),
    "it wants the handshake first": ("handshake_first: true", {"ca_file": "ca", "tls_first": True}, None),
    "the handshake comes too early": ("", {"ca_file": "ca", "tls_first": True}, "GATEWAY_NATS_TLS_FIRST|TimeoutError"),
}


@pytest.mark.parametrize("scheme", ["nats", "tls"])
@pytest.mark.parametrize("name", TLS)
async def test_over_tls_each_side_checks_the_other(
    make_bus: MakeBus, authority: Authority, tmp_path: Path, name: str, scheme: str
) -> None:
    config, access, refusal = TLS[name]
    other, ours = Authority(tmp_path, "other"), authority.certificate("client")
    theirs = other.certificate("client")
    both = file(tmp_path, "both", ours.cert.read_bytes() + ours.key.read_bytes())
    files = {"ca": authority.ca, "c": ours.cert, "k": ours.key, "both": both}
    files |= {"other ca": other.ca, "other c": theirs.cert, "other k": theirs.key}
    given = {field: value if value is True else files[str(value)] for field, value in access.items()}
    with NatsServer(config=tls_config(authority, config), greets="first" not in config) as server:
        bus = make_bus(server, scheme, **given)
        if refusal is not None:
            await refused(bus, refusal)
        else:
            await bus.connect()
            assert bus.is_connected


async def test_a_server_that_also_talks_without_tls_is_talked_to_with_it(
    make_bus: MakeBus, authority: Authority
) -> None:
    with NatsServer(config=tls_config(authority) + "allow_non_tls: true") as server:
        await make_bus(server, "tls", ca_file=authority.ca).connect()
        await refused(make_bus(server, "tls"), "certificate verify failed")
        await make_bus(server, "nats").connect()


@pytest.mark.parametrize(("scheme", "access"), [("tls", {}), ("nats", {"ca_file": "ca"})])
async def test_where_tls_is_asked_for_nothing_is_said_without_it(
    make_bus: MakeBus, authority: Authority, tmp_path: Path, scheme: str, access: dict[str, str]
) -> None:
    """A server without TLS, or somebody between who takes the word of it out of the server's first line."""
    heard: list[bytes] = []

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","auth_required":true,"max_payload":1048576}\r\n')
        heard.append(await reader.read(100))
        writer.close()

    password = file(tmp_path, "password", "s3cret")
    files = {"ca_file": authority.ca} if access else {}
    async with await asyncio.start_server(impostor, HOST) as listening:
        port = listening.sockets[0].getsockname()[1]
        bus = make_bus(NatsServer(port=port), scheme, user="ann", password_file=password, **files)
        await refused(bus, "offers no TLS; .*tls://, GATEWAY_NATS_CA")
    assert set(heard) == {b""}


# -- what is renewed on disk -------------------------------------------------------------------------------------------


async def test_creds_that_run_out_are_read_again_when_they_have_been_renewed(
    make_bus: MakeBus, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    operator, path = Operator(), tmp_path / "user.creds"
    operator.write_creds(path, valid_for_s=2)
    with NatsServer(config=operator.server_config()) as server:
        bus, inbox = make_bus(server, creds_file=path), Inbox()
        await bus.connect()
        await bus.subscribe(LEVELS_SIGNALS, inbox)
        await until(lambda: not bus.is_connected, "the JWT expires")
        await until(lambda: "credentials that are still valid" in (bus.trouble or ""), "the reason is told")
        path.unlink()
        await until(lambda: "GATEWAY_NATS_CREDS_FILE: cannot read" in (bus.trouble or ""), "a missing file is told")
        operator.write_creds(path)
        await until(lambda: bus.is_connected, "the bus is back")
        await bus.publish(LEVELS_SIGNALS, {"n": 1})
        await inbox.until_newest({"n": 1})
        assert bus.trouble is None
    said = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert sum("does not let us in" in line for line in said) <= 3, "a line a change of state"


async def test_another_password_and_authority_count_from_the_next_connection_on(
    make_bus: MakeBus, authority: Authority, tmp_path: Path
) -> None:
    password, ca = file(tmp_path, "password", "s3cret"), file(tmp_path, "ca", authority.ca.read_bytes())
    login = 'authorization { user: "ann", password: "%s" }\n'
    with NatsServer(config=login % "s3cret" + tls_config(authority)) as server:
        bus = make_bus(server, user="ann", password_file=password, ca_file=ca)
        await bus.connect()
        successor = Authority(tmp_path, "successor")
        server.stop()
        server.config = login % "n3xt" + tls_config(successor)
        server.start()
        await until(lambda: "certificate verify failed" in (bus.trouble or ""), "the server's certificate is refused")
        ca.write_bytes(successor.ca.read_bytes())
        await until(lambda: "authorization violation" in (bus.trouble or "").lower(), "the password is refused")
        password.write_text("n3xt")
        await until(lambda: bus.is_connected, "the bus is back")


# -- rights ------------------------------------------------------------------------------------------------------------

ALL_THAT_IS_NEEDED = (  # as INTERFACES.md lists them, without the two that are needed for what may not happen
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.CONSUMER.CREATE.*.gateway_levels.levels.signals",
    "$JS.API.CONSUMER.DELETE.*.gateway_levels",
    "$JS.API.CONSUMER.INFO.*.gateway_levels",
)
MIRROR = mirror_name(LEVELS_SIGNALS)
CREATE, GET = "$JS.API.STREAM.CREATE.*", "$JS.API.STREAM.MSG.GET.*"
CREATE_MIRROR, DELETE = f"$JS.API.STREAM.CREATE.{MIRROR}", f"$JS.API.STREAM.DELETE.{MIRROR}"
TO_KEEP_THE_LAST = (CREATE_MIRROR, DELETE, GET)


def rights(publish: Iterable[str], subscribe: Iterable[str] = ("_INBOX.>",)) -> str:
    """A server on which `core` may do everything, and `gateway` this."""
    return f"""\
authorization {{ users: [
  {{ user: core, password: core }}
  {{ user: gateway, password: s3cret,
     permissions: {{ publish: {json.dumps(list(publish))}, subscribe: {json.dumps(list(subscribe))} }} }}
] }}
"""


class Limited(NamedTuple):
    """A server with two users, a bus of `core`, whose streams are there, and what makes one of `gateway`."""

    server: NatsServer
    core: NATSBus
    make_bus: Callable[..., NATSBus]


@pytest.fixture
async def limited(tmp_path: Path, make_bus: MakeBus) -> AsyncIterator[Limited]:
    with NatsServer(config=rights(ALL_THAT_IS_NEEDED)) as server:
        password, core_password = file(tmp_path, "password", "s3cret"), file(tmp_path, "core", "core")
        core = make_bus(server, user="core", password_file=core_password)
        await core.connect()
        gateway = {"user": "gateway", "password_file": password}
        yield Limited(server, core, functools.partial(make_bus, server, timeout_s=1.0, **gateway))


async def test_with_the_rights_that_are_documented_it_relays_from_streams_that_are_there(limited: Limited) -> None:
    bus, inbox = limited.make_bus(), Inbox()
    await bus.connect()
    await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    await limited.core.publish(LEVELS_SIGNALS, {"n": 1})
    await inbox.until_newest({"n": 1})
    assert [one.trouble for one in bus.subscriptions] == [None]


@pytest.mark.parametrize("denied", ALL_THAT_IS_NEEDED)
async def test_a_right_that_is_missing_is_told_with_what_to_grant(limited: Limited, denied: str) -> None:
    limited.server.reload(rights(set(ALL_THAT_IS_NEEDED) - {denied}))
    bus = limited.make_bus()
    with pytest.raises(BusError) as told:
        await bus.connect()
        await bus.subscribe(LEVELS_SIGNALS, Inbox(), "gateway_levels")
    subject = denied.replace("*", "LEVEL_SIGNALS")
    assert f"not permitted: grant this NATS user publish on {subject}" in str(told.value)
    assert "\n" not in str(told.value)


async def test_streams_that_are_missing_and_may_not_be_made_are_told(limited: Limited) -> None:
    limited.server.stop()
    limited.server.lose_store()
    limited.server.start()
    bus = limited.make_bus()
    await bus.connect()
    with pytest.raises(
        BusError,
        match=r"stream LEVEL_SIGNALS is missing: make it, or .*publish on \$JS\.API\.STREAM\.CREATE\.LEVEL_SIG",
    ):
        await bus.subscribe(LEVELS_SIGNALS, Inbox())


async def test_without_the_right_to_subscribe_jetstream_alone_brings_it_and_what_to_grant_is_told(
    limited: Limited,
) -> None:
    bus, inbox = limited.make_bus(), Inbox()
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    assert subscription.core_trouble == f"not permitted: grant this NATS user subscribe on {LEVELS_SIGNALS}"
    await limited.core.publish(LEVELS_SIGNALS, {"n": 1})
    await inbox.until_newest({"n": 1})
    assert (subscription.path, subscription.is_live) == ("jetstream", True)


async def test_answers_that_may_not_be_received_are_told(limited: Limited) -> None:
    limited.server.reload(rights(ALL_THAT_IS_NEEDED, ["elsewhere"]))
    with pytest.raises(BusError, match=r"does not let us in: .*subscribe on _INBOX\.>"):
        await limited.make_bus().connect()


async def test_messages_that_may_not_be_received_are_told(limited: Limited) -> None:
    """Answers come to three words, messages to four and more."""
    limited.server.reload(rights(ALL_THAT_IS_NEEDED, ["_INBOX.*.*"]))
    bus = limited.make_bus()
    await bus.connect()
    with pytest.raises(BusError, match=r"not permitted: grant this NATS user subscribe on _INBOX\.>"):
        await bus.subscribe(LEVELS_SIGNALS, Inbox(), "gateway_levels")


async def test_without_the_right_to_look_back_a_bad_newest_message_is_passed_over(
    limited: Limited, caplog: pytest.LogCaptureFixture
) -> None:
    for body in (b'{"n":1}', b"bad"):
        await limited.core.publish(LEVELS_SIGNALS, body)
    bus, inbox = limited.make_bus(), Inbox()
    await bus.connect()
    await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    assert "grant this NATS user publish on $JS.API.STREAM.MSG.GET.LEVEL_SIGNALS" in caplog.text
    await limited.core.publish(LEVELS_SIGNALS, {"n": 2})
    await inbox.until_newest({"n": 2})
    limited.server.reload(rights([*ALL_THAT_IS_NEEDED, GET]))
    await limited.core.publish(LEVELS_SIGNALS, b"bad")
    again, later = limited.make_bus(), Inbox()
    await again.connect()
    await again.subscribe(LEVELS_SIGNALS, later, "gateway_levels")
    assert later.received == [{"n": 2}]


@pytest.mark.parametrize("denied", TO_KEEP_THE_LAST)
async def test_without_a_right_to_keep_the_last_message_it_relays_and_tells_once_what_to_grant(
    limited: Limited, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    monkeypatch.setattr(last_message, "LOOK_INTERVAL_S", 0.01)
    core = await nats.connect(limited.server.url, user="core", password="core")
    limited.server.reload(rights({*ALL_THAT_IS_NEEDED, *TO_KEEP_THE_LAST} - {denied}))
    bus, inbox = limited.make_bus(keeps_last=True), Inbox()
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    if denied == DELETE:  # it counts where the stream was remade
        await until_it_is_there(core.jetstream(), MIRROR)
        await core.jetstream().delete_stream("LEVEL_SIGNALS")
    await limited.core.publish(LEVELS_SIGNALS, {"n": 1})
    await inbox.until_newest({"n": 1})
    await until(lambda: subscription.mirror_trouble, "it is told")
    assert f"grant this NATS user publish on {denied.removesuffix('*')}" in str(subscription.mirror_trouble)
    limited.server.reload(rights([*ALL_THAT_IS_NEEDED, *TO_KEEP_THE_LAST]))
    await until(lambda: subscription.mirror_trouble is None, "it is kept")
    assert caplog.text.count("is not kept beyond its stream: not permitted: grant") == 1
    await core.close()


async def until_it_is_there(jetstream: JetStreamContext, stream: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(NotFoundError):
                await jetstream.stream_info(stream)
                return
            await asyncio.sleep(0.005)


async def test_a_right_that_is_taken_away_and_given_back_later_heals_by_itself(limited: Limited) -> None:
    bus, inbox = limited.make_bus(), Inbox()
    await bus.connect()
    subscription = await bus.subscribe(LEVELS_SIGNALS, inbox, "gateway_levels")
    limited.server.reload(rights(["nothing"]))
    await until(lambda: "not permitted: grant" in (subscription.trouble or ""), "the missing right is told")
    limited.server.reload(rights([*ALL_THAT_IS_NEEDED, CREATE]))
    await until(lambda: subscription.trouble is None, "live again")
    await limited.core.publish(LEVELS_SIGNALS, {"n": 1})
    await inbox.until_newest({"n": 1})
