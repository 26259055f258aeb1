"""Sections relayed from further subjects, to viewers that name them."""

from typing import Any

import pytest
from nats.js.api import StreamConfig

from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher, fresh
from tests.end_to_end.viewer import Viewer
from tests.waiting import until

SUBJECT = "pentaview.streams"
STREAM = "/ws/stream"


@pytest.fixture
async def relaying(make_gateway: LaunchGateway, publisher: Publisher) -> GatewayProcess:
    await publisher.jetstream.add_stream(StreamConfig(name="PENTAVIEW", subjects=[SUBJECT]))
    return make_gateway(GATEWAY_SECTIONS=f"pentaview={SUBJECT}").start()


def number_of(payload: dict[str, Any]) -> Any:
    return payload.get("pentaview", {}).get("n")


async def test_only_viewers_that_name_a_section_get_it(relaying: GatewayProcess, publisher: Publisher) -> None:
    await publisher.levels(first := fresh())
    async with (
        Viewer(relaying) as whole,
        Viewer(relaying, path=f"{STREAM}?sections=pentaview,levels") as both,
        Viewer(relaying, path=f"{STREAM}?sections=pentaview") as alone,
    ):
        await whole.until_newest(levels=first)
        await publisher.publish(SUBJECT, {"n": 1, "big": 12345678901234567890})
        await until(lambda: number_of(both.newest) == 1, "the section")
        await until(lambda: number_of(alone.newest) == 1, "the section")
        await publisher.levels(second := fresh())
        await both.until_newest(levels=second)
        await whole.until_newest(levels=second)
        assert both.newest.keys() == {"levels", "pentaview"}
        assert alone.newest == {"pentaview": {"n": 1, "big": 12345678901234567890}}
        assert all(payload.keys() == {"levels"} for payload in whole.payloads)
    assert relaying.get("/snapshot").json.keys() == {"levels"}
    assert relaying.get("/snapshot?sections=pentaview").json["pentaview"]["n"] == 1
    assert relaying.get("/snapshot?sections=news").status == 400


async def test_it_is_watched_and_read_like_the_flow(relaying: GatewayProcess, publisher: Publisher) -> None:
    async with Viewer(relaying, path=f"{STREAM}?sections=pentaview") as viewer:
        await publisher.publish(SUBJECT, {"n": 1})
        await until(lambda: number_of(viewer.newest) == 1, "the first")
        await publisher.publish(SUBJECT, b"[]")
        await publisher.publish(SUBJECT, b'{"n": NaN}')
        await until(lambda: number_of(viewer.newest) is None, "null for NaN")
        assert relaying.subscription(SUBJECT)["rejected"] == {"not_an_object": 1}
        consumer = await publisher.jetstream.consumer_info("PENTAVIEW", "gateway_pentaview")
        assert consumer.num_pending == 0
        await publisher.jetstream.delete_stream("PENTAVIEW")
        await publisher.jetstream.add_stream(StreamConfig(name="PENTAVIEW", subjects=[SUBJECT]))
        await publisher.publish(SUBJECT, {"n": 2})
        await until(lambda: number_of(viewer.newest) == 2, "it is live again")


async def test_a_restart_begins_with_the_newest(
    relaying: GatewayProcess, make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    for number in range(5):
        await publisher.publish(SUBJECT, {"n": number})
    relaying.stop()
    gateway = make_gateway(GATEWAY_SECTIONS=f"pentaview={SUBJECT}").start()
    async with Viewer(gateway, path=f"{STREAM}?sections=pentaview") as viewer:
        assert number_of(await viewer.until_first()) == 4


def test_a_subject_without_a_stream_is_told_with_what_to_do(make_gateway: LaunchGateway) -> None:
    gateway = make_gateway(GATEWAY_SECTIONS="news=no.stream", GATEWAY_CONNECT_TIMEOUT="1").start()
    assert gateway.ready
    assert "no stream covers no.stream; make one: nats stream add --subjects no.stream" in gateway.stderr
