"""Core NATS and JetStream both bring a subject: which arrival is a copy, and which may be older than the newest.

Values only. `subscription.py` acts on what is decided here.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

from src.common.messages import Decoded

CORE: Final = "core"  # core NATS: the plain subject
JETSTREAM: Final = "jetstream"
OTHER_PATH: Final = {CORE: JETSTREAM, JETSTREAM: CORE}

KEPT_ARRIVALS: Final = 2048  # of each path that wait for their copy: four minutes of 8 messages a second
KEPT_S: Final = 120.0  # an equal message that comes later than this is a new one
DEAF_AFTER: Final = 8  # messages of JetStream in succession without a copy from core NATS
HOLD_S: Final = 1.0  # contract decision I5
PUBLISHED: Final = "Published-Ms"  # a header of each message that `NATSBus` publishes


class Stamps(NamedTuple):
    """The times that a message itself has, ms since 1970 UTC; None where it has none.

    Attributes:
        content_ms: in its body: `ts` of the levels.
        published_ms: in its header `Published-Ms`, by the clock of the publisher.
    """

    content_ms: int | None = None
    published_ms: int | None = None


class Arrival(NamedTuple):
    """One message as it came by one path.

    Attributes:
        path: `CORE` or `JETSTREAM`.
        body: its bytes.
        arrived_s: by the gateway's clock, seconds since the epoch.
        published_ms: see `Stamps`.
        seq: its sequence in the stream; 0 by core NATS.
        stored_s: when the stream took it, by the server's clock, seconds since the epoch; by core NATS `arrived_s`.
        is_first: whether JetStream sent it as the first one of a binding: it may be of last week.
    """

    path: str
    body: bytes
    arrived_s: float
    published_ms: int | None = None
    seq: int = 0
    stored_s: float = 0.0
    is_first: bool = False

    def stamps(self, decoded: Decoded) -> Stamps:
        """`decoded` is the body as read."""
        return Stamps(decoded.stamp_ms, self.published_ms)


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
        """The arrival of which this one is the copy; None where it is the first of the two, which is noted."""
        digest = blake2b(arrival.body, digest_size=16).digest()
        others = self._unmatched[OTHER_PATH[arrival.path]]
        if arrival.path == CORE:
            self._alone = 0
        while waiting := others.get(digest):
            first = waiting.popleft()
            if not waiting:
                del others[digest]
            if arrival.arrived_s - first.arrived_s <= KEPT_S:
                return first
        self._alone += arrival.path == JETSTREAM
        own = self._unmatched[arrival.path]
        own.setdefault(digest, deque(maxlen=KEPT_ARRIVALS)).append(arrival._replace(body=b""))
        if len(own) > KEPT_ARRIVALS:
            own.popitem(last=False)
        return None

    def forget(self, arrival: Arrival) -> None:
        """`arrival` was just noted, and its copy shall count as the first one."""
        own = self._unmatched[arrival.path]
        digest = blake2b(arrival.body, digest_size=16).digest()
        own[digest].pop()
        if not own[digest]:
            del own[digest]

    @property
    def core_is_deaf(self) -> bool:
        return self._alone > DEAF_AFTER


class Order:
    """Whether an arrival may be older than the newest message that was taken.

    A stamp that lies before the newest's says so. Where no stamp says more, a message that only JetStream has brought
    is in doubt while the newest one came by core NATS and JetStream has not brought its copy: that one may be later.
    """

    def __init__(self) -> None:
        self._newest = Stamps()
        self._awaits_copy: Arrival | None = None  # the newest, as it came by core NATS

    def is_doubtful(self, arrival: Arrival, stamps: Stamps) -> bool:
        """Whether `arrival`, which is no copy, has to wait for a newer one."""
        pairs = zip(stamps, self._newest, strict=True)
        differences = [own - newest for own, newest in pairs if own is not None and newest is not None]
        if any(difference < 0 for difference in differences):
            return True
        if any(difference > 0 for difference in differences):
            return False
        return arrival.path == JETSTREAM and self._awaits_copy is not None

    def take(self, arrival: Arrival, stamps: Stamps) -> None:
        """`arrival` is the newest now."""
        self._newest = stamps
        self._awaits_copy = arrival._replace(body=b"") if arrival.path == CORE else None

    def note_copy(self, first: Arrival) -> bool:
        """JetStream has brought the copy of `first`. Returns whether that is the newest message."""
        if self._awaits_copy != first._replace(body=b""):
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


def published_ms(headers: Mapping[str, str] | None) -> int | None:
    """The time in the header `Published-Ms`; None where there is none that can be read."""
    written = (headers or {}).get(PUBLISHED, "")
    return int(written) if written.isdecimal() and len(written) < 16 else None
