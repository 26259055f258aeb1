"""The gateway and a NATS that lets only those in whom it knows: each login by its settings, and no secret anywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from src.common.bus import NATSBus
from src.common.subjects import MARKET_FLOW
from src.demo.nats_server import NatsServer
from src.gateway.market_bus import make_bus
from src.gateway.settings import Settings
from tests.certificates import Authority
from tests.common.test_access import file, tls_config
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.viewer import Viewer
from tests.nats_operator import Operator, new_key
from tests.waiting import until

SECRET = "s3cret/with:odd@characters?"


class Guarded(NamedTuple):
    """What a server is told, what the gateway is, and what nobody may see."""

    config: str
    settings: dict[str, str]
    secret: str
    login_in_url: str = ""


def password_in_files(folder: Path) -> Guarded:
    path = file(folder, "password", SECRET)
    settings = {"GATEWAY_NATS_USER": "ann", "GATEWAY_NATS_PASSWORD_FILE": str(path)}
    return Guarded(f'authorization {{ user: ann, password: "{SECRET}" }}', settings, SECRET)


def token_in_a_file(folder: Path) -> Guarded:
    settings = {"GATEWAY_NATS_TOKEN_FILE": str(file(folder, "token", SECRET))}
    return Guarded(f'authorization {{ token: "{SECRET}" }}', settings, SECRET)


def token_in_the_url(_folder: Path) -> Guarded:
    return Guarded("authorization { token: s3cret }", {}, "s3cret", "s3cret@")


def nkey(folder: Path) -> Guarded:
    key = new_key()
    settings = {"GATEWAY_NATS_NKEY_FILE": str(file(folder, "nkey", key.seed))}
    return Guarded(f"authorization {{ users: [{{ nkey: {key.public} }}] }}", settings, key.seed)


def creds(folder: Path) -> Guarded:
    operator, path = Operator(), folder / "gateway.creds"
    operator.write_creds(path)
    seed = path.read_text().split("SEED-----\n")[1].split("\n")[0]
    return Guarded(operator.server_config(), {"GATEWAY_NATS_CREDS_FILE": str(path)}, seed)


def certificate(folder: Path) -> Guarded:
    """A client certificate alone, over TLS from the first byte on."""
    authority = Authority(folder)
    ours = authority.certificate("gateway")
    settings = {
        "GATEWAY_NATS_CA": str(authority.ca),
        "GATEWAY_NATS_CERT": str(ours.cert),
        "GATEWAY_NATS_KEY": str(ours.key),
        "GATEWAY_NATS_TLS_FIRST": "on",
    }
    config = tls_config(authority, "verify: true", "handshake_first: true")
    return Guarded(config, settings, ours.key.read_text().splitlines()[1])


EACH = [password_in_files, token_in_a_file, token_in_the_url, nkey, creds, certificate]


@pytest.mark.parametrize("guard", EACH, ids=lambda guard: guard.__name__)
async def test_it_relays_before_and_after_an_outage_and_shows_no_secret(
    make_gateway: LaunchGateway, tmp_path: Path, guard: Callable[[Path], Guarded]
) -> None:
    guarded = guard(tmp_path)
    with NatsServer(config=guarded.config, greets="handshake_first" not in guarded.config) as server:
        url = server.url.replace("//", f"//{guarded.login_in_url}")
        gateway = make_gateway(url, GATEWAY_LOG_LEVEL="DEBUG", **guarded.settings).start()
        core = bus_of(url, guarded.settings)
        await core.connect()
        async with Viewer(gateway) as viewer:
            await core.publish(MARKET_FLOW, {"n": 1})
            await viewer.until_newest(flow=1)
            server.kill()
            await until(lambda: gateway.health()["nats_trouble"], "the gateway says why")
            shown = said_by(gateway)
            server.start()
            await until(lambda: gateway.health()["status"] == "healthy" and core.is_connected, "both are back")
            await core.publish(MARKET_FLOW, {"n": 2})
            await viewer.until_newest(flow=2)
        await core.close()
        assert gateway.health()["nats_trouble"] is None
    assert gateway.stop() == 0
    assert guarded.secret not in shown + said_by(gateway)
    assert "Traceback" not in gateway.stderr


def bus_of(url: str, settings: dict[str, str]) -> NATSBus:
    return make_bus(Settings.from_environment({"NATS_URL": url, **settings}))


def said_by(gateway: GatewayProcess) -> str:
    """All that it shows at this moment, to anybody."""
    answers = (
        [gateway.get(path).body.decode() for path in ("/health", "/ready", "/snapshot")] if gateway.running else []
    )
    return "\n".join([*answers, gateway.stdout, gateway.stderr])


def test_what_the_server_refuses_ends_the_start_with_one_line(make_gateway: LaunchGateway, tmp_path: Path) -> None:
    operator, stranger = Operator(), Operator()
    stranger.write_creds(tmp_path / "gateway.creds")
    settings = {"GATEWAY_NATS_CREDS_FILE": str(tmp_path / "gateway.creds"), "GATEWAY_CONNECT_TIMEOUT": "2"}
    with NatsServer(config=operator.server_config()) as server:
        gateway = make_gateway(server.url, **settings).launch()
        assert gateway.wait() == 1
    (line,) = gateway.stderr.splitlines()
    assert f"{server.url} does not let us in: nats: 'Authorization Violation'; is the login right" in line


def test_a_file_that_is_not_there_ends_the_start_with_one_line(
    make_gateway: LaunchGateway, tmp_path: Path, nats_server: NatsServer
) -> None:
    path = str(tmp_path / "nothing")
    gateway = make_gateway(nats_server.url, GATEWAY_NATS_CREDS_FILE=path, GATEWAY_CONNECT_TIMEOUT="3600").launch()
    assert gateway.wait() == 2
    (line,) = gateway.stderr.splitlines()
    assert f"GATEWAY_NATS_CREDS_FILE: cannot read {path}: No such file or directory" in line


async def test_a_login_that_is_lost_later_is_told_by_health_until_it_is_good_again(
    make_gateway: LaunchGateway, tmp_path: Path
) -> None:
    password, login = file(tmp_path, "password", "s3cret"), "authorization { user: ann, password: %s }"
    settings = {"GATEWAY_NATS_USER": "ann", "GATEWAY_NATS_PASSWORD_FILE": str(password)}
    with NatsServer(config=login % "s3cret") as server:
        gateway = make_gateway(server.url, **settings).start()
        server.reload(login % "n3xt")
        await until(lambda: "is the login right" in (gateway.health()["nats_trouble"] or ""), "the refusal is told")
        await until(lambda: not gateway.ready, "it is not ready any more")
        assert "is the login right" in gateway.get("/ready").json["reasons"][0]
        assert gateway.get("/health").status == 200
        password.write_text("n3xt")
        await until(lambda: gateway.ready, "the gateway is back")
        assert gateway.stop() == 0
    lines = [line for line in gateway.stderr.splitlines() if "does not let us in" in line]
    assert len(lines) == 1, "a line a change of state"
