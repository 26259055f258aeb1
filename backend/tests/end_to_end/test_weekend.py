"""A gateway that starts when the streams are empty shows the last state, with its true age and verdict."""

import asyncio
import time
from datetime import datetime, timedelta

import pytest
from nats.js.api import StreamConfig
from nats.js.errors import NotFoundError

from src.common.last_message import mirror_name
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW, STREAMS
from src.demo.nats_server import NatsServer
from src.gateway.settings import Settings
from src.gateway.signals.market_calendar import market_at
from src.gateway.signals.session_clock import NEW_YORK
from src.gateway.socket_broadcaster import SocketBroadcaster
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.end_to_end.viewer import Viewer, numbers_in
from tests.waiting import LIMIT_S

STATUS = "/ws/stream?status=1"
SHORTEST_AGE_S = 0.1  # that a server accepts


async def until_kept(publisher: Publisher, subject: str, body_part: bytes) -> None:
    """The mirror of `subject` has that message."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                stored = await publisher.jetstream.get_last_msg(mirror_name(subject), subject)
                if body_part in (stored.data or b""):
                    return
            except NotFoundError:
                pass
            await asyncio.sleep(0.01)


async def drop_by_age(publisher: Publisher, *names: str) -> None:
    """The streams become as they are a day later; returns when they are empty."""
    for name in names:
        config = (await publisher.jetstream.stream_info(name)).config
        await publisher.jetstream.update_stream(config.evolve(max_age=SHORTEST_AGE_S, duplicate_window=SHORTEST_AGE_S))
        async with asyncio.timeout(LIMIT_S):
            while (await publisher.jetstream.stream_info(name)).state.messages:
                await asyncio.sleep(0.01)
        await publisher.jetstream.update_stream(config.evolve(duplicate_window=SHORTEST_AGE_S))


async def friday(gateway: GatewayProcess, publisher: Publisher, number: int = 7) -> dict[str, int]:
    """The gateway sees a last message of each subject and ends, and the streams drop them; when NATS took them, ms."""
    await publisher.levels(0)
    await publisher.levels(number)
    await publisher.flow(number)
    await until_kept(publisher, LEVELS_SIGNALS, b'"ts": %d' % number)
    await until_kept(publisher, MARKET_FLOW, b'"n": %d' % number)
    stored_ms = {}
    for subject, section in ((LEVELS_SIGNALS, "levels"), (MARKET_FLOW, "flow")):
        stored = await publisher.jetstream.get_last_msg(STREAMS[subject].name, subject)
        assert stored.time is not None
        stored_ms[section] = int(stored.time.timestamp() * 1000)
    gateway.kill()
    await drop_by_age(publisher, *(spec.name for spec in STREAMS.values()))
    return stored_ms


async def test_a_gateway_that_is_started_after_the_weekend_shows_the_last_state_to_every_viewer(
    gateway: GatewayProcess, make_gateway: LaunchGateway, publisher: Publisher, nats_server: NatsServer
) -> None:
    stored_ms = await friday(gateway, publisher)
    nats_server.restart()
    later = make_gateway().start()
    async with Viewer(later) as viewer, Viewer(later, path=STATUS) as asking:
        assert numbers_in(await viewer.until_first()) == {"levels": 7, "flow": 7}
        first = await asking.until_first()
        status = first["status"]
        for section, seq in (("levels", 2), ("flow", 1)):
            assert (status[section]["seq"], status[section]["published_ms"]) == (seq, stored_ms[section])
            assert status[section]["age_ms"] == status["sent_ms"] - stored_ms[section]
        assert numbers_in(later.get("/snapshot").json) == {"levels": 7, "flow": 7}
        health = later.health()
        assert (health["status"], health["last_message_ts"]) == ("healthy", None)
        assert health["verdicts"].keys() == {"levels", "flow"}
        assert {one["mirror_trouble"] for one in health["subscriptions"].values()} == {None}
        await publisher.levels(1)
        await publisher.flow(1)
        await viewer.until_newest(levels=1, flow=1)


async def test_a_further_section_is_kept_too(make_gateway: LaunchGateway, publisher: Publisher) -> None:
    await publisher.jetstream.add_stream(StreamConfig(name="NEWS", subjects=["wire.news"], max_age=3600))
    gateway = make_gateway(GATEWAY_SECTIONS="news=wire.news").start()
    await publisher.publish("wire.news", {"n": 7})
    await until_kept(publisher, "wire.news", b'"n": 7')
    gateway.kill()
    await drop_by_age(publisher, "NEWS")
    later = make_gateway(GATEWAY_SECTIONS="news=wire.news").start()
    assert later.get("/snapshot?sections=news").json == {"news": {"n": 7}}


async def test_switched_off_it_makes_no_stream_and_shows_nothing(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    await friday(make_gateway().start(), publisher)
    off = make_gateway(GATEWAY_LAST_STATE="off").start()
    assert off.get("/snapshot").status == 204
    for subject in STREAMS:
        await publisher.jetstream.delete_stream(mirror_name(subject))
    off.stop()
    again = make_gateway(GATEWAY_LAST_STATE="off").start()
    await publisher.levels(8)
    async with Viewer(again) as viewer:
        await viewer.until_newest(levels=8)
    names = {stream.config.name for stream in await publisher.jetstream.streams_info()}
    assert names == {spec.name for spec in STREAMS.values()}


def next_moment(is_open: bool) -> int:
    """Noon in New York, at least two days from now, when the exchange is so; ms since 1970 UTC."""
    noon = datetime.now(NEW_YORK).replace(hour=12, minute=0) + timedelta(days=2)
    while market_at("XNYS", int(noon.timestamp() * 1000)).is_open != is_open:
        noon += timedelta(days=1)
    return int(noon.timestamp() * 1000)


@pytest.mark.parametrize(
    ("is_open", "verdict", "cause"), [(False, "closed", "market_closed"), (True, "stale", "core_silent")]
)
async def test_its_verdict_is_closed_while_the_market_is_and_stale_while_it_is_not(
    gateway: GatewayProcess,
    publisher: Publisher,
    nats_server: NatsServer,
    is_open: bool,
    verdict: str,
    cause: str,
) -> None:
    stored_ms = await friday(gateway, publisher, time.time_ns() // 1_000_000)
    now_ms = next_moment(is_open)
    broadcaster = SocketBroadcaster(settings=Settings(nats_url=nats_server.url), now_ms=lambda: now_ms)
    try:
        await broadcaster.start()
        judgement = broadcaster.live_status.judge()
        assert (judgement.verdicts, judgement.cause) == ({"levels": verdict, "flow": verdict}, cause)
        assert broadcaster.live_status.stream.sections["levels"].age_ms(now_ms) == now_ms - stored_ms["levels"]
    finally:
        await broadcaster.close()
