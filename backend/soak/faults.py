"""What is done to the gateway's surroundings all along: one fault after the other, each over before the next."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from random import Random
from typing import Any, Final, Generic, NamedTuple, TypeVar

import nats
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig
from nats.js.errors import NotFoundError

from soak.gateway import Gateway
from src.common.subjects import DURABLES, LEVELS_SIGNALS, MARKET_FLOW, STREAMS
from src.demo.nats_server import NatsServer

ADMIN_LIMIT_S: Final = 10.0
BURST: Final = 1000
SHARE_CUT_OFF: Final = 0.3
SILENT: Final = 300
PAUSED_S: Final = (0.5, 6.0)  # below the stall limit and the pong timeout of `run.SETTINGS`

Nats = TypeVar("Nats")

# Rejected as a whole, on either subject: what is relayed without a number would say nothing of the order.
GARBAGE: Final = (
    b"",
    b"hello",
    b'{"ts":1,"levels":[',
    b"[1,2]",
    b'"levels"',
    b'{"a":' + b"[" * 5000,
    b"\xff\xfe" * 100,
    b'{"note":"\\ud83d"}',
    b"NaN",
    b'{"x":"' + b"x" * 500_000 + b'"',
)


class Surroundings(NamedTuple, Generic[Nats]):
    """What there is to break.

    Attributes:
        nats: one server, or a cluster of them.
        url: of it, for clients.
        gateways: all of them.
        viewers: how many there are.
        order: sends the process of viewers a command of one line.
    """

    nats: Nats
    url: str
    gateways: Sequence[Gateway]
    viewers: int
    chance: Random
    order: Callable[[str], None]

    @contextlib.contextmanager
    def losing_viewers(self) -> Iterator[None]:
        """Within, a gateway has reason to lose healthy viewers."""
        self.order("losing")
        try:
            yield
        finally:
            self.order("lost")


Fault = Callable[[Surroundings[Nats]], None]
Admin = Callable[[JetStreamContext, Surroundings[Any]], Awaitable[Any]]
OneServer = Surroundings[NatsServer]


def nats_is_killed(around: OneServer) -> None:
    around.nats.kill()
    time.sleep(around.chance.uniform(0.5, 5))
    around.nats.start()


def nats_is_restarted(around: OneServer) -> None:
    around.nats.restart()


def nats_freezes(around: OneServer) -> None:
    around.nats.freeze()
    time.sleep(around.chance.uniform(1, 12))
    around.nats.thaw()


def nats_loses_its_store(around: OneServer) -> None:
    around.nats.lose_store()
    around.nats.start()


def a_gateway_is_paused(around: Surroundings[Any]) -> None:
    gateway = around.chance.choice(around.gateways)
    gateway.pause()
    time.sleep(around.chance.uniform(*PAUSED_S))
    gateway.resume()


def lines_are_cut(around: Surroundings[Any]) -> None:
    around.order(f"reset {round(around.viewers * SHARE_CUT_OFF)}")


def silent_sockets_come(around: Surroundings[Any]) -> None:
    around.order(f"silent {min(SILENT, around.viewers)}")


def through_jetstream(admin: Admin) -> Callable[[Surroundings[Any]], None]:
    """A fault of what the server keeps."""

    def fault(around: Surroundings[Any]) -> None:
        asyncio.run(_administered(around, admin))

    fault.__name__ = admin.__name__
    return fault


async def _administered(around: Surroundings[Any], admin: Admin) -> None:
    client = await nats.connect(around.url.split(","), connect_timeout=2, max_reconnect_attempts=5)
    try:
        async with asyncio.timeout(ADMIN_LIMIT_S):
            await admin(client.jetstream(timeout=2), around)
    except (NotFoundError, NatsError, TimeoutError):
        pass  # gone already, or not back yet: that is a fault, too
    finally:
        await client.close()


async def the_streams_are_deleted(jetstream: JetStreamContext, _around: Surroundings[Any]) -> None:
    for spec in STREAMS.values():
        await jetstream.delete_stream(spec.name)


async def the_streams_are_purged(jetstream: JetStreamContext, _around: Surroundings[Any]) -> None:
    for spec in STREAMS.values():
        await jetstream.purge_stream(spec.name)


async def the_streams_are_remade(jetstream: JetStreamContext, around: Surroundings[Any]) -> None:
    storage = around.chance.choice((StorageType.FILE, StorageType.MEMORY))
    for spec in STREAMS.values():
        await jetstream.delete_stream(spec.name)
        await jetstream.add_stream(
            StreamConfig(name=spec.name, subjects=list(spec.subjects), storage=storage, max_msgs=1000)
        )


async def the_consumers_are_deleted(jetstream: JetStreamContext, _around: Surroundings[Any]) -> None:
    for subject, spec in STREAMS.items():
        await jetstream.delete_consumer(spec.name, DURABLES[subject])


async def garbage_is_published(jetstream: JetStreamContext, around: Surroundings[Any]) -> None:
    for body in around.chance.choices(GARBAGE, k=50):
        await jetstream.publish(around.chance.choice((LEVELS_SIGNALS, MARKET_FLOW)), body)


async def a_burst_of_garbage_is_published(jetstream: JetStreamContext, _around: Surroundings[Any]) -> None:
    stored = [await jetstream.publish_async(MARKET_FLOW, b"[%d]" % number) for number in range(BURST)]
    await asyncio.gather(*stored, return_exceptions=True)


FAULTS: Final[tuple[Fault[NatsServer], ...]] = (
    nats_is_killed,
    nats_is_restarted,
    nats_freezes,
    nats_loses_its_store,
    a_gateway_is_paused,
    lines_are_cut,
    silent_sockets_come,
    through_jetstream(the_streams_are_deleted),
    through_jetstream(the_streams_are_purged),
    through_jetstream(the_streams_are_remade),
    through_jetstream(the_consumers_are_deleted),
    through_jetstream(garbage_is_published),
    through_jetstream(a_burst_of_garbage_is_published),
)


def name_of(fault: Fault[Any]) -> str:
    """In words."""
    return fault.__name__.replace("_", " ").replace("nats", "NATS")
