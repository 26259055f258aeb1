"""What is done to the gateway's surroundings all along: one fault after the other, each over before the next."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random
from signal import SIGCONT, SIGSTOP
from typing import Any, Final, NamedTuple

import nats
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StorageType, StreamConfig
from nats.js.errors import NotFoundError

from src.common.subjects import DURABLES, LEVELS_SIGNALS, MARKET_FLOW, STREAMS
from src.demo.nats_server import NatsServer

ADMIN_LIMIT_S: Final = 10.0
BURST: Final = 1000
SHARE_CUT_OFF: Final = 0.3
SILENT: Final = 300

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


class Surroundings(NamedTuple):
    """What there is to break.

    Attributes:
        order: sends the process of viewers a command of one line.
        signal: sends the gateway a signal.
    """

    nats: NatsServer
    viewers: int
    chance: Random
    order: Callable[[str], None]
    signal: Callable[[int], None]


Fault = Callable[[Surroundings], None]
Admin = Callable[[JetStreamContext, Surroundings], Awaitable[Any]]


def nats_is_killed(around: Surroundings) -> None:
    around.nats.kill()
    time.sleep(around.chance.uniform(0.5, 5))
    around.nats.start()


def nats_is_restarted(around: Surroundings) -> None:
    around.nats.restart()


def nats_freezes(around: Surroundings) -> None:
    around.nats.freeze()
    time.sleep(around.chance.uniform(1, 12))
    around.nats.thaw()


def nats_loses_its_store(around: Surroundings) -> None:
    around.nats.lose_store()
    around.nats.start()


def the_gateway_is_paused(around: Surroundings) -> None:
    around.signal(SIGSTOP)
    time.sleep(around.chance.uniform(0.5, 2))
    around.signal(SIGCONT)


def lines_are_cut(around: Surroundings) -> None:
    around.order(f"reset {round(around.viewers * SHARE_CUT_OFF)}")


def silent_sockets_come(around: Surroundings) -> None:
    around.order(f"silent {min(SILENT, around.viewers)}")


def through_jetstream(admin: Admin) -> Fault:
    """A fault of what the server keeps."""

    def fault(around: Surroundings) -> None:
        asyncio.run(_administered(around, admin))

    fault.__name__ = admin.__name__
    return fault


async def _administered(around: Surroundings, admin: Admin) -> None:
    client = await nats.connect(around.nats.url, connect_timeout=2, max_reconnect_attempts=5)
    try:
        async with asyncio.timeout(ADMIN_LIMIT_S):
            await admin(client.jetstream(timeout=2), around)
    except (NotFoundError, NatsError, TimeoutError):
        pass  # gone already, or not back yet: that is a fault, too
    finally:
        await client.close()


async def the_streams_are_deleted(jetstream: JetStreamContext, _around: Surroundings) -> None:
    for spec in STREAMS.values():
        await jetstream.delete_stream(spec.name)


async def the_streams_are_purged(jetstream: JetStreamContext, _around: Surroundings) -> None:
    for spec in STREAMS.values():
        await jetstream.purge_stream(spec.name)


async def the_streams_are_remade(jetstream: JetStreamContext, around: Surroundings) -> None:
    storage = around.chance.choice((StorageType.FILE, StorageType.MEMORY))
    for spec in STREAMS.values():
        await jetstream.delete_stream(spec.name)
        await jetstream.add_stream(
            StreamConfig(name=spec.name, subjects=list(spec.subjects), storage=storage, max_msgs=1000)
        )


async def the_consumers_are_deleted(jetstream: JetStreamContext, _around: Surroundings) -> None:
    for subject, spec in STREAMS.items():
        await jetstream.delete_consumer(spec.name, DURABLES[subject])


async def garbage_is_published(jetstream: JetStreamContext, around: Surroundings) -> None:
    for body in around.chance.choices(GARBAGE, k=50):
        await jetstream.publish(around.chance.choice((LEVELS_SIGNALS, MARKET_FLOW)), body)


async def a_burst_of_garbage_is_published(jetstream: JetStreamContext, _around: Surroundings) -> None:
    stored = [await jetstream.publish_async(MARKET_FLOW, b"[%d]" % number) for number in range(BURST)]
    await asyncio.gather(*stored, return_exceptions=True)


FAULTS: Final[tuple[Fault, ...]] = (
    nats_is_killed,
    nats_is_restarted,
    nats_freezes,
    nats_loses_its_store,
    the_gateway_is_paused,
    lines_are_cut,
    silent_sockets_come,
    through_jetstream(the_streams_are_deleted),
    through_jetstream(the_streams_are_purged),
    through_jetstream(the_streams_are_remade),
    through_jetstream(the_consumers_are_deleted),
    through_jetstream(garbage_is_published),
    through_jetstream(a_burst_of_garbage_is_published),
)


def name_of(fault: Fault) -> str:
    """In words."""
    return fault.__name__.replace("_", " ").replace("nats", "NATS")
