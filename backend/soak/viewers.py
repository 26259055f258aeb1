"""Thousands of viewers in one process, each with a behaviour of its own, that connect and leave for hours.

Cheap enough to leave the machine to the gateway: one loop over epoll, big pieces, and a frame that many viewers get is
decoded once. `python -m soak.viewers PLAN` prints a tally as a line of JSON each second and takes commands, one a line:
"leave" (all go, nobody comes back; it ends when they are gone), "reset N" (N viewers cut their line), "silent N" (N
sockets connect, say nothing and leave).
"""

import heapq
import itertools
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

from benchmarks.load import FrameReader
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

PIECE_BYTES: Final = 1 << 18
MOST_EVENTS: Final = 1024
TALLY_EVERY_S: Final = 1.0
CONNECT_LIMIT_S: Final = 10.0
LONGEST_PAUSE_S: Final = 3.0
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
    """What to do; `arrivals_hz`: how many viewers come a second until all are there."""

    port: int
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


class Shown(NamedTuple):
    """The numbers in a frame: of levels its `ts`, of flow its `n`; 0 where it has none."""

    levels: int
    flow: int


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
    return inflate.decompress(message + b"\x00\x00\xff\xff")


class Viewer:
    """One connection, from its first byte to its end."""

    def __init__(self, behaviour: Behaviour, plan: Plan, chance: random.Random, *, number: int) -> None:
        """
        Raises:
            OSError: there is no connection.
        """
        self.behaviour = behaviour
        self.number = number
        self.open = False
        self.shown = Shown(0, 0)
        self.attack = ""
        self.unsent = b""
        self.deflating = False
        self.takes_over = False
        self.window = b""
        self._answer = b""
        self._frames = FrameReader(sys.maxsize)
        self.socket = socket.socket()
        self.socket.settimeout(CONNECT_LIMIT_S)
        if behaviour.reads != "all":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENT_BYTES)
        try:
            self.socket.connect((HOST, plan.port))
            self.socket.send(self._first_bytes(plan, chance))
        except OSError:
            self.socket.close()
            raise
        self.socket.setblocking(False)

    def _first_bytes(self, plan: Plan, chance: random.Random) -> bytes:
        if self.behaviour is UNFINISHED_ONES:
            self.attack = chance.choice(tuple(UNFINISHED))
            return UNFINISHED[self.attack]
        if self.behaviour is HOSTILE:
            self.attack = chance.choice(tuple(ATTACKS))
        deflate = self.attack in BOMBS or chance.random() < DEFLATING
        return upgrade_request(plan.port, deflate=deflate)

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

    def take(self, piece: memoryview) -> list[bytes]:
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
        messages = self._frames.ended_in(piece)
        for body in self._frames.pings:
            self.send(client_frame(PONG, body))
        self._frames.pings.clear()
        return messages

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
        self._tally = Tally({}, 0, 0, 0, 0, {}, {}, [], [])
        self._endings: dict[str, Counter[str]] = {behaviour.name: Counter() for behaviour in BEHAVIOURS}
        self._refusals: Counter[int] = Counter()

    def run(self) -> None:
        """Until "leave"."""
        self._epoll.register(sys.stdin, select.EPOLLIN)
        for index, behaviour in enumerate(_behaviours(self._plan.viewers, self._chance)):
            self._after(index / self._plan.arrivals_hz, lambda behaviour=behaviour: self._arrive(behaviour))  # type: ignore[misc]
        self._report()
        while not (self._leaving and not self._viewers and not self._silent):
            self._pump(self._until_next_timer())
        print(msgspec.json.encode(self._now()).decode(), flush=True)

    # -- coming and going ------------------------------------------------------------------------------------------

    def _arrive(self, behaviour: Behaviour) -> None:
        if self._leaving:
            return
        number = next(self._ticket)
        try:
            viewer = Viewer(behaviour, self._plan, self._chance, number=number)
        except OSError as error:
            self._endings[behaviour.name][f"no connection: {error.strerror or error}"] += 1
            self._come_back(behaviour)
            return
        self._viewers[viewer.socket.fileno()] = viewer
        self._epoll.register(viewer.socket, select.EPOLLIN)
        self._after(self._chance.uniform(*behaviour.stays_s), lambda: self._go(viewer, self._chance.choice(GOING)))

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
        if viewer.behaviour.healthy and not self._leaving:
            self._broken(f"{_clock()} a {viewer.behaviour.name} viewer was let go: {viewer.refusal or cause}")
        self._forget(viewer, cause)
        viewer.socket.close()

    def _forget(self, viewer: Viewer, cause: str) -> None:
        named = f"{viewer.attack}: {cause}" if viewer.attack else cause
        self._endings[viewer.behaviour.name][named] += 1
        del self._viewers[viewer.socket.fileno()]  # closing takes it out of epoll
        self._come_back(viewer.behaviour)

    def _come_back(self, behaviour: Behaviour) -> None:
        self._after(self._chance.uniform(0, LONGEST_PAUSE_S), lambda: self._arrive(behaviour))

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
                self._obey(sys.stdin.readline().split())
            elif viewer := self._viewers.get(descriptor):
                self._read(viewer, PIECE_BYTES)

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

    def _look_at(self, viewer: Viewer, message: bytes) -> None:
        self._tally.frames += 1
        try:
            decoded = self._frames.decoded(message, deflated=viewer.deflating, window=viewer.window)
            shown, viewer.window = decoded.shown, decoded.text if viewer.takes_over else b""
        except (ValueError, zlib.error) as error:
            self._broken(f"{_clock()} a frame of {len(message)} bytes is none: {error}")
            return
        if shown.levels < viewer.shown.levels or shown.flow < viewer.shown.flow:
            self._tally.out_of_order = _with(self._tally.out_of_order, f"{_clock()} {shown} after {viewer.shown}")
        viewer.shown = shown
        self._tally.newest = max(self._tally.newest, shown.flow)

    # -- orders and reports ----------------------------------------------------------------------------------------

    def _obey(self, order: list[str]) -> None:
        match order:
            case ["reset", number]:
                for viewer in self._some(int(number)):
                    self._go(viewer, "reset")
            case ["silent", number]:
                self._come_silently(int(number))
            case _:  # "leave", and the end of who gives orders
                self._leaving = True
                self._epoll.unregister(sys.stdin)
                for viewer in tuple(self._viewers.values()):
                    self._go(viewer, self._chance.choice(GOING))

    def _some(self, number: int) -> list[Viewer]:
        here = list(self._viewers.values())
        return self._chance.sample(here, min(number, len(here)))

    def _come_silently(self, number: int) -> None:
        for _ in range(number):
            one = socket.socket()
            try:
                one.settimeout(CONNECT_LIMIT_S)
                one.connect((HOST, self._plan.port))
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

    def _report(self) -> None:
        print(msgspec.json.encode(self._now()).decode(), flush=True)
        self._after(TALLY_EVERY_S, self._report)

    def _now(self) -> Tally:
        here = [viewer for viewer in self._viewers.values() if viewer.open]
        tally = self._tally
        tally.connected = dict(Counter(viewer.behaviour.name for viewer in here))
        tally.healthy_behind = sum(one.behaviour.healthy and one.shown.flow < tally.newest for one in here)
        tally.endings = {name: dict(causes) for name, causes in self._endings.items()}
        tally.refusals = {str(status): count for status, count in self._refusals.items()}
        return tally


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
