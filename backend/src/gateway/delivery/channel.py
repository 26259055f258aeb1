"""A channel sends each new frame of one payload to every peer on it that is ready.

**Fan-out is a plain loop without an await, in slices.** A round sends one frame to all peers; between two slices the
event loop reads its sockets. A newer frame takes over at the next slice: peers that the round had not reached get only
the newer frame, and get it first; the other peers follow. So the newest frame never waits for an older one to reach
everybody, and no peer is sent an older frame after a newer. The peers of a slice take one form and were sent the same
frame last, so all of them get the same bytes, also where the form is compressed with that frame as dictionary
(`ready_peers.py`). A peer that is behind is in no slice: it costs nothing until it is ready again, and is then sent the
newest frame, as is a peer that joins.

**A paced channel begins a round at fixed moments**, with the newest payload of that moment, so all its peers share
frames. A peer that joins between two moments is sent the newest payload at once.

**A channel with a stamp adds sections to each payload when a frame is made of it**: what is true at that moment, how
many states a group of peers has skipped, and which events it was not told. So one state is shown by several frames,
each for the groups that skipped the same; one that is older than `STAMP_LIMIT_S` is not sent any more. In silence such
a channel tells the stamp alone, in a frame without compression, which leaves the windows of the peers as they are. A
frame's number says up to which position it tells events, so a peer that skips frames skips no event.
"""

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from src.gateway.delivery.frame import (
    FORM_NAMES,
    Form,
    Frame,
    Last,
    form_name,
    number_of,
    plain,
    position_of,
    state_of,
    text,
)
from src.gateway.delivery.peer import Peer, Send
from src.gateway.delivery.ready_peers import SLICE_PEERS, ReadyPeers, Slice
from src.gateway.metrics import FAN_OUT_BOUNDS_S, LATENCY_BOUNDS_S, VIEWER_AGE_BOUNDS_S, Histogram

# Payloads of earlier frames, as dictionaries for peers that missed the frames since: one or two seconds at Core's pace.
# A peer that is further behind gets a frame without a dictionary.
KEPT_PAYLOADS: Final = 8
KEPT_STAMPED: Final = 16  # likewise, where one state has several frames
STAMP_LIMIT_S: Final = 0.05

Stamp = Callable[[Any, int, int, str | None, int | None], bytes]
"""The sections that are added, as members of a JSON object: by the messages that a frame shows, its state, how many
states a peer skipped, why, and the position up to which the peer was told events; None: tell none."""
Skipped = tuple[int, str | None, int]
"""How many states, why, and the position up to which events were told."""
_NO_POSITION: Final = int  # 0 whenever it is called
NOTHING: Final = Last(0, None)


class Round(NamedTuple):
    """One round under way.

    Attributes:
        began_s: monotonic seconds.
        goal: the value of the hub's count of sends at which every peer of this round has had its turn.
        published_s: when the messages behind this frame were published, seconds since the epoch.
    """

    began_s: float
    goal: int
    published_s: tuple[float, ...]


class Counters:
    """What all channels of a hub count together.

    Attributes:
        sent: frames sent, at least in part, each counted for each peer, by the name of their form.
        sent_bytes: bytes of those frames, each counted whole, likewise.
        fan_out: seconds until every peer of a round had its frame or a newer one.
        latency: seconds from the publication of each message to the end of the round that sent it.
        viewer_age: seconds from each ping behind a frame to its pong: at most how old the frame was on arrival.
    """

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self.sent_bytes: Counter[str] = Counter()
        self.fan_out = Histogram(FAN_OUT_BOUNDS_S)
        self.latency = Histogram(LATENCY_BOUNDS_S)
        self.viewer_age = Histogram(VIEWER_AGE_BOUNDS_S)


class Channel:
    """One payload, its newest frame, and the peers that take it.

    Attributes:
        newest: the newest frame that a round began with, or that a joining peer was sent, without the stamp; None
            before the first.
        peers: how many peers are on this channel, ready or not.
        idle: set while every ready peer has been sent the newest frame.
        spoke_s: when a round began or the stamp was told, by the loop's clock.
        epoch: the life in which its states are counted; empty where nobody is told.
        tells_events: whether its frames have events.
    """

    def __init__(
        self,
        counters: Counters | None = None,
        *,
        only_changes: bool = False,
        rate: float = math.inf,
        stamp: Stamp | None = None,
        epoch: str = "",
        position: Callable[[], int] | None = None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Args:
            counters: by default of this channel alone.
            only_changes: whether a payload equal to the newest frame's is not sent.
            rate: rounds a second, at most; infinite: each payload begins a round.
            stamp: makes the sections that are added to each payload; by default there are none.
            epoch: as the attribute.
            position: of the newest event, which grows; by default none are told.
            on_close: called when the channel is closed.
        """
        self.newest: Frame | None = None
        self.peers = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self._counters = counters or Counters()
        self.spoke_s = -math.inf
        self.epoch = epoch
        self._stamp = stamp
        self._on_close = on_close
        self.tells_events = position is not None
        self._position = position or _NO_POSITION
        self._states = 0
        self._variants = 0  # of the newest state
        self._stamped: dict[Skipped, tuple[float, Frame]] = {}  # of the newest state, and when each was made
        self._only_changes = only_changes
        self._rate = rate
        self._last_moment = -1  # in whole periods of a paced channel, since the start of the clock
        self._ready = ReadyPeers()
        self._due: deque[Slice] = deque()  # of those, the slices that wait for the newest frame
        self._payloads: dict[int, bytes] = {}  # by number, of the newest frames
        self._next: Frame | None = None
        self._has_turn = False
        self._moment: asyncio.TimerHandle | None = None  # for which the next round waits
        self._published_s: list[float] = []  # of the messages in the next round
        self._rounds: deque[Round] = deque()  # under way, oldest first
        self._served = 0

    def publish(
        self,
        payload: bytes,
        published_s: float | None = None,
        messages: object = None,
        linger_s: float = 0.0,
    ) -> None:
        """Send `payload` to every ready peer, unless a newer one comes before its turn.

        Args:
            payload: one complete JSON object, UTF-8.
            published_s: when the new message in it was published, seconds since the epoch; None: not measured.
            messages: which ones it shows, for the stamp.
            linger_s: wait for so many seconds for a newer one, which takes its place.
        """
        latest = self._next or self.newest
        if self._only_changes and latest is not None and latest.payload == payload:
            latest.messages = messages
            return
        if published_s is not None:
            self._published_s.append(published_s)
        if self._next is None or state_of(self._next.number) <= self._newest_state or self._rate != math.inf:
            self._states += 1
        self._begin(Frame(payload, self._states, messages=messages, position=self._position()), linger_s)

    def publish_events(self) -> None:
        """Send the newest payload again, because there are events that go with it.

        Also where its round is still to come: a peer that has joined meanwhile was sent it, without them.
        """
        latest = self._next or self.newest
        if latest is not None:
            self._begin(Frame(latest.payload, self._states, messages=latest.messages, position=self._position()))

    def _begin(self, frame: Frame, linger_s: float = 0.0) -> None:
        self._next = frame
        if self._rate == math.inf:
            self._linger(linger_s)
        elif self._moment is None:
            self._await_moment()

    def tell(self) -> None:
        """Send the stamp alone, in slices, to every ready peer that was sent the newest state.

        To any other it would tell of a state that the peer does not show; the round under way will reach that one.
        """
        if self._stamp is not None:
            self.spoke_s = asyncio.get_running_loop().time()
            newest, state = self.newest or Frame(b"{}"), self._newest_state
            frame = Frame(_with_stamp(b"{}", self._stamp(newest.messages, state, 0, None, None)), state)
            self._tell(list(self._ready.that_show(state)), frame)

    def _tell(self, peers: list[Peer], frame: Frame) -> None:
        for peer in peers[:SLICE_PEERS]:
            if self._ready.shows(peer, state_of(frame.number)):
                form = text if peer.form is text else plain
                self._hand_over({peer.send: peer}, form(frame, NOTHING), FORM_NAMES[form])
        if rest := peers[SLICE_PEERS:]:
            asyncio.get_running_loop().call_soon(self._tell, rest, frame)

    def close(self) -> None:
        """No round begins any more; idempotent."""
        self._cancel_moment()
        self._next = None
        self._on_close()

    @property
    def ready_peers(self) -> int:
        """How many peers take a frame now."""
        return len(self._ready)

    @property
    def _newest_state(self) -> int:
        return 0 if self.newest is None else state_of(self.newest.number)

    @property
    def has_frame(self) -> bool:
        """Whether anything was published."""
        return self.newest is not None or self._next is not None

    # -- called for peers ------------------------------------------------------------------------------------------

    def join(self, peer: Peer, *, ready: bool = True, since: int = 0, has_newest: bool = False) -> None:
        """Add a peer; one that is ready is sent the newest payload, which may still wait for its round.

        Args:
            peer: see there.
            ready: whether it takes frames now.
            since: the number of the frame that its viewer had last, on a connection before; 0 for none.
            has_newest: whether it has seen the newest state elsewhere, and is sent the next one first.
        """
        self.peers += 1
        if self._rate != math.inf and self._next is not None:
            self._keep(self._next)
        latest = self._next or self.newest
        if ready and has_newest and latest is not None:
            self.ready(peer, None, number_of(state_of(latest.number), 0, self._position()))
        elif ready:
            self.ready(peer, self.newest, since, "reconnect")

    def leave(self, peer: Peer) -> int:
        """A peer that joined is gone. Returns the number of the frame that it was sent last; 0 while it is blocked."""
        self.peers -= 1
        return self.blocked(peer)

    def ready(self, peer: Peer, missed: Frame | None = None, last: int = 0, why: str = "slow") -> None:
        """The peer takes frames from now on; the one that it `missed` is sent first.

        Args:
            peer: not ready before.
            missed: None where it was sent the newest one.
            last: the number of the frame that it was sent last; 0 for none.
            why: it was not sent those in between, if there are any.
        """
        frame = None if missed is None else self._frame_after(last, why)
        self._ready.add(peer, last if frame is None else frame.number)
        if frame is not None:
            self._send_all({peer.send: peer}, frame, peer.form, self._last(last))

    def blocked(self, peer: Peer) -> int:
        """The peer takes no frame for now; idempotent. Returns the number of the frame that it was sent last, or 0."""
        return self._ready.remove(peer)

    def _last(self, number: int) -> Last:
        return Last(number, self._payloads.get(number))

    def _frame_after(self, last: int, why: str) -> Frame:
        """The newest frame for peers that were sent the one with the number `last`.

        Args:
            last: 0 for none.
            why: they were not sent those in between, if there are any.
        """
        assert self.newest is not None, "there is one to send"
        if self._stamp is None:
            return self.newest
        state, position, now_s = self._newest_state, self._position(), time.monotonic()
        states = max(state - state_of(last) - 1, 0) if state_of(last) else 0
        skipped = (_rounded(states), why if states else None, position_of(last) or position)
        made_s, frame = self._stamped.get(skipped, (-math.inf, self.newest))
        if now_s - made_s > STAMP_LIMIT_S:
            self._variants += 1
            stamp = self._stamp(self.newest.messages, state, *skipped)
            frame = Frame(_with_stamp(self.newest.payload, stamp), state, self._variants, position=position)
            self._stamped[skipped] = (now_s, frame)
            self._keep_payload(frame)
        return frame

    # -- fan-out ---------------------------------------------------------------------------------------------------

    def _take_turn(self) -> None:
        """Fan out at the end of this turn of the event loop: payloads published within one turn are one frame."""
        if not self._has_turn:
            self._has_turn = True
            self.idle.clear()
            asyncio.get_running_loop().call_soon(self._fan_out)

    def _linger(self, linger_s: float) -> None:
        """Take a turn after `linger_s` seconds; a newer payload changes when."""
        self._cancel_moment()
        if linger_s > 0:
            self._moment = asyncio.get_running_loop().call_later(linger_s, self._at_moment)
        else:
            self._take_turn()

    def _await_moment(self) -> None:
        """Take a turn at the next moment that this rate allows: the same one for all channels of one rate."""
        loop = asyncio.get_running_loop()
        self._last_moment = max(math.floor(loop.time() * self._rate), self._last_moment) + 1
        self._moment = loop.call_at(self._last_moment / self._rate, self._at_moment)

    def _cancel_moment(self) -> None:
        if self._moment is not None:
            self._moment.cancel()
            self._moment = None

    def _at_moment(self) -> None:
        self._moment = None
        self._take_turn()

    def _fan_out(self) -> None:
        """Send one slice; the next one follows when the event loop has read its sockets."""
        self._has_turn = False
        if self._next is not None and self._moment is None:
            self._begin_round(self._next)
        if self._due:
            self._send_slice(self._due.popleft())
        if self._due:
            self._end_rounds(self._served)
            self._take_turn()
        else:
            self._end_rounds(None)
            self.idle.set()

    def _begin_round(self, frame: Frame) -> None:
        if self._only_changes and self.newest is not None and self._shows_the_same(frame, self.newest):
            frame = self.newest  # peers that joined since the last round have it
        self._keep(frame)
        self._next = None
        self._due = deque(self._ready.due(frame.number))  # peers that the last round did not reach come first
        due = sum(len(each.peers) for each in self._due)
        self._rounds.append(Round(time.monotonic(), self._served + due, tuple(self._published_s)))
        self._published_s.clear()

    def _shows_the_same(self, frame: Frame, newest: Frame) -> bool:
        return newest.payload == frame.payload and position_of(newest.number) == position_of(frame.number)

    def _keep(self, frame: Frame) -> None:
        if frame is self.newest:
            return
        if state_of(frame.number) != self._newest_state:
            self._variants = 0  # not for further events: a peer that came since they happened was told of them
        self.newest = frame
        self.spoke_s = asyncio.get_running_loop().time()
        self._stamped.clear()
        if self._stamp is None:
            self._keep_payload(frame)

    def _keep_payload(self, frame: Frame) -> None:
        """Keep it as dictionary, beside those of the newest frames."""
        self._payloads[frame.number] = frame.payload
        if len(self._payloads) > (KEPT_PAYLOADS if self._stamp is None else KEPT_STAMPED):
            del self._payloads[next(iter(self._payloads))]

    def _send_slice(self, part: Slice) -> None:
        if part.peers:
            frame = self._frame_after(part.last, "busy" if self._rate == math.inf else "rate")
            last, part.last = self._last(part.last), frame.number
            self._served += len(part.peers)
            self._send_all(part.peers, frame, part.form, last)

    def _end_rounds(self, served: int | None) -> None:
        """End the rounds whose goal is reached; all of them where no peer is due, as peers may leave before it."""
        while self._rounds and (served is None or self._rounds[0].goal <= served):
            ended = self._rounds.popleft()
            self._counters.fan_out.observe(time.monotonic() - ended.began_s)
            for published_s in ended.published_s:
                self._counters.latency.observe(time.time() - published_s)

    def _send_all(self, peers: dict[Send, Peer], frame: Frame, form: Form, last: Last) -> None:
        self._hand_over(peers, form(frame, last), form_name(form, last))

    def _hand_over(self, peers: dict[Send, Peer], wire: Any, name: str) -> None:
        whole, count = len(wire), len(peers)
        for send in tuple(peers):  # a peer that blocks itself is taken out meanwhile
            try:
                taken = send(wire)
            except OSError:  # full or lost: the transport finds out which
                taken = 0
            if taken != whole:
                peers[send].send_rest(wire, taken)
        self._counters.sent[name] += count
        self._counters.sent_bytes[name] += whole * count


def _with_stamp(payload: bytes, stamp: bytes) -> bytes:
    """The payload, an object, with further members at its end."""
    return payload[:-1] + (b"" if payload == b"{}" else b",") + stamp + b"}"


def _rounded(states: int) -> int:
    """Above 99 two digits, rounded down, so that few frames tell how many were skipped."""
    digits = len(str(states)) - 2
    return states if digits <= 0 else states // 10**digits * 10**digits
