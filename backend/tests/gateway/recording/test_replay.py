"""When a message is due, what becomes of its time, and the order in which a bus gets it."""

import asyncio
import json
import math
from typing import Any

import pytest

from src.common.bus import BusError, NATSBus
from src.demo.nats_server import NatsServer
from src.gateway.recording import replay
from src.gateway.recording.file import RecordedMessage
from src.gateway.recording.progress import duration, new_york, size
from src.gateway.recording.replay import WINDOW, InOrder, Schedule, retimed, time_of
from tests.end_to_end.publisher import Publisher
from tests.waiting import until


@pytest.mark.parametrize(("speed", "after_s"), [(1.0, 10.0), (10.0, 1.0), (0.5, 20.0), (math.inf, 0.0)])
def test_a_message_is_due_by_its_place_in_the_recording(speed: float, after_s: float) -> None:
    schedule = Schedule(speed)
    assert schedule.due_s(5.0, now_s=100.0) == 100.0
    assert schedule.due_s(15.0, now_s=100.0 + after_s) == pytest.approx(100.0 + after_s)


def test_lateness_does_not_add_up() -> None:
    schedule = Schedule(1.0)
    late_s = [schedule.due_s(number * 0.25, now_s=number * 0.3) - number * 0.25 for number in range(1000)]
    assert max(map(abs, late_s)) < 1e-6


def test_after_a_stop_the_gaps_count_from_there() -> None:
    schedule = Schedule(2.0)
    schedule.due_s(0.0, now_s=0.0)
    schedule.begin_again()
    assert schedule.due_s(10.0, now_s=60.0) == 60.0
    assert schedule.due_s(12.0, now_s=60.0) == 61.0


@pytest.mark.parametrize(
    ("subject", "body", "ts_ms"),
    [
        ("levels.signals", b'{"ts":1765896227005,"levels":[]}', 1765896227005.0),
        ("levels.signals", b'{"levels":[]}', None),
        ("levels.signals", b'{"ts":null}', None),
        ("levels.signals", b'{"ts":"soon"}', None),
        ("levels.signals", b"nonsense", None),
        ("levels.signals", b"[1]", None),
        ("levels.signals", b"[" * 100_000, None),
        ("market.flow", b'{"ts":1}', None),
    ],
)
def test_the_time_of_levels_is_found_where_there_is_one(subject: str, body: bytes, ts_ms: float | None) -> None:
    message = RecordedMessage(subject, 1, body)
    assert time_of(message) == ts_ms
    if ts_ms is None:
        assert retimed(message, 5) is message


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"ts": 1, "n": 1.50}', b'{"ts":5,"n":1.50}'),
        (b'{"n":12345678901234567890,"ts":1}', b'{"n":12345678901234567890,"ts":5}'),
        (b'{"ts":1,"viewport":{"ts":1,"id":9007199254740993}}', b'{"ts":5,"viewport":{"ts":5,"id":9007199254740993}}'),
        (b'{"ts":1,"viewport":{"targets":[]}}', b'{"ts":5,"viewport":{"targets":[]}}'),
        (b'{"ts":1,"viewport":null}', b'{"ts":5,"viewport":null}'),
        (b'{"ts":1,"viewport":[{"ts":1}]}', b'{"ts":5,"viewport":[{"ts":1}]}'),
    ],
)
def test_another_time_changes_no_other_value(body: bytes, expected: bytes) -> None:
    assert retimed(RecordedMessage("levels.signals", 1, body), 5).body == expected


@pytest.mark.parametrize(("seconds", "words"), [(0, "0:00"), (67.9, "1:07"), (3599, "59:59"), (3723, "1:02:03")])
def test_durations_are_told_as_a_clock_shows_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (12_345, "12.3 kB"), (4.56e6, "4.6 MB"), (7e12, "7000.0 GB")]
)
def test_sizes_are_told_in_a_few_characters(count: float, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(("ts_ms", "clock"), [(1_765_896_227_005, "09:43:47"), (1e300, ""), (-1e18, "")])
def test_the_clock_is_new_yorks(ts_ms: float, clock: str) -> None:
    assert new_york(ts_ms) == clock


# -- on a real bus -----------------------------------------------------------------------------------------------------


def message(number: int) -> RecordedMessage:
    return RecordedMessage("levels.signals", number, b'{"n":%d}' % number)


async def stored(server: NatsServer) -> list[int]:
    async with Publisher(server) as somebody:
        info = await somebody.jetstream.stream_info("LEVEL_SIGNALS")
        messages = [await somebody.jetstream.get_msg("LEVEL_SIGNALS", seq) for seq in range(1, info.state.last_seq + 1)]
    return [json.loads(message.data or b"")["n"] for message in messages]


async def test_messages_under_way_together_arrive_in_order(bus: NATSBus, nats_server: NatsServer) -> None:
    in_order = InOrder(bus)
    for number in range(5 * WINDOW):
        await in_order.publish(message(number))
    await in_order.settle()
    assert await stored(nats_server) == list(range(5 * WINDOW))


async def test_an_outage_is_waited_for_and_loses_nothing(bus: NATSBus, nats_server: NatsServer) -> None:
    in_order = InOrder(bus)
    for number in range(10):
        await in_order.publish(message(number))
    await in_order.settle()
    await asyncio.to_thread(nats_server.stop)
    await until(lambda: not bus.is_connected, "the loss")

    async def go_on() -> None:
        for number in range(10, 10 + 2 * WINDOW):
            await in_order.publish(message(number))
        await in_order.settle()

    going_on = asyncio.create_task(go_on())
    await asyncio.to_thread(nats_server.start)
    await going_on
    assert await stored(nats_server) == list(range(10 + 2 * WINDOW))


async def test_a_message_that_no_stream_takes_ends_it(bus: NATSBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "GIVE_UP_S", 0.1)
    in_order = InOrder(bus)
    with pytest.raises(BusError, match="no stream covers other"):
        await in_order.publish(RecordedMessage("other", 1, b"{}"))
    await in_order.close()


async def test_what_is_under_way_can_be_given_up(nats_server: NatsServer) -> None:
    bus: Any = Silent()
    in_order = InOrder(bus)
    publishing = asyncio.create_task(in_order.publish(message(1)))
    await bus.asked.wait()
    publishing.cancel()
    await asyncio.wait({publishing})
    await in_order.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "replay"]


class Silent:
    """A bus that acknowledges nothing."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def publish(self, _subject: str, _body: bytes) -> None:
        self.asked.set()
        await asyncio.Event().wait()
