"""NATSBus: publish objects, subscribe to the newest of them or follow them all, on NATS JetStream.

`subjects.py` names the subjects and their streams. `subscription.py` keeps a subscription live, and `connection.py` the
connection.
"""

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from nats.errors import Error as NatsError
from nats.js.errors import NoStreamResponseError, NotFoundError
from nats.nuid import NUID

from src.common.access import Access
from src.common.arrivals import PUBLICATION, Publication
from src.common.connection import PASSING, PING_INTERVAL_S, BusError, Connection, Link, reason
from src.common.jetstream_path import has_majority
from src.common.messages import decode_object
from src.common.ordered_consumer import OrderedConsumer
from src.common.streams import find_or_make_stream, stream_of
from src.common.subjects import STREAMS, USUAL_JETSTREAM, JetStreamOptions
from src.common.subscription import Callback, Decoder, Stored, Subscription
from src.common.tasks import end, tick

logger = logging.getLogger("bus")

__all__ = ["DEFAULT_NATS_URL", "BusError", "NATSBus"]

DEFAULT_NATS_URL: Final = "nats://nats:4222"
MAX_MESSAGE_BYTES: Final = 8 << 20
CONNECT_TIMEOUT_S: Final = 10.0
PUBLISH_LIMIT_S: Final = 2.0
BLIND_S: Final = 1.0  # without JetStream and without a message since, before another server is looked for
# And so long without a message at all. A publisher that waits for a stream without a leader publishes each
# `PUBLISH_LIMIT_S`; its messages arrive, and one that is published during a move would be missed.
SILENT_S: Final = PUBLISH_LIMIT_S + 1.0
LONGEST_LOOK_PAUSE_S: Final = 30.0  # where no other server is better, as without a quorum


class Unanswered(NamedTuple):
    """The first of the publications that no stream has answered, with none answered since: when, and on which subject.

    Attributes:
        since_s: when it was given up, by the monotonic clock.
        subject: of it.
    """

    since_s: float
    subject: str


class NATSBus:
    """One connection to NATS and the subscriptions on it.

    Args:
        url: one or more servers, separated by commas; by default `NATS_URL` of the environment.
        name: how the connection shows in the server's own monitoring.
        connect_timeout_s: how long `connect` and each `subscribe` may take.
        max_message_bytes: a larger message is rejected unread.
        access: how the servers let us in, beyond what the URL has.
        jetstream: how JetStream is deployed.
        decoders: how to read the messages of a subject; by default a strict JSON object becomes a dict.
        keeps_last: whether the last message of each subject is kept beyond the age limit of its stream.
        ping_interval_s: between two pings of the server, which is left when two of them stay unanswered.

    Attributes:
        on_copy: called with a subject and the place of its newest message in the stream, where JetStream tells that
            after core NATS has brought the message.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        name: str = "gateway",
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        access: Access | None = None,
        jetstream: JetStreamOptions = USUAL_JETSTREAM,
        decoders: Mapping[str, Decoder] | None = None,
        keeps_last: bool = False,
        ping_interval_s: float = PING_INTERVAL_S,
    ) -> None:
        servers = url or os.environ.get("NATS_URL") or DEFAULT_NATS_URL
        self._connection = Connection(servers, name, access or Access(), jetstream, ping_interval_s)
        self._connect_timeout_s = connect_timeout_s
        self._max_message_bytes = max_message_bytes
        self._decoders = dict(decoders or {})
        self._keeps_last = keeps_last
        self.on_copy: Callable[[str, Stored], None] = lambda _subject, _stored: None
        self.subscriptions: list[Subscription] = []
        self._consumers: list[OrderedConsumer] = []
        self._publisher = NUID().next().decode()
        self._numbers = itertools.count(1)
        self._unanswered: Unanswered | None = None
        self._looking: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The servers, without user names, passwords and tokens."""
        return self._connection.url

    @property
    def is_connected(self) -> bool:
        return self._connection.is_connected

    @property
    def trouble(self) -> str | None:
        """Why it is not connected, in words, or None while it is."""
        return self._connection.trouble

    @property
    def server(self) -> str | None:
        """The server that it is connected to, by name and address; None while to none."""
        return self._connection.server

    @property
    def outage_s(self) -> float:
        """For how long it has not been connected, seconds; 0 while it is."""
        return self._connection.outage_s

    @property
    def reconnects(self) -> int:
        return self._connection.reconnects

    async def connect(self) -> None:
        """Connect and make the known streams that are missing; from here on reconnection never gives up.

        Streams that cannot be made now are made later, by `subscribe` or `publish`.

        Raises:
            BusError: no server within the connect timeout; the text says what to check.
        """
        await self._connection.open(self._connect_timeout_s)
        link = self._connection.link_nowait()
        try:
            await link.use(_make_missing_streams(link))
        except PASSING as error:
            logger.debug("the streams are not made yet: %s", reason(error))
        self._looking = asyncio.create_task(self._leave_servers_that_are_cut_off(), name="nats-server")

    async def publish(self, subject: str, message: Any) -> None:
        """Publish one object as JSON and wait until its stream has stored it.

        Args:
            subject: where to; its stream is made if it is known and missing.
            message: a mapping, dataclass, or object with `model_dump()` or `dict()`; enums become their value, NaN
                becomes null, bytes go out as they are.

        Raises:
            BusError: not connected, or not stored within 2 s. Nothing is queued: publish the next snapshot instead.
            TypeError: the object cannot be written as JSON.
        """
        body = message if isinstance(message, bytes) else msgspec.json.encode(message, enc_hook=_as_json)
        try:
            await self._publish(subject, body)
        except (NatsError, OSError, TimeoutError) as error:
            if isinstance(error, TimeoutError | NoStreamResponseError):
                self._unanswered = self._unanswered or Unanswered(time.monotonic(), subject)
            raise BusError(f"cannot publish on {subject}: {reason(error)}") from error
        self._unanswered = None

    async def subscribe(self, subject: str, callback: Callback, durable_name: str | None = None) -> Subscription:
        """Hand the newest message of `subject`, then each that follows, to `callback`, one at a time.

        The callback may raise `BadMessage`: the message is then counted and logged like one that cannot be read.

        Args:
            subject: what to read.
            callback: a coroutine function of one argument, the result of the subject's decoder.
            durable_name: the durable consumer to use; None for an ephemeral one, as replicas do.

        Raises:
            BusError: it comes neither from JetStream nor by core NATS within the connect timeout.
        """
        subscription = Subscription(
            self._connection,
            subject,
            callback,
            durable_name,
            self._decoders.get(subject, decode_object),
            self._max_message_bytes,
            lambda stored: self.on_copy(subject, stored),
            keeps_last=self._keeps_last,
        )
        await subscription.start(self._connect_timeout_s)
        self.subscriptions.append(subscription)
        return subscription

    async def follow(
        self, subject: str, since_ms: int | None = None, *, since_seq: int | None = None, waits: bool = True
    ) -> OrderedConsumer:
        """Read every message of `subject`, in order and also those that came during an outage.

        Args:
            subject: what to read.
            since_ms: begin with the first that was stored then or later, ms since 1970; None: with the next.
            since_seq: begin with this sequence, or the first after it; then `since_ms` has no effect.
            waits: whether `next` waits for a message to come; else it is None where none is there.

        Raises:
            BusError: it cannot be read within the connect timeout.
        """
        consumer = OrderedConsumer(self._connection, subject, since_ms, since_seq, waits=waits)
        await consumer.start(self._connect_timeout_s)
        self._consumers.append(consumer)
        return consumer

    async def leave(self, consumer: OrderedConsumer) -> None:
        """End what `follow` began; idempotent."""
        if consumer in self._consumers:
            self._consumers.remove(consumer)
            await consumer.close()

    async def close(self) -> None:
        """End the subscriptions, then the connection; idempotent, bounded in time."""
        await end(self._looking)
        self._looking = None
        ending, self.subscriptions = self.subscriptions, []
        leaving, self._consumers = self._consumers, []
        await asyncio.gather(*(subscription.unsubscribe() for subscription in ending))
        await asyncio.gather(*(consumer.close() for consumer in leaving))
        await self._connection.close()

    async def _leave_servers_that_are_cut_off(self) -> None:
        """Move to where JetStream answers, when nothing arrives from the present server although it lives."""
        pause_s = BLIND_S
        while True:
            await tick(pause_s)
            if not self._is_blind():
                pause_s = BLIND_S
                continue
            try:
                if self._unanswered is not None and await self._is_answered_here():
                    self._unanswered = None
                    continue
                await self._connection.move(self._is_better, self._is_blind)
            except Exception:
                logger.exception("unexpected error; looking for a better server again")
            pause_s = min(1.25 * pause_s, LONGEST_LOOK_PAUSE_S)

    def _is_blind(self) -> bool:
        """Whether nothing is shown to work: no publication is answered, or see `Subscription.unproven_s`."""
        if not self.is_connected:
            return False
        if self._unanswered is not None:
            return time.monotonic() - self._unanswered.since_s > BLIND_S
        return (
            bool(self.subscriptions)
            and time.monotonic() - self._connection.heard_s > SILENT_S
            and all(one.unproven_s > BLIND_S for one in self.subscriptions)
        )

    async def _is_answered_here(self) -> bool:
        """Whether the present server is no worse than another: the stream has no leader for a while, or is slow."""
        try:
            link = self._connection.link_nowait()
            return await link.use(self._is_better(link))
        except PASSING:
            return False

    async def _is_better(self, link: Link) -> bool:
        """Whether JetStream knows the stream there.

        That the leader of the cluster says. A publisher needs the leader of the stream, too.
        """
        if self._unanswered is not None:
            stream = await stream_of(link.jetstream, self._unanswered.subject)
            return stream is not None and has_majority(stream.cluster)
        if not self.subscriptions:
            return False
        try:
            await link.jetstream.find_stream_name_by_subject(self.subscriptions[0].subject)
        except NotFoundError:
            return False
        return True

    async def _publish(self, subject: str, body: bytes) -> None:
        link = self._connection.link_nowait()
        jetstream = link.jetstream
        publication = Publication(self._publisher, next(self._numbers), time.time_ns() // 1_000_000)
        headers = {PUBLICATION: str(publication)}
        try:
            await link.publishing(subject, jetstream.publish(subject, body, timeout=PUBLISH_LIMIT_S, headers=headers))
        except NoStreamResponseError:
            await find_or_make_stream(jetstream, subject)
            await jetstream.publish(subject, body, timeout=PUBLISH_LIMIT_S, headers=headers)


async def _make_missing_streams(link: Link) -> None:
    for subject in STREAMS:
        if subject not in link.jetstream.options.streams:
            await find_or_make_stream(link.jetstream, subject)


def _as_json(value: Any) -> Any:
    """What msgspec does not know by itself, as something that it does; enums and dataclasses it knows."""
    for method in ("model_dump", "dict"):
        if callable(dump := getattr(value, method, None)):
            return dump()
    raise TypeError(f"cannot publish a {type(value).__name__}: pass a mapping, a dataclass or a model")
