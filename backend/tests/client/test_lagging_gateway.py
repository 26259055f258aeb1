"""After a reconnection, a gateway that lags takes no viewer back in time."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Final, Self

import pytest
from websockets.asyncio.server import ServerConnection

from spymaster_client import Shape, State, Stream, stream
from spymaster_client.status import ALIKE_MS, is_behind
from spymaster_client.stream import BEHIND_IN_A_ROW, BEHIND_LIMIT_S
from src.common.tasks import end
from src.demo.nats_server import HOST, NatsServer
from tests.client.test_status import section, status
from tests.client.test_stream import frame, gateway_that, number_of, state_with
from tests.conftest import LaunchGateway
from tests.end_to_end.black_hole import Line
from tests.end_to_end.publisher import Publisher
from tests.waiting import until

NOW_MS: Final = 1_700_000_000_000
LEFT: Final = "the gateway is behind what was shown; trying another"


def published(at_ms: int | None) -> Any:
    """A section whose message NATS took then; None: the gateway does not tell when."""
    of = section("live")
    return {name: value for name, value in (of | {"published_ms": at_ms}).items() if value is not None}


def told(epoch: str = "a", seq: int = 5, **published_ms: int | None) -> Any:
    """The status of a state with these sections."""
    return status(seq, epoch=epoch, **{name: published(at_ms) for name, at_ms in published_ms.items()})


def shown(number: int, epoch: str, seq: int, published_ms: int) -> str:
    """A frame."""
    return frame(number, status=told(epoch, seq, levels=published_ms))


# -- the rule; client/typescript/test/rules.test.ts has the same cases -------------------------------------------------


@pytest.mark.parametrize(
    ("other", "before", "expected"),
    [
        (told(seq=4, levels=NOW_MS), told(seq=5, levels=NOW_MS), True),
        (told(seq=5, levels=NOW_MS), told(seq=5, levels=NOW_MS), False),
        (told(seq=6, levels=NOW_MS - 9_000), told(seq=5, levels=NOW_MS), False),
        (told(seq=6), told(seq=5, levels=NOW_MS), False),
        (told("b", seq=4, levels=NOW_MS), told(levels=NOW_MS), False),
        (told("b", levels=NOW_MS - 1_000), told(levels=NOW_MS), False),
        (told("b", levels=NOW_MS - 1_001), told(levels=NOW_MS), True),
        (told("b", seq=6, levels=NOW_MS - 1_001), told(levels=NOW_MS), True),
        (told("b", levels=NOW_MS + 9_000), told(levels=NOW_MS), False),
        (told("b", levels=NOW_MS + 9_000, flow=NOW_MS - 1_001), told(levels=NOW_MS, flow=NOW_MS), True),
        (told("b", levels=NOW_MS), told(levels=NOW_MS, flow=NOW_MS), False),
        (told("b", flow=NOW_MS - 9_000), told(levels=NOW_MS), False),
        (told("b"), told(levels=NOW_MS), True),
        (told("b"), told(flow=NOW_MS), True),
        (told("b"), told(), False),
        (told("b", levels=NOW_MS - 9_000), told(), False),
        (told("b", levels=None), told(levels=NOW_MS), False),
        (told("b", levels=NOW_MS - 9_000), told(levels=None), False),
    ],
)
def test_what_is_behind(other: Any, before: Any, expected: bool) -> None:
    assert is_behind(other, before) is expected


# -- a stream, with a gateway that shows the newest and others that answer after it ------------------------------------


class Replicas:
    """Each connection is to the next of them: the first shows number 2 and ends when it is told to."""

    def __init__(self, *others: list[str]) -> None:
        self.others = list(others)
        self.asked: list[str] = []
        self.moments_s: list[float] = []
        self._lost = asyncio.Event()
        self._sockets: list[ServerConnection] = []

    def lose(self) -> None:
        """The gateway that showed the newest is gone."""
        self._lost.set()

    async def send(self, text: str) -> None:
        """To the viewer that came last."""
        await self._sockets[-1].send(text)

    async def __call__(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self._sockets.append(socket)
        self.asked.append(socket.request.path)
        self.moments_s.append(asyncio.get_running_loop().time())
        if len(self.asked) == 1:
            await socket.send(shown(2, "a", 7, NOW_MS))
            await self._lost.wait()
            socket.transport.abort()
            return
        for text in self.others[min(len(self.asked) - 2, len(self.others) - 1)]:
            await socket.send(text)
        await socket.wait_closed()


OLDER: Final = shown(1, "b", 3, NOW_MS - 60_000)
ALIVE: Final = json.dumps({"status": told("b", 3, levels=NOW_MS - 60_000)})
KNOWS_NOTHING: Final = json.dumps({"status": told("c", 0)})


@contextlib.asynccontextmanager
async def stream_after(replicas: Replicas, **asked: Any) -> AsyncIterator[tuple[Stream, list[State]]]:
    """A stream that has shown number 2 and lost its gateway, and all its states."""
    seen: list[State] = []

    async with gateway_that(replicas) as url, stream(url, **asked) as states:
        await state_with(states, 2)
        looking = asyncio.create_task(look(states, seen.append))
        replicas.lose()
        try:
            yield states, seen
        finally:
            await end(looking)


async def look(states: Stream, see: Callable[[State], None]) -> None:
    """See every state."""
    async for state in states:
        see(state)


async def test_an_older_state_that_comes_first_is_not_shown() -> None:
    replicas = Replicas([OLDER, ALIVE, shown(3, "b", 4, NOW_MS + 1)])
    async with stream_after(replicas) as (states, seen):
        await until(lambda: number_of(states.state()) == 3, "the newer state")
        await until(lambda: seen[-1].connection == "live", "it is live")
    assert {number_of(state) for state in seen} == {2, 3}
    assert {(state.connection, number_of(state)) for state in seen} <= {
        ("live", 2),
        ("connecting", 2),
        ("live", 3),
    }
    assert [path.partition("since=")[2] for path in replicas.asked] == ["", "a%3A7"]


async def test_a_gateway_that_knows_nothing_yet_clears_nothing() -> None:
    replicas = Replicas([KNOWS_NOTHING, KNOWS_NOTHING, shown(3, "c", 1, NOW_MS + 1)])
    async with stream_after(replicas) as (states, seen):
        await until(lambda: number_of(states.state()) == 3, "the newer state")
    assert {number_of(state) for state in seen} <= {2, 3}


async def test_a_heartbeat_that_tells_a_newer_time_shows_the_frame_before_it() -> None:
    """As where a copy of the same message has come meanwhile."""
    replicas = Replicas([frame(1, flow={}, status=told("b", 3, levels=NOW_MS - 60_000)), ALIVE])
    async with stream_after(replicas) as (states, _):
        await until(lambda: len(replicas.asked) == 2, "the other gateway")
        await replicas.send(json.dumps({"status": told("b", 3, levels=NOW_MS)}))
        await until(lambda: number_of(states.state()) == 1, "the frame")
        assert states.state().payload.keys() == {"levels", "flow", "status"}


async def test_a_gateway_without_a_status_is_not_judged() -> None:
    async with stream_after(Replicas([frame(1)])) as (states, _):
        await until(lambda: number_of(states.state()) == 1, "its frame")


async def test_a_shape_of_other_sections_is_not_judged() -> None:
    replicas = Replicas([json.dumps({"news": {"n": 1}, "status": told("c", 1)})])
    async with gateway_that(replicas) as url, stream(url) as states:
        await state_with(states, 2)
        states._shape = Shape(sections=["news"])
        replicas.lose()
        await until(lambda: "news" in states.state().payload, "its frame")


async def test_a_gateway_that_stays_behind_is_left_for_another() -> None:
    replicas = Replicas([OLDER], [shown(3, "a", 8, NOW_MS + 1)])
    async with stream_after(replicas) as (states, seen):
        await until(lambda: number_of(states.state()) == 3, "the state of another one")
        disconnect = states.state().last_disconnect
    assert disconnect is not None
    assert (disconnect.code, disconnect.explanation, disconnect.reconnect) == (1006, LEFT, True)
    _, came_s, left_s = replicas.moments_s
    assert left_s - came_s >= BEHIND_LIMIT_S
    assert {number_of(state) for state in seen} <= {2, 3}
    assert [path.partition("since=")[2] for path in replicas.asked] == ["", "a%3A7", "a%3A7"]


async def test_where_three_in_a_row_are_behind_the_next_one_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["spymaster_client.stream"], "BEHIND_LIMIT_S", 0.05)
    replicas = Replicas([OLDER], [KNOWS_NOTHING], [OLDER, ALIVE])
    async with stream_after(replicas) as (states, seen):
        await until(lambda: number_of(states.state()) == 1, "the older state")
        await replicas.send(shown(4, "b", 4, NOW_MS - 50_000))
        await until(lambda: number_of(seen[-1]) == 4, "what follows it")
    assert len(replicas.asked) == 1 + BEHIND_IN_A_ROW + 1
    disconnects = [state.last_disconnect.explanation for state in seen if state.last_disconnect is not None]
    assert disconnects[-1] == LEFT


async def test_a_dead_line_to_a_lagging_gateway_is_noticed_by_its_heartbeats() -> None:
    lags = {"levels": published(NOW_MS - 60_000)}
    replicas = Replicas([frame(1, status=status(3, 100, epoch="b", **lags))], [shown(3, "a", 8, NOW_MS + 1)])
    async with stream_after(replicas) as (states, _):
        await until(lambda: number_of(states.state()) == 3, "another gateway")
        disconnect = states.state().last_disconnect
    assert disconnect is not None
    assert disconnect.explanation.startswith("the gateway said nothing for 0.")


# -- the gateways themselves -------------------------------------------------------------------------------------------


class Balancer:
    """Forwards each viewer to the gateway of the moment."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._viewers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._forward, HOST)
        self.url = f"ws://{HOST}:{self._listening.sockets[0].getsockname()[1]}/ws/stream"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
        await self.drop()

    async def drop(self) -> None:
        """Every viewer loses its connection."""
        for task in list(self._viewers):
            await end(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "start_server runs this in a task"
        self._viewers.add(task)
        try:
            to_gateway = await asyncio.open_connection(HOST, self.port)
            try:
                await asyncio.gather(self._pump(reader, to_gateway[1]), self._pump(to_gateway[0], writer))
            finally:
                to_gateway[1].close()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._viewers.discard(task)
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
        writer.close()


async def test_a_gateway_that_is_cut_off_from_nats_shows_nobody_the_past(
    make_gateway: LaunchGateway, nats_server: NatsServer, publisher: Publisher
) -> None:
    async with Line(nats_server.port) as line:
        whole, cut_off = make_gateway().launch(), make_gateway(line.url).launch()
        for gateway in (whole, cut_off):
            await asyncio.to_thread(gateway.until_it_answers)
        await publisher.levels(1)
        await until(lambda: cut_off.subscription("levels.signals")["received"] == 1, "the first message")
        line.cut()
        lags_at_ms = cut_off.get("/snapshot?status=1").json["status"]["levels"]["published_ms"]
        async with Balancer(whole.port) as balancer, stream(balancer.url) as states:
            numbers = [0]
            looking = asyncio.create_task(look(states, lambda state: numbers.append(number_of(state))))
            await until(lambda: numbers[-1] == 1, "the first message")
            while published_ms(states) <= lags_at_ms + ALIKE_MS:
                await publisher.levels(numbers[-1] + 1)
                await until(lambda: numbers[-1] == number_of(states.state()) > 1, "the next message")
            balancer.port = cut_off.port
            await balancer.drop()
            await until(lambda: is_left(states.state()), "the gateway that is behind is left")
            balancer.port = whole.port
            await publisher.levels(1_000)
            await until(lambda: numbers[-1] == 1_000, "the newest of the other one")
            await end(looking)
    assert numbers == sorted(numbers)


def published_ms(states: Stream) -> int:
    """When NATS took the levels that are shown."""
    told = states.state().status
    assert told is not None
    return told["levels"]["published_ms"]


def is_left(state: State) -> bool:
    return state.last_disconnect is not None and state.last_disconnect.explanation == LEFT
