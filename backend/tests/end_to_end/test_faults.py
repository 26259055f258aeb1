"""Whatever fails: no viewer loses the newest state or sees an older one, and all are live again soon after its end."""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from nats.js.api import StorageType, StreamConfig
from nats.js.errors import NotFoundError, ServerError

from src.demo.nats_server import HOST, NatsServer
from tests.conftest import LaunchGateway
from tests.end_to_end.black_hole import Line
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import FLOW, LEVELS, Publisher
from tests.end_to_end.viewer import Viewer
from tests.end_to_end.viewers_through_faults import START_MS, Core, ViewersThroughFaults
from tests.waiting import LIMIT_S, until

STREAMS = {"LEVEL_SIGNALS": ["levels.*"], "MARKET_DATA": ["market.*", "market.*.*"]}
DURABLES = {"LEVEL_SIGNALS": "gateway_levels", "MARKET_DATA": "gateway_flow"}


class System(NamedTuple):
    """The parts that a fault breaks."""

    nats: NatsServer
    gateway: GatewayProcess
    core: Core


Fault = Callable[[System], Awaitable[None]]
"""Returns when its cause has ended."""


@pytest.fixture
async def system(shared_nats: NatsServer, shared_gateway: GatewayProcess) -> AsyncIterator[System]:
    async with Core(shared_nats) as core:
        await streams_made_anew(core.publisher, StorageType.FILE)
        yield System(shared_nats, shared_gateway, core)


async def streams_made_anew(publisher: Publisher, storage: StorageType, max_msgs: int | None = None) -> None:
    for name in [one.config.name for one in await publisher.jetstream.streams_info()]:
        await publisher.jetstream.delete_stream(name or "")
    for name, subjects in STREAMS.items():
        await stream_made(publisher, StreamConfig(name=name, subjects=subjects, storage=storage, max_msgs=max_msgs))


async def stream_made(publisher: Publisher, config: StreamConfig) -> None:
    """Make a stream, also while the server still removes the files of one that had its name."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(ServerError):
                await publisher.jetstream.add_stream(config)
                return
            await asyncio.sleep(0.05)


async def survives(system: System, fault: Fault) -> None:
    async with ViewersThroughFaults(system.gateway, system.core) as viewers:
        await fault(system)
        await viewers.until_live(fault.__name__)
        await viewers.require_newest_and_never_older()
    await until(lambda: system.gateway.ready, "the gateway is ready again")
    assert "Traceback" not in system.gateway.stderr


# -- the server --------------------------------------------------------------------------------------------------------


async def nats_is_killed(system: System) -> None:
    system.nats.kill()
    await until(lambda: not system.gateway.health()["nats_connected"], "the gateway notices")
    system.nats.start()


async def nats_restarts_at_once(system: System) -> None:
    system.nats.restart()


async def nats_hangs_until_it_is_given_up(system: System) -> None:
    system.nats.freeze()
    await until(lambda: not system.gateway.health()["nats_connected"], "the gateway notices")
    system.nats.thaw()


async def nats_loses_its_store(system: System) -> None:
    system.nats.lose_store()
    system.nats.start()


@pytest.mark.parametrize("storage", [StorageType.FILE, StorageType.MEMORY], ids=["file", "memory"])
@pytest.mark.parametrize("fault", [nats_is_killed, nats_restarts_at_once], ids=lambda fault: fault.__name__)
async def test_it_survives_a_restart_of(system: System, fault: Fault, storage: StorageType) -> None:
    await streams_made_anew(system.core.publisher, storage)
    await survives(system, fault)


async def test_it_survives_a_nats_that_hangs(system: System) -> None:
    await survives(system, nats_hangs_until_it_is_given_up)


@pytest.mark.skipif(not os.environ.get("LONG_FAULTS"), reason="`make faults` runs it")
@pytest.mark.timeout(180)
async def test_it_survives_a_nats_that_hangs_for_30_seconds(system: System) -> None:
    async def nats_hangs_for_30_seconds(system: System) -> None:
        system.nats.freeze()
        await asyncio.sleep(30)
        system.nats.thaw()

    await survives(system, nats_hangs_for_30_seconds)


async def test_it_survives_that_nats_loses_its_store(system: System) -> None:
    await survives(system, nats_loses_its_store)


async def test_it_survives_a_line_that_swallows_everything(
    make_gateway: LaunchGateway, nats_server: NatsServer
) -> None:
    async with Line(nats_server.port) as line, Core(nats_server) as core:
        gateway = make_gateway(line.url).launch()
        await until(lambda: "✅" in gateway.stdout, "the gateway has started")

        async def the_line_is_cut(_system: System) -> None:
            line.cut()
            await until(lambda: not gateway.health()["nats_connected"], "the gateway notices")
            line.mend()

        await survives(System(nats_server, gateway, core), the_line_is_cut)


# -- streams and consumers ---------------------------------------------------------------------------------------------


async def streams_are_deleted(system: System) -> None:
    for name in STREAMS:
        await system.core.publisher.jetstream.delete_stream(name)


async def streams_are_purged(system: System) -> None:
    for name in STREAMS:
        await system.core.publisher.jetstream.purge_stream(name)


async def streams_are_remade_by_their_owner(system: System) -> None:
    await streams_made_anew(system.core.publisher, StorageType.MEMORY, max_msgs=9)


async def subjects_move_to_another_stream(system: System) -> None:
    jetstream = system.core.publisher.jetstream
    for name in STREAMS:
        config = (await jetstream.stream_info(name)).config
        await jetstream.update_stream(config.evolve(subjects=[f"old.{name}"]))
    await jetstream.add_stream(StreamConfig(name="MOVED", subjects=[LEVELS, FLOW]))


async def consumers_are_deleted(system: System) -> None:
    for stream, durable in DURABLES.items():
        await consumer_deleted(system.core.publisher, stream, durable)


async def consumer_deleted(publisher: Publisher, stream: str, durable: str) -> None:
    """Delete a consumer, once the gateway has made it on a stream that was made anew."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(NotFoundError):
                await publisher.jetstream.delete_consumer(stream, durable)
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "fault",
    [
        streams_are_deleted,
        streams_are_purged,
        streams_are_remade_by_their_owner,
        subjects_move_to_another_stream,
        consumers_are_deleted,
    ],
    ids=lambda fault: fault.__name__,
)
async def test_it_survives_that(system: System, fault: Fault) -> None:
    await survives(system, fault)


# -- Core --------------------------------------------------------------------------------------------------------------

GARBAGE = (b"", b"hello", b"[1,2]", b'{"ts":1,"levels":[', b'{"a":' + b"[" * 5000, b'{"n":"\\ud83d"}')


async def core_is_silent(system: System) -> None:
    """For longer than the gateway takes to doubt its subscriptions; who comes meanwhile is shown the last state."""
    newest = await system.core.fall_silent()
    looks = system.gateway.health()["subscriptions"][LEVELS]["rebinds"]
    async with Viewer(system.gateway) as late:
        payload = await late.until_newest(flow=newest[FLOW])
        assert payload["levels"]["levels"][0]["id"] == str(newest[LEVELS])
        await gateway_has_asked(system.core.publisher, 8)
    assert system.gateway.health()["subscriptions"][LEVELS]["rebinds"] == looks
    system.core.speak()


async def gateway_has_asked(publisher: Publisher, times: int) -> None:
    """Wait until the gateway has asked JetStream so often, once a second and subject, whether something is missing."""
    before = (await publisher.jetstream.account_info()).api.total
    ours = 1
    while (await publisher.jetstream.account_info()).api.total - before - ours < times:
        ours += 1
        await asyncio.sleep(0.05)


async def core_publishes_garbage_between_good_messages(system: System) -> None:
    for body in GARBAGE:
        for subject in (LEVELS, FLOW):
            await system.core.publisher.publish(subject, body)


async def core_restarts_with_an_older_clock(system: System) -> None:
    await system.core.fall_silent()
    system.core.clock_ms = START_MS - 86_400_000
    system.core.speak()


@pytest.mark.parametrize(
    "fault",
    [core_is_silent, core_publishes_garbage_between_good_messages, core_restarts_with_an_older_clock],
    ids=lambda fault: fault.__name__,
)
async def test_it_survives_when(system: System, fault: Fault) -> None:
    await survives(system, fault)


# -- the gateway itself ------------------------------------------------------------------------------------------------


async def test_viewers_of_a_gateway_that_is_killed_under_load_come_back_to_the_next_one(
    make_gateway: LaunchGateway, nats_server: NatsServer
) -> None:
    gateway = make_gateway().start()
    async with Core(nats_server) as core, ViewersThroughFaults(gateway, core) as viewers:
        gateway.kill()
        gateway.launch()
        await until(lambda: "✅" in gateway.stdout, "the gateway has started again")
        await viewers.until_live("the gateway is killed")
        await viewers.require_newest_and_never_older(stayed=False)


async def test_without_free_file_descriptors_viewers_stay_and_later_ones_get_in(
    make_gateway: LaunchGateway, nats_server: NatsServer
) -> None:
    gateway = make_gateway().start()
    assert gateway.process is not None
    pid = gateway.process.pid
    async with Core(nats_server) as core, ViewersThroughFaults(gateway, core) as viewers:
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 10, used + 10))
        with contextlib.ExitStack() as flood:
            for _ in range(40):
                flood.enter_context(socket.create_connection((HOST, gateway.port)))
            await until(lambda: "file descriptors are in use" in gateway.stderr, "the gateway tells")
            assert is_hung_up_on(flood.enter_context(socket.create_connection((HOST, gateway.port))))
            before_s, looks = cpu_s(pid), core.next_number
            await viewers.until_live("no file descriptor is left")
            while core.next_number < looks + 20:  # a second of Core's
                await asyncio.sleep(0.01)
            assert cpu_s(pid) - before_s < 0.9, "nothing spins"
        await until(lambda: "free file descriptors again" in gateway.stderr, "the gateway tells")
        async with Viewer(gateway) as late:
            await late.until_first()
        await viewers.require_newest_and_never_older()
    assert gateway.stderr.count("file descriptors are in use") == 1
    assert "Traceback" not in gateway.stderr


def is_hung_up_on(line: socket.socket) -> bool:
    line.settimeout(20)
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True


def cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
