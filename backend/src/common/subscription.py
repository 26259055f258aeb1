"""A subscription: one subject to a callback, kept live through every fault of server and stream.

**Two paths, one order.** Each message comes through core NATS and through JetStream. What comes first goes to the
callback, and its copy is dropped. Core NATS knows neither consumers nor elections, so it brings the present; JetStream
brings the newest message at the start, what was missed, and the order. While one of them works, the subscription is
live.

**Nothing older after newer.** A message that is known to be older than the newest one is dropped. One that may be older
is held for a second. A newer one that comes within it drops it; otherwise the clock of the publisher was set back, or
the other path is dead, and it is believed.
"""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from src.common.arrivals import CORE, HOLD_S, JETSTREAM, Arrival, Copies, Order
from src.common.connection import BusError, Connection
from src.common.core_path import CorePath
from src.common.jetstream_path import JetStreamPath
from src.common.last_message import LastMessage
from src.common.logs import Throttle, more
from src.common.messages import BadMessage, Decoded
from src.common.tasks import end

logger = logging.getLogger("bus")

Callback = Callable[[Any], Awaitable[None]]
Decoder = Callable[[bytes], Decoded]
OnCopy = Callable[["Stored"], None]

CORE_START_S: Final = 2.0  # for the server's answer to the plain subscription
LAST_START_S: Final = 1.0  # for the message that is kept where the stream has none
JETSTREAM_START_S: Final = 5.0  # an election takes less; then the start goes on with core NATS alone
PROOF_S: Final = 5.0  # core NATS alone counts so long after a message of any subject: twenty of Core's usual gaps


class Stored(NamedTuple):
    """A message in its stream.

    Attributes:
        seq: its sequence; 0 while it is not known, because core NATS brought the message first.
        stored_s: when the stream took it, by the server's clock, seconds since the epoch; while that is not known, when
            it arrived, by the gateway's.
        is_first: whether it is the first one since the path through JetStream was bound: it may be of last week.
        arrived_s: when it arrived first, by the gateway's clock.
    """

    seq: int
    stored_s: float
    is_first: bool
    arrived_s: float = 0.0


class Held(NamedTuple):
    """A message that may be older than the newest, as read."""

    arrival: Arrival
    decoded: Decoded


_in_hand: Final[ContextVar[Stored | None]] = ContextVar("the message that a callback has in hand", default=None)


def message_in_hand() -> Stored | None:
    """The message that the callback of a subscription has in hand, for who is called by it; None outside of one."""
    return _in_hand.get()


@contextlib.contextmanager
def in_hand(stored: Stored) -> Iterator[None]:
    """While this lasts, `message_in_hand` is `stored`."""
    token = _in_hand.set(stored)
    try:
        yield
    finally:
        _in_hand.reset(token)


class Subscription:
    """Delivers the messages of one subject, in order, each once, to one callback.

    Attributes:
        received: messages that arrived, good and bad, copies left out.
        delivered: good ones that the callback took, older ones that were looked for at the start included.
        copies: those that came a second time, by the other path.
        stragglers: those dropped because a newer one came within `HOLD_S`.
        rejected: bad messages, by reason.
        non_finite: bare NaN and Infinity tokens that were read as null.
        last_message_s: when the newest message arrived, seconds since the epoch, or None.
        path: by which the newest message came first, `CORE` or `JETSTREAM`; None before the first.
    """

    def __init__(
        self,
        connection: Connection,
        subject: str,
        callback: Callback,
        durable_name: str | None,
        decode: Decoder,
        max_message_bytes: int,
        on_copy: OnCopy = lambda _stored: None,
        *,
        keeps_last: bool = False,
    ) -> None:
        """
        Args:
            connection: see there.
            subject: what to read.
            callback: gets each message as `decode` reads it.
            durable_name: the durable consumer to use; None for an ephemeral one.
            decode: reads a body.
            max_message_bytes: a larger message is rejected unread.
            on_copy: gets the place in the stream of the newest message, when JetStream tells it after core NATS.
            keeps_last: whether the last message is kept beyond the age limit of its stream, and handed over where the
                stream has none.
        """
        self.subject = subject
        self.received = 0
        self.delivered = 0
        self.copies = 0
        self.stragglers = 0
        self.rejected: Counter[str] = Counter()
        self.non_finite = 0
        self.last_message_s: float | None = None
        self.path: str | None = None
        self._connection = connection
        self._callback = callback
        self._decode = decode
        self._max_message_bytes = max_message_bytes
        self._on_copy = on_copy
        self._bad_lines = Throttle()
        self._failed_lines = Throttle()
        self._copies = Copies()
        self._order = Order()
        self._held: Held | None = None
        self._holding: asyncio.Task[None] | None = None
        # Separates the arrivals of the two paths, which have a task each, and the end of a hold.
        self._turn = asyncio.Lock()
        self._core = CorePath(connection, subject, self._on_arrival)
        self._jetstream = JetStreamPath(
            connection, subject, durable_name, self._on_arrival, has_message=lambda: self.delivered > 0
        )
        self._last: LastMessage | None = None
        if keeps_last:
            self._last = LastMessage(
                connection, subject, lambda: self._jetstream.stream, self._on_last, lambda: self.delivered > 0
            )

    async def start(self, limit_s: float) -> None:
        """Subscribe by both paths, and hand the newest message over if there is one.

        Raises:
            BusError: neither path works within `limit_s` seconds; the text says why that of JetStream does not.
        """
        try:
            await self._start(limit_s)
        except BaseException:  # also a cancellation: nobody else knows of the tasks yet
            await self.unsubscribe()
            raise

    async def unsubscribe(self) -> None:
        """Stop; idempotent. A durable consumer stays on the server, an ephemeral one is deleted."""
        if self._last is not None:
            await self._last.close()
        await self._core.close()
        await self._jetstream.close()
        await end(self._holding)
        self._holding = self._held = None

    async def _start(self, limit_s: float) -> None:
        await self._core.start(min(limit_s, CORE_START_S))
        try:
            await self._jetstream.start(min(limit_s, JETSTREAM_START_S) if self._core.trouble is None else limit_s)
        except BusError as error:
            if self._core.trouble is not None:
                raise
            logger.warning("%s; its messages come by core NATS alone until JetStream is back", error)
        if self._last is not None:
            await self._last.start(LAST_START_S if self._jetstream.trouble is None else 0.0)

    # -- how it is -------------------------------------------------------------------------------------------------

    @property
    def is_live(self) -> bool:
        """Whether one of the paths works. Core NATS has to show it, once JetStream was lost: see `unproven_s`."""
        return self._jetstream.trouble is None or (self.core_trouble is None and self.unproven_s < PROOF_S)

    @property
    def unproven_s(self) -> float:
        """For how long JetStream has been lost and core NATS has brought nothing, of this subject or another.

        The server may be cut off from the others, together with us: then the link to it is well, and nothing arrives. 0
        while JetStream works, and where it never has.
        """
        lost_s = self._jetstream.lost_s
        return 0.0 if lost_s is None else time.monotonic() - max(lost_s, self._connection.heard_s)

    @property
    def trouble(self) -> str | None:
        """Why JetStream does not bring it, or None while it does."""
        return self._jetstream.trouble

    @property
    def core_trouble(self) -> str | None:
        """Why core NATS does not bring it, or None while it does."""
        if self._core.trouble is None and self._copies.core_is_deaf:
            return "JetStream has messages that are not published on this subject here"
        return self._core.trouble

    @property
    def mirror_trouble(self) -> str | None:
        """Why its last message is not kept beyond its stream; None where it is, or need not be."""
        return None if self._last is None else self._last.trouble

    @property
    def repeated(self) -> int:
        """Messages that JetStream delivered again."""
        return self._jetstream.repeated

    @property
    def lag(self) -> int:
        """Messages that the consumer has yet to deliver (`num_pending`)."""
        return self._jetstream.lag

    @property
    def rebinds(self) -> int:
        """How often the consumer was recreated after the first time."""
        return self._jetstream.rebinds

    # -- messages --------------------------------------------------------------------------------------------------

    async def _on_arrival(self, arrival: Arrival, body: bytes) -> None:
        async with self._turn:
            first = self._copies.match(arrival)
            if first is not None:
                await self._take_copy(arrival, first)
                return
            try:
                decoded = self._read(body)
            except BadMessage as bad:
                if self._is_left_to_jetstream(arrival):
                    return
                self._note(arrival)
                self._count_bad(arrival, bad)
                return
            self._note(arrival)
            match self._order.place(arrival, arrival.stamps(decoded)):
                case "older":
                    self.stragglers += 1
                case "doubtful":
                    self._hold(Held(arrival, decoded))
                case "newer":
                    await self._drop_held()
                    await self._deliver(arrival, decoded)

    def _note(self, arrival: Arrival) -> None:
        self._copies.note(arrival)
        self.received += 1
        self.last_message_s = arrival.arrived_s

    async def _take_copy(self, copy: Arrival, first: Arrival) -> None:
        self.copies += 1
        if copy.path == JETSTREAM and self._order.note_copy(first):
            if self._held is not None and 0 < self._held.arrival.seq < copy.seq:
                await self._drop_held()  # the stream has it before the newest
            self._on_copy(Stored(copy.seq, copy.stored_s, copy.is_first, first.arrived_s))

    def _read(self, body: bytes) -> Decoded:
        """
        Raises:
            BadMessage: it cannot be used.
        """
        if len(body) > self._max_message_bytes:
            raise BadMessage("too_large")
        return self._decode(body)

    async def _deliver(self, arrival: Arrival, decoded: Decoded) -> None:
        self._order.take(arrival, arrival.stamps(decoded))
        self.path = arrival.path
        await self._hand_over(arrival, decoded)

    async def _hand_over(self, arrival: Arrival, decoded: Decoded) -> None:
        self.non_finite += decoded.non_finite
        try:
            with in_hand(Stored(arrival.seq, arrival.stored_s, arrival.is_first, arrival.arrived_s)):
                await self._callback(decoded.value)
            self.delivered += 1
        except BadMessage as bad:
            self._count_bad(arrival, bad)
        except Exception:
            self.rejected["callback_failed"] += 1
            held_back = self._failed_lines.lets_through()
            if held_back is not None:
                logger.exception("%s: the callback failed on %s%s", self.subject, _name(arrival), more(held_back))

    async def _on_last(self, arrival: Arrival, body: bytes) -> None:
        """The last message, from where it is kept: the first one that comes replaces it, whatever time it has."""
        async with self._turn:
            if self.delivered or self._held is not None:
                return
            try:
                decoded = self._read(body)
            except BadMessage as bad:
                self._count_bad(arrival, bad)
                return
            await self._hand_over(arrival, decoded)

    # -- messages that may be old ----------------------------------------------------------------------------------

    def _hold(self, held: Held) -> None:
        """The newest that is held waits for the end of the hold; those before it are superseded."""
        self.stragglers += self._held is not None
        self._held = held
        if self._holding is None:
            self._holding = asyncio.create_task(self._believe_later(), name=f"hold {self.subject}")

    async def _believe_later(self) -> None:
        await asyncio.sleep(HOLD_S)
        async with self._turn:
            held, self._held, self._holding = self._held, None, None
            assert held is not None, "what drops it ends the hold"
            await self._deliver(*held)

    async def _drop_held(self) -> None:
        """A newer message is known."""
        if self._held is not None:
            self.stragglers += 1
            self._held = None
            await end(self._holding)  # it waits for the turn at most, which is ours
            self._holding = None

    # -- bad messages ----------------------------------------------------------------------------------------------

    def _is_left_to_jetstream(self, bad: Arrival) -> bool:
        """Whether its copy will be told instead, with its sequence."""
        return bad.path == CORE and self._jetstream.trouble is None

    def _count_bad(self, arrival: Arrival, bad: BadMessage) -> None:
        self.rejected[bad.reason] += 1
        held_back = self._bad_lines.lets_through()
        if held_back is not None:
            logger.warning("%s: %s is bad: %s%s", self.subject, _name(arrival), bad.reason, more(held_back))


def _name(arrival: Arrival) -> str:
    return f"message {arrival.seq}" if arrival.seq else "a message of core NATS"
