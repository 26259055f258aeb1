"""What happened, from the outside: in frames and at `/events`, from real gateways on a real nats-server."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from src.demo.nats_server import HOST
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import LEVELS, Publisher
from tests.end_to_end.sockets import SMALL_BUFFER_BYTES
from tests.end_to_end.viewer import Viewer
from tests.waiting import LIMIT_S, until

EVENTS = "/ws/stream?events=1"
SIGNALS = ("NEUTRAL", "BREAK", "REJECT", "NEUTRAL", "REJECT", "BREAK", "BREAK")
BLOCK = 2_400  # messages that the history reads at a time
ASKED = 12  # times: each request goes to whichever worker the kernel picks


def levels(n: int, signal: str | None = None) -> dict[str, Any]:
    """Something happens in most of them: signals, sides of spot, and levels that come and go."""
    level = {"id": "VWAP", "kind": "VWAP", "price": 687.25, "signal": signal or SIGNALS[n % len(SIGNALS)]}
    come_and_go = [{"id": f"L{n % 40}", "price": 600.0}] if n % 3 == 0 and signal is None else []
    spot = 687.25 + (0.5 if signal or n % 11 < 6 else -0.5)
    return {"ts": time.time_ns() // 1_000_000, "spy": {"spot": spot}, "levels": [level, *come_and_go]}


async def publish(publisher: Publisher, numbers: range) -> None:
    """As fast as they are stored."""
    for first in range(numbers.start, numbers.stop, 500):
        some = range(first, min(first + 500, numbers.stop))
        stored = [await publisher.jetstream.publish_async(LEVELS, json.dumps(levels(n)).encode()) for n in some]
        await asyncio.gather(*stored)


async def events_of(gateway: GatewayProcess, query: str = "") -> Any:
    """What `/events` answers, once it does."""
    while (answer := await asyncio.to_thread(gateway.get, f"/events{query}")).status == 503:
        assert answer.headers["Retry-After"] == "1"
        await asyncio.sleep(0.05)
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    return answer.json


async def until_complete(gateway: GatewayProcess) -> Any:
    """The answer once the past is read to its beginning."""
    await until_answered(gateway, lambda answer: answer["complete"])
    return await events_of(gateway)


async def until_answered(gateway: GatewayProcess, condition: Callable[[Any], bool]) -> None:
    """Ask for few events until the rest of the answer is as it should be."""
    async with asyncio.timeout(2 * LIMIT_S):
        while not condition(await events_of(gateway, "?kinds=replay")):
            await asyncio.sleep(0.05)


def seq_of(cursor: str) -> int:
    return int(cursor.split("-")[1])


def sections(viewer: Viewer) -> list[Any]:
    return [payload["events"] for payload in viewer.payloads if "events" in payload]


def told(viewer: Viewer) -> dict[str, Any]:
    """Each event of the stream as the viewer was told of it last, by its id."""
    return {event["id"]: event for section in sections(viewer) for event in of_stream(section)}


def of_stream(section: Any) -> list[Any]:
    """Without verdicts, which each gateway judges by itself and at any time."""
    return [event for event in section["events"] if event["kind"] != "verdict"]


def by_id(answer: Any) -> dict[str, Any]:
    return {event["id"]: event for event in of_stream(answer)}


@asynccontextmanager
async def knowing_viewer(gateway: GatewayProcess, path: str = EVENTS) -> AsyncIterator[Viewer]:
    """A viewer that begins with a cursor: the process that serves it hears of the past a moment after it is read."""
    while True:
        async with Viewer(gateway, path=path) as viewer:
            if seq_of((await viewer.until_first())["events"]["cursor"]):
                yield viewer
                return
        await asyncio.sleep(0.05)


async def until_read(gateway: GatewayProcess, seq: int) -> None:
    """Wait until the history has all messages up to this one."""
    await until_answered(gateway, lambda answer: seq_of(answer["cursor"]) >= seq)


async def until_told_as_asked(viewer: Viewer, gateway: GatewayProcess, since: str, seq: int) -> Any:
    """Wait until the frames have told the viewer everything that `/events` has since a cursor, up to a message."""
    await until_read(gateway, seq)
    answer = await events_of(gateway, f"?since={since}")
    assert answer["complete"]
    await until(lambda: told(viewer) == by_id(answer), "every event, as it stands")
    assert all(section["complete"] for section in sections(viewer))
    return answer


async def test_a_day_is_told_in_pages_and_an_odd_cursor_is_answered_as_the_contract_says(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on").start()
    await publish(publisher, range(60))
    await until_read(gateway, 60)
    whole = await until_complete(gateway)
    assert whole["more"] is False
    pages = [await events_of(gateway, "?limit=7")]
    while pages[-1]["more"]:
        assert pages[-1]["complete"]
        pages.append(await events_of(gateway, f"?limit=7&since={pages[-1]['cursor']}"))
    told = [event for page in pages for event in of_stream(page)]
    assert [event["id"] for event in told] == [event["id"] for event in of_stream(whole)]
    assert len(pages) > 3
    assert seq_of(pages[-1]["cursor"]) == 60

    life, _, server_ms = whole["cursor"].split("-")
    ahead = await events_of(gateway, f"?since={life}-{10**9}-{int(server_ms) + 10**9}")
    assert (ahead["events"], ahead["complete"], seq_of(ahead["cursor"])) == ([], True, 60)
    other = await events_of(gateway, f"?since=elsewhere-60-{server_ms}")
    assert (by_id(other), other["complete"], seq_of(other["cursor"])) == (by_id(whole), False, 60)
    for query, says in (
        ("since=garbage", "since accepts a cursor"),
        (f"since={life}-1-2-3", "since accepts a cursor"),
        ("since=%00", "since accepts a cursor"),
        ("limit=0", "limit accepts a whole number from 1 to 5000"),
    ):
        refused = await asyncio.to_thread(gateway.get, f"/events?{query}")
        assert refused.status == 400
        assert refused.json["detail"].startswith(says)


async def test_a_viewer_of_a_frame_every_two_seconds_is_told_every_event(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on", GATEWAY_WORKERS="2").start()
    await publisher.publish(LEVELS, levels(0))
    await until_complete(gateway)
    async with knowing_viewer(gateway, f"{EVENTS}&rate=0.5") as paced, knowing_viewer(gateway) as quick:
        since = [viewer.payloads[0]["events"]["cursor"] for viewer in (paced, quick)]
        for n in range(1, 60):
            await publisher.publish(LEVELS, levels(n))
        answer = await until_told_as_asked(quick, gateway, since[1], 60)
        await until_told_as_asked(paced, gateway, since[0], 60)
    assert len(answer["events"]) > 20
    assert len(paced.payloads) < 8


async def test_a_viewer_that_reads_every_tenth_frame_is_told_every_event(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    """Its line takes no frame whole, so the gateway skips what it has no place for."""
    gateway = make_gateway(GATEWAY_HISTORY="on").start()
    await publisher.flow(0, padding="x" * 300_000)
    await publisher.publish(LEVELS, levels(0))
    await until_complete(gateway)
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
    line.setblocking(False)
    await asyncio.get_running_loop().sock_connect(line, (HOST, gateway.port))
    async with (
        knowing_viewer(gateway) as quick,
        Viewer(gateway, path=EVENTS, compression=None, sock=line, max_queue=1) as slow,
    ):
        since = quick.payloads[0]["events"]["cursor"]
        assert (await slow.until_first())["events"]["events"] == []
        slow.pause()
        for n in range(1, 101):
            await publisher.publish(LEVELS, levels(n))
            shown = levels(n)["levels"]
            await until(lambda: len(quick.newest["levels"]["levels"]) == len(shown), "the message")  # noqa: B023
            if n % 10 == 0:
                seen = len(slow.payloads)
                slow.resume()
                await until(lambda: len(slow.payloads) > seen, "a frame")  # noqa: B023
                slow.pause()
        slow.resume()
        await until_told_as_asked(slow, gateway, since, 101)
        assert len(slow.payloads) < 40


async def test_a_break_of_a_single_message_is_told_to_who_never_saw_it(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on").start()
    await publisher.publish(LEVELS, levels(0, "NEUTRAL"))
    await until_complete(gateway)
    async with Viewer(gateway, path=f"{EVENTS}&rate=2") as viewer:
        await viewer.until_first()
        for signal in ("NEUTRAL", "BREAK", "NEUTRAL"):
            await publisher.publish(LEVELS, levels(0, signal))
        await until(lambda: len(told(viewer)) == 2, "both events")
    assert [(event["before"], event["after"], event["count"]) for event in told(viewer).values()] == [
        ("NO_TRADE", "BREAK", 1),
        ("BREAK", "NO_TRADE", 1),
    ]


async def test_a_viewer_that_goes_to_another_gateway_with_its_cursor_misses_nothing(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    one, other = (make_gateway(GATEWAY_HISTORY="on", GATEWAY_WORKERS=workers).launch() for workers in ("1", "2"))
    for gateway in (one, other):
        gateway.until_it_answers()
    await publisher.publish(LEVELS, levels(0))
    await until_complete(one)
    async with knowing_viewer(one) as viewer:
        await publish(publisher, range(1, 30))
        await until_told_as_asked(viewer, one, sections(viewer)[0]["cursor"], 30)
    cursor = sections(viewer)[-1]["cursor"]
    await publish(publisher, range(30, 60))
    for gateway in (one, other):
        await until_read(gateway, 60)
    missed = by_id(await events_of(one, f"?since={cursor}"))
    assert by_id(await events_of(other, f"?since={cursor}")) == missed
    async with Viewer(other, path=f"{EVENTS}&events_since={cursor}") as again:
        first = (await again.until_first())["events"]
        assert (by_id(first), first["complete"]) == (missed, True)
        await publish(publisher, range(60, 90))
        await until_told_as_asked(again, other, cursor, 90)
    async with Viewer(other, path=f"{EVENTS}&events_since=life-1-1") as lost:
        assert (await lost.until_first())["events"]["complete"] is False


async def test_a_gateway_that_starts_later_has_the_same_events(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    """It reads several blocks, the newest one first, and meanwhile the stream goes on. All its workers tell them."""
    one = make_gateway(GATEWAY_HISTORY="on").start()
    await publisher.publish(LEVELS, levels(0))
    await until_complete(one)
    await publish(publisher, range(1, 2 * BLOCK + 400))
    other = make_gateway(GATEWAY_HISTORY="on", GATEWAY_WORKERS="2").start()
    await publish(publisher, range(2 * BLOCK + 400, 2 * BLOCK + 500))
    answers = [await until_complete(one), await until_complete(other)]
    for gateway in (one, other):
        await until_read(gateway, 2 * BLOCK + 500)
    expected = of_stream(await events_of(one))
    assert sum(event["count"] for event in expected) > BLOCK
    assert len({event["id"] for event in expected}) == len(expected)
    for _ in range(ASKED):
        assert of_stream(await events_of(other)) == expected
    assert answers[0]["complete"]
    since = f"?since={answers[0]['cursor']}&kinds=signal&levels=VWAP"
    assert of_stream(await events_of(other, since)) == of_stream(await events_of(one, since))


async def test_a_stream_that_is_made_anew_is_told_and_has_its_own_events(
    make_gateway: LaunchGateway, publisher: Publisher
) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on").start()
    await publish(publisher, range(10))
    before = await until_complete(gateway)
    async with Viewer(gateway, path=EVENTS) as viewer:
        await viewer.until_first()
        await publisher.jetstream.delete_stream("LEVEL_SIGNALS")
        for n in range(30, 36):
            await publisher.publish(LEVELS, levels(n))
        await until(lambda: not all(section["complete"] for section in sections(viewer)), "a frame that says so")
        for n in (36, 37):
            await publisher.publish(LEVELS, levels(n))
        await until_read(gateway, 8)
        answer = await until_complete(gateway)
        assert len(answer["events"]) > 3
        await until(lambda: told(viewer) == by_id(answer), "what happened since")
    old, new = (cursor.partition("-")[0] for cursor in (before["cursor"], answer["cursor"]))
    assert old != new
    assert {event.partition("-")[0] for event in told(viewer)} == {new}
    assert {event.partition("-")[0] for event in by_id(answer)} == {new}
    assert (await events_of(gateway, f"?since={before['cursor']}"))["complete"] is False


async def test_a_core_that_falls_silent_is_an_event(make_gateway: LaunchGateway, publisher: Publisher) -> None:
    gateway = make_gateway(GATEWAY_HISTORY="on", GATEWAY_MARKET="24x7").start()
    await publisher.publish(LEVELS, levels(0, "NEUTRAL"))
    await until_complete(gateway)
    async with Viewer(gateway, path=EVENTS) as viewer:
        for n in range(12):
            await publisher.publish(LEVELS, levels(n, "NEUTRAL"))
            await publisher.flow(n)
        await until(lambda: {"levels", "flow"} <= fallen_silent(viewer), "a verdict for each section")
        answer = await events_of(gateway, "?kinds=verdict&levels=levels")
        await until(lambda: answer["events"][-1] in verdicts_told(viewer), "the newest of them")
    assert {event["level"] for event in answer["events"]} == {"levels"}


def fallen_silent(viewer: Viewer) -> set[str]:
    """The sections that are late or stale, by events."""
    return {event["level"] for event in verdicts_told(viewer) if event["after"] in ("late", "stale")}


def verdicts_told(viewer: Viewer) -> list[Any]:
    return [event for section in sections(viewer) for event in section["events"] if event["kind"] == "verdict"]
