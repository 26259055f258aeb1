"""A subscription: one subject from its stream to a callback, kept live through every fault of server and stream.

**Newest first.** Each message is a whole snapshot, so a consumer never resumes where it stopped: whenever the
subscription binds, the consumer is recreated at the stream's newest message. Messages published meanwhile are
superseded, never replayed.

**A deliver subject of its own name.** The consumer is a push consumer, without acknowledgements, that delivers to a
subject named after stream, consumer and the stream's time of creation. Delivery to a subject is ordinary
publish/subscribe: two gateways on one durable both get every message, and a frozen one takes nothing from the
other. It also keeps `num_ack_pending` at 0.

**Silence is checked.** A push consumer whose stream was recreated goes silent without an error. Every second the
watch compares the messages that arrived with those that the server delivered, and binds again when they differ.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy, StreamInfo
from nats.js.errors import NotFoundError
from nats.nuid import NUID

from src.common.connection import PASSING, Connection, Link, NotPermitted, reason
from src.common.logs import Throttle, more
from src.common.messages import BadMessage, Decoded
from src.common.streams import find_or_make_stream, stream_of
from src.common.tasks import end

logger = logging.getLogger("bus")

Callback = Callable[[Any], Awaitable[None]]
Decoder = Callable[[bytes], Decoded]

WATCH_INTERVAL_S: Final = 1.0
LOOKS_A_STREAM: Final = 3  # each look asks for the consumer, each third one for the stream of the subject too
REBIND_PAUSE_S: Final = 0.25
REMAKE_GRACE_S: Final = 1.0  # a missing stream is first left to its owner, who may create it with other settings
FIRST_MESSAGE_LIMIT_S: Final = 1.0
LOOK_BACK_MESSAGES: Final = 100  # how far to search for a good message when the newest at start is bad
PENDING_MESSAGES: Final = 4096  # between socket and callback; the watch notices messages that are dropped beyond it
PENDING_BYTES: Final = 64 << 20
LEAVE_LIMIT_S: Final = 0.5  # for deleting an ephemeral consumer; the server does it by itself, later
EPHEMERAL_IDLE_S: Final = 30.0  # the server forgets an ephemeral consumer this long after its reader went


class Stored(NamedTuple):
    """A message in its stream.

    Attributes:
        seq: its sequence.
        stored_s: when the stream took it, by the server's clock, seconds since the epoch.
        is_first: whether it is the first one since the subscription was bound: it may be of last week.
    """

    seq: int
    stored_s: float
    is_first: bool


_in_hand: Final[ContextVar[Stored | None]] = ContextVar("the message that a callback has in hand", default=None)


def message_in_hand() -> Stored | None:
    """The message that the callback of a subscription has in hand, for who is called by it; None outside of one."""
    return _in_hand.get()


class Subscription:
    """Delivers the messages of one subject, in stream order, each sequence once, to one callback.

    Attributes:
        received: messages that arrived, good and bad.
        delivered: good ones that the callback took, older ones that were looked for at the start included.
        repeated: those dropped because their sequence was not above the newest seen.
        rejected: bad messages, by reason.
        non_finite: bare NaN and Infinity tokens that were read as null.
        lag: messages that the consumer has yet to deliver (`num_pending`).
        rebinds: how often the consumer was recreated after the first time.
        last_message_s: when the newest message arrived, seconds since the epoch, or None.
        published_s: when the stream took the message that the callback has in hand, by the server's clock, seconds
            since the epoch; None between messages.
        trouble: why the subscription is not live, or None while it is.
    """

    def __init__(
        self,
        connection: Connection,
        subject: str,
        callback: Callback,
        durable_name: str | None,
        decode: Decoder,
        max_message_bytes: int,
    ) -> None:
        self.subject = subject
        self.received = 0
        self.delivered = 0
        self.repeated = 0
        self.rejected: Counter[str] = Counter()
        self.non_finite = 0
        self.lag = 0
        self.rebinds = 0
        self.last_message_s: float | None = None
        self.published_s: float | None = None
        self.trouble: str | None = "not bound yet"
        self._connection = connection
        self._callback = callback
        self._durable_name = durable_name
        self._consumer_name = durable_name or f"gateway_{NUID().next().decode()}"
        self._decode = decode
        self._max_message_bytes = max_message_bytes
        self._bad_lines = Throttle()
        self._failed_lines = Throttle()
        self._stream: StreamInfo | None = None
        self._newest_seq = 0
        self._has_delivered = False
        self._arrived = asyncio.Event()
        self._looks = itertools.count()
        self._nats_subscription: NatsSubscription | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, limit_s: float) -> None:
        """Bind, and hand the newest message over if there is one.

        Raises:
            BusError: it cannot be bound within `limit_s` seconds; the text says why.
        """
        link = await self._connection.persist(f"cannot subscribe to {self.subject}", self._bind, limit_s)
        self._keeper = asyncio.create_task(self._keep_live(link), name=f"subscription {self.subject}")

    async def unsubscribe(self) -> None:
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

    # -- being live ------------------------------------------------------------------------------------------------

    async def _keep_live(self, link: Link) -> None:
        """Own the binding: watch it, and bind again whenever the watch finds it dead."""
        while True:
            try:
                self._lose(await link.use(self._watch(link)))
                link = await self._connection.link()
                await link.use(self._bind_anew(link))
                self.rebinds += 1
                logger.warning("%s is live again", self.subject)
            except PASSING as error:
                self._lose(reason(error))
                await asyncio.sleep(REBIND_PAUSE_S)
            except Exception:
                logger.exception("%s: unexpected error; binding again", self.subject)
                self._lose("unexpected error")
                await asyncio.sleep(WATCH_INTERVAL_S)

    def _lose(self, why: str) -> None:
        if self.trouble is None:
            logger.warning("%s is not live: %s", self.subject, why)
        self.trouble = why

    async def _watch(self, link: Link) -> str:
        """Return, with the reason, once this binding no longer brings what its stream holds."""
        if self.trouble is not None:
            return self.trouble
        before: ConsumerInfo | None = None
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            now = await self._look(link.jetstream)
            if isinstance(now, str):
                return now
            if before is not None and self._is_deaf(before, now):
                return "its consumer delivers and nothing arrives"
            before = now

    async def _look(self, jetstream: JetStreamContext) -> ConsumerInfo | str:
        """The consumer as the server reports it, or why it does not work."""
        assert self._stream is not None, "bound before watched"
        stream_name = self._stream.config.name or ""
        if next(self._looks) % LOOKS_A_STREAM == 0:
            try:
                holder = await jetstream.find_stream_name_by_subject(self.subject)
            except NotFoundError:
                return f"stream {stream_name} is gone"
            if holder != stream_name:
                return f"{self.subject} moved from stream {stream_name} to {holder}"
        try:
            consumer: ConsumerInfo = await jetstream.consumer_info(stream_name, self._consumer_name)
        except NotFoundError:
            return f"consumer {self._consumer_name} is gone"
        self.lag = consumer.num_pending or 0
        return consumer

    def _is_deaf(self, before: ConsumerInfo, now: ConsumerInfo) -> bool:
        """Whether messages that the server sent before the last watch interval have still not arrived."""
        never_arrived = _delivered_seq(before) > self._newest_seq and _delivered_count(before) > 0
        never_sent = bool(before.num_pending) and _delivered_seq(now) == _delivered_seq(before)
        return never_arrived or never_sent

    # -- binding ---------------------------------------------------------------------------------------------------

    async def _bind(self, link: Link) -> None:
        """Recreate the consumer at the newest message and subscribe to it."""
        await self._unbind()
        stream = await find_or_make_stream(link.jetstream, self.subject)
        self._turn_to(stream)
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
        self.trouble = None
        if _delivered_count(consumer) + (consumer.num_pending or 0) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_MESSAGE_LIMIT_S):
                    await self._arrived.wait()
            if not self._has_delivered:
                await self._look_back(link.jetstream, stream)

    async def _unbind(self) -> None:
        bound, self._nats_subscription = self._nats_subscription, None
        if bound is not None:
            with contextlib.suppress(NatsError, OSError):
                await bound.unsubscribe()

    def _turn_to(self, stream: StreamInfo) -> None:
        """Sequences count within one life of one stream: forget them when it was remade, moved, or lost its end."""
        old = self._stream
        same_life = old is not None and (old.config.name, old.created) == (stream.config.name, stream.created)
        if not same_life or stream.state.last_seq < self._newest_seq:
            self._newest_seq = 0
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
            filter_subject=self.subject,
            inactive_threshold=None if self._durable_name else EPHEMERAL_IDLE_S,
        )

    async def _bind_anew(self, link: Link) -> None:
        """Whoever deleted a stream may be about to make it again, with settings that ours would be in the way of."""
        if await stream_of(link.jetstream, self.subject) is None:
            await asyncio.sleep(REMAKE_GRACE_S)
        await self._bind(link)

    async def _look_back(self, jetstream: JetStreamContext, stream: StreamInfo) -> None:
        """The newest message at start was bad: hand over the newest good one before it, if one is near."""
        for seq in range(self._newest_seq - 1, max(self._newest_seq - LOOK_BACK_MESSAGES, 0), -1):
            try:
                stored = await jetstream.get_msg(stream.config.name or "", seq)
            except NotFoundError:
                continue
            except NotPermitted as refusal:
                logger.warning("%s: no good message yet, and none before it can be read: %s", self.subject, refusal)
                return
            if stored.subject == self.subject and not self._has_delivered:
                _in_hand.set(None if stored.time is None else Stored(seq, stored.time.timestamp(), is_first=True))
                await self._deliver(seq, stored.data or b"")
                _in_hand.set(None)
            if self._has_delivered:
                return

    # -- messages --------------------------------------------------------------------------------------------------

    async def _on_message(self, message: Msg) -> None:
        metadata = message.metadata
        seq = metadata.sequence.stream
        self.lag = metadata.num_pending
        if seq <= self._newest_seq:
            self.repeated += 1
            return
        self._newest_seq = seq
        self.received += 1
        self.last_message_s = time.time()
        self.published_s = metadata.timestamp.timestamp()
        _in_hand.set(Stored(seq, self.published_s, is_first=not self._arrived.is_set()))
        try:
            await self._deliver(seq, message.data)
        finally:
            self.published_s = None
            _in_hand.set(None)
            self._arrived.set()

    async def _deliver(self, seq: int, body: bytes) -> None:
        try:
            if len(body) > self._max_message_bytes:
                raise BadMessage("too_large")
            decoded = self._decode(body)
            self.non_finite += decoded.non_finite
            await self._callback(decoded.value)
            self._has_delivered = True
            self.delivered += 1
        except BadMessage as bad:
            self._reject(seq, bad)
        except Exception:
            self.rejected["callback_failed"] += 1
            held_back = self._failed_lines.lets_through()
            if held_back is not None:
                logger.exception("%s: the callback failed on message %d%s", self.subject, seq, more(held_back))

    def _reject(self, seq: int, bad: BadMessage) -> None:
        self.rejected[bad.reason] += 1
        held_back = self._bad_lines.lets_through()
        if held_back is not None:
            logger.warning("%s: message %d is bad: %s%s", self.subject, seq, bad.reason, more(held_back))


def _delivered_seq(consumer: ConsumerInfo) -> int:
    return consumer.delivered.stream_seq if consumer.delivered else 0


def _delivered_count(consumer: ConsumerInfo) -> int:
    return consumer.delivered.consumer_seq if consumer.delivered else 0
