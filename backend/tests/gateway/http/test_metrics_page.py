"""What the page of metrics says of one gateway, without NATS and without a socket."""

import asyncio
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from src.common.messages import REASONS
from src.common.subscription import Stored
from src.gateway.history.client import HistoryClient
from src.gateway.history.messages import Progress
from src.gateway.http.metrics_page import FAMILIES, WORKER_FAMILIES, MetricsPage, merged
from src.gateway.settings import Settings
from src.gateway.socket_broadcaster import SocketBroadcaster
from tests.gateway.fake_bus import FakeBus

LEVELS = "levels.signals"
FLOW = "market.flow"


async def samples_of(broadcaster: SocketBroadcaster) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """By name, then by labels, without that of the worker where that is 1."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families((await MetricsPage(broadcaster).text()).decode()):
        for sample in family.samples:
            labels = tuple(sorted(label for label in sample.labels.items() if label != ("worker", "1")))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


@pytest.fixture
async def broadcaster() -> Any:
    bus: Any = FakeBus()
    history = HistoryClient("/nowhere")
    broadcaster = SocketBroadcaster(bus, settings=Settings(), history=history)
    await broadcaster.start()
    await history.close()  # there is no such process; what it would say follows
    history.progress = Progress("life-1-1", 1_766_120_400_000, complete=True, events=7)
    yield broadcaster
    await broadcaster.close()


def bus_of(broadcaster: SocketBroadcaster) -> FakeBus:
    bus: Any = broadcaster.bus
    assert isinstance(bus, FakeBus)
    return bus


async def test_every_family_is_exported_with_its_labels_and_that_of_the_worker(broadcaster: SocketBroadcaster) -> None:
    await bus_of(broadcaster).deliver(LEVELS, {"levels": []})
    await asyncio.sleep(0)
    assert broadcaster.hub.newest is not None
    assert broadcaster.hub.newest.deflated, "somebody wants it compressed"
    exported = {
        family.name: family
        for family in text_string_to_metric_families((await MetricsPage(broadcaster).text()).decode())
    }
    for family in FAMILIES:
        parsed = exported[family.name.removesuffix("_total")]
        assert (parsed.type, parsed.documentation) == (family.kind, family.help), family.name
        assert parsed.samples, family.name
        for sample in parsed.samples:
            assert sample.labels.keys() - {"le"} == {*family.labels, "worker"}, family.name
    for name, meaning, _ in WORKER_FAMILIES:
        assert (exported[name].documentation, exported[name].samples[0].labels) == (meaning, {})
    assert exported.keys() > {"process_open_fds", "process_cpu_seconds", "python_info", "python_gc_collections"}


def test_names_follow_the_conventions() -> None:
    names = [family.name for family in FAMILIES] + [name for name, _, _ in WORKER_FAMILIES]
    assert len(names) == len(set(names))
    for family in FAMILIES:
        assert re.fullmatch(r"gateway_[a-z_]+", family.name)
        assert (family.kind == "counter") == family.name.endswith("_total")
        assert family.help.endswith(".") or family.name.endswith("_info")
        if family.kind == "histogram":
            assert family.name.endswith("_seconds")
        for unit in ("ms", "millis", "kb", "percent"):
            assert f"_{unit}" not in family.name


async def test_the_counters_are_on_the_page(broadcaster: SocketBroadcaster) -> None:
    bus = bus_of(broadcaster)
    levels, flow = bus.subscriptions
    levels.delivered, levels.repeated, levels.lag, levels.rebinds = 7, 2, 3, 1
    levels.rejected["not_json"], levels.non_finite, flow.trouble = 5, 4, "gone"
    bus.reconnects, broadcaster.hub.joined, broadcaster.hub.closed[4001] = 6, 9, 8
    broadcaster.metrics.faults["level_left_out"] = 11
    broadcaster.metrics.normalization.observe(0.0004)
    said = await samples_of(broadcaster)

    def by(**labels: str) -> tuple[tuple[str, str], ...]:
        return tuple(sorted(labels.items()))

    assert said["gateway_messages_total"][by(subject=LEVELS, outcome="relayed")] == 7
    assert said["gateway_messages_total"][by(subject=LEVELS, outcome="repeated")] == 2
    assert said["gateway_messages_total"][by(subject=LEVELS, outcome="not_json")] == 5
    assert said["gateway_consumer_lag_messages"] == {by(subject=LEVELS): 3, by(subject=FLOW): 0}
    assert said["gateway_subscription_rebinds_total"] == {by(subject=LEVELS): 1, by(subject=FLOW): 0}
    assert said["gateway_subscription_live"] == {by(subject=LEVELS): 1, by(subject=FLOW): 0}
    assert said["gateway_non_finite_numbers_total"][by(subject=LEVELS)] == 4
    assert said["gateway_nats_reconnects_total"] == {(): 6}
    assert said["gateway_nats_connected"] == {(): 1}
    assert said["gateway_viewers_accepted_total"] == {(): 9}
    assert said["gateway_viewers_closed_total"][by(code="4001")] == 8
    assert said["gateway_faults_total"][by(fault="level_left_out")] == 11
    assert said["gateway_normalization_seconds_count"] == {(): 1}
    assert said["gateway_normalization_seconds_bucket"][by(le="0.00025")] == 0
    assert said["gateway_normalization_seconds_bucket"][by(le="0.0005")] == 1
    assert said["gateway_normalization_seconds_bucket"][by(le="+Inf")] == 1


async def test_what_never_happened_is_there_as_0(broadcaster: SocketBroadcaster) -> None:
    said = await samples_of(broadcaster)
    outcomes = {dict(labels)["outcome"] for labels in said["gateway_messages_total"]}
    assert outcomes == {"relayed", "repeated", "straggler", "callback_failed", *REASONS}
    assert set(said["gateway_messages_total"].values()) == {0}
    assert {dict(labels)["code"] for labels in said["gateway_viewers_closed_total"]} >= {"1001", "4001", "4002"}
    assert set(said["gateway_faults_total"].values()) == {0}


async def test_a_section_has_an_age_while_it_is_known(broadcaster: SocketBroadcaster) -> None:
    assert "gateway_state_age_seconds" not in await samples_of(broadcaster)
    await bus_of(broadcaster).deliver(LEVELS, {"levels": [], "viewport": {"targets": []}})
    ages = (await samples_of(broadcaster))["gateway_state_age_seconds"]
    assert ages.keys() == {(("section", "levels"),), (("section", "viewport"),)}
    assert all(0 <= age < 60 for age in ages.values())
    await bus_of(broadcaster).deliver(LEVELS, {"levels": []})
    await bus_of(broadcaster).deliver(FLOW, {})
    ages = (await samples_of(broadcaster))["gateway_state_age_seconds"]
    assert ages.keys() == {(("section", "levels"),), (("section", "flow"),)}


async def test_the_first_message_of_a_subscription_has_no_latency(broadcaster: SocketBroadcaster) -> None:
    """It may have been in the stream since last week."""
    bus = bus_of(broadcaster)
    await bus.deliver(FLOW, {})
    await asyncio.sleep(0)
    assert (await samples_of(broadcaster))["gateway_publish_to_fan_out_seconds_count"] == {(): 0}
    await bus.deliver(FLOW, {}, Stored(2, 1.0, is_first=False))
    await asyncio.sleep(0)
    assert (await samples_of(broadcaster))["gateway_publish_to_fan_out_seconds_count"] == {(): 1}


def test_pages_are_merged_metric_by_metric() -> None:
    first = b'# HELP a A.\n# TYPE a gauge\na{worker="1"} 1.0\n# HELP b # HELP a\n# TYPE b gauge\n'
    second = b'# HELP a A.\n# TYPE a gauge\na{worker="2"} 2.0\n# HELP c C.\n# TYPE c gauge\nc{worker="2"} 3.0\n'
    assert merged([first, second]).decode().splitlines() == [
        "# HELP a A.",
        "# TYPE a gauge",
        'a{worker="1"} 1.0',
        'a{worker="2"} 2.0',
        "# HELP b # HELP a",
        "# TYPE b gauge",
        "# HELP c C.",
        "# TYPE c gauge",
        'c{worker="2"} 3.0',
    ]
    assert merged([first]) == first
