"""Thousands of viewers in one process, each with a behaviour of its own, that connect and leave for hours.

Cheap enough to leave the machine to the gateway: one loop over epoll, big pieces, and a frame that many viewers get is
decoded once; a viewer that asks for a shape inflates and reads each frame for itself. `python -m soak.viewers PLAN`
prints a tally as a line of JSON each second and after each command. Commands are lines: "leave" (all go, nobody comes
back; it ends when they are gone), "reset N" (N viewers cut their line), "silent N" (N sockets connect, say nothing and
leave), "losing" (from now on a gateway has reason to lose healthy viewers), "lost" (it has none any more).
"""

import heapq
import itertools
import os
import random
import select
import socket
import struct
import sys
import time
import zlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import msgspec

from benchmarks.load import FLUSH_TAIL, FrameReader
from benchmarks.processes import allow_many_sockets
from soak.hostile_viewers import (
    BOMBS,
    HOST,
    PONG,
    PROTOCOL_ERROR_CODES,
    UNFINISHED,
    client_frame,
    close_frame,
    upgrade_request,
)
from soak.past import Past
from soak.shapes import NOTHING, SHAPES, Counts, Follower, Shown

PIECE_BYTES: Final = 1 << 18
MOST_EVENTS: Final = 1024
TALLY_EVERY_S: Final = 1.0
FILL_EVERY_S: Final = 0.5
CONNECT_LIMIT_S: Final = 10.0
LONGEST_PAUSE_S: Final = 3.0
LOST_LATER_S: Final = 5.0  # until the end of a connection may be read that was lost before
BEHIND_MS: Final = 2000  # of Core's time: a viewer that asks for two frames a second is always a little behind
SHAPED: Final = 0.1  # share of the steady viewers, for each shape
WINDOW_BYTES: Final = 1 << zlib.MAX_WBITS
REMEMBERED: Final = 64  # decoded frames
DEFLATING: Final = 0.95  # share of viewers that ask for permessage-deflate, as all browsers do
SMALL_BUFFER_BYTES: Final = 4096
SMALL_SEGMENT_BYTES: Final = 1460  # loopback's 64 KB segments would hide that nobody reads
SIP_BYTES: Final = 2048
SIP_EVERY_S: Final = 0.1
FLOOD_EVERY_S: Final = 0.02
FOR_EVER: Final = (1e9, 1e9)
ABRUPT: Final = struct.pack("ii", 1, 0)  # SO_LINGER: a close is a reset
GOING: Final = ("close", "end", "reset")

FLOODS: Final = {
    "2,000 pings": 2000 * client_frame(0x89, b"x" * 20),
    "2,000 empty fragments": client_frame(0x01) + 2000 * client_frame(0x00),
    "2,000 messages": 2000 * client_frame(0x81, b"hello"),
}
HALF: Final = {
    "half a frame": client_frame(0x81, b"x", announced=100),
    "a message never ended": client_frame(0x01, b"begun"),
    "the end of its half": b"",  # and the write side is shut
}
ATTACKS: Final = {
    **{name: wire for name, (wire, _) in PROTOCOL_ERROR_CODES.items()},
    **BOMBS,
    **FLOODS,
    **HALF,
}


class Behaviour(NamedTuple):
    """How a viewer behaves.

    Attributes:
        share: of all viewers.
        stays_s: from and to how long a connection lasts, if the gateway lets it.
        reads: "all", "in sips", "at times" or "nothing".
        healthy: whether the gateway has no reason to end its connection.
    """

    name: str
    share: float
    stays_s: tuple[float, float]
    reads: str = "all"
    healthy: bool = False


STEADY: Final = Behaviour("steady", 0.60, FOR_EVER, healthy=True)
VISITING: Final = Behaviour("visiting", 0.18, (2.0, 90.0), healthy=True)
PAUSING: Final = Behaviour("pausing", 0.06, (60.0, 300.0), reads="at times")
SIPPING: Final = Behaviour("sipping", 0.03, (60.0, 300.0), reads="in sips")
DEAF: Final = Behaviour("deaf", 0.03, (5.0, 120.0), reads="nothing")
HOSTILE: Final = Behaviour("hostile", 0.06, (1.0, 20.0))
UNFINISHED_ONES: Final = Behaviour("unfinished", 0.04, (0.5, 20.0))
BEHAVIOURS: Final = (STEADY, VISITING, PAUSING, SIPPING, DEAF, HOSTILE, UNFINISHED_ONES)


class Plan(msgspec.Struct):
    """What to do.

    Attributes:
        ports: of the gateways; each connection takes one of them by chance.
        arrivals_hz: how many viewers come a second until all are there.
    """

    ports: list[int]
    viewers: int
    arrivals_hz: float
    seed: int


class Tally(msgspec.Struct):
    """What the viewers have seen since the start, or see now.

    Attributes:
        connected: viewers by behaviour, now.
        healthy_behind: healthy viewers connected now whose newest frame is not the newest that any viewer has.
        opened: connections that became a stream.
        frames: received whole.
        newest: the number of the newest flow message that any viewer has.
        endings: of connections, by behaviour and cause.
        refusals: by HTTP status.
        out_of_order: sentences about frames that were older than the one before.
        broken: sentences about healthy viewers that the gateway let go, and frames that are none.
        astray: sentences about frames that are not of the shape that was asked for, and about events that are missing.
        shapes: what viewers of each shape have had, by its query.
        orders: how many have been obeyed.
    """

    connected: dict[str, int]
    healthy_behind: int
    opened: int
    frames: int
    newest: int
    endings: dict[str, dict[str, int]]
    refusals: dict[str, int]
    out_of_order: list[str]
    broken: list[str]
    astray: list[str] = []
    shapes: dict[str, Counts] = {}
    orders: int = 0


class Decoded(NamedTuple):
    """A frame, inflated, and the numbers in it."""

    text: bytes
    shown: Shown


class Frames:
    """Decodes each frame once, however many viewers with the same window get it: whole, as strict JSON."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[bytes, bytes], Decoded] = OrderedDict()

    def decoded(self, message: bytes, *, deflated: bool, window: bytes = b"") -> Decoded:
        """
        Args:
            message: as it arrived.
            deflated: whether it is compressed.
            window: what the viewer's inflater holds: the frame before, where the server takes its context over.

        Raises:
            ValueError: it is no strict JSON object of the payload's form.
        """
        known = self._known.get((message, window))
        if known is None:
            known = self._known[message, window] = _decoded(inflated(message, window) if deflated else message)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return known


class _Levels(msgspec.Struct):
    ts: int


class _Flow(msgspec.Struct):
    n: int


class _Payload(msgspec.Struct):
    levels: _Levels | None = None
    flow: _Flow | None = None


def _decoded(text: bytes) -> Decoded:
    text.decode()  # a decoder does not check for UTF-8 what it skips
    payload = msgspec.json.decode(text, type=_Payload)
    return Decoded(text, Shown(payload.levels.ts if payload.levels else 0, payload.flow.n if payload.flow else 0))


def inflated(message: bytes, window: bytes = b"") -> bytes:
    """A message of permessage-deflate (RFC 7692 §7.2.2).

    The window is the frame before, alone: the gateway's frames refer to nothing older.
    """
    inflate = zlib.decompressobj(-zlib.MAX_WBITS, zdict=window[-WINDOW_BYTES:])
    return inflate.decompress(message + FLUSH_TAIL)


class Role(NamedTuple):
    """What a viewer is, from connection to connection.

    Attributes:
        follower: of a viewer that asks for a shape.
    """

    behaviour: Behaviour
    follower: Follower | None = None


class Message(NamedTuple):
    """What is in a frame, as it arrived."""

    body: bytes
    deflated: bool


class Viewer:
    """One connection, from its first byte to its end."""

    def __init__(self, role: Role, plan: Plan, chance: random.Random) -> None:
        """
        Raises:
            OSError: there is no connection.
        """
        self.role = role
        self.behaviour = role.behaviour
        self.open = False
        self.shown = NOTHING
        self.attack = ""
        self.unsent = b""
        self.deflating = False
        self.takes_over = False
        self.window = b""
        self._answer = b""
        self._inflater: zlib._Decompress | None = None
        self._frames = FrameReader(sys.maxsize)
        self._port = chance.choice(plan.ports)
        self.socket = socket.socket()
        self.socket.settimeout(CONNECT_LIMIT_S)
        if role.behaviour.reads != "all":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENT_BYTES)
        try:
            self.socket.connect((HOST, self._port))
            self.socket.send(self._first_bytes(chance))
        except OSError:
            self.socket.close()
            raise
        self.socket.setblocking(False)

    def _first_bytes(self, chance: random.Random) -> bytes:
        if self.behaviour is UNFINISHED_ONES:
            self.attack = chance.choice(tuple(UNFINISHED))
            return UNFINISHED[self.attack]
        if self.behaviour is HOSTILE:
            self.attack = chance.choice(tuple(ATTACKS))
        if self.role.follower is not None:
            return upgrade_request(self._port, deflate=True, query=self.role.follower.begin(time.monotonic()))
        deflate = self.attack in BOMBS or chance.random() < DEFLATING
        return upgrade_request(self._port, deflate=deflate)

    @property
    def refusal(self) -> int | None:
        """The HTTP status, where the answer to the handshake is not 101."""
        status = self._answer[9:12]
        return int(status) if not self.open and status.isdigit() else None

    @property
    def close_code(self) -> int | None:
        """The close code that the gateway sent."""
        body = self._frames.close_body
        return None if body is None else int.from_bytes(body[:2])

    def take(self, piece: memoryview) -> list[Message]:
        """The messages that end in what was received; answers pings."""
        if not self.open:
            head, ended, _ = (self._answer + bytes(piece)).partition(b"\r\n\r\n")
            rest = piece[len(head) + 4 - len(self._answer) :]
            self._answer = head[:4096]
            if not ended or not head.startswith(b"HTTP/1.1 101"):
                return []
            self.open, self.deflating = True, b"permessage-deflate" in head
            self.takes_over = self.deflating and b"server_no_context_takeover" not in head
            piece = rest
        bodies = self._frames.ended_in(piece)
        messages = list(map(Message, bodies, self._frames.compressed))
        for body in self._frames.pings:
            self.send(client_frame(PONG, body))
        self._frames.pings.clear()
        return messages

    def inflated(self, message: Message) -> bytes:
        """By an inflater of its own, as a browser does it.

        Raises:
            zlib.error: it cannot be inflated.
        """
        if not message.deflated:
            return message.body
        if self._inflater is None or not self.takes_over:
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._inflater.decompress(message.body + FLUSH_TAIL)

    def send(self, wire: bytes) -> None:
        """All of it, now or with the next `send`."""
        wire = self.unsent + wire
        try:
            self.unsent = wire[self.socket.send(wire) :] if wire else b""
        except BlockingIOError:
            self.unsent = wire
        except OSError:
            self.unsent = b""  # what the end is shows when it is read

    def go(self, how: str) -> None:
        """Leave: with a close frame, by closing the connection, or by cutting it."""
        if how == "close" and self.open:
            self.send(close_frame(1000))
        elif how == "reset":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPT)
        self.socket.close()


class Viewers:
    """All viewers, and what they have seen."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._chance = random.Random(plan.seed)
        self._frames = Frames()
        self._epoll = select.epoll()
        self._space = memoryview(bytearray(PIECE_BYTES))
        self._viewers: dict[int, Viewer] = {}
        self._silent: set[socket.socket] = set()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._ticket = itertools.count()
        self._leaving = False
        self._unread = b""  # of an order
        self._losing = 0  # how many gateways have reason to
        self._newest_ts = 0
        self._asking: set[Follower] = set()
        self._past = Past(plan.ports, plan.seed)
        self._counts = {shape.query: Counts() for shape in SHAPES}
        self._tally = Tally({}, 0, 0, 0, 0, {}, {}, [], [])
        self._endings: dict[str, Counter[str]] = {behaviour.name: Counter() for behaviour in BEHAVIOURS}
        self._refusals: Counter[int] = Counter()

    def run(self) -> None:
        """Until "leave"."""
        self._epoll.register(sys.stdin, select.EPOLLIN)
        for index, role in enumerate(self._roles()):
            self._after(index / self._plan.arrivals_hz, lambda role=role: self._arrive(role))  # type: ignore[misc]
        self._report()
        self._fill_gaps()
        while not (self._leaving and not self._viewers and not self._silent):
            self._pump(self._until_next_timer())
        self._print()

    # -- coming and going ------------------------------------------------------------------------------------------

    def _roles(self) -> Iterator[Role]:
        """For each viewer, in an order of chance; every tenth steady one has each of the shapes."""
        steady = 0
        for behaviour in _behaviours(self._plan.viewers, self._chance):
            if behaviour is not STEADY:
                yield Role(behaviour)
                continue
            place = steady % round(1 / SHAPED)
            shape = SHAPES[place] if place < len(SHAPES) else None
            yield Role(behaviour, None if shape is None else Follower(shape, self._counts[shape.query]))
            steady += 1

    def _arrive(self, role: Role) -> None:
        if self._leaving:
            return
        try:
            viewer = Viewer(role, self._plan, self._chance)
        except OSError as error:
            self._endings[role.behaviour.name][f"no connection: {error.strerror or error}"] += 1
            self._come_back(role)
            return
        self._viewers[viewer.socket.fileno()] = viewer
        self._epoll.register(viewer.socket, select.EPOLLIN)
        stays_s = self._chance.uniform(*role.behaviour.stays_s)
        self._after(stays_s, lambda: self._go(viewer, self._chance.choice(GOING)))

    def _opened(self, viewer: Viewer) -> None:
        self._tally.opened += 1
        match viewer.behaviour.reads:
            case "nothing":
                self._epoll.unregister(viewer.socket)
            case "in sips":
                self._epoll.unregister(viewer.socket)
                self._after(SIP_EVERY_S, lambda: self._sip(viewer))
            case "at times":
                self._after(self._chance.uniform(1, 20), lambda: self._pause(viewer))
        if viewer.attack:
            self._after(self._chance.uniform(0, 2), lambda: self._misbehave(viewer))

    def _go(self, viewer: Viewer, how: str) -> None:
        if self._is_here(viewer):
            self._forget(viewer, f"left by {how}")
            viewer.go(how)

    def _ended(self, viewer: Viewer, cause: str) -> None:
        """The gateway, or the line, ended it."""
        if viewer.refusal is not None and viewer.behaviour is not UNFINISHED_ONES:
            self._refusals[viewer.refusal] += 1
        elif viewer.close_code is not None:
            cause = str(viewer.close_code)
        if viewer.behaviour.healthy and not self._leaving and not self._losing:
            self._broken(f"{_clock()} a {viewer.behaviour.name} viewer was let go: {viewer.refusal or cause}")
        self._forget(viewer, cause)
        viewer.socket.close()

    def _forget(self, viewer: Viewer, cause: str) -> None:
        named = f"{viewer.attack}: {cause}" if viewer.attack else cause
        self._endings[viewer.behaviour.name][named] += 1
        del self._viewers[viewer.socket.fileno()]  # closing takes it out of epoll
        self._come_back(viewer.role)

    def _come_back(self, role: Role) -> None:
        self._after(self._chance.uniform(0, LONGEST_PAUSE_S), lambda: self._arrive(role))

    def _is_here(self, viewer: Viewer) -> bool:
        return self._viewers.get(viewer.socket.fileno()) is viewer

    # -- what viewers do besides reading ---------------------------------------------------------------------------

    def _pause(self, viewer: Viewer) -> None:
        if self._is_here(viewer):
            self._epoll.unregister(viewer.socket)
            self._after(self._chance.uniform(1, 20), lambda: self._go_on(viewer))

    def _go_on(self, viewer: Viewer) -> None:
        if self._is_here(viewer):
            self._epoll.register(viewer.socket, select.EPOLLIN)
            self._after(self._chance.uniform(1, 20), lambda: self._pause(viewer))

    def _sip(self, viewer: Viewer) -> None:
        if self._is_here(viewer):
            self._read(viewer, SIP_BYTES)
            self._after(SIP_EVERY_S, lambda: self._sip(viewer))

    def _misbehave(self, viewer: Viewer) -> None:
        if self._is_here(viewer):
            viewer.send(ATTACKS[viewer.attack])
            if viewer.attack == "the end of its half":
                viewer.socket.shutdown(socket.SHUT_WR)
            self._go_on_sending(viewer)

    def _go_on_sending(self, viewer: Viewer) -> None:
        if self._is_here(viewer) and viewer.unsent:
            viewer.send(b"")
            self._after(FLOOD_EVERY_S, lambda: self._go_on_sending(viewer))

    # -- the loop --------------------------------------------------------------------------------------------------

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._ticket), action))

    def _until_next_timer(self) -> float:
        """Run what is due; the seconds until the next timer."""
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()
        return max(self._timers[0][0] - time.monotonic(), 0) if self._timers else TALLY_EVERY_S

    def _pump(self, limit_s: float) -> None:
        for descriptor, _ in self._epoll.poll(limit_s, MOST_EVENTS):
            if descriptor == sys.stdin.fileno():
                self._read_orders()
            elif viewer := self._viewers.get(descriptor):
                self._read(viewer, PIECE_BYTES)

    def _read_orders(self) -> None:
        """Several may have come at once, and a buffered reader would keep all but the first from epoll."""
        piece = os.read(sys.stdin.fileno(), PIECE_BYTES)
        *orders, self._unread = (self._unread + piece).split(b"\n")
        for order in orders if piece else [b"leave"]:
            self._obey(order.decode().split())
            self._tally.orders += 1
        self._print()

    def _read(self, viewer: Viewer, most_bytes: int) -> None:
        try:
            received = viewer.socket.recv_into(self._space, most_bytes)
        except BlockingIOError:
            return
        except OSError as error:
            self._ended(viewer, error.strerror or str(error))
            return
        if not received:
            self._ended(viewer, "end")
            return
        was_open = viewer.open
        for message in viewer.take(self._space[:received]):
            self._look_at(viewer, message)
        if viewer.open and not was_open:
            self._opened(viewer)

    def _look_at(self, viewer: Viewer, message: Message) -> None:
        self._tally.frames += 1
        try:
            if viewer.role.follower is None:
                self._look_at_whole(viewer, message)
            else:
                self._look_at_shape(viewer, viewer.role.follower, message)
        except (ValueError, zlib.error) as error:
            of = "" if viewer.role.follower is None else f" for {viewer.role.follower.shape.query}"
            self._broken(f"{_clock()} a frame of {len(message.body)} bytes{of} is none: {error}")

    def _look_at_whole(self, viewer: Viewer, message: Message) -> None:
        decoded = self._frames.decoded(message.body, deflated=message.deflated, window=viewer.window)
        shown = decoded.shown
        if viewer.takes_over and message.deflated:
            viewer.window = decoded.text
        if shown.levels < viewer.shown.levels or shown.flow < viewer.shown.flow:
            self._tally.out_of_order = _with(self._tally.out_of_order, f"{_clock()} {shown} after {viewer.shown}")
        self._note(viewer, shown)

    def _look_at_shape(self, viewer: Viewer, follower: Follower, message: Message) -> None:
        shown, wrong = follower.take(viewer.inflated(message), time.monotonic())
        self._astray(follower, wrong)
        self._note(viewer, shown)
        if follower.gap is not None and follower not in self._asking:
            self._asking.add(follower)
            self._past.ask(follower, follower.gap)

    def _fill_gaps(self) -> None:
        for follower, gap, answer in self._past.answers():
            self._astray(follower, follower.fill(gap, answer))
            self._asking.discard(follower)
        self._after(FILL_EVERY_S, self._fill_gaps)

    def _astray(self, follower: Follower, sentences: list[str]) -> None:
        for sentence in sentences:
            self._tally.astray = _with(self._tally.astray, f"{_clock()} {follower.shape.query}: {sentence}")

    def _note(self, viewer: Viewer, shown: Shown) -> None:
        viewer.shown = shown
        self._tally.newest = max(self._tally.newest, shown.flow)
        self._newest_ts = max(self._newest_ts, shown.levels)

    # -- orders and reports ----------------------------------------------------------------------------------------

    def _obey(self, order: list[str]) -> None:
        match order:
            case ["reset", number]:
                for viewer in self._some(int(number)):
                    self._go(viewer, "reset")
            case ["silent", number]:
                self._come_silently(int(number))
            case ["losing"]:
                self._losing += 1
            case ["lost"]:
                self._after(LOST_LATER_S, self._lose_no_more)
            case _:  # "leave", also where the one who gives orders has ended
                self._leaving = True
                self._epoll.unregister(sys.stdin)
                for viewer in tuple(self._viewers.values()):
                    self._go(viewer, self._chance.choice(GOING))

    def _lose_no_more(self) -> None:
        self._losing -= 1

    def _some(self, number: int) -> list[Viewer]:
        here = list(self._viewers.values())
        return self._chance.sample(here, min(number, len(here)))

    def _come_silently(self, number: int) -> None:
        for _ in range(number):
            one = socket.socket()
            try:
                one.settimeout(CONNECT_LIMIT_S)
                one.connect((HOST, self._chance.choice(self._plan.ports)))
            except OSError:
                one.close()
                continue
            self._silent.add(one)
            self._after(self._chance.uniform(0.5, 5), lambda one=one: self._leave_silently(one))  # type: ignore[misc]

    def _leave_silently(self, one: socket.socket) -> None:
        self._silent.discard(one)
        one.close()

    def _broken(self, sentence: str) -> None:
        self._tally.broken = _with(self._tally.broken, sentence)

    def _print(self) -> None:
        print(msgspec.json.encode(self._now()).decode(), flush=True)

    def _report(self) -> None:
        self._print()
        self._after(TALLY_EVERY_S, self._report)

    def _now(self) -> Tally:
        here = [viewer for viewer in self._viewers.values() if viewer.open]
        tally = self._tally
        tally.connected = dict(Counter(viewer.behaviour.name for viewer in here))
        tally.healthy_behind = sum(one.behaviour.healthy and self._is_behind(one) for one in here)
        tally.endings = {name: dict(causes) for name, causes in self._endings.items()}
        tally.refusals = {str(status): count for status, count in self._refusals.items()}
        tally.shapes = self._counts
        return tally

    def _is_behind(self, viewer: Viewer) -> bool:
        follower = viewer.role.follower
        if follower is not None and follower.shape.rate is not None:
            return viewer.shown.levels < self._newest_ts - BEHIND_MS
        return viewer.shown.flow < self._tally.newest


def _behaviours(viewers: int, chance: random.Random) -> Iterator[Behaviour]:
    """One for each viewer, in their shares and in an order of chance."""
    counts = {
        behaviour: max(1, round(behaviour.share * viewers)) for behaviour in BEHAVIOURS if behaviour is not STEADY
    }
    counts[STEADY] = viewers - sum(counts.values())
    behaviours = [behaviour for behaviour, count in counts.items() for _ in range(count)]
    chance.shuffle(behaviours)
    yield from behaviours


MOST_SENTENCES: Final = 20


def _with(sentences: list[str], sentence: str) -> list[str]:
    """The first few are enough to look into; more would fill the report."""
    return sentences if len(sentences) >= MOST_SENTENCES else [*sentences, sentence]


def _clock() -> str:
    return time.strftime("%H:%M:%S", time.gmtime())


def main() -> None:
    allow_many_sockets()
    Viewers(msgspec.json.decode(sys.argv[1], type=Plan)).run()


if __name__ == "__main__":
    main()
