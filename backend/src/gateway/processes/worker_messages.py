"""Questions between workers, so that the worker that a request reaches can answer for all of them.

Each worker has a mailbox: an unnamed socket pair, which all processes inherit. So there is no file and no port, and no
other process on the machine can write to it. A question is one datagram that carries a socket for the answer. A mailbox
outlives its worker: the next worker of that number goes on with it, and with old questions in it, whose senders have
given up by then.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Final

QUESTION: Final = b"?"
ANSWER_TIMEOUT_S: Final = 1.0  # a worker that needs longer hangs
READ_BYTES: Final = 1 << 16


class WorkerMessages:
    """Made before the workers are forked.

    Attributes:
        own: the number, from 1, of the worker that this process is.
    """

    def __init__(self, configured: int = 1) -> None:
        """
        Args:
            configured: how many workers there are; with one, there is nothing to ask.
        """
        self.own = 1
        # By number: the end where others write questions, and the end where the worker reads them. The kernel bounds
        # how many wait (net.unix.max_dgram_qlen); beyond that, asking fails at once.
        self._mailboxes = {
            number: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            for number in range(1, configured + 1)
            if configured > 1
        }
        for ends in self._mailboxes.values():
            for end in ends:
                end.setblocking(False)

    def listen(self, answer: Callable[[], bytes]) -> None:
        """From now on, call `answer` for each question of another worker, and send what it returns."""
        if self._mailboxes:
            _, inside = self._mailboxes[self.own]
            asyncio.get_running_loop().add_reader(inside.fileno(), _answer, inside, answer)

    def stop_listening(self) -> None:
        """Answer no more; idempotent."""
        if self._mailboxes:
            _, inside = self._mailboxes[self.own]
            asyncio.get_running_loop().remove_reader(inside.fileno())

    def close(self) -> None:
        """When no worker is left, or in a worker that no longer asks or answers."""
        for ends in self._mailboxes.values():
            for end in ends:
                end.close()

    async def ask(self) -> dict[int, bytes]:
        """The answers of the other workers, by number; without those that take longer than `ANSWER_TIMEOUT_S`."""
        others = [number for number in self._mailboxes if number != self.own]
        answers = await asyncio.gather(*(_ask(self._mailboxes[number][0]) for number in others))
        return {number: answer for number, answer in zip(others, answers, strict=True) if answer}


async def _ask(slot: socket.socket) -> bytes:
    """Empty where there is no answer."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        with theirs, contextlib.suppress(OSError):  # full: the worker has not read for long
            socket.send_fds(slot, [QUESTION], [theirs.fileno()])
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await _read_all(ours)
        except (OSError, TimeoutError):
            return b""


async def _read_all(source: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    parts = []
    while part := await loop.sock_recv(source, READ_BYTES):
        parts.append(part)
    return b"".join(parts)


def _answer(inside: socket.socket, answer: Callable[[], bytes]) -> None:
    """Read one question and answer it at once: the kernel buffers far more than an answer."""
    _, descriptors, _, _ = socket.recv_fds(inside, len(QUESTION), 1)
    for descriptor in descriptors:
        with socket.socket(fileno=descriptor) as asker, contextlib.suppress(OSError):  # the other worker is gone
            asker.setblocking(False)
            asker.send(answer())
