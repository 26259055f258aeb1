"""The floor: what a server costs that does nothing but `send()` one prebuilt buffer to each socket, in Python.

No bus, no event loop library, no protocol beyond a canned handshake. What a server does besides comes on top.

Run as `python -m benchmarks.rivals.floor PORT WIRE_BYTES FRAMES_A_SECOND`.
"""

import contextlib
import math
import select
import socket
import sys
import time

from benchmarks.stamps import stamp

BACKLOG = 2048
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
SHORTEST = 200


class Floor:
    """Every viewer's socket, and what the kernel did not take of the last buffer."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._viewers: dict[int, socket.socket] = {}
        self._rests: dict[int, memoryview] = {}

    def serve(self, wire_bytes: int, hz: float) -> None:
        """Send a buffer at each multiple of 1/`hz` seconds, for ever."""
        number, due_s = 0, math.ceil(time.time() * hz) / hz
        while True:
            for descriptor, event in self._epoll.poll(max(0.0, due_s - time.time())):
                self._on_event(descriptor, event)
            if time.time() >= due_s:
                number, due_s = number + 1, math.ceil((time.time() + 1e-4) * hz) / hz
                self._send_all(buffer(wire_bytes, number))

    def _send_all(self, wire: bytes) -> None:
        whole = len(wire)
        for descriptor, viewer in self._viewers.items():
            if descriptor not in self._rests and (taken := _send(viewer, wire)) != whole:
                self._rests[descriptor] = memoryview(wire)[taken:]
                self._epoll.modify(descriptor, select.EPOLLIN | select.EPOLLOUT)

    def _on_event(self, descriptor: int, event: int) -> None:
        if descriptor == self._listener.fileno():
            self._accept()
        elif event & select.EPOLLOUT and descriptor in self._rests:
            self._send_rest(descriptor)
        elif _is_gone(self._viewers[descriptor]):
            self._epoll.unregister(descriptor)
            self._rests.pop(descriptor, None)
            self._viewers.pop(descriptor).close()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                viewer, _ = self._listener.accept()
                if not viewer.recv(4096):  # blocks: the request is under way, and small enough to come in one piece
                    viewer.close()
                    continue
                viewer.sendall(ANSWER)
                viewer.setblocking(False)
                viewer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._viewers[viewer.fileno()] = viewer
                self._epoll.register(viewer, select.EPOLLIN)

    def _send_rest(self, descriptor: int) -> None:
        rest = self._rests[descriptor]
        taken = _send(self._viewers[descriptor], rest)
        self._rests[descriptor] = rest[taken:]
        if taken == len(rest):
            del self._rests[descriptor]
            self._epoll.modify(descriptor, select.EPOLLIN)


def buffer(wire_bytes: int, number: int) -> bytes:
    """A whole text frame of about `wire_bytes` bytes that begins with the stamp."""
    start = stamp(time.time_ns(), number)
    payload = start + b'"":"' + b"x" * (max(wire_bytes, SHORTEST) - len(start) - 10) + b'"}'
    length = len(payload)
    head = bytes((0x81, 126)) + length.to_bytes(2) if length < 1 << 16 else bytes((0x81, 127)) + length.to_bytes(8)
    return head + payload


def _is_gone(viewer: socket.socket) -> bool:
    try:
        return not viewer.recv(4096)
    except ConnectionError:
        return True


def _send(viewer: socket.socket, wire: bytes | memoryview) -> int:
    try:
        return viewer.send(wire)
    except (BlockingIOError, ConnectionError):  # full, or gone: its next event says so
        return 0


if __name__ == "__main__":
    Floor(int(sys.argv[1])).serve(int(sys.argv[2]), float(sys.argv[3]))
