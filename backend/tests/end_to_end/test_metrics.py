"""`GET /metrics` of a running gateway: what happened is in it, whichever worker answers."""

import asyncio
import http.client
import os
import re
from contextlib import AsyncExitStack
from pathlib import Path
from signal import SIGKILL, SIGSTOP

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus

from src.demo.nats_server import HOST, NatsServer
from src.gateway.close_codes import LEFT_CODES
from src.gateway.refusals import REFUSAL_NAMES
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import FLOW, LEVELS, Publisher
from tests.end_to_end.test_workers import worker_at, workers_of
from tests.end_to_end.viewer import Viewer
from tests.waiting import LIMIT_S, until

Page = dict[str, dict[str, float]]
"""By name of the sample, then by its labels in braces, `le` and `worker` included."""


def scraped(gateway: GatewayProcess) -> Page:
    answer = gateway.get("/metrics")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return parsed(answer.body)


def parsed(body: bytes) -> Page:
    page: Page = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            values = page.setdefault(sample.name, {})
            assert labels not in values, "said once"
            values[labels] = sample.value
    return page


def total(page: Page, name: str, *parts: str) -> float:
    """The sum of the samples whose labels have all `parts`."""
    return sum(value for labels, value in page[name].items() if all(part in labels for part in parts))


async def test_what_happened_is_counted(gateway: GatewayProcess, publisher: Publisher) -> None:
    async with Viewer(gateway) as viewer, Viewer(gateway, compression=None):
        for n in range(1, 6):
            await publisher.levels(n)
            await publisher.flow(n)
            await viewer.until_newest(levels=n, flow=n)
        await publisher.publish(FLOW, b"not JSON")
        await publisher.levels(6, levels=[7], viewport={"targets": []})
        await viewer.until_newest(levels=6)
        page = scraped(gateway)
    assert total(page, "gateway_viewers") == total(page, "gateway_viewers_accepted_total") == 2
    assert total(page, "gateway_messages_total", LEVELS, "relayed") == 6
    assert total(page, "gateway_messages_total", FLOW, "relayed") == 5
    assert total(page, "gateway_messages_total", FLOW, "not_json") == 1
    assert total(page, "gateway_messages_total") == 12
    assert total(page, "gateway_faults_total", "level_left_out") == total(page, "gateway_faults_total") == 1
    assert total(page, "gateway_publish_to_fan_out_seconds_count") == 11
    assert 0 < total(page, "gateway_publish_to_fan_out_seconds_sum") < 60, "server and gateway have one clock here"
    assert total(page, "gateway_normalization_seconds_count") == 6
    assert 0 < total(page, "gateway_normalization_seconds_sum") < 60
    fan_outs = total(page, "gateway_fan_out_seconds_count")
    assert 6 <= fan_outs <= 11, "levels and flow may share one"
    assert 12 <= total(page, "gateway_frames_sent_total") <= 2 * fan_outs
    assert total(page, "gateway_sent_bytes_total") > 12 * 100
    assert total(page, "gateway_payload_bytes") == len(viewer.texts[-1].encode())
    assert 0.1 < total(page, "gateway_compression_ratio") < 1
    assert page["gateway_state_age_seconds"].keys() == {
        f'section="{section}",worker="1"' for section in ("flow", "levels", "viewport")
    }
    assert total(page, "gateway_subscription_live") == 2
    assert total(page, "gateway_nats_connected") == total(page, "gateway_workers_live") == 1
    assert total(page, "process_open_fds") > 5
    assert total(page, "python_info") == 1


async def test_each_viewer_that_is_gone_is_counted_once_by_how_it_went(
    gateway: GatewayProcess, publisher: Publisher
) -> None:
    await publisher.flow(1)
    async with AsyncExitStack() as stack:
        viewers = [await stack.enter_async_context(Viewer(gateway)) for _ in range(6)]
        stays, leaves, goes_away, invents, vanishes, breaks = viewers
        for viewer in viewers:
            await viewer.until_newest(flow=1)
        await leaves.socket.close(1000)
        await goes_away.socket.close(1001)
        await invents.socket.close(4999)
        vanishes.socket.transport.abort()
        await breaks.socket.send(b"\xff", text=True)
        assert await breaks.close_code() == 1007
        await until(lambda: total(scraped(gateway), "gateway_viewers") == 1, "five are gone")
        page = scraped(gateway)
        assert stays.connected
    left = {code: total(page, "gateway_viewers_left_total", f'code="{code}"') for code in LEFT_CODES}
    assert left == {"1000": 1, "1001": 1, "1005": 0, "1006": 1, "other": 1}
    assert total(page, "gateway_viewers_closed_total", 'code="1007"') == 1
    assert total(page, "gateway_viewers_closed_total") == 1
    assert total(page, "gateway_viewers_accepted_total") == 6


async def test_refusals_are_counted_by_reason(make_gateway: LaunchGateway) -> None:
    gateway = make_gateway(GATEWAY_MAX_VIEWERS="1").start()
    async with Viewer(gateway):
        with pytest.raises(InvalidStatus):
            async with Viewer(gateway):
                pass
    page = scraped(gateway)
    assert total(page, "gateway_refused_total", 'reason="full"') == total(page, "gateway_refused_total") == 1
    assert page["gateway_refused_total"].keys() == {f'reason="{each}",worker="1"' for each in REFUSAL_NAMES}


async def test_health_says_the_same_in_short(gateway: GatewayProcess, publisher: Publisher) -> None:
    async with Viewer(gateway) as viewer:
        await publisher.flow(1)
        await viewer.until_newest(flow=1)
        health, page = gateway.health(), scraped(gateway)
    assert health["connections"] == total(page, "gateway_viewers") == 1
    assert health["refused"] == {}
    viewers = health["viewers"]
    assert 0 <= viewers.pop("worst_age_s") < 60
    assert (viewers.pop("behind"), viewers.pop("one_at_a_time")) in ((0, 0), (0, 1), (1, 1)), "it may still be new"
    assert viewers == {"accepted": 1, "closed": {}, "left": {}, "frames_skipped": 0}
    assert health["state_age_s"].keys() == {"flow"}
    assert 0 <= health["state_age_s"]["flow"] <= total(page, "gateway_state_age_seconds")
    assert 0 <= health["loop_lag_s"] < 60


async def test_a_lost_nats_is_told_and_then_that_it_is_back(gateway: GatewayProcess, nats_server: NatsServer) -> None:
    nats_server.kill()
    await until(lambda: total(scraped(gateway), "gateway_nats_connected") == 0, "the loss is told")
    await until(lambda: total(scraped(gateway), "gateway_subscription_live") == 0, "both subscriptions are told dead")
    nats_server.start()
    await until(lambda: total(scraped(gateway), "gateway_subscription_live") == 2, "both are live again")
    await until(lambda: total(scraped(gateway), "gateway_subscription_rebinds_total") >= 2, "JetStream is bound again")
    page = scraped(gateway)
    assert total(page, "gateway_nats_connected") == total(page, "gateway_nats_reconnects_total") == 1
    assert total(page, "gateway_subscription_path_live") == 4


async def test_a_blocked_event_loop_shows(gateway: GatewayProcess) -> None:
    """A process that is stopped for a while looks to itself like a loop that was blocked."""
    await until(lambda: total(scraped(gateway), "gateway_event_loop_lag_seconds_count") > 0, "it is looked at")
    assert gateway.process is not None
    gateway.freeze()
    await until(lambda: is_stopped(gateway.process.pid if gateway.process else 0), "it stands still")
    await asyncio.sleep(0.75)  # how long it stands still is what is measured
    gateway.thaw()
    await until(lambda: total(scraped(gateway), "gateway_event_loop_lag_max_seconds") >= 0.4, "the lag is told")
    late = scraped(gateway)["gateway_event_loop_lag_seconds_bucket"]
    assert late['le="+Inf",worker="1"'] > late['le="0.25",worker="1"']


def test_it_can_be_switched_off(make_gateway: LaunchGateway) -> None:
    gateway = make_gateway(GATEWAY_METRICS="off").start()
    assert gateway.get("/metrics").status == 404
    assert gateway.get("/health").status == 200


# -- several workers ---------------------------------------------------------------------------------------------------

WORKERS = 3


def of_workers(page: Page, name: str) -> dict[str, float]:
    """By worker."""
    return {re.findall(r'worker="(\d+)"', labels)[0]: value for labels, value in page[name].items()}


async def test_whichever_worker_answers_tells_of_all(make_gateway: LaunchGateway, publisher: Publisher) -> None:
    gateway = make_gateway(GATEWAY_WORKERS=str(WORKERS)).launch()
    gateway.until_it_says("✅")
    viewers = [Viewer(gateway) for _ in range(12)]
    await asyncio.gather(*(viewer.__aenter__() for viewer in viewers))
    await publisher.flow(1)
    for viewer in viewers:
        await viewer.until_newest(flow=1)
    before: Page = {}
    for _ in range(20):  # each request goes to whichever worker the kernel picks
        page = scraped(gateway)
        assert of_workers(page, "gateway_viewers").keys() == {"1", "2", "3"}
        assert total(page, "gateway_viewers") == total(page, "gateway_viewers_accepted_total") == 12
        assert total(page, "gateway_messages_total", FLOW, "relayed") == WORKERS, "each relays every message"
        assert len(set(of_workers(page, "process_start_time_seconds").values())) >= 1
        assert (page["gateway_workers_configured"], page["gateway_workers_live"]) == ({"": WORKERS}, {"": WORKERS})
        for name in before:
            for labels, value in before[name].items() if name.endswith(("_total", "_count", "_bucket")) else ():
                assert page[name][labels] >= value, f"{name}{{{labels}}} jumps back"
        before = page
    await asyncio.gather(*(viewer.__aexit__(None, None, None) for viewer in viewers))


async def test_a_worker_that_hangs_is_missing_and_its_successor_starts_from_0(make_gateway: LaunchGateway) -> None:
    gateway = make_gateway(GATEWAY_WORKERS=str(WORKERS)).launch()
    gateway.until_it_says("✅")
    connection = http.client.HTTPConnection(HOST, gateway.port, timeout=LIMIT_S)

    def asked() -> Page:
        connection.request("GET", "/metrics")
        return parsed(connection.getresponse().read())

    assert of_workers(asked(), "gateway_viewers").keys() == {"1", "2", "3"}
    answering = worker_at(connection.sock.getsockname()[1], gateway)
    hung = next(pid for pid in workers_of(gateway) if pid != answering)
    number = str(workers_of(gateway).index(hung) + 1)
    os.kill(hung, SIGSTOP)
    await until(lambda: is_stopped(hung), "it stands still")
    page = asked()
    assert of_workers(page, "gateway_viewers").keys() == {"1", "2", "3"} - {number}
    await until(lambda: total(asked(), "gateway_workers_live") == WORKERS - 1, "it is told as hanging")
    os.kill(hung, SIGKILL)
    await until(lambda: of_workers(asked(), "gateway_viewers").keys() == {"1", "2", "3"}, "its successor answers")
    page = asked()
    starts_s = of_workers(page, "process_start_time_seconds")
    assert max(starts_s, key=lambda worker: starts_s[worker]) == number
    await until(lambda: total(asked(), "gateway_workers_live") == WORKERS, "all are live")
    connection.close()


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
