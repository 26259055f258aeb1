"""The class of the interface document: its methods, its state, and what viewers of any ASGI server are sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from fastapi import WebSocket

from src.common.messages import BadMessage
from src.gateway.settings import Settings
from src.gateway.socket_broadcaster import SocketBroadcaster
from tests.gateway.fake_bus import FakeBus
from tests.waiting import until

LEVELS = "levels.signals"
FLOW = "market.flow"
NOW_MS = 1_766_120_400_000


class FakeWebSocket:
    """A viewer behind some ASGI server.

    Args:
        opens: while it is not set, `send_text` waits.
        fails: `send_text` raises, as where the viewer is gone.
    """

    def __init__(self, *, opens: asyncio.Event | None = None, fails: bool = False) -> None:
        self.opens = opens
        self.fails = fails
        self.accepted = 0
        self.texts: list[str] = []
        self.closed: list[int] = []

    async def accept(self) -> None:
        self.accepted += 1

    async def send_text(self, text: str) -> None:
        assert self.accepted == 1, "accepted before the first frame"
        if self.fails:
            raise RuntimeError("gone")
        if self.opens is not None:
            await self.opens.wait()
        self.texts.append(text)

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        self.closed.append(code)

    @property
    def payloads(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.texts]


def as_websocket(fake: FakeWebSocket) -> WebSocket:
    """For the type checker: the broadcaster needs no more of a WebSocket than the fake has."""
    return fake  # type: ignore[return-value]


MakeBroadcaster = Callable[..., SocketBroadcaster]


@pytest.fixture
async def make_broadcaster() -> AsyncIterator[MakeBroadcaster]:
    """Makes broadcasters on a fake bus, and closes them when the test is over."""
    made: list[SocketBroadcaster] = []

    def make(**settings: Any) -> SocketBroadcaster:
        bus: Any = FakeBus()
        made.append(SocketBroadcaster(bus, settings=Settings().model_copy(update=settings), now_ms=lambda: NOW_MS))
        return made[-1]

    yield make
    for broadcaster in made:
        await broadcaster.close()


@pytest.fixture
async def broadcaster(make_broadcaster: MakeBroadcaster) -> SocketBroadcaster:
    broadcaster = make_broadcaster()
    await broadcaster.start()
    return broadcaster


def bus_of(broadcaster: SocketBroadcaster) -> FakeBus:
    bus: Any = broadcaster.bus
    assert isinstance(bus, FakeBus)
    return bus


async def connected(broadcaster: SocketBroadcaster, **of_the_viewer: Any) -> FakeWebSocket:
    viewer = FakeWebSocket(**of_the_viewer)
    await broadcaster.connect(as_websocket(viewer))
    return viewer


# -- start and close ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("consumers", "durables"), [("durable", ["gateway_levels", "gateway_flow"]), ("ephemeral", [None, None])]
)
async def test_start_connects_and_subscribes_to_both_subjects(
    make_broadcaster: MakeBroadcaster, consumers: str, durables: list[str | None]
) -> None:
    broadcaster = make_broadcaster(consumers=consumers)
    await broadcaster.start()
    bus = bus_of(broadcaster)
    assert bus.calls == ["connect", f"subscribe {LEVELS}", f"subscribe {FLOW}"]
    assert [one.durable_name for one in bus.subscriptions] == durables
    assert [one.callback for one in bus.subscriptions] == [
        broadcaster._on_level_signals,
        broadcaster._on_flow_snapshot,
    ]
    assert len(broadcaster._subscriptions) == 2


async def test_without_a_bus_it_makes_one_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_URL", "nats://ann:s3cret@elsewhere:4222")
    assert SocketBroadcaster().bus.url == "nats://***@elsewhere:4222"


async def test_close_closes_viewers_and_the_bus_and_is_idempotent(broadcaster: SocketBroadcaster) -> None:
    viewers = [await connected(broadcaster) for _ in range(2)]
    await broadcaster.close()
    await until(lambda: all(viewer.closed for viewer in viewers), "the close frames")
    await broadcaster.close()
    assert [viewer.closed for viewer in viewers] == [[1001], [1001]]
    assert broadcaster.active_connections == []
    assert broadcaster._subscriptions == []
    assert not bus_of(broadcaster).is_connected


async def test_a_viewer_that_connects_after_the_drain_began_is_closed_too(broadcaster: SocketBroadcaster) -> None:
    await broadcaster.drain()
    viewer = await connected(broadcaster)
    await until(lambda: viewer.closed == [1001], "the close frame")
    assert broadcaster.active_connections == []


# -- viewers -----------------------------------------------------------------------------------------------------------


async def test_connect_accepts_and_sends_the_cached_payload(broadcaster: SocketBroadcaster) -> None:
    await bus_of(broadcaster).deliver(FLOW, {"n": 1})
    viewer = await connected(broadcaster)
    assert (viewer.accepted, viewer.payloads) == (1, [{"flow": {"n": 1}}])
    assert broadcaster.active_connections == [viewer]


async def test_connect_sends_nothing_while_there_is_nothing(broadcaster: SocketBroadcaster) -> None:
    viewer = await connected(broadcaster)
    assert (viewer.accepted, viewer.texts) == (1, [])


async def test_disconnect_is_idempotent_also_without_a_connect(broadcaster: SocketBroadcaster) -> None:
    viewer, stranger = await connected(broadcaster), FakeWebSocket()
    for _ in range(2):
        await broadcaster.disconnect(as_websocket(viewer))
        await broadcaster.disconnect(as_websocket(stranger))
    assert broadcaster.active_connections == []
    await broadcaster.broadcast({"flow": {}})
    assert viewer.texts == []


async def test_broadcast_serializes_once_and_sends_the_same_to_all(
    broadcaster: SocketBroadcaster, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewers = [await connected(broadcaster) for _ in range(5)]
    encoded = []
    encode = msgspec.json.encode

    def count(message: Any) -> bytes:
        encoded.append(message)
        return encode(message)

    monkeypatch.setattr(msgspec.json, "encode", count)
    await broadcaster.broadcast({"flow": {"n": 1}})
    assert [viewer.payloads for viewer in viewers] == [[{"flow": {"n": 1}}]] * 5
    assert encoded == [{"flow": {"n": 1}}]
    assert len({id(viewer.texts[0]) for viewer in viewers}) == 1, "one and the same text"


async def test_broadcast_removes_a_viewer_that_fails_and_no_other(broadcaster: SocketBroadcaster) -> None:
    viewers = [await connected(broadcaster, fails=number == 1) for number in range(3)]
    await broadcaster.broadcast({"flow": {"n": 1}})
    assert set(broadcaster.active_connections) == {viewers[0], viewers[2]}
    await broadcaster.broadcast({"flow": {"n": 2}})
    assert [len(viewer.texts) for viewer in viewers] == [2, 0, 2]


async def test_what_cannot_be_written_as_json_is_skipped(
    broadcaster: SocketBroadcaster, caplog: pytest.LogCaptureFixture
) -> None:
    viewer = await connected(broadcaster)
    await broadcaster.broadcast({"flow": object()})
    await broadcaster.broadcast({"flow": {"n": 1}})
    assert viewer.payloads == [{"flow": {"n": 1}}]
    assert broadcaster.metrics.unserializable == 1
    assert "skipped" in caplog.text


async def test_a_viewer_that_stalls_delays_no_other_and_then_gets_the_newest(broadcaster: SocketBroadcaster) -> None:
    opens = asyncio.Event()
    stalled, viewer = await connected(broadcaster, opens=opens), await connected(broadcaster)
    for n in range(1, 6):
        await bus_of(broadcaster).deliver(FLOW, {"n": n})
        assert viewer.payloads[-1] == {"flow": {"n": n}}
    opens.set()
    await until(lambda: len(stalled.texts) == 2, "what was under way, and the newest")
    assert [payload["flow"]["n"] for payload in stalled.payloads] == [1, 5]


async def test_a_viewer_that_stalls_for_too_long_is_told_so_and_forgotten(make_broadcaster: MakeBroadcaster) -> None:
    broadcaster = make_broadcaster(stall_limit_s=0.01)
    await broadcaster.start()
    stalled = await connected(broadcaster, opens=asyncio.Event())
    await broadcaster.broadcast({"flow": {}})
    await until(lambda: stalled.closed == [4001], "the close frame")
    assert broadcaster.active_connections == []


async def test_a_viewer_that_connects_during_a_broadcast_never_sees_an_older_payload_after_a_newer(
    broadcaster: SocketBroadcaster,
) -> None:
    bus = bus_of(broadcaster)
    viewers: list[FakeWebSocket] = []

    async def publish() -> None:
        for n in range(1, 101):
            await bus.deliver(FLOW, {"n": n})
            await asyncio.sleep(0)

    publishing = asyncio.create_task(publish())
    while not publishing.done():
        viewers.append(await connected(broadcaster))
        await asyncio.sleep(0)
    for viewer in viewers:
        await until(lambda: viewer.payloads[-1:] == [{"flow": {"n": 100}}], "the newest")  # noqa: B023
        numbers = [payload["flow"]["n"] for payload in viewer.payloads]
        assert numbers == sorted(set(numbers))
    assert len(viewers) > 1


# -- the state and the merged payload ----------------------------------------------------------------------------------


async def test_the_payload_holds_the_sections_known_so_far(broadcaster: SocketBroadcaster) -> None:
    bus, viewer = bus_of(broadcaster), await connected(broadcaster)
    assert (broadcaster._latest_flow, broadcaster._latest_levels, broadcaster._latest_viewport) == (None, None, None)
    assert broadcaster._build_payload() == {}
    await bus.deliver(LEVELS, {"ts": 5, "levels": []})
    await bus.deliver(FLOW, {"n": 1})
    await bus.deliver(LEVELS, {"ts": 6, "levels": [], "viewport": {"targets": []}})
    assert [payload.keys() for payload in viewer.payloads] == [
        {"levels"},
        {"flow", "levels"},
        {"flow", "levels", "viewport"},
    ]
    assert viewer.payloads[-1] == broadcaster._build_payload()


async def test_sections_that_come_together_again_and_again_are_one_frame(broadcaster: SocketBroadcaster) -> None:
    bus, viewer = bus_of(broadcaster), await connected(broadcaster)
    numbers = iter(range(1, 1000))  # of which a busy machine may deliver some too late

    async def frames_of_a_pair() -> int:
        before, number = len(viewer.texts), next(numbers)
        await bus.deliver(LEVELS, {"ts": number, "levels": []})
        await bus.deliver(FLOW, {"n": number})
        assert viewer.payloads[-1]["levels"]["ts"] == viewer.payloads[-1]["flow"]["n"] == number
        return len(viewer.texts) - before

    assert await frames_of_a_pair() == 2, "nothing is known yet"
    while await frames_of_a_pair() != 1:
        pass


async def test_the_latest_of_each_section_can_be_looked_at(broadcaster: SocketBroadcaster) -> None:
    bus = bus_of(broadcaster)
    await bus.deliver(FLOW, msgspec.Raw(b'{"n":1152921504606846977,"x":1e400}'))
    await bus.deliver(LEVELS, {"ts": 5, "levels": [{"id": "A"}], "viewport": msgspec.Raw(b'{"targets":[]}')})
    assert broadcaster._latest_flow == {"n": 2**60 + 1, "x": None}
    assert broadcaster._latest_viewport == {"targets": []}
    assert broadcaster._latest_levels is not None
    assert broadcaster._latest_levels["levels"][0]["id"] == "A"
    await bus.deliver(LEVELS, {"ts": 6, "levels": []})
    assert broadcaster._latest_viewport is None


async def test_levels_without_a_viewport_remove_it(broadcaster: SocketBroadcaster) -> None:
    bus, viewer = bus_of(broadcaster), await connected(broadcaster)
    await bus.deliver(LEVELS, {"ts": 5, "levels": [], "viewport": {"targets": []}})
    await bus.deliver(FLOW, {})
    await bus.deliver(LEVELS, {"ts": 6, "levels": []})
    assert ["viewport" in payload for payload in viewer.payloads] == [True, True, False]


async def test_a_bad_message_leaves_the_state_as_it_was(broadcaster: SocketBroadcaster) -> None:
    bus, viewer = bus_of(broadcaster), await connected(broadcaster)
    await bus.deliver(LEVELS, {"ts": 5, "levels": [{"id": "A"}]})
    before = broadcaster._build_payload()
    with pytest.raises(BadMessage):
        await bus.deliver(LEVELS, {"ts": 6, "levels": "none"})
    assert broadcaster._build_payload() == before
    assert len(viewer.texts) == 1


async def test_bad_parts_of_a_good_message_are_counted(broadcaster: SocketBroadcaster) -> None:
    await bus_of(broadcaster).deliver(LEVELS, {"ts": 5, "levels": [7, {"id": "A"}], "viewport": 7})
    assert broadcaster.metrics.faults == {"level_left_out": 1, "viewport_dropped": 1}


# -- normalization by itself -------------------------------------------------------------------------------------------


async def test_a_payload_is_normalized_with_the_clock_and_the_baseline_of_the_gateway(
    make_broadcaster: MakeBroadcaster,
) -> None:
    broadcaster = make_broadcaster(wall_baseline=250.0)
    target = {"level_id": "A", "p_break": 0.5}
    level = {"id": "A", "direction": "SUPPORT", "barrier": {"depth_in_zone": 1000}}
    levels = broadcaster._normalize_levels_payload({"levels": [level], "viewport": {"targets": [target]}})
    (signal,) = levels["levels"]
    assert levels["ts"] == NOW_MS
    assert levels["spy"] == {"spot": None, "bid": None, "ask": None}
    assert (signal["direction"], signal["wall_ratio"]) == ("DOWN", 4.0)
    assert signal["ml_predictions"]["p_break"] == 0.5


async def test_a_level_is_normalized_with_its_context_and_prediction(make_broadcaster: MakeBroadcaster) -> None:
    broadcaster = make_broadcaster()
    level = {"id": "A", "signal": "REJECT"}
    plain = broadcaster._normalize_level_signal(level, True, 7, None)
    assert (plain["signal"], plain["is_first_15m"], plain["bars_since_open"]) == ("BOUNCE", True, 7)
    assert "ml_predictions" not in plain
    predicted = broadcaster._normalize_level_signal(
        level, is_first_15m=False, bars_since_open=0, viewport_pred={"strength_signed": -2.0}
    )
    assert predicted["ml_predictions"]["strength_abs"] == 2.0


@pytest.mark.parametrize(
    ("ts_ms", "context"),
    [(1_766_154_599_999, (False, 0)), (1_766_154_600_000, (True, 0)), (1_766_155_500_000, (False, 15))],
)
async def test_the_session_context_is_that_of_new_york(
    make_broadcaster: MakeBroadcaster, ts_ms: int, context: tuple[bool, int]
) -> None:
    is_first_15m, bars_since_open = make_broadcaster()._compute_session_context(ts_ms)
    assert (is_first_15m, bars_since_open) == context
