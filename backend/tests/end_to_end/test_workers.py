"""Several workers on one port: to viewers, to `/health` and to who stops it they are one gateway."""

import asyncio
import json
import os
import re
import socket
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGSTOP, SIGTERM
from typing import Any

import pytest

from src.demo.nats_server import HOST, NatsServer
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import FLOW, Publisher
from tests.end_to_end.test_process import NOWHERE, start_up_lines
from tests.end_to_end.viewer import Viewer, numbers_in
from tests.gateway.processes.test_supervisor import is_gone
from tests.waiting import until

WORKERS = 4
MANY = 40
ASKED = 40  # times: each request goes to whichever worker the kernel picks


@pytest.fixture
def launch(make_gateway: LaunchGateway) -> LaunchGateway:
    """Launches gateways of several workers."""

    def launched(*nats_url: str, **settings: str) -> GatewayProcess:
        return make_gateway(*nats_url, GATEWAY_WORKERS=str(WORKERS), **settings).launch()

    return launched


@pytest.fixture
def gateway(launch: LaunchGateway) -> GatewayProcess:
    gateway = launch()
    gateway.until_it_says("✅")
    return gateway


def workers_of(gateway: GatewayProcess) -> list[int]:
    """Their process ids."""
    assert gateway.process is not None
    pid = gateway.process.pid
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def worker_of(viewer: Viewer, gateway: GatewayProcess) -> int:
    """The process that holds the other end of a viewer's connection."""
    return worker_at(viewer.socket.local_address[1], gateway)


def worker_at(port: int, gateway: GatewayProcess) -> int:
    """The process that holds the other end of the connection from this port."""
    ends = Path("/proc/net/tcp").read_text()
    (inode,) = re.findall(rf":{gateway.port:04X} \w+:{port:04X} 01 (?:\S+ +){{5}}(\d+)", ends)
    for pid in workers_of(gateway):
        if f"socket:[{inode}]" in held_by(pid):
            return pid
    raise AssertionError("no worker holds it")


def held_by(pid: int) -> set[str]:
    """What its descriptors are."""
    held = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            held.add(str(descriptor.readlink()))
    return held


async def all_answers(gateway: GatewayProcess) -> list[Any]:
    return [await asyncio.to_thread(gateway.health) for _ in range(ASKED)]


async def until_all_say(gateway: GatewayProcess, **expected: Any) -> None:
    """Wait until `/health` says so whatever worker answers: each may be a quarter of a second behind the others."""
    await until(lambda: expected.items() <= gateway.health().items(), f"{expected} from /health")
    while not all(expected.items() <= answer.items() for answer in await all_answers(gateway)):
        pass


async def enter_many(stack: AsyncExitStack, gateway: GatewayProcess) -> list[Viewer]:
    viewers = [Viewer(gateway) for _ in range(MANY)]
    await asyncio.gather(*(stack.enter_async_context(viewer) for viewer in viewers))
    return viewers


async def those_who_lose_a_worker(
    gateway: GatewayProcess, viewers: list[Viewer], worker: int, how: int
) -> tuple[list[Viewer], list[Viewer]]:
    """Send a worker a signal that ends or stops it; return its viewers, once they have lost it, and all others."""
    lost = [viewer for viewer in viewers if worker_of(viewer, gateway) == worker]
    os.kill(worker, how)
    for viewer in lost:
        assert await viewer.close_code() == 1006, "closed without a word"
    await until(lambda: is_gone(worker), "its listening socket is closed too, after those of its viewers")
    return lost, [viewer for viewer in viewers if viewer not in lost]


# -- serving -----------------------------------------------------------------------------------------------------------


async def test_viewers_of_all_workers_get_every_state_and_health_counts_them_all(
    gateway: GatewayProcess, publisher: Publisher
) -> None:
    async with AsyncExitStack() as stack:
        viewers = await enter_many(stack, gateway)
        for number in range(1, 11):
            await publisher.levels(number)
            for viewer in viewers:
                await viewer.until_newest(levels=number)
        for viewer in viewers:
            assert [numbers_in(payload)["levels"] for payload in viewer.payloads] == list(range(1, 11))
        assert {worker_of(viewer, gateway) for viewer in viewers} == set(workers_of(gateway)), "the kernel spreads them"
        await until_all_say(
            gateway, connections=MANY, status="healthy", workers={"configured": WORKERS, "live": WORKERS}
        )
    await until_all_say(gateway, connections=0)


async def test_what_it_prints_is_what_one_process_prints_and_each_line_says_whose_it_is(
    launch: LaunchGateway, nats_server: NatsServer, publisher: Publisher
) -> None:
    gateway = launch(GATEWAY_PROT="1", GATEWAY_CONSUMERS="durable")
    gateway.until_it_says("✅")
    await publisher.publish(FLOW, b"not JSON")
    expected = {f"bus[{worker}]: {FLOW}: message 1 is bad" for worker in range(1, WORKERS + 1)}
    await until(lambda: all(line in gateway.stderr for line in expected), "a line of each worker")
    assert gateway.stop() == 0
    assert gateway.stdout == start_up_lines(nats_server.url, gateway.port)
    lines = gateway.stderr.splitlines()
    for line in lines:
        assert re.fullmatch(r"\S{10}T\S+Z (INFO|WARNING) (gateway|bus)(\[[1-4]\])?: .+", line), line
    assert [line.partition("gateway: ")[2] for line in lines[:2]] == [
        "GATEWAY_PROT is not a setting; did you mean GATEWAY_PORT?",
        f"GATEWAY_CONSUMERS=durable has no effect: GATEWAY_WORKERS={WORKERS}, and a durable is for one",
    ]


async def test_lines_in_json_have_the_worker_as_a_field(launch: LaunchGateway) -> None:
    gateway = launch(GATEWAY_LOG_FORMAT="json")
    gateway.until_it_says("✅")
    assert gateway.stop() == 0
    lines = [json.loads(line) for line in gateway.stderr.splitlines()]
    assert {line["worker"] for line in lines if line["logger"] == "gateway"} == {1, 2, 3, 4}


async def test_each_worker_has_consumers_of_its_own_that_go_with_it(
    gateway: GatewayProcess, publisher: Publisher
) -> None:
    for stream in ("LEVEL_SIGNALS", "MARKET_DATA"):
        consumers = await publisher.jetstream.consumers_info(stream)
        assert len(consumers) == WORKERS
        assert {consumer.config.durable_name for consumer in consumers} == {None}
    assert gateway.stop() == 0
    for stream in ("LEVEL_SIGNALS", "MARKET_DATA"):
        assert await publisher.jetstream.consumers_info(stream) == []


async def test_one_worker_is_the_process_itself_with_durables(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on", GATEWAY_WORKERS="1").start()
    (history,) = workers_of(gateway)
    assert b"src.gateway.history" in Path(f"/proc/{history}/cmdline").read_bytes(), "its only child"
    assert gateway.health()["workers"] == {"configured": 1, "live": 1}
    assert (await publisher.jetstream.consumer_info("LEVEL_SIGNALS", "gateway_levels")).name == "gateway_levels"
    async with Viewer(gateway), Viewer(gateway):
        assert gateway.health()["connections"] == 2


# -- a worker dies or hangs --------------------------------------------------------------------------------------------


async def test_a_killed_worker_costs_its_own_viewers_a_reconnect_and_other_viewers_nothing(
    gateway: GatewayProcess, publisher: Publisher
) -> None:
    await publisher.levels(1)
    async with AsyncExitStack() as stack:
        viewers = await enter_many(stack, gateway)
        before = workers_of(gateway)
        killed = worker_of(viewers[0], gateway)
        lost, others = await those_who_lose_a_worker(gateway, viewers, killed, SIGKILL)
        await publisher.levels(2)
        for viewer in others:
            await viewer.until_newest(levels=2)
        back = [await stack.enter_async_context(Viewer(gateway)) for _ in lost]
        for viewer in back:
            await viewer.until_newest(levels=2)
        await until_all_say(
            gateway, connections=MANY, status="healthy", workers={"configured": WORKERS, "live": WORKERS}
        )
        (new,) = set(workers_of(gateway)) - set(before)
        served_by_new = await stack.enter_async_context(Viewer(gateway))
        while worker_of(served_by_new, gateway) != new:
            served_by_new = await stack.enter_async_context(Viewer(gateway))
        await publisher.levels(3)
        for viewer in [*others, *back, served_by_new]:
            await viewer.until_newest(levels=3)
        assert all(viewer.connected for viewer in others)
    told = [line for line in gateway.stderr.splitlines() if "starting another" in line]
    assert len(told) == 1
    assert told[0].endswith(f"worker {before.index(killed) + 1} ended by signal 9 (Killed); starting another")


async def test_a_worker_that_hangs_is_replaced_and_its_viewers_come_back(
    gateway: GatewayProcess, publisher: Publisher
) -> None:
    await publisher.levels(1)
    async with AsyncExitStack() as stack:
        viewers = await enter_many(stack, gateway)
        before = workers_of(gateway)
        frozen = worker_of(viewers[0], gateway)
        lost, others = await those_who_lose_a_worker(gateway, viewers, frozen, SIGSTOP)
        back = [await stack.enter_async_context(Viewer(gateway)) for _ in lost]
        await until_all_say(
            gateway, connections=MANY, status="healthy", workers={"configured": WORKERS, "live": WORKERS}
        )
        await publisher.levels(2)
        for viewer in [*others, *back]:
            await viewer.until_newest(levels=2)
    told = [line.partition("gateway: ")[2] for line in gateway.stderr.splitlines() if " ERROR " in line]
    assert told == [f"worker {before.index(frozen) + 1} hangs: no report for 4 s; it is killed"]


async def test_a_missing_worker_is_degraded_and_what_is_left_stays_ready(
    gateway: GatewayProcess, nats_server: NatsServer
) -> None:
    """While NATS is frozen, no worker can be replaced."""
    nats_server.freeze()
    os.kill(dead := workers_of(gateway)[0], SIGKILL)
    await until(lambda: is_gone(dead), "no request reaches it any more")
    await until(lambda: gateway.health()["workers"] == {"configured": WORKERS, "live": WORKERS - 1}, "the loss is told")
    assert gateway.health()["status"] == "degraded"
    nats_server.thaw()
    await until_all_say(gateway, status="healthy", workers={"configured": WORKERS, "live": WORKERS})
    assert gateway.ready


# -- the start and the end ---------------------------------------------------------------------------------------------


def test_an_unreachable_nats_ends_the_start_with_one_line(launch: LaunchGateway) -> None:
    gateway = launch(NOWHERE, GATEWAY_CONNECT_TIMEOUT="0.5")
    assert gateway.wait() == 1
    (line,) = gateway.stderr.splitlines()
    assert "NATS_URL" in line
    assert NOWHERE in line
    assert "✅" not in gateway.stdout


def test_a_busy_port_ends_the_start_with_one_line(launch: LaunchGateway, gateway: GatewayProcess) -> None:
    with socket.create_server((HOST, 0)) as taken:
        ports = [taken.getsockname()[1], gateway.port]
        for port in ports:
            another = launch(GATEWAY_PORT=str(port))
            assert another.wait() == 1
            (line,) = another.stderr.splitlines()
            assert f"{HOST}:{port}" in line
            assert "GATEWAY_PORT" in line
            assert another.stdout == ""


@pytest.mark.parametrize("number", ["0", "65", "many", "2.5"])
def test_a_wrong_number_ends_the_start_with_one_line(make_gateway: LaunchGateway, number: str) -> None:
    gateway = make_gateway(GATEWAY_WORKERS=number).launch()
    assert gateway.wait() == 2
    (line,) = gateway.stderr.splitlines()
    assert f"GATEWAY_WORKERS='{number}' is not accepted: a whole number from 1 to 64" in line


@pytest.mark.parametrize(
    ("how", "whole_group"),
    [(SIGTERM, False), (SIGINT, False), (SIGINT, True), (SIGTERM, True)],
    ids=["SIGTERM", "SIGINT", "Ctrl-C in a terminal", "SIGTERM to the group"],
)
async def test_a_stop_says_going_away_to_every_viewer_and_leaves_no_process(
    gateway: GatewayProcess, publisher: Publisher, how: int, whole_group: bool
) -> None:
    await publisher.flow(1)
    async with AsyncExitStack() as stack:
        viewers = await enter_many(stack, gateway)
        for viewer in viewers:
            await viewer.until_newest(flow=1)
        pids = workers_of(gateway)
        for pid in pids if whole_group else []:
            os.kill(pid, how)
        gateway.signal(how)
        assert {await viewer.close_code() for viewer in viewers} == {1001}
    assert gateway.wait() == 0
    assert all(map(is_gone, pids))
    assert not any(word in gateway.stderr for word in ("ERROR", "Traceback"))


def test_it_stops_also_while_it_still_tries_to_reach_nats(launch: LaunchGateway) -> None:
    gateway = launch(NOWHERE, GATEWAY_CONNECT_TIMEOUT="3600")
    gateway.until_it_says("WebSocket")
    assert gateway.stop() == 0
    assert gateway.stderr == ""


async def test_viewers_and_port_are_free_when_the_supervisor_is_killed(
    gateway: GatewayProcess, launch: LaunchGateway
) -> None:
    async with Viewer(gateway) as viewer:
        pids = workers_of(gateway)
        gateway.kill()
        assert await viewer.close_code() == 1006
    await until(lambda: all(map(is_gone, pids)), "the workers went with it")
    launch(GATEWAY_PORT=str(gateway.port)).until_it_says("✅")
