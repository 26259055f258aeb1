"""Core NATS and JetStream both bring a subject: which arrival is a copy, and which may be older than the newest.

Values only. `subscription.py` acts on what is decided here.
"""

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from hashlib import blake2b
from typing import Final, Literal, NamedTuple

from src.common.messages import Decoded

CORE: Final = "core"  # core NATS: the plain subject
JETSTREAM: Final = "jetstream"
OTHER_PATH: Final = {CORE: JETSTREAM, JETSTREAM: CORE}

PENDING_MESSAGES: Final = 4096  # of a path, between socket and callback; the other path brings those dropped beyond it
PENDING_BYTES: Final = 64 << 20
KEPT_ARRIVALS: Final = 2048  # of each path that wait for their copy: four minutes of 8 messages a second
KEPT_S: Final = 120.0  # an equal message that comes later than this is a new one
DEAF_AFTER: Final = 8  # messages of JetStream in succession without a copy from core NATS
HOLD_S: Final = 1.0  # contract decision I5
OUTAGE_S: Final = 2.0  # nothing arrived for so long: its publisher may have been cut off, with messages on their way
LATE_S: Final = 300.0  # how long after an outage messages of before it may still come
PUBLICATION: Final = "Publication"  # a header of each message that `NATSBus` publishes


class Publication(NamedTuple):
    """What a publisher says about a message: the header `Publication`, these three with spaces between.

    Attributes:
        publisher: names one life of a publisher.
        number: of the message, of all that this publisher sends.
        at_ms: by its clock, ms since 1970 UTC.
    """

    publisher: str
    number: int
    at_ms: int

    def __str__(self) -> str:
        return f"{self.publisher} {self.number} {self.at_ms}"


class Stamps(NamedTuple):
    """What a message has in itself that tells its place among others; None where it has nothing.

    Attributes:
        content_ms: the time of its making in its body, such as `ts` of the levels, ms since 1970 UTC.
        publication: see there.
        traded_ms: the newest time of what it tells, such as `last_timestamp` of the flow, ms since 1970 UTC.
    """

    content_ms: int | None = None
    publication: Publication | None = None
    traded_ms: int | None = None


Place = Literal["newer", "doubtful", "older"]
"""Of a message against the newest one that was taken."""


class Arrival(NamedTuple):
    """One message as it came by one path.

    Attributes:
        path: `CORE` or `JETSTREAM`.
        digest: of its body.
        arrived_s: by the gateway's clock, seconds since the epoch.
        publication: see there.
        seq: its sequence in the stream; 0 by core NATS.
        stored_s: when the stream took it, by the server's clock, seconds since the epoch; by core NATS `arrived_s`.
        is_first: whether JetStream sent it as the first one of a binding: it may be of last week.
    """

    path: str
    digest: bytes
    arrived_s: float
    publication: Publication | None = None
    seq: int = 0
    stored_s: float = 0.0
    is_first: bool = False

    def stamps(self, decoded: Decoded) -> Stamps:
        """`decoded` is the body as read."""
        return Stamps(decoded.stamp_ms, self.publication, decoded.traded_ms)


OnArrival = Callable[[Arrival, bytes], Awaitable[None]]
"""Takes an arrival and its body."""


class Copies:
    """Recognizes the second arrival of a message by the digest of its body.

    Equal bodies count: two equal snapshots have two copies.

    Attributes:
        core_is_deaf: whether JetStream brings messages that core NATS does not.
    """

    def __init__(self) -> None:
        self._unmatched: dict[str, OrderedDict[bytes, deque[Arrival]]] = {CORE: OrderedDict(), JETSTREAM: OrderedDict()}
        self._alone = 0

    def match(self, arrival: Arrival) -> Arrival | None:
        """The arrival of which this one is the copy, taken out; None where it is the first of the two."""
        others = self._unmatched[OTHER_PATH[arrival.path]]
        if arrival.path == CORE:
            self._alone = 0
        while waiting := others.get(arrival.digest):
            first = waiting.popleft()
            if not waiting:
                del others[arrival.digest]
            if arrival.arrived_s - first.arrived_s <= KEPT_S:
                return first
        self._alone += arrival.path == JETSTREAM
        return None

    def note(self, arrival: Arrival) -> None:
        """Wait for the copy of an arrival that is the first of the two."""
        own = self._unmatched[arrival.path]
        own.setdefault(arrival.digest, deque(maxlen=KEPT_ARRIVALS)).append(arrival)
        if len(own) > KEPT_ARRIVALS:
            own.popitem(last=False)

    @property
    def core_is_deaf(self) -> bool:
        return self._alone > DEAF_AFTER


class Order:
    """The place of an arrival against the newest message that was taken.

    Of two messages of one publisher the numbers tell which is older. Of two publishers, a time that lies before the
    newest's is a doubt: a clock may have been set back. The time of what a message tells may go back from one message
    to the next, so it is a doubt only for some minutes after an outage: only then can messages of before come late.
    Where no stamp says more, a message that only JetStream has brought is in doubt while the newest one came by core
    NATS and JetStream has not brought its copy: that one may be later.
    """

    def __init__(self) -> None:
        self._newest = Stamps()
        self._newest_arrived_s: float | None = None
        self._late_until_s = float("-inf")
        self._awaits_copy: Arrival | None = None  # the newest, as it came by core NATS

    def place(self, arrival: Arrival, stamps: Stamps) -> Place:
        """`arrival` is no copy."""
        by_number = _by_number(stamps.publication, self._newest.publication)
        if by_number is not None and by_number <= 0:
            return "older"
        differences = [by_number] if by_number is not None else _by_clocks(stamps, self._newest)
        if stamps.content_ms is not None and self._newest.content_ms is not None:
            differences.append(stamps.content_ms - self._newest.content_ms)
        if by_number is None and stamps.traded_ms is not None and self._newest.traded_ms is not None:
            later_ms = stamps.traded_ms - self._newest.traded_ms
            differences.append(later_ms if arrival.arrived_s < self._late_until_s else max(later_ms, 0))
        if any(difference < 0 for difference in differences):
            return "doubtful"
        if any(difference > 0 for difference in differences):
            return "newer"
        return "doubtful" if arrival.path == JETSTREAM and self._awaits_copy is not None else "newer"

    def take(self, arrival: Arrival, stamps: Stamps) -> None:
        """`arrival` is the newest now."""
        if self._newest_arrived_s is not None and arrival.arrived_s - self._newest_arrived_s >= OUTAGE_S:
            self._late_until_s = arrival.arrived_s + LATE_S
        self._newest, self._newest_arrived_s = stamps, arrival.arrived_s
        self._awaits_copy = arrival if arrival.path == CORE else None

    def note_copy(self, first: Arrival) -> bool:
        """JetStream has brought the copy of `first`. Returns whether that is the newest message."""
        if self._awaits_copy != first:
            return False
        self._awaits_copy = None
        return True


class StreamOrder:
    """The newest sequence of a stream, within one life of it.

    A replica that lags, or a leader that slept, reports a lower last sequence and delivers old messages again: they are
    repeated. A stream that was cut back gives a sequence out again, at a later time by the server's stamp.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Another life of the stream, or another stream."""
        self.newest_seq = 0
        self._newest_stored_s = 0.0

    def advances(self, seq: int, stored_s: float) -> bool:
        """Note a message; False where it is a repeated one."""
        if seq <= self.newest_seq and stored_s <= self._newest_stored_s:
            return False
        self.newest_seq = seq
        self._newest_stored_s = max(self._newest_stored_s, stored_s)
        return True


def digest_of(body: bytes) -> bytes:
    """By which the two arrivals of a message are known as the same."""
    return blake2b(body, digest_size=16).digest()


def publication_of(headers: Mapping[str, str] | None) -> Publication | None:
    """What the header `Publication` says; None where there is none that can be read."""
    parts = (headers or {}).get(PUBLICATION, "").split(" ")
    if len(parts) != 3 or not all(part.isdecimal() and len(part) < 16 for part in parts[1:]):
        return None
    return Publication(parts[0], int(parts[1]), int(parts[2]))


def _by_number(own: Publication | None, newest: Publication | None) -> int | None:
    """How many messages later it was published; None for messages of two publishers."""
    if own is None or newest is None or own.publisher != newest.publisher:
        return None
    return own.number - newest.number


def _by_clocks(own: Stamps, newest: Stamps) -> list[int]:
    if own.publication is None or newest.publication is None:
        return []
    return [own.publication.at_ms - newest.publication.at_ms]
