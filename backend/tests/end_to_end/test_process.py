"""The process: what it prints, what it accepts, how it starts, gives up and stops."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGINT, SIGTERM

import pytest

from src.common.stop_requests import SAME_REQUEST_S
from src.demo.nats_server import HOST, NatsServer, free_port
from tests.conftest import LaunchGateway
from tests.end_to_end.publisher import FLOW, LEVELS, Publisher
from tests.end_to_end.sockets import deaf_viewer
from tests.end_to_end.viewer import Viewer
from tests.waiting import LIMIT_S, until

NOWHERE = "nats://127.0.0.1:1"
EACH_SIGNAL = pytest.mark.parametrize("how", [SIGTERM, SIGINT], ids=["SIGTERM", "SIGINT"])


def start_up_lines(nats_url: str, port: int) -> str:
    rule = "=" * 60
    return f"""\
{rule}
GATEWAY SERVICE
{rule}
  NATS URL: {nats_url}
  WebSocket: ws://localhost:{port}/ws/stream
{rule}
✅ Gateway subscribed to NATS subjects
"""


# -- what it prints ----------------------------------------------------------------------------------------------------


async def test_stdout_has_the_start_up_lines_with_gateway_port_before_port_and_nothing_else(
    make_gateway: LaunchGateway, nats_server: NatsServer, publisher: Publisher
) -> None:
    port = free_port()
    gateway = make_gateway(GATEWAY_LOG_LEVEL="DEBUG", GATEWAY_PORT=str(port), PORT="1").start()
    expected = start_up_lines(nats_server.url, port)
    assert gateway.stdout == expected
    async with Viewer(gateway) as viewer:
        await publisher.publish(FLOW, b"not JSON")
        await publisher.flow(1)
        await viewer.until_newest(flow=1)
    gateway.get("/nothing")
    assert gateway.stop() == 0
    assert gateway.stdout == expected


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_viewer_can_connect_as_soon_as_the_start_line_is_printed(
    make_gateway: LaunchGateway, workers: str
) -> None:
    gateway = make_gateway(GATEWAY_WORKERS=workers).launch()
    await until(lambda: "✅" in gateway.stdout, "the last of the start-up lines")
    socket.create_connection((HOST, gateway.port), LIMIT_S).close()


async def test_stderr_has_one_line_a_change_of_state_as_text(
    make_gateway: LaunchGateway, nats_server: NatsServer, publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_PROT="1").start()
    await publisher.publish(FLOW, b"not JSON")
    await until(lambda: gateway.subscription(FLOW)["rejected"] == {"not_json": 1}, "the bad message")
    nats_server.kill()
    await until(lambda: not gateway.health()["nats_connected"], "the gateway notices")
    gateway.stop()
    lines = gateway.stderr.splitlines()
    assert len(lines) >= 3
    for line in lines:
        time, level, logger, text = line.split(" ", 3)
        assert (time[10], time[-1], level in {"INFO", "WARNING", "ERROR"}, logger[-1]) == ("T", "Z", True, ":"), line
        assert text
    assert any("GATEWAY_PROT is not a setting; did you mean GATEWAY_PORT?" in line for line in lines)


async def test_stderr_is_json_a_line_when_asked(
    make_gateway: LaunchGateway, nats_server: NatsServer, publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_LOG_FORMAT="json", GATEWAY_LOG_LEVEL="debug", GATEWAY_PROT="1").start()
    await publisher.publish(FLOW, b"not JSON")
    await until(lambda: gateway.subscription(FLOW)["rejected"] == {"not_json": 1}, "the bad message")
    nats_server.kill()
    await until(lambda: not gateway.health()["nats_connected"], "the gateway notices")
    assert gateway.stop() == 0
    lines = [json.loads(line) for line in gateway.stderr.splitlines()]
    assert len(lines) >= 3
    assert all(line.keys() >= {"time", "level", "logger", "message"} for line in lines)


def test_the_reason_to_give_up_is_json_too_when_asked(make_gateway: LaunchGateway) -> None:
    gateway = make_gateway(NOWHERE, GATEWAY_LOG_FORMAT="json", GATEWAY_CONNECT_TIMEOUT="0.1").launch()
    assert gateway.wait() == 1
    (line,) = map(json.loads, gateway.stderr.splitlines())
    assert NOWHERE in line["message"]


# -- what it accepts ---------------------------------------------------------------------------------------------------

WRONG_SETTINGS = [
    ("GATEWAY_PORT", "http", "a whole number from 1 to 65535"),
    ("GATEWAY_LOG_FORMAT", "xml", "text, json"),
    ("NATS_URL", "http://ann:s3cret@nats:4222", "nats://host:port"),
]


def test_a_wrong_setting_ends_the_start_with_one_line(make_gateway: LaunchGateway) -> None:
    launched = [make_gateway().launch({name: value}) for name, value, _ in WRONG_SETTINGS]
    for gateway, (name, value, accepted) in zip(launched, WRONG_SETTINGS, strict=True):
        status = gateway.wait()
        assert "Traceback" not in gateway.stderr, value
        (line,) = gateway.stderr.splitlines()
        assert (status, gateway.stdout) == (2, "")
        assert name in line
        assert value.rpartition("@")[2] in line
        assert accepted in line
        assert "s3cret" not in line


def test_a_busy_port_is_told_with_what_to_do(make_gateway: LaunchGateway) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        gateway = make_gateway(GATEWAY_PORT=str(port)).launch()
        assert gateway.wait() == 1
    (line,) = gateway.stderr.splitlines()
    assert f"{HOST}:{port}" in line
    assert "GATEWAY_PORT" in line
    assert gateway.stdout == ""


def test_an_address_that_is_none_is_told_with_the_variable(make_gateway: LaunchGateway) -> None:
    gateway = make_gateway(GATEWAY_HOST="a..b").launch()
    assert gateway.wait() in (1, 2)
    (line,) = gateway.stderr.splitlines()
    assert "GATEWAY_HOST" in line


# -- no NATS at start --------------------------------------------------------------------------------------------------


async def test_it_waits_for_a_nats_that_starts_later(make_gateway: LaunchGateway, nats_server: NatsServer) -> None:
    nats_server.stop()
    gateway = make_gateway(GATEWAY_CONNECT_TIMEOUT="60").launch()
    gateway.until_it_says("GATEWAY SERVICE")
    nats_server.start()
    gateway.until_it_says("✅")
    assert gateway.until_it_answers().ready


UNREACHABLE = {
    "nobody listens": "nats://ann:s3cret@127.0.0.1:1",
    "a token": "nats://s3cret@127.0.0.1:1",
    "several servers": "nats://ann:s3cret@127.0.0.1:1,nats://bob:s3cret@127.0.0.1:2",
}


def test_an_unreachable_nats_ends_the_start_with_one_line_without_password(make_gateway: LaunchGateway) -> None:
    launched = {
        name: make_gateway(url, GATEWAY_CONNECT_TIMEOUT="0.5", GATEWAY_LOG_LEVEL="DEBUG").launch()
        for name, url in UNREACHABLE.items()
    }
    for name, gateway in launched.items():
        status = gateway.wait()
        said = [line for line in gateway.stderr.splitlines() if " DEBUG " not in line]
        assert (status, len(said)) == (1, 1), (name, gateway.stderr)
        assert "NATS_URL" in said[0]
        assert UNREACHABLE[name].rpartition("@")[2] in said[0]
        assert "s3cret" not in gateway.stdout + gateway.stderr, name
        assert "Traceback" not in gateway.stderr
        assert "✅" not in gateway.stdout


async def test_a_nats_that_refuses_the_password_is_told_and_the_right_one_is_never_shown(
    make_gateway: LaunchGateway,
) -> None:
    with NatsServer(config='authorization { user: "ann", password: "s3cret" }') as guarded:
        url = guarded.url.replace("//", "//ann:s3cret@")
        wrong = make_gateway(url.replace("s3cret", "wr0ng"), GATEWAY_CONNECT_TIMEOUT="0.5").launch()
        right = make_gateway(url, GATEWAY_LOG_LEVEL="DEBUG").launch()
        assert wrong.wait() == 1
        (line,) = wrong.stderr.splitlines()  # the server may reset the connection before its reason is read
        assert "NATS_URL" in line
        assert "wr0ng" not in wrong.stdout + wrong.stderr
        right.until_it_answers()
        guarded.kill()
        await until(lambda: right.get("/ready").status == 503, "the gateway notices")
        shown = right.get("/health").body + right.get("/ready").body
        assert right.health()["nats_url"] == guarded.url.replace("//", "//***@")
        assert right.stop() == 0
        assert "s3cret" not in shown.decode() + right.stdout + right.stderr


async def test_a_nats_without_jetstream_is_told_and_core_nats_is_relayed(make_gateway: LaunchGateway) -> None:
    with NatsServer(config="jetstream: disabled") as plain:
        gateway = make_gateway(plain.url, GATEWAY_CONNECT_TIMEOUT="0.5").start()
        assert "JetStream is not enabled" in gateway.stderr
        assert plain.url in gateway.stderr
        assert gateway.ready
        health = gateway.health()
        assert health["status"] == "degraded"
        assert "JetStream is not enabled" in health["subscriptions"][LEVELS]["trouble"]
        async with Viewer(gateway) as viewer, Publisher(plain) as publisher:
            await publisher.client.publish(FLOW, b'{"n":1}')
            await viewer.until_newest(flow=1)


# -- the end -----------------------------------------------------------------------------------------------------------


@EACH_SIGNAL
async def test_it_says_going_away_to_viewers_and_exits_with_0(
    make_gateway: LaunchGateway, publisher: Publisher, how: int
) -> None:
    gateway = make_gateway().start()
    await publisher.flow(1)
    async with Viewer(gateway) as one, Viewer(gateway, compression=None) as other:
        for viewer in (one, other):
            await viewer.until_newest(flow=1)
        gateway.signal(how)
        assert [await viewer.close_code() for viewer in (one, other)] == [1001, 1001]
    assert gateway.wait() == 0
    assert not any(word in gateway.stderr for word in ("WARNING", "ERROR", "Traceback"))


async def test_a_viewer_that_never_reads_does_not_keep_it_from_stopping(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    gateway = make_gateway().start()
    async with deaf_viewer(gateway), Viewer(gateway, compression=None) as viewer:
        for number in range(1, 6):
            await publisher.flow(number, padding="x" * 1_000_000)
            await viewer.until_newest(flow=number)
        assert gateway.stop() == 0
        assert await viewer.close_code() == 1001


def test_it_stops_also_while_it_still_tries_to_reach_nats(make_gateway: LaunchGateway) -> None:
    gateways = [make_gateway(NOWHERE, GATEWAY_CONNECT_TIMEOUT="3600").launch() for _ in range(2)]
    for gateway, how in zip(gateways, (SIGTERM, SIGINT), strict=True):
        gateway.until_it_says("WebSocket")
        assert gateway.stop(how) == 0
        assert "Traceback" not in gateway.stderr


async def test_it_stops_also_while_nats_is_gone_or_hangs(make_gateway: LaunchGateway, nats_server: NatsServer) -> None:
    gone, hanging = make_gateway().launch(), make_gateway(GATEWAY_CONSUMERS="ephemeral").launch()
    for gateway in (gone, hanging):
        gateway.until_it_answers()
    nats_server.freeze()
    assert hanging.stop() == 0
    nats_server.kill()
    await until(lambda: not gone.health()["nats_connected"], "the gateway notices")
    assert gone.stop() == 0
    for gateway in (gone, hanging):
        assert "Traceback" not in gateway.stderr


PASSES_ON = """
import signal, subprocess, sys
started = subprocess.Popen(sys.argv[1:])
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: started.send_signal(number))
sys.exit(started.wait())
"""


@EACH_SIGNAL
@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_signal_to_the_group_that_the_parent_passes_on_is_one_request(
    make_gateway: LaunchGateway, publisher: Publisher, how: int, workers: str
) -> None:
    """systemd signals the whole group, and `uv run` in it passes the signal on."""
    gateway = make_gateway(GATEWAY_WORKERS=workers).launch(under=[sys.executable, "-c", PASSES_ON]).until_it_answers()
    await publisher.flow(1)
    async with Viewer(gateway) as viewer:
        await viewer.until_newest(flow=1)
        gateway.signal_group(how)
        assert await viewer.close_code() == 1001
    assert gateway.wait() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_signals_change_nothing_until_the_last_moment(make_gateway: LaunchGateway, workers: str) -> None:
    gateway = make_gateway(GATEWAY_WORKERS=workers).launch()
    gateway.until_it_says("✅")
    last_s = time.monotonic() + SAME_REQUEST_S / 2
    gateway.signal(SIGTERM)
    while gateway.running and time.monotonic() < last_s:
        gateway.signal(SIGTERM)
        gateway.signal(SIGINT)
    assert gateway.wait() == 0


AS_PROCESS_1 = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_as_process_1_it_stops_as_elsewhere(make_gateway: LaunchGateway, workers: str) -> None:
    """As in a container: the kernel gives process 1 no signal that it has no handler for."""
    if not can_be_process_1():
        pytest.skip("no process namespace may be made here (util-linux and user namespaces are needed)")
    gateway = make_gateway(GATEWAY_WORKERS=workers).launch(under=AS_PROCESS_1).until_it_answers()
    assert gateway.process is not None
    parent = gateway.process.pid
    (process_1,) = map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split())
    async with Viewer(gateway) as viewer:
        for how in (SIGTERM, SIGINT):
            os.kill(process_1, how)
        assert await viewer.close_code() == 1001
    assert gateway.wait() == 0


@EACH_SIGNAL
def test_a_signal_while_it_is_still_importing_ends_it_with_0(make_gateway: LaunchGateway, how: int) -> None:
    gateway = make_gateway().launch()
    assert gateway.process is not None
    while not catches_sigterm(gateway.process.pid):
        assert gateway.running
    gateway.signal(how)
    assert gateway.wait() == 0
    assert "Traceback" not in gateway.stderr


def can_be_process_1() -> bool:
    return shutil.which("unshare") is not None and not subprocess.run([*AS_PROCESS_1, "true"], check=False).returncode


def catches_sigterm(pid: int) -> bool:
    """Whether the process has set its handlers by now, SIGTERM's last."""
    (caught,) = re.findall(r"SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(caught, 16) >> (SIGTERM - 1) & 1)
