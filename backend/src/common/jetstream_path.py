"""The path of one subject through JetStream: it brings the newest message at the start, what was missed, and the order.

**Newest first.** Each message is a whole snapshot, so a consumer never resumes where it stopped: whenever the path
binds, the consumer is recreated at the stream's newest message. Messages published meanwhile are superseded, never
replayed.

**A deliver subject of its own name.** The consumer is a push consumer, without acknowledgements, that delivers to a
subject named after stream, consumer and the stream's time of creation. Delivery to a subject is ordinary
publish/subscribe: two gateways on one durable both get every message, and a frozen one takes nothing from the
other. It also keeps `num_ack_pending` at 0.

**Silence is checked.** A push consumer whose stream was recreated goes silent without an error. Each second in which
nothing came, the watch compares the messages that arrived with those that the server delivered, and binds again when
they differ. A server that is cut off from the others goes on to answer for some ten seconds, as if it led, and core
NATS may bring what is published at that server: while the stream brings nothing, its leader is asked whether it hears a
majority of the replicas.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable
from typing import Final

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ClusterInfo, ConsumerConfig, ConsumerInfo, DeliverPolicy, StreamInfo
from nats.js.errors import NotFoundError
from nats.nuid import NUID

from src.common.arrivals import (
    JETSTREAM,
    PENDING_BYTES,
    PENDING_MESSAGES,
    Arrival,
    OnArrival,
    StreamOrder,
    digest_of,
    publication_of,
)
from src.common.connection import PASSING, BusError, Connection, JetStream, Link, NotPermitted, reason
from src.common.look_back import LOOK_BACK_MESSAGES, look_back
from src.common.streams import filter_subject, find_or_make_stream, stream_of
from src.common.tasks import end, tick

logger = logging.getLogger("bus")

WATCH_INTERVAL_S: Final = 1.0
LOOKS_A_STREAM: Final = 3  # each look asks for the consumer, each third one for the stream of the subject too
ASK_LEADER_AFTER_S: Final = 2.0  # without a message from the stream
UNHEARD_NS: Final = 3_000_000_000  # a replica answers its leader each second
REBIND_PAUSE_S: Final = 0.25
REMAKE_GRACE_S: Final = 1.0  # a missing stream is first left to its owner, who may create it with other settings
FIRST_MESSAGE_LIMIT_S: Final = 1.0
LEAVE_LIMIT_S: Final = 0.5  # for deleting an ephemeral consumer; the server does it by itself, later
EPHEMERAL_IDLE_S: Final = 30.0  # the server forgets an ephemeral consumer this long after its reader went


class JetStreamPath:
    """Brings the messages of one subject from its stream, in its order, each sequence once.

    Attributes:
        trouble: why it is not live, or None while it is.
        lost_s: when it was lost, by the monotonic clock; None while it is live, and before it ever was.
        repeated: messages dropped because their sequence was not above the newest seen.
        lag: messages that the consumer has yet to deliver (`num_pending`).
        rebinds: how often the consumer was recreated after the first time.
    """

    def __init__(
        self,
        connection: Connection,
        subject: str,
        durable_name: str | None,
        on_arrival: OnArrival,
        has_message: Callable[[], bool],
    ) -> None:
        """
        Args:
            connection: see there.
            subject: what to read.
            durable_name: the durable consumer to use; None for an ephemeral one.
            on_arrival: takes each message, one at a time.
            has_message: whether a good one was taken; while not, an older one is looked for.
        """
        self.trouble: str | None = "not bound yet"
        self.lost_s: float | None = None
        self.repeated = 0
        self.lag = 0
        self.rebinds = 0
        self._connection = connection
        self._subject = subject
        self._durable_name = durable_name
        self._consumer_name = durable_name or f"gateway_{NUID().next().decode()}"
        self._on_arrival = on_arrival
        self._has_message = has_message
        self._stream: StreamInfo | None = None
        self._filter: str | None = None
        self._has_warned = False
        self._order = StreamOrder()
        self._arrived = asyncio.Event()
        self._heard_s = time.monotonic()
        self._looks = itertools.count()
        self._nats_subscription: NatsSubscription | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, limit_s: float) -> None:
        """Bind, and hand the newest message over if there is one. It goes on to try where it cannot, until `close`.

        Raises:
            BusError: it cannot be bound within `limit_s` seconds; the text says why.
        """
        bound: Link | None = None
        try:
            bound = await self._connection.persist(f"cannot subscribe to {self._subject}", self._bind, limit_s)
        except BusError as error:
            self.trouble = reason(error.__cause__ or error)
            raise
        finally:
            self._keeper = asyncio.create_task(self._keep_live(bound), name=f"jetstream {self._subject}")

    async def close(self) -> None:
        """Stop; idempotent. A durable consumer stays on the server, an ephemeral one is deleted."""
        await end(self._keeper)
        self._keeper = None
        self.trouble = "closed"
        await self._unbind()
        if self._durable_name is None and self._stream is not None and self._connection.is_connected:
            with contextlib.suppress(*PASSING):
                async with asyncio.timeout(LEAVE_LIMIT_S):
                    link = self._connection.link_nowait()
                    await link.jetstream.delete_consumer(self._stream.config.name or "", self._consumer_name)

    @property
    def stream(self) -> StreamInfo | None:
        """The one that it is bound to, as it was then; None while it is bound to none."""
        return self._stream if self.trouble is None else None

    # -- being live ------------------------------------------------------------------------------------------------

    async def _keep_live(self, link: Link | None) -> None:
        """Own the binding on `link`: watch it, and bind again whenever the watch finds it dead, or there is none."""
        while True:
            try:
                if link is not None:
                    self._lose(await link.use(self._watch(link)))
                link = await self._connection.link()
                await link.use(self._bind_anew(link))
                self.rebinds += 1
                logger.warning("%s is live again in JetStream", self._subject)
            except PASSING as error:
                self._lose(reason(error))
                await asyncio.sleep(REBIND_PAUSE_S)
            except Exception:
                logger.exception("%s: unexpected error; binding again", self._subject)
                self._lose("unexpected error")
                await asyncio.sleep(WATCH_INTERVAL_S)

    def _lose(self, why: str) -> None:
        if self.trouble is None:
            self.lost_s = time.monotonic()
            logger.warning("%s is not live in JetStream: %s", self._subject, why)
        self.trouble = why

    async def _watch(self, link: Link) -> str:
        """Return, with the reason, once this binding no longer brings what its stream holds."""
        if self.trouble is not None:
            return self.trouble
        before: ConsumerInfo | None = None
        while True:
            await tick(WATCH_INTERVAL_S)
            if time.monotonic() - self._heard_s < WATCH_INTERVAL_S:
                before = None
                continue
            now = await self._look(link.jetstream)
            if isinstance(now, str):
                return now
            if before is not None and self._is_deaf(before, now):
                return "its consumer delivers and nothing arrives"
            before = now

    async def _look(self, jetstream: JetStream) -> ConsumerInfo | str:
        """The consumer as the server reports it, or why it does not work."""
        assert self._stream is not None, "bound before watched"
        stream_name = self._stream.config.name or ""
        if next(self._looks) % LOOKS_A_STREAM == 0:
            is_named = self._subject in jetstream.options.streams
            lost = await (
                self._look_for_name(jetstream) if is_named else self._look_for_subject(jetstream, stream_name)
            )
            if lost is not None:
                return lost
        if time.monotonic() - self._heard_s > ASK_LEADER_AFTER_S:
            stream = await jetstream.stream_info(stream_name)
            if not has_majority(stream.cluster):
                return f"the leader of stream {stream_name} hears no majority of its replicas"
        try:
            consumer: ConsumerInfo = await jetstream.consumer_info(stream_name, self._consumer_name)
        except NotFoundError:
            return f"consumer {self._consumer_name} is gone"
        self.lag = consumer.num_pending or 0
        return consumer

    async def _look_for_subject(self, jetstream: JetStream, stream_name: str) -> str | None:
        """Why the stream is not the one of the subject any more, or None while it is."""
        try:
            holder = await jetstream.find_stream_name_by_subject(self._subject)
        except NotFoundError:
            return f"stream {stream_name} is gone"
        return None if holder == stream_name else f"{self._subject} moved from stream {stream_name} to {holder}"

    async def _look_for_name(self, jetstream: JetStream) -> str | None:
        """Why the stream that was named is not what it was, or None while it is."""
        name = jetstream.options.streams[self._subject]
        stream = await stream_of(jetstream, self._subject)
        if stream is None:
            return f"stream {name} is gone"
        is_filter_right = filter_subject(jetstream, self._subject, stream) == self._filter
        return None if is_filter_right else f"stream {name} keeps {self._subject} under another subject now"

    def _is_deaf(self, before: ConsumerInfo, now: ConsumerInfo) -> bool:
        """Whether messages that the server sent before the last watch interval have still not arrived."""
        never_arrived = _delivered_seq(before) > self._order.newest_seq and _delivered_count(before) > 0
        never_sent = bool(before.num_pending) and _delivered_seq(now) == _delivered_seq(before)
        return never_arrived or never_sent

    # -- binding ---------------------------------------------------------------------------------------------------

    async def _bind(self, link: Link) -> None:
        """Recreate the consumer at the newest message and subscribe to it."""
        await self._unbind()
        stream = await find_or_make_stream(link.jetstream, self._subject)
        self._turn_to(stream)
        self._filter = filter_subject(link.jetstream, self._subject, stream)
        self._warn_of_one_replica(stream)
        stream_name = stream.config.name or ""
        # An existing consumer would first deliver its backlog: it goes before anyone listens to its deliver subject.
        with contextlib.suppress(NotFoundError):
            await link.jetstream.delete_consumer(stream_name, self._consumer_name)
        config = self._consumer_config(stream)
        self._arrived.clear()
        deliver_subject = config.deliver_subject or ""
        self._nats_subscription = await link.subscribe(
            deliver_subject,
            cb=self._on_message,
            pending_msgs_limit=PENDING_MESSAGES,
            pending_bytes_limit=PENDING_BYTES,
        )
        consumer = await link.jetstream.add_consumer(stream_name, config)
        link.require_agreed(deliver_subject)
        await link.jetstream.consumer_info(
            stream_name, self._consumer_name
        )  # the watch will ask this: is it permitted?
        self.trouble = self.lost_s = None
        if _delivered_count(consumer) + (consumer.num_pending or 0) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_MESSAGE_LIMIT_S):
                    await self._arrived.wait()
            if not self._has_message():
                await self._look_back(link.jetstream, stream)

    def _warn_of_one_replica(self, stream: StreamInfo) -> None:
        # One server that is a leaf node has a cluster of its own name.
        is_in_cluster = (
            stream.cluster is not None and bool(stream.cluster.name) and stream.cluster.name != stream.cluster.leader
        )
        if is_in_cluster and stream.config.num_replicas == 1 and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "stream %s has one replica on a cluster, and goes with its server: nats stream edit %s --replicas 3; "
                "for streams that the gateway makes, GATEWAY_STREAM_REPLICAS=3",
                stream.config.name,
                stream.config.name,
            )

    async def _unbind(self) -> None:
        bound, self._nats_subscription = self._nats_subscription, None
        if bound is not None:
            with contextlib.suppress(NatsError, OSError):
                await bound.unsubscribe()

    def _turn_to(self, stream: StreamInfo) -> None:
        """Sequences count within one life of one stream: forget them when it was remade or moved."""
        old = self._stream
        same_life = old is not None and (old.config.name, old.created) == (stream.config.name, stream.created)
        if not same_life:
            self._order.forget()
        self._stream = stream

    def _consumer_config(self, stream: StreamInfo) -> ConsumerConfig:
        life = f"{stream.created:%Y%m%d%H%M%S%f}"  # messages in flight from an earlier stream arrive elsewhere
        return ConsumerConfig(
            name=self._consumer_name,
            durable_name=self._durable_name,
            description="newest snapshot first; made anew at each start",
            deliver_subject=f"_INBOX.{stream.config.name}.{self._consumer_name}.{life}",
            deliver_policy=DeliverPolicy.LAST,
            ack_policy=AckPolicy.NONE,
            filter_subject=self._filter,
            inactive_threshold=None if self._durable_name else EPHEMERAL_IDLE_S,
        )

    async def _bind_anew(self, link: Link) -> None:
        """Whoever deleted a stream may be about to make it again, with settings that ours would be in the way of."""
        if await stream_of(link.jetstream, self._subject) is None:
            await asyncio.sleep(REMAKE_GRACE_S)
        await self._bind(link)

    async def _look_back(self, jetstream: JetStream, stream: StreamInfo) -> None:
        """The newest message at start was bad: hand over the newest good one before it, if one is near."""
        newest_seq = self._order.newest_seq
        before = range(newest_seq - 1, max(newest_seq - LOOK_BACK_MESSAGES, 0), -1)
        stream_name = stream.config.name or ""
        try:
            await look_back(jetstream, stream_name, self._filter, before, self._on_arrival, self._has_message)
        except NotPermitted as refusal:
            logger.warning("%s: no good message yet, and none before it can be read: %s", self._subject, refusal)

    # -- messages --------------------------------------------------------------------------------------------------

    async def _on_message(self, message: Msg) -> None:
        metadata = message.metadata
        seq, stored_s = metadata.sequence.stream, metadata.timestamp.timestamp()
        self.lag = metadata.num_pending
        if not self._order.advances(seq, stored_s):
            self.repeated += 1
            return
        self._heard_s = time.monotonic()
        is_first = not self._arrived.is_set()
        digest, publication = digest_of(message.data), publication_of(message.headers)
        arrival = Arrival(JETSTREAM, digest, time.time(), publication, seq, stored_s, is_first)
        try:
            await self._on_arrival(arrival, message.data)
        finally:
            self._arrived.set()


def has_majority(cluster: ClusterInfo | None) -> bool:
    """Whether a leader, which says this about its group, has heard enough replicas lately to lead on."""
    replicas = (cluster.replicas if cluster is not None else None) or []
    heard = sum(not replica.offline and (replica.active or 0) < UNHEARD_NS for replica in replicas)
    return 2 * (heard + 1) > len(replicas) + 1


def _delivered_seq(consumer: ConsumerInfo) -> int:
    return consumer.delivered.stream_seq if consumer.delivered else 0


def _delivered_count(consumer: ConsumerInfo) -> int:
    return consumer.delivered.consumer_seq if consumer.delivered else 0
