"""An ordered consumer: every message of a subject, in stream order, from a start time on. A recording needs this.

After an outage a `Subscription` skips to the newest message; an `OrderedConsumer` goes on with the next. It requests
messages in small batches, and the server sends no others, so a backlog of any size passes through bounded memory. It
keeps the next sequence itself: whenever anything is wrong with its consumer on the server, it deletes that consumer and
creates one that starts there.
"""

import asyncio
import contextlib
import json
import logging
import time
from datetime import UTC, datetime
from typing import Final, NamedTuple

from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamInfo
from nats.nuid import NUID

from src.common.connection import API_LIMIT_S, PASSING, BusError, Connection, Link, reason
from src.common.streams import filter_subject, find_or_make_stream, stream_of
from src.common.tasks import end

logger = logging.getLogger("bus")

BATCH: Final = 64  # messages asked for at once: what memory holds at most
ASK_S: Final = 1.0  # how long the server may keep us waiting for the first of them
REBIND_PAUSE_S: Final = 0.25
IDLE_S: Final = 30.0  # the server forgets the consumer this long after we went
WAIT_FOR_US_S: Final = 5.0  # how long after a loss we still count as `behind`
NOTHING_YET: Final = ("404", "408")  # statuses of a request that ran out


class StoredMessage(NamedTuple):
    """One message as its stream has it; `stored_us` are microseconds since 1970 UTC."""

    subject: str
    seq: int
    stored_us: int
    body: bytes


class OrderedConsumer:
    """One subject's messages, none twice and none left out that its stream still has."""

    def __init__(
        self,
        connection: Connection,
        subject: str,
        since_ms: int | None,
        since_seq: int | None = None,
        *,
        waits: bool = True,
    ) -> None:
        """
        Args:
            connection: see there.
            subject: what to read.
            since_ms: begin with the first that was stored then or later, ms since 1970; None: with the next.
            since_seq: begin with this sequence, or the first after it; then `since_ms` has no effect.
            waits: whether `next` waits for a message to come.
        """
        self.subject = subject
        self._connection = connection
        self._since_ms = since_ms
        self._since_seq = since_seq
        self._waits = waits
        self._link: Link | None = None
        self._stream: StreamInfo | None = None
        self._consumer = ""
        self._next_seq: int | None = None
        self._due = 0  # of the batch that was asked for
        self._pending = 0  # messages that were there and had not been sent to us, when the last one was
        self._trouble: str | None = None
        self._lost_s = time.monotonic()
        self._noticing: asyncio.Task[None] | None = None  # the end of the link, for who waits for a message
        self._forget_arrivals()

    @property
    def stream(self) -> StreamInfo:
        """The stream as it was when the place in it was found last."""
        assert self._stream is not None, "started before"
        return self._stream

    @property
    def behind(self) -> bool:
        """Whether there are older messages than those that other consumers may have by now."""
        if self._link is None:
            return time.monotonic() - self._lost_s < WAIT_FOR_US_S
        return self._pending > 0

    @property
    def has_read_all(self) -> bool:
        """Whether the stream had no further message when it was read last; not while it cannot be read."""
        return self._link is not None and not self._pending

    async def start(self, limit_s: float) -> None:
        """Find the place to begin at.

        Raises:
            BusError: it cannot within `limit_s` seconds; the text says why.
        """
        self._link = await self._connection.persist(f"cannot read {self.subject}", self._bind, limit_s)

    async def next(self) -> StoredMessage | None:
        """The next message; None when none came for a second or so, or none is there. Waits through every outage."""
        try:
            if self._link is None:
                link = await self._connection.link()
                await link.use(self._bind(link))
                self._link, self._trouble = link, None
                logger.warning("%s is read again", self.subject)
            return await self._take(self._link)
        except PASSING as error:
            self._lose(reason(error))
            await asyncio.sleep(REBIND_PAUSE_S)
            return None

    async def close(self) -> None:
        """Stop; idempotent."""
        link, self._link = self._link, None
        await end(self._noticing)
        self._noticing = None
        if link is not None and not link.ended.is_set():
            await self._leave(link)

    def _lose(self, why: str) -> None:
        if self._trouble is None:
            logger.warning("%s is not read any more: %s", self.subject, why)
            self._lost_s = time.monotonic()
        self._link, self._trouble = None, why

    # -- the place -------------------------------------------------------------------------------------------------

    async def _bind(self, link: Link) -> None:
        """Make a consumer that begins at our place."""
        await end(self._noticing)
        self._forget_arrivals()
        self._noticing = asyncio.create_task(_notice_end(link, self._arrived), name=f"end for {self.subject}")
        stream = await self._find_stream(link)
        self._turn_to(stream)
        self._consumer, self._inbox = f"gateway_{NUID().next().decode()}", link.client.new_inbox()
        await link.subscribe(self._inbox, cb=self._arrived.put)
        config = self._config(filter_subject(link.jetstream, self.subject, stream))
        made = await link.jetstream.add_consumer(stream.config.name or "", config)
        link.require_agreed(self._inbox)
        self._pending = made.num_pending or 0

    async def _find_stream(self, link: Link) -> StreamInfo:
        """The first time it is made if it is missing; later that is left to its owner."""
        if self._stream is None:
            return await find_or_make_stream(link.jetstream, self.subject)
        stream = await stream_of(link.jetstream, self.subject)
        if stream is None:
            raise BusError("its stream is gone")
        return stream

    def _turn_to(self, stream: StreamInfo) -> None:
        """Sequences count within one life of one stream."""
        old, self._stream = self._stream, stream
        if old is None and self._since_seq is not None:
            self._next_seq = self._since_seq
        elif old is None:
            self._next_seq = stream.state.last_seq + 1 if self._since_ms is None else None
        elif (old.config.name, old.created) != (stream.config.name, stream.created):
            self._next_seq = 1  # all of a new life is news
        elif self._next_seq is not None:
            self._next_seq = min(self._next_seq, stream.state.last_seq + 1)  # it may have lost its end

    def _config(self, wanted: str | None) -> ConsumerConfig:
        from_time = self._next_seq is None
        return ConsumerConfig(
            name=self._consumer,
            description="every message, in order; recreated after each outage",
            deliver_policy=DeliverPolicy.BY_START_TIME if from_time else DeliverPolicy.BY_START_SEQUENCE,
            opt_start_time=datetime.fromtimestamp((self._since_ms or 0) / 1000, UTC) if from_time else None,
            opt_start_seq=self._next_seq,
            ack_policy=AckPolicy.NONE,
            filter_subject=wanted,
            inactive_threshold=IDLE_S,
        )

    async def _leave(self, link: Link) -> None:
        assert self._stream is not None, "bound before left"
        with contextlib.suppress(*PASSING):
            async with asyncio.timeout(API_LIMIT_S):
                await link.jetstream.delete_consumer(self._stream.config.name or "", self._consumer)

    # -- messages --------------------------------------------------------------------------------------------------

    def _forget_arrivals(self) -> None:
        """Messages of an earlier consumer go into a queue that is not read."""
        self._arrived: asyncio.Queue[Msg | None] = asyncio.Queue()  # None: the link has ended
        self._due = 0
        self._delivered = 0  # by this consumer, which counts its deliveries

    async def _take(self, link: Link) -> StoredMessage | None:
        message = await self._arrival(link)
        if message is None:
            raise BusError("the connection was lost")
        if message.reply:  # a message of the stream; a status of the server has no reply subject
            return self._stored(message)
        headers = message.headers or {}
        self._due = 0
        if headers.get("Status") not in NOTHING_YET:
            raise BusError(headers.get("Description") or f"status {headers.get('Status')}")
        self._pending = 0
        return None

    async def _arrival(self, link: Link) -> Msg | None:
        """Without a task or a timer where a message is here: a backlog is read at what its messages cost."""
        if self._due and not self._arrived.empty():
            return self._arrived.get_nowait()
        async with asyncio.timeout(ASK_S + API_LIMIT_S):
            return await (self._arrived.get() if self._due else self._ask(link))

    async def _ask(self, link: Link) -> Msg | None:
        """Request a batch; returns its first message, or the status that the server sends instead."""
        assert self._stream is not None, "bound before asked"
        subject = f"{link.jetstream.api_prefix}.CONSUMER.MSG.NEXT.{self._stream.config.name}.{self._consumer}"

        if self._waits:
            request = {"batch": BATCH, "expires": int(ASK_S * 1e9)}
        else:  # no more than are there: the end of a larger batch would be a message of its own
            request = {"batch": min(max(self._pending, 1), BATCH), "no_wait": True}

        async def ask() -> Msg | None:
            self._due = int(request["batch"])
            await link.client.publish(subject, json.dumps(request).encode(), reply=self._inbox)
            return await self._arrived.get()

        return await link.publishing(subject, ask())

    def _stored(self, message: Msg) -> StoredMessage:
        metadata = message.metadata
        seq = metadata.sequence.stream
        if self._next_seq is not None and seq < self._next_seq:
            raise BusError("its consumer went back")
        if metadata.sequence.consumer != self._delivered + 1:
            raise BusError("a message was lost on its way")
        self._delivered += 1
        self._due -= 1
        self._next_seq = seq + 1
        self._pending = metadata.num_pending
        return StoredMessage(self.subject, seq, round(metadata.timestamp.timestamp() * 1e6), message.data)


async def _notice_end(link: Link, arrived: "asyncio.Queue[Msg | None]") -> None:
    await link.ended.wait()
    arrived.put_nowait(None)
