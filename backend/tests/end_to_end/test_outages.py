"""NATS goes away: what `/health`, the log and a new viewer are told. That no viewer loses by it: `test_faults`."""

import pytest
from nats.js.api import StorageType, StreamConfig
from nats.js.errors import NotFoundError

from src.demo.nats_server import NatsServer
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher, fresh
from tests.end_to_end.viewer import Viewer, numbers_in
from tests.waiting import until

STREAMS = {"LEVEL_SIGNALS": ["levels.*"], "MARKET_DATA": ["market.*", "market.*.*"]}

each_storage = pytest.mark.parametrize("storage", ["file", "memory"], indirect=True)


async def relays(publisher: Publisher, viewer: Viewer) -> int:
    """Three messages of each subject, published one after the other, each reach the viewer; the last one's number."""
    for number in (fresh(), fresh(), fresh()):
        await publisher.levels(number)
        await publisher.flow(number)
        await viewer.until_newest(levels=number, flow=number)
    return number


def assert_never_older(viewer: Viewer) -> None:
    for subject in ("levels", "flow"):
        numbers = [shown[subject] for shown in map(numbers_in, viewer.payloads) if subject in shown]
        assert numbers == sorted(numbers), subject


@pytest.fixture
async def storage(request: pytest.FixtureRequest, shared_publisher: Publisher) -> StorageType:
    """The streams, made anew by their owner with this storage."""
    for name, subjects in STREAMS.items():
        await shared_publisher.jetstream.delete_stream(name)
        await shared_publisher.jetstream.add_stream(StreamConfig(name=name, subjects=subjects, storage=request.param))
    return StorageType(request.param)


@each_storage
async def test_viewers_stay_while_nats_is_down_and_relaying_resumes_when_it_is_back(
    shared_gateway: GatewayProcess, shared_nats: NatsServer, shared_publisher: Publisher, storage: StorageType
) -> None:
    async with Viewer(shared_gateway) as viewer:
        newest = await relays(shared_publisher, viewer)
        await until(lambda: shared_gateway.health()["status"] == "healthy", "the gateway is ready")
        before = shared_gateway.health()
        assert (before["status"], before["nats_connected"]) == ("healthy", True)
        shared_nats.kill()
        await until(lambda: not shared_gateway.health()["nats_connected"], "the gateway notices")
        health = shared_gateway.health()
        assert (health["status"], health["connections"]) == ("degraded", 1)
        await until(lambda: not shared_gateway.ready, "it is not ready any more")
        readiness = shared_gateway.get("/ready")
        assert (readiness.status, readiness.json["ready"]) == (503, False)
        assert shared_nats.url in " ".join(readiness.json["reasons"])
        assert shared_gateway.get("/ready?stale=ok").status == 200
        async with Viewer(shared_gateway) as late:
            assert numbers_in(await late.until_first()) == {"levels": newest, "flow": newest}, "the last state stands"
        await viewer.ping()
        assert viewer.payloads[-1]["levels"]["ts"] == newest
        shared_nats.start()
        await relays(shared_publisher, viewer)
        await until(lambda: shared_gateway.ready, "the gateway is ready again")
        assert viewer.connected
        await until(lambda: shared_gateway.health()["status"] == "healthy", "JetStream is bound again")
        assert shared_gateway.health()["reconnects"] == before["reconnects"] + 1
    assert_never_older(viewer)


@each_storage
async def test_relaying_resumes_after_the_streams_were_deleted(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, storage: StorageType
) -> None:
    async with Viewer(shared_gateway) as viewer:
        await relays(shared_publisher, viewer)
        for name in STREAMS:
            await shared_publisher.jetstream.delete_stream(name)
        await relays(shared_publisher, viewer)
    assert_never_older(viewer)
    for name, subjects in STREAMS.items():
        config = (await shared_publisher.jetstream.stream_info(name)).config
        assert (config.subjects, config.storage, config.max_age) == (subjects, "file", 86_400)


async def test_what_was_published_during_an_outage_is_not_replayed(
    shared_gateway: GatewayProcess, shared_nats: NatsServer, shared_publisher: Publisher
) -> None:
    """The gateway alone is cut off: it is frozen while the server restarts."""
    async with Viewer(shared_gateway) as viewer:
        before = await relays(shared_publisher, viewer)
        shared_gateway.freeze()
        shared_nats.kill()
        shared_nats.start()
        for _ in range(100):
            await shared_publisher.levels(newest := fresh())
            await shared_publisher.flow(newest)
        shared_gateway.thaw()
        await viewer.until_newest(levels=newest, flow=newest)
    shown = [numbers_in(payload)[subject] for payload in viewer.payloads for subject in ("levels", "flow")]
    assert {number for number in shown if number > before} == {newest}


async def test_an_outage_is_told_once_on_stderr_each_way(
    shared_gateway: GatewayProcess, shared_nats: NatsServer
) -> None:
    lines_before = len(shared_gateway.stderr.splitlines())
    shared_nats.kill()
    await until(lambda: shared_gateway.health()["status"] == "degraded", "the gateway notices")
    shared_nats.start()
    await until(lambda: shared_gateway.health()["status"] == "healthy", "the gateway is back")
    lines = shared_gateway.stderr.splitlines()[lines_before:]
    assert sum("lost the connection" in line for line in lines) == 1
    assert sum("connected to" in line and "again" in line for line in lines) == 1
    assert "Traceback" not in shared_gateway.stderr


# -- what there may be at start ----------------------------------------------------------------------------------------


async def test_with_several_servers_one_that_is_up_is_enough_and_missing_streams_are_made(
    make_gateway: LaunchGateway, nats_server: NatsServer, publisher: Publisher
) -> None:
    gateway = make_gateway(f"nats://127.0.0.1:1,{nats_server.url}").start()
    for name, subjects in STREAMS.items():
        config = (await publisher.jetstream.stream_info(name)).config
        assert (config.subjects, config.storage, config.retention) == (subjects, "file", "limits")
    async with Viewer(gateway) as viewer:
        await relays(publisher, viewer)


async def test_streams_of_other_names_and_settings_are_used_as_they_are(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    theirs = StreamConfig(name="EVERYTHING", subjects=["levels.>", "market.>"], storage=StorageType.MEMORY, max_msgs=7)
    made = await publisher.jetstream.add_stream(theirs)
    gateway = make_gateway().start()
    async with Viewer(gateway) as viewer:
        await relays(publisher, viewer)
    assert (await publisher.jetstream.stream_info("EVERYTHING")).config == made.config
    for name in STREAMS:
        with pytest.raises(NotFoundError):
            await publisher.jetstream.stream_info(name)
