"""The load client: many viewers in one process, light enough not to be what is measured.

It reads big pieces off its sockets and looks at nothing but the frames' headers and the stamp at the start of a
payload. Under permessage-deflate only a sample of viewers inflates, and only those tell how long frames took.

`python -m benchmarks.load PLAN` prints "connected" when every viewer is, waits for a line, and then measures. PLAN and
the result are JSON.
"""

import contextlib
import math
import resource
import select
import socket
import struct
import sys
import time
import zlib
from typing import Final

import msgspec

from benchmarks.processes import cpu_s, resident_bytes, waited_s
from benchmarks.stamps import SEARCHED_BYTES, stamp_in

HOST: Final = "127.0.0.1"
PATH: Final = "/ws/stream"
PIECE_BYTES: Final = 1 << 18
MOST_EVENTS: Final = 1024
AT_ONCE: Final = 128  # handshakes under way
CONNECT_LIMIT_S: Final = 60.0
INFLATING: Final = 50  # viewers
BEFORE_TICK_S: Final = 0.02  # the measured window begins and ends this long before a publisher's tick
CONTROL: Final = 0x08  # the bit of control opcodes, RFC 6455 §5.2
RSV1: Final = 0x40  # of a compressed message, RFC 7692 §6
CLOSE: Final = 0x08
PING: Final = 0x09
LONGEST_CONTROL: Final = 125  # bytes of its payload, RFC 6455 §5.5
LONGEST_HEADER: Final = 10  # of a frame without a mask
LENGTH_SIZES: Final = {126: 4, 127: 10}  # of the header, by its 7-bit length
FLUSH_TAIL: Final = b"\x00\x00\xff\xff"  # RFC 7692 §7.2.2
SLOW_RECEIVE_BYTES: Final = 4096
SLOW_SEGMENT_BYTES: Final = 1460  # loopback's 64 KB segments would hide that nobody reads


class Plan(msgspec.Struct):
    """What to do. Of `viewers`, evenly spread, `never_reading` do the handshake and then nothing."""

    port: int
    server_pid: int
    viewers: int
    never_reading: int
    deflate: bool
    tick_s: float
    warm_up_s: float
    window_s: float


class Measured(msgspec.Struct):
    """What came of it, within the window; of viewers that read.

    Attributes:
        frames: whole messages received.
        wire_bytes: bytes received.
        server_cpu_s: that the server used.
        server_waited_s: that the server could have run, and something else had its core.
        server_grown_bytes: by which the server's memory grew.
        load_cpu_s: that this client used.
        latencies_ms: publish to last byte, ascending.
        deflating: viewers for which permessage-deflate was negotiated.
        lost: viewers whose connection ended.
    """

    frames: int
    wire_bytes: int
    seconds: float
    server_cpu_s: float
    server_waited_s: float
    server_grown_bytes: int
    load_cpu_s: float
    latencies_ms: list[float]
    deflating: int
    lost: int


class FrameReader:
    """Finds the messages of one viewer; keeps of each its start, `kept_bytes` long, and the body of its close frame.

    Attributes:
        compressed: of each message that `ended_in` found last, whether it is.
    """

    __slots__ = ("_header", "_kept_bytes", "_left", "_opcode", "_start", "close_body", "compressed", "pings")

    def __init__(self, kept_bytes: int) -> None:
        self.compressed: list[bool] = []
        self.close_body: bytes | None = None
        self.pings: list[bytes] = []
        self._kept_bytes = kept_bytes
        self._header = b""
        self._opcode = 0
        self._left = 0
        self._start = b""

    def ended_in(self, piece: memoryview) -> list[bytes]:
        """The start of each message that ends in `piece`, the next that was received."""
        ended: list[bytes] = []
        self.compressed = []
        at, end = 0, len(piece)
        while at < end:
            if not self._left:
                at = self._read_header(piece, at)
                if self._left or self._header:
                    continue
            step = min(self._left, end - at)
            room = (LONGEST_CONTROL if self._opcode & CONTROL else self._kept_bytes) - len(self._start)
            if room > 0:
                self._start += piece[at : at + min(step, room)]
            at += step
            self._left -= step
            if not self._left:
                self._end(ended)
        return ended

    def pongs(self) -> list[bytes]:
        """The answers to the pings that came since the last call, masked with zeros."""
        pongs = [bytes((0x8A, 0x80 | len(body), 0, 0, 0, 0)) + body for body in self.pings]
        self.pings.clear()
        return pongs

    def _read_header(self, piece: memoryview, at: int) -> int:
        """Where the payload begins, or the end of the piece when that holds only a part of the header."""
        known = len(self._header)
        header = self._header + bytes(piece[at : at + LONGEST_HEADER - known])
        size = LENGTH_SIZES.get(header[1], 2) if len(header) > 1 else 2
        if len(header) < size:
            self._header = header
            return len(piece)
        self._header = b""
        self._opcode = header[0] & (RSV1 | 0x0F)
        self._left = header[1] if size == 2 else int.from_bytes(header[2:size])
        self._start = b""
        return at + size - known

    def _end(self, ended: list[bytes]) -> None:
        if self._opcode == PING:
            self.pings.append(self._start)
        elif self._opcode == CLOSE:
            self.close_body = self._start
        elif not self._opcode & CONTROL:
            ended.append(self._start)
            self.compressed.append(bool(self._opcode & RSV1))


class Viewer:
    """One connection, from its handshake on."""

    def __init__(self, plan: Plan, *, reads: bool, sampled: bool) -> None:
        self.reads = reads
        self.connected = False
        self.deflating = False
        self._sampled = sampled
        self._inflate: zlib._Decompress | None = None
        self._takes_over = False
        self._seen_ns = 0
        self._answer = b""
        self._frames = FrameReader(0)
        self.socket = socket.socket()
        if not reads:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_RECEIVE_BYTES)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SLOW_SEGMENT_BYTES)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leave no TIME_WAIT
        self.socket.connect((HOST, plan.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.send(_request(plan))
        self.socket.setblocking(False)

    def take_answer(self, piece: memoryview) -> memoryview | None:
        """Read the server's half of the handshake; returns what follows it, None while it is not complete.

        Raises:
            RuntimeError: the server refuses.
        """
        before = len(self._answer)
        self._answer += bytes(piece[:4096])
        head, ended, _ = self._answer.partition(b"\r\n\r\n")
        if not ended:
            return None
        if not head.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"the server answered {head[:80]!r}")
        self.connected = True
        self.deflating = b"permessage-deflate" in head
        self._takes_over = b"server_no_context_takeover" not in head
        self._frames = FrameReader(self._kept_bytes())
        return piece[len(head) + 4 - before :]

    def take(self, piece: memoryview) -> list[bytes]:
        """The start of each message that ends in what was received; all of it where it will be inflated."""
        ended = self._frames.ended_in(piece)
        if self._frames.pings:
            self._answer_pings()
        return ended

    def latency_ms(self, start: bytes, now_ns: int) -> float | None:
        """Of a message by its start; None when it has no stamp of its own, or is not looked at."""
        if self.deflating:
            start = self._inflated(start) if self._sampled else b""
        published_ns = stamp_in(start)
        if published_ns is None or published_ns <= self._seen_ns:
            return None
        self._seen_ns = published_ns
        return (now_ns - published_ns) / 1e6

    def _kept_bytes(self) -> int:
        if not self.deflating:
            return SEARCHED_BYTES
        return sys.maxsize if self._sampled else 0

    def _inflated(self, message: bytes) -> bytes:
        if self._inflate is None or not self._takes_over:
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._inflate.decompress(message + FLUSH_TAIL)[:SEARCHED_BYTES]

    def _answer_pings(self) -> None:
        for pong in self._frames.pongs():
            with contextlib.suppress(OSError):
                self.socket.send(pong)


class Load:
    """All viewers of a run."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._viewers: dict[int, Viewer] = {}
        self._epoll = select.epoll()
        self._space = memoryview(bytearray(PIECE_BYTES))
        self._waiting = 0
        self._measuring = False
        self._frames = self._wire_bytes = self._lost = 0
        self._latencies_ms: list[float] = []

    def connect(self) -> None:
        """Do every handshake.

        Raises:
            RuntimeError: the server refuses one, or they take too long.
        """
        plan = self._plan
        deadline_s = time.monotonic() + CONNECT_LIMIT_S
        never_reading, sampled = _spread(plan.never_reading, plan.viewers), _spread(INFLATING, plan.viewers)
        for index in range(plan.viewers):
            viewer = Viewer(plan, reads=index not in never_reading, sampled=index in sampled)
            self._viewers[viewer.socket.fileno()] = viewer
            self._epoll.register(viewer.socket, select.EPOLLIN)
            self._waiting += 1
            while self._waiting > (AT_ONCE if index + 1 < plan.viewers else 0):
                self._pump(0.1)
                if time.monotonic() > deadline_s:
                    raise RuntimeError(f"{self._waiting} viewers are not served after {CONNECT_LIMIT_S:g} s")

    def measure(self) -> Measured:
        plan = self._plan
        begin_s = _before_a_tick(time.time() + plan.warm_up_s, plan.tick_s)
        self._pump_until(begin_s)
        self._measuring, begun_s = True, time.time()
        server_s, server_waited_s = cpu_s(plan.server_pid), waited_s(plan.server_pid)
        server_bytes, own_s = resident_bytes(plan.server_pid), _own_cpu_s()
        self._pump_until(begin_s + plan.window_s)
        self._measuring, seconds = False, time.time() - begun_s
        return Measured(
            frames=self._frames,
            wire_bytes=self._wire_bytes,
            seconds=seconds,
            server_cpu_s=cpu_s(plan.server_pid) - server_s,
            server_waited_s=waited_s(plan.server_pid) - server_waited_s,
            server_grown_bytes=resident_bytes(plan.server_pid) - server_bytes,
            load_cpu_s=_own_cpu_s() - own_s,
            latencies_ms=sorted(self._latencies_ms),
            deflating=sum(viewer.deflating for viewer in self._viewers.values()),
            lost=self._lost,
        )

    def _pump_until(self, until_s: float) -> None:
        while (left_s := until_s - time.time()) > 0:
            self._pump(left_s)

    def _pump(self, limit_s: float) -> None:
        for descriptor, _ in self._epoll.poll(limit_s, MOST_EVENTS):
            viewer = self._viewers[descriptor]
            try:
                received = viewer.socket.recv_into(self._space)
            except BlockingIOError:
                continue
            except ConnectionError:
                received = 0
            if received:
                self._take(viewer, self._space[:received])
            else:
                self._lost += 1
                self._epoll.unregister(descriptor)

    def _take(self, viewer: Viewer, piece: memoryview) -> None:
        if not viewer.connected:
            rest = viewer.take_answer(piece)
            if rest is None:
                return
            piece = rest
            self._waiting -= 1
            if not viewer.reads:
                self._epoll.unregister(viewer.socket)
                return
        starts, now_ns = viewer.take(piece), time.time_ns()
        if self._measuring:
            self._frames += len(starts)
            self._wire_bytes += len(piece)
        for start in starts:
            latency_ms = viewer.latency_ms(start, now_ns)
            if latency_ms is not None and self._measuring:
                self._latencies_ms.append(latency_ms)


def _request(plan: Plan) -> bytes:
    """As a browser asks."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" if plan.deflate else ""
    return (
        f"GET {PATH} HTTP/1.1\r\nHost: {HOST}:{plan.port}\r\nOrigin: http://{HOST}:{plan.port}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
    ).encode()


def _spread(count: int, among: int) -> set[int]:
    """`count` of the first `among` numbers, evenly spread."""
    count = min(count, among)
    return {(2 * index + 1) * among // (2 * count) for index in range(count)}


def _before_a_tick(from_s: float, tick_s: float) -> float:
    return math.ceil(from_s / tick_s) * tick_s - BEFORE_TICK_S


def _own_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    load = Load(msgspec.json.decode(sys.argv[1], type=Plan))
    load.connect()
    print("connected", flush=True)
    sys.stdin.readline()
    print(msgspec.json.encode(load.measure()).decode(), flush=True)


if __name__ == "__main__":
    main()
