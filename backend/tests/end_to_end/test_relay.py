"""From any NATS client to any WebSocket client: what is published arrives, normalized, merged, at once."""

import gzip
import json
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.gateway_process import BACKEND, GatewayProcess
from tests.end_to_end.publisher import FLOW, LEVELS, Publisher, fresh, levels_message
from tests.end_to_end.viewer import Viewer
from tests.waiting import until

PAIRS = sorted((BACKEND / "tests" / "contract").glob("*.json"))
RECORDED = sorted((BACKEND.parent.parent / "shared" / "real").glob("*.jsonl.gz"))
RECORDED_MESSAGES = 100

each_compression = pytest.mark.parametrize("compression", ["deflate", None], ids=["compressed", "plain"])


@each_compression
async def test_what_a_plain_nats_client_publishes_reaches_a_viewer(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, compression: str | None
) -> None:
    level = {"id": "VWAP", "price": 687.25, "direction": "RESISTANCE", "signal": "REJECT"}
    n = fresh()
    message = {"ts": n, "spy": {"spot": 687.5, "bid": 687.49, "ask": 687.51}, "levels": [level]}
    async with Viewer(shared_gateway, compression) as viewer:
        extensions = [type(one).__name__ for one in viewer.socket.protocol.extensions]
        assert extensions == (["PerMessageDeflate"] if compression else [])
        await shared_publisher.client.publish(LEVELS, json.dumps(message).encode())
        await shared_publisher.client.publish(FLOW, b'{"n":%d,"O:SPY251216C00687000":{"volume":7}}' % n)
        payload = await viewer.until_newest(levels=n, flow=n)
    assert payload["flow"] == {"n": n, "O:SPY251216C00687000": {"volume": 7}}
    assert payload["levels"]["spy"] == message["spy"]
    (signal,) = payload["levels"]["levels"]
    assert (signal["id"], signal["level_price"], signal["direction"], signal["signal"]) == (
        "VWAP",
        687.25,
        "UP",
        "BOUNCE",
    )


@each_compression
async def test_every_message_reaches_a_viewer_that_keeps_up(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, compression: str | None
) -> None:
    numbers = [fresh() for _ in range(20)]
    async with Viewer(shared_gateway, compression) as viewer:
        for number in numbers:
            await shared_publisher.levels(number)
            await viewer.until_newest(levels=number)
            await shared_publisher.flow(number)
            await viewer.until_newest(levels=number, flow=number)
    seen = [payload["levels"]["ts"] for payload in viewer.payloads if payload["levels"]["ts"] in numbers]
    assert [number for number, _ in groupby(seen)] == numbers


@pytest.mark.parametrize(
    "number",
    [
        "1152921504606846977",
        "-9007199254740993",
        "1e400",
        "0.1",
        "0.10",
        "1",
        "1.0",
        "-0.0",
        "1E+2",
        "12345678901234567890",
    ],
)
async def test_a_relayed_number_keeps_its_value_and_its_kind(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, number: str
) -> None:
    n = fresh()
    viewport = '{"targets":[],"x":%s}' % number
    async with Viewer(shared_gateway) as viewer:
        await shared_publisher.publish(FLOW, ('{"n":%d,"x":%s}' % (n, number)).encode())
        await shared_publisher.publish(LEVELS, ('{"ts":%d,"levels":[],"viewport":%s}' % (n, viewport)).encode())
        await viewer.until_newest(flow=n, levels=n)
    sections = json.loads(viewer.texts[-1], parse_int=str, parse_float=str)
    assert (sections["flow"]["x"], sections["viewport"]["x"]) == (number, number)


async def test_what_is_no_number_is_relayed_as_null_and_counted(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    n, before = fresh(), shared_gateway.subscription(FLOW)["non_finite"]
    async with Viewer(shared_gateway) as viewer:
        await shared_publisher.publish(FLOW, b'{"n":%d,"delta":NaN,"gamma":[-Infinity,Infinity]}' % n)
        payload = await viewer.until_newest(flow=n)
    assert payload["flow"] == {"n": n, "delta": None, "gamma": [None, None]}
    assert shared_gateway.subscription(FLOW)["non_finite"] == before + 3


async def test_text_of_every_kind_arrives_as_it_was(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    text = 'é ✓ 😀 "quoted" \\ </script> \u2028 \u0000 \x7f'
    n = fresh()
    async with Viewer(shared_gateway) as viewer:
        await shared_publisher.flow(n, note=text)
        await shared_publisher.levels(n, levels=[{"id": text, "note": text}])
        payload = await viewer.until_newest(flow=n, levels=n)
    (signal,) = payload["levels"]["levels"]
    assert (payload["flow"]["note"], signal["id"], signal["note"]) == (text, text, text)


@each_compression
async def test_a_flow_of_megabytes_arrives_whole(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, compression: str | None
) -> None:
    """Beyond 64 KiB a frame's length takes eight bytes."""
    contracts = {f"O:SPY{number:08d}": {"volume": number, "delta": number / 7} for number in range(40_000)}
    async with Viewer(shared_gateway, compression) as viewer:
        await shared_publisher.flow(large := fresh(), contracts=contracts)
        payload = await viewer.until_newest(flow=large)
        await shared_publisher.flow(small := fresh())
        await viewer.until_newest(flow=small)
    assert payload["flow"]["contracts"] == contracts


# -- sections ----------------------------------------------------------------------------------------------------------


async def test_sections_appear_as_they_become_known(gateway: GatewayProcess, publisher: Publisher) -> None:
    async with Viewer(gateway) as viewer:
        await viewer.ping()
        assert viewer.payloads == [], "nothing is sent until there is something"
        snapshot = gateway.get("/snapshot")
        assert (snapshot.status, snapshot.body) == (204, b"")
        assert gateway.health()["last_message_ts"] is None
        assert gateway.ready, "an empty stream is no fault"
        await publisher.flow(1)
        assert (await viewer.until_newest(flow=1)).keys() == {"flow"}
        await publisher.levels(1)
        assert (await viewer.until_newest(levels=1)).keys() == {"flow", "levels"}
        await publisher.levels(2, viewport={"targets": []})
        assert (await viewer.until_newest(levels=2)).keys() == {"flow", "levels", "viewport"}
    assert viewer.payloads[0].keys() == {"flow"}


async def test_levels_without_a_viewport_remove_the_one_before(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    viewport = {"ts": 1, "targets": [{"level_id": "VWAP", "p_break": 0.25, "touched_ns": 2**60 + 1}], "unknown": [None]}
    n, later = fresh(), fresh()
    async with Viewer(shared_gateway) as viewer:
        await shared_publisher.levels(n, viewport=viewport)
        payload = await viewer.until_newest(levels=n)
        assert payload["viewport"] == viewport
        assert payload["levels"]["levels"][0]["ml_predictions"]["p_break"] == 0.25
        await shared_publisher.flow(n)
        assert (await viewer.until_newest(flow=n))["viewport"] == viewport
        await shared_publisher.levels(later)
        payload = await viewer.until_newest(levels=later)
    assert "viewport" not in payload
    assert "ml_predictions" not in payload["levels"]["levels"][0]


@each_compression
async def test_a_late_viewer_is_first_sent_the_newest_payload(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, compression: str | None
) -> None:
    async with Viewer(shared_gateway) as early:
        for number in (numbers := [fresh() for _ in range(5)]):
            await shared_publisher.levels(number)
            await shared_publisher.flow(number)
        await early.until_newest(levels=numbers[-1], flow=numbers[-1])
        async with Viewer(shared_gateway, compression) as late:
            assert await late.until_first() == early.newest


async def test_a_time_that_jumps_back_is_relayed_in_the_streams_order(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    async with Viewer(shared_gateway) as viewer:
        for ts_ms in (1_766_154_600_000, 1_766_154_600_000, 1_734_532_200_000):
            await shared_publisher.levels(ts_ms)
        await viewer.until_newest(levels=1_734_532_200_000)


async def test_levels_without_a_time_get_the_gateways(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    async with Viewer(shared_gateway) as viewer:
        await shared_publisher.publish(LEVELS, {"levels": [{"id": "without a time"}]})
        await until(lambda: ids_in(viewer.newest) == ["without a time"], "the message")
    assert viewer.newest["levels"]["ts"] > 1_700_000_000_000


# -- the contract's pairs, and sessions recorded from a real Core ------------------------------------------------------


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
async def test_a_message_becomes_exactly_its_payload(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, path: Path
) -> None:
    pair = json.loads(path.read_text())
    await shared_publisher.publish(LEVELS, levels_message(1, levels=[{"id": "before"}]))
    async with Viewer(shared_gateway) as viewer:
        await until(lambda: ids_in(viewer.newest) == ["before"], "the message before")
        await shared_publisher.publish(LEVELS, pair["message"])
        await until(lambda: ids_in(viewer.newest) != ["before"], "the message")
    assert viewer.newest["levels"] == pair["levels"]
    assert viewer.newest.get("viewport") == pair.get("viewport", pair["message"].get("viewport"))


def test_there_are_pairs() -> None:
    assert PAIRS


@pytest.mark.skipif(not RECORDED, reason="recorded sessions are not part of the repository")
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
async def test_a_recorded_session_arrives_as_valid_payloads(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, path: Path
) -> None:
    with gzip.open(path, "rt") as lines:
        messages = [json.loads(line) for line in islice(lines, RECORDED_MESSAGES)]
    faults = shared_gateway.health()["faults"]
    latest: dict[str, Any] = {}
    async with Viewer(shared_gateway) as viewer:
        await viewer.ping()
        already = len(viewer.payloads)
        for count, message in enumerate(messages, already + 1):
            await shared_publisher.publish(message["subject"], message["data"])
            await until(lambda: len(viewer.payloads) == count, f"a payload for the message at {message['t_ms']}")  # noqa: B023
            latest[message["subject"]] = message["data"]
            assert shows(viewer.newest, latest)
    assert shared_gateway.health()["faults"] == faults


def shows(payload: dict[str, Any], latest: dict[str, Any]) -> bool:
    """Whether a payload shows the latest message of each subject, as far as can be told without normalizing again."""
    levels = latest.get(LEVELS)
    return (FLOW not in latest or payload.get("flow") == latest[FLOW]) and (
        levels is None
        or (
            payload["levels"]["ts"] == levels["ts"]
            and ids_in(payload) == [level["id"] for level in levels["levels"]]
            and payload.get("viewport") == levels.get("viewport")
        )
    )


def ids_in(payload: dict[str, Any]) -> list[str]:
    return [signal["id"] for signal in payload.get("levels", {}).get("levels", [])]


async def test_the_durables_are_visible_and_have_no_lag(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    async with Viewer(shared_gateway) as viewer:
        for number in (numbers := [fresh() for _ in range(50)]):
            await shared_publisher.levels(number)
            await shared_publisher.flow(number)
        await viewer.until_newest(levels=numbers[-1], flow=numbers[-1])
    for stream, durable in (("LEVEL_SIGNALS", "gateway_levels"), ("MARKET_DATA", "gateway_flow")):
        consumer = await shared_publisher.jetstream.consumer_info(stream, durable)
        assert (consumer.num_pending, consumer.num_ack_pending) == (0, 0)
        assert consumer.config.durable_name == durable
