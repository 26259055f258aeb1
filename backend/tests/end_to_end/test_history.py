"""`GET /history`: what it looked like, the same from every gateway."""

import asyncio
import gzip
import json
import time
from typing import Any

import pytest

from src.gateway.history.reader import BLOCK
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import FLOW, LEVELS, Publisher
from tests.end_to_end.viewer import Viewer
from tests.waiting import LIMIT_S

COUNT = 2 * BLOCK + 200  # messages on each subject
CALL = "O:ES251216C06895000"


def levels(number: int, ts_ms: int) -> dict[str, Any]:
    level = {"id": "VWAP", "kind": "VWAP", "price": 687.25, "signal": "BREAK" if number % 7 else "REJECT"}
    return {"ts": ts_ms, "spy": {"spot": 680 + number % 10}, "levels": [level | {"break_score_smooth": number % 100}]}


def flow(number: int, ts_ms: int) -> dict[str, Any]:
    return {CALL: {"type": "C", "cumulative_volume": number, "net_delta_flow": -number, "last_timestamp": ts_ms}}


async def publish(publisher: Publisher, numbers: range, begin_ms: int) -> None:
    """As fast as they are stored; some messages between them are bad."""
    for first in range(numbers.start, numbers.stop, 250):
        stored = []
        for n in range(first, min(first + 250, numbers.stop)):
            ts_ms = begin_ms + n * 250
            stored.append(await publisher.jetstream.publish_async(LEVELS, json.dumps(levels(n, ts_ms)).encode()))
            stored.append(await publisher.jetstream.publish_async(FLOW, json.dumps(flow(n, ts_ms)).encode()))
        stored.append(await publisher.jetstream.publish_async(LEVELS, b"[]"))
        stored.append(await publisher.jetstream.publish_async(FLOW, b'{"n":'))
        await asyncio.gather(*stored)


async def answer_of(gateway: GatewayProcess, query: str, *, complete: bool = True) -> bytes:
    """The body, once everything has been read."""
    async with asyncio.timeout(2 * LIMIT_S):
        while True:
            answer = await asyncio.to_thread(gateway.get, f"/history{query}")
            if answer.status == 200 and (answer.json["complete"] or not complete):
                return answer.body
            assert answer.status in (200, 503)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_two_gateways_have_the_same_history(
    make_gateway: LaunchGateway, publisher: Publisher, workers: str
) -> None:
    """One has seen most of it live, the other reads it backwards, in blocks."""
    begin_ms = time.time_ns() // 1_000_000 - (COUNT + 200) * 250
    one = make_gateway(GATEWAY_HISTORY="on").start()
    await publish(publisher, range(COUNT), begin_ms)
    other = make_gateway(GATEWAY_HISTORY="on", GATEWAY_WORKERS=workers).start()
    await publish(publisher, range(COUNT, COUNT + 100), begin_ms)
    span = f"?from={begin_ms}&to={begin_ms + (COUNT + 100) * 250}&step=2s"
    same = [await answer_of(gateway, span) for gateway in (one, other)]
    assert same[0] == same[1]
    history = json.loads(same[0])
    assert history["count"] == len(history["spy"]["close"]) > 300
    (level,) = history["levels"]
    assert (level["id"], level["at"]) == ("VWAP", 0)
    after_two = -(
        -(history["from_ms"] + 2 * 2000 - begin_ms) // 250
    )  # the number of the first message of the third point
    assert history["spy"]["open"][2] == 680 + after_two % 10


async def test_it_is_read_from_the_newest_and_says_what_is_not_there_yet(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on").start()
    begin_ms = time.time_ns() // 1_000_000 - 40 * 250
    await publish(publisher, range(40), begin_ms)
    history = json.loads(await answer_of(gateway, "?step=1s&from=-1m"))
    assert history["available_from_ms"] == begin_ms // 1000 * 1000
    assert history["available_to_ms"] == begin_ms + 39 * 250
    closes = history["spy"]["close"]
    first = next(place for place, close in enumerate(closes) if close is not None)
    assert None not in closes[first:-1], "from the first message on there is no gap"
    assert set(closes[:first]) == {None}, "and before it nothing is made up"


async def test_a_stream_that_is_made_anew_begins_anew(make_gateway: LaunchGateway, publisher: Publisher) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on").start()
    begin_ms = time.time_ns() // 1_000_000 - 40 * 250
    await publish(publisher, range(20), begin_ms)
    await answer_of(gateway, "?from=-1m")
    await publisher.jetstream.delete_stream("LEVEL_SIGNALS")
    async with Viewer(gateway) as viewer:
        await publisher.publish(LEVELS, levels(30, begin_ms + 30 * 250))
        await viewer.until_newest(levels=begin_ms + 30 * 250)
    async with asyncio.timeout(2 * LIMIT_S):
        while json.loads(await answer_of(gateway, "?from=-1m"))["available_from_ms"] <= begin_ms + 20 * 250:
            await asyncio.sleep(0.05)


async def test_a_wrong_question_is_told(make_gateway: LaunchGateway, publisher: Publisher) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on").start()
    await publish(publisher, range(4), time.time_ns() // 1_000_000 - 2_000)
    await answer_of(gateway, "")
    refused = gateway.get("/history?fields=prices")
    assert (refused.status, refused.json) == (
        400,
        {"detail": "fields accepts spot, levels, flow, separated by commas"},
    )


async def test_a_long_answer_is_compressed_for_who_accepts_it(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on").start()
    await publish(publisher, range(40), begin_ms := time.time_ns() // 1_000_000 - 40 * 250)
    span = f"/history?from={begin_ms - 1_000_000}&to={begin_ms}&step=1"
    plain = await answer_of(gateway, span.removeprefix("/history"))
    compressed = gateway.get(span, headers={"Accept-Encoding": "br, gzip"})
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed.body) == plain
    assert len(compressed.body) < len(plain) / 5
