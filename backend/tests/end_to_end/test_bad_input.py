"""What is bad is counted, logged and survived: the last good state stands, the next good message is relayed."""

import json
from typing import Any

import pytest

from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import FLOW, LEVELS, Publisher, fresh, levels_message
from tests.end_to_end.viewer import Viewer, numbers_in
from tests.waiting import until

MAX_MESSAGE_BYTES = 8 << 20

BAD_BODIES = {
    "empty": (b"", "not_json"),
    "no JSON": (b"hello", "not_json"),
    "cut off": (b'{"ts":1,"levels":[', "not_json"),
    "invalid UTF-8": (b'{"ts":1,"note":"\xff\xfe"}', "not_json"),
    "a lone surrogate": (b'{"note":"\\ud83d"}', "not_json"),
    "a byte order mark": (b'\xef\xbb\xbf{"ts":1}', "not_json"),
    "two objects": (b"{}{}", "not_json"),
    "an array": (b"[1,2]", "not_an_object"),
    "a string": (b'"levels"', "not_an_object"),
    "a number": (b"7", "not_an_object"),
    "null": (b"null", "not_an_object"),
    "a bare NaN": (b"NaN", "not_an_object"),
    "a bare Infinity": (b"Infinity", "not_an_object"),
    "arrays nested 10,000 deep": (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "too_deep"),
    "objects nested 10,000 deep": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "too_deep"),
    "10,000 brackets that nobody closes": (b"[" * 10_000, None),
    "one byte over the limit": (b'{"note":"' + b"x" * (MAX_MESSAGE_BYTES - 10) + b'"}', "too_large"),
    "all zeros": (bytes(1000), "not_json"),
}


@pytest.mark.parametrize("subject", [LEVELS, FLOW])
@pytest.mark.parametrize("name", BAD_BODIES)
async def test_a_bad_message_costs_only_itself(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, subject: str, name: str
) -> None:
    body, reason = BAD_BODIES[name]
    n, later = fresh(), fresh()
    async with Viewer(shared_gateway) as viewer:
        await shared_publisher.levels(n)
        await shared_publisher.flow(n)
        good = await viewer.until_newest(levels=n, flow=n)
        before = shared_gateway.subscription(subject)
        await shared_publisher.publish(subject, body)
        await until(lambda: shared_gateway.subscription(subject)["received"] > before["received"], "the bad message")
        rejected = shared_gateway.subscription(subject)["rejected"]
        assert sum(rejected.values()) == sum(before["rejected"].values()) + 1
        if reason is not None:
            assert rejected[reason] == before["rejected"].get(reason, 0) + 1
        async with Viewer(shared_gateway) as late:
            assert await late.until_first() == good, "the last good state stands"
        await shared_publisher.levels(later)
        await shared_publisher.flow(later)
        await viewer.until_newest(levels=later, flow=later)
    shown = [numbers_in(payload) for payload in viewer.payloads[viewer.payloads.index(good) :]]
    assert all(one["levels"] in (n, later) and one["flow"] in (n, later) for one in shown), "nothing bad was shown"
    assert shared_gateway.health()["status"] == "healthy"


async def test_a_message_of_exactly_the_limit_is_relayed(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    n = fresh()
    frame = b'{"n":%d,"note":"' % n
    body = frame + b"x" * (MAX_MESSAGE_BYTES - len(frame) - 2) + b'"}'
    assert len(body) == MAX_MESSAGE_BYTES
    async with Viewer(shared_gateway) as viewer:
        await shared_publisher.publish(FLOW, body)
        payload = await viewer.until_newest(flow=n)
        assert len(payload["flow"]["note"]) == MAX_MESSAGE_BYTES - len(frame) - 2
        await shared_publisher.flow(fresh())


async def test_levels_that_are_no_list_are_a_bad_message(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    for levels in ("none", 7, True, {"levels": "none"}, {"levels": 7}):
        n = fresh()
        await shared_publisher.levels(n)
        async with Viewer(shared_gateway) as viewer:
            good = await viewer.until_newest(levels=n)
            before = shared_gateway.subscription(LEVELS)["rejected"].get("levels_not_a_list", 0)
            await shared_publisher.levels(fresh(), levels=levels)
            await until(
                lambda: shared_gateway.subscription(LEVELS)["rejected"].get("levels_not_a_list", 0) == before + 1,  # noqa: B023
                "the bad message",
            )
            assert shared_gateway.get("/snapshot").json == good


async def test_after_all_of_it_the_consumers_have_no_lag(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    for stream, durable in (("LEVEL_SIGNALS", "gateway_levels"), ("MARKET_DATA", "gateway_flow")):
        for body in (b"", b"[]", b"x"):
            await shared_publisher.publish({"LEVEL_SIGNALS": LEVELS, "MARKET_DATA": FLOW}[stream], body)
        consumer = await shared_publisher.jetstream.consumer_info(stream, durable)
        assert (consumer.num_pending, consumer.num_ack_pending) == (0, 0)
    assert shared_gateway.health()["consumer_lag"] == 0


async def test_bad_messages_are_logged_with_subject_sequence_and_reason(
    gateway: GatewayProcess, publisher: Publisher
) -> None:
    for _ in range(50):
        await publisher.publish(FLOW, b"[]")
    await until(lambda: gateway.subscription(FLOW)["rejected"] == {"not_an_object": 50}, "all of them")
    lines = [line for line in gateway.stderr.splitlines() if "bad" in line]
    assert FLOW in lines[0]
    assert " 1 " in lines[0]
    assert "not_an_object" in lines[0]
    assert len(lines) < 50, "not a line for each"


async def test_a_bad_newest_message_at_start_does_not_hide_the_good_one_before_it(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    await publisher.jetstream.add_stream(name="LEVEL_SIGNALS", subjects=["levels.*"])
    await publisher.levels(1)
    for body in (b"[]", b"not JSON"):
        await publisher.publish(LEVELS, body)
    async with Viewer(make_gateway().start()) as viewer:
        assert numbers_in(await viewer.until_first()) == {"levels": 1}


# -- bad parts of good messages ----------------------------------------------------------------------------------------

NUMERIC_FIELDS = (
    *("price", "distance", "wall_ratio", "break_score_raw", "break_score_smooth"),
    *("approach_velocity", "approach_bars", "approach_distance", "prior_touches"),
    *("confluence_count", "confluence_pressure", "confluence_alignment", "confluence_level"),
    *("barrier.delta_liq", "barrier.replenishment_ratio", "barrier.depth_in_zone"),
    *("tape.imbalance", "tape.velocity", "tape.buy_vol", "tape.sell_vol", "fuel.net_dealer_gamma"),
)
NO_NUMBERS = ("12", True, [1], {"value": 1})
OTHER_WRONG_TYPES: dict[str, Any] = {
    **dict.fromkeys(("id", "kind", "direction", "signal", "confidence", "note", "confluence_level_name"), 7),
    **dict.fromkeys(("barrier", "barrier.state", "tape", "fuel", "fuel.effect", "tape.sweep"), True),
    "tape.sweep.detected": "yes",
}


def level_with(field: str, value: Any) -> dict[str, Any]:
    """A level called `odd` with one field, whose dotted name says where it is."""
    *outer, last = field.split(".")
    fields: dict[str, Any] = {last: value}
    for name in reversed(outer):
        fields = {name: fields}
    return {"id": "odd", "price": 1.0, **fields}


async def relayed(
    gateway: GatewayProcess, publisher: Publisher, **message: Any
) -> tuple[dict[str, Any], dict[str, int]]:
    """The payload that a levels message becomes, and the faults that it is counted with."""
    n, before = fresh(), gateway.health()["faults"]
    async with Viewer(gateway) as viewer:
        await publisher.levels(n, **message)
        payload = await viewer.until_newest(levels=n)
    after = gateway.health()["faults"]
    return payload, {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}


async def test_a_level_with_a_wrong_type_where_the_payload_needs_it_is_left_out(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    wrong = [(field, value) for field in NUMERIC_FIELDS for value in NO_NUMBERS] + list(OTHER_WRONG_TYPES.items())
    for field, value in wrong:
        levels = [{"id": "before"}, level_with(field, value), {"id": "after"}]
        payload, faults = await relayed(shared_gateway, shared_publisher, levels=levels)
        ids = [signal["id"] for signal in payload["levels"]["levels"]]
        assert (ids, faults) == (["before", "after"], {"level_left_out": 1}), (field, value)


async def test_what_is_no_level_is_left_out(shared_gateway: GatewayProcess, shared_publisher: Publisher) -> None:
    levels: list[Any] = [None, 7, "level", [], {"id": "good"}, True]
    payload, faults = await relayed(shared_gateway, shared_publisher, levels=levels)
    assert [signal["id"] for signal in payload["levels"]["levels"]] == ["good"]
    assert faults == {"level_left_out": 5}


async def test_two_levels_of_one_id_are_both_relayed(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    levels = [{"id": "A", "price": 1.0}, {"id": "A", "price": 2.0}]
    payload, faults = await relayed(shared_gateway, shared_publisher, levels=levels)
    assert [(signal["id"], signal["level_price"]) for signal in payload["levels"]["levels"]] == [("A", 1.0), ("A", 2.0)]
    assert faults == {}


@pytest.mark.parametrize(
    "viewport", [7, "viewport", [1], True, {}, {"ts": 1}, {"targets": None}, {"targets": {}}, {"targets": "none"}]
)
async def test_a_viewport_that_is_none_is_dropped(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, viewport: Any
) -> None:
    payload, faults = await relayed(shared_gateway, shared_publisher, viewport=viewport)
    assert "viewport" not in payload
    assert faults == {"viewport_dropped": 1}
    assert payload["levels"]["levels"], "the levels stay"


async def test_a_target_that_is_none_costs_only_its_prediction(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    viewport = {"targets": [7, {"level_id": "VWAP", "p_break": 0.5}, {"level_id": "VWAP", "p_break": "high"}]}
    payload, faults = await relayed(shared_gateway, shared_publisher, viewport=viewport)
    assert payload["viewport"] == viewport, "the section is relayed as it came"
    assert payload["levels"]["levels"][0]["ml_predictions"]["p_break"] == 0.5
    assert faults == {"prediction_left_out": 2}


@pytest.mark.parametrize("ts", ["1766154600000", -1, 0, None, True, [1], {}, 1e300])
async def test_a_time_that_is_none_becomes_the_gateways(
    shared_gateway: GatewayProcess, shared_publisher: Publisher, ts: Any
) -> None:
    name = f"level {fresh()}"
    async with Viewer(shared_gateway) as viewer:
        await shared_publisher.publish(LEVELS, {"ts": ts, "levels": [{"id": name}]})
        await until(lambda: name in json.dumps(viewer.newest), "the message")
    assert viewer.newest["levels"]["ts"] > 1_700_000_000_000


@pytest.mark.parametrize("ts", [1, 253_370_764_800_000, 253_402_300_799_999], ids=["1970", "9999", "the end of 9999"])
async def test_a_time_far_away_is_relayed(shared_gateway: GatewayProcess, shared_publisher: Publisher, ts: int) -> None:
    name = f"level {fresh()}"
    async with Viewer(shared_gateway) as viewer:
        await shared_publisher.publish(LEVELS, {"ts": ts, "levels": [{"id": name}]})
        await until(lambda: name in json.dumps(viewer.newest), "the message")
    assert viewer.newest["levels"]["ts"] == ts


async def test_what_is_no_number_counts_as_missing_in_a_level(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    n, before = fresh(), shared_gateway.subscription(LEVELS)["non_finite"]
    body = json.dumps(levels_message(n, levels=[level_with(field, float("nan")) for field in NUMERIC_FIELDS]))
    async with Viewer(shared_gateway) as viewer:
        await shared_publisher.publish(LEVELS, body.encode())
        payload = await viewer.until_newest(levels=n)
    signals = payload["levels"]["levels"]
    assert len(signals) == len(NUMERIC_FIELDS)
    assert {signal["distance"] for signal in signals} == {0.0}
    assert shared_gateway.subscription(LEVELS)["non_finite"] == before + len(NUMERIC_FIELDS)
