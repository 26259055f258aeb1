"""After a pause, beside a frozen one, side by side: every gateway shows the newest, and all of what follows."""

import pytest

from tests.conftest import LaunchGateway
from tests.end_to_end.publisher import Publisher
from tests.end_to_end.viewer import Viewer, numbers_in
from tests.waiting import until

BACKLOG = 3000

each_kind_of_consumer = pytest.mark.parametrize("consumers", ["durable", "ephemeral"])


@each_kind_of_consumer
async def test_of_a_backlog_only_the_newest_is_shown_also_when_the_producers_are_silent(
    make_gateway: LaunchGateway, publisher: Publisher, consumers: str
) -> None:
    before = make_gateway(GATEWAY_CONSUMERS=consumers).start()
    await publisher.levels(1)
    await publisher.flow(1)
    async with Viewer(before) as viewer:
        await viewer.until_newest(levels=1, flow=1)
    assert before.stop() == 0
    await publisher.backlog(BACKLOG)
    gateway = make_gateway(GATEWAY_CONSUMERS=consumers).start()
    async with Viewer(gateway) as viewer:
        assert numbers_in(await viewer.until_first()) == {"levels": BACKLOG, "flow": BACKLOG}
        await publisher.levels(BACKLOG + 1)
        await viewer.until_newest(levels=BACKLOG + 1)
    shown = [numbers_in(payload)["levels"] for payload in viewer.payloads]
    assert shown == [BACKLOG, BACKLOG + 1]
    assert gateway.health()["consumer_lag"] == 0


@each_kind_of_consumer
async def test_a_frozen_gateway_does_not_keep_a_new_one_from_live_messages(
    make_gateway: LaunchGateway, publisher: Publisher, consumers: str
) -> None:
    frozen = make_gateway(GATEWAY_CONSUMERS=consumers).start()
    await publisher.levels(1)
    await until(lambda: frozen.subscription("levels.signals")["received"] == 1, "the first message")
    frozen.freeze()
    gateway = make_gateway(GATEWAY_CONSUMERS=consumers).start()
    async with Viewer(gateway) as viewer:
        for number in range(2, 12):
            await publisher.levels(number)
            await publisher.flow(number)
            await viewer.until_newest(levels=number, flow=number)
        frozen.thaw()
        async with Viewer(frozen) as thawed:
            await thawed.until_newest(levels=11, flow=11)
            await publisher.levels(12)
            for each in (viewer, thawed):
                await each.until_newest(levels=12)
                shown = [numbers_in(payload)["levels"] for payload in each.payloads]
                assert shown == sorted(shown)


@each_kind_of_consumer
async def test_two_gateways_both_relay_every_message(
    make_gateway: LaunchGateway, publisher: Publisher, consumers: str
) -> None:
    gateways = [make_gateway(GATEWAY_CONSUMERS=consumers).launch() for _ in range(2)]
    for gateway in gateways:
        gateway.until_it_answers()
    async with Viewer(gateways[0]) as one, Viewer(gateways[1]) as other:
        for number in range(1, 51):
            await publisher.levels(number)
            for viewer in (one, other):
                await viewer.until_newest(levels=number)
        for viewer in (one, other):
            assert [payload["levels"]["ts"] for payload in viewer.payloads] == list(range(1, 51))
        assert gateways[1].stop() == 0
        assert await other.close_code() == 1001
        await publisher.levels(51)
        await one.until_newest(levels=51)
    assert gateways[0].ready
    assert gateways[0].subscription("levels.signals")["rebinds"] == 0
