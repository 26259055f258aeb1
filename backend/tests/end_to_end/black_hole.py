"""A line to NATS that can be made to swallow all that is sent over it."""

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from src.common.tasks import end
from src.demo.nats_server import HOST


class Line:
    """Forwards between whoever connects to `url` and a port of a nats-server, unless it is cut.

    While it is cut, connections stay open and new ones are accepted, and nothing comes through in either direction.
    """

    def __init__(self, port: int) -> None:
        self._to_port = port
        self._whole = asyncio.Event()
        self._whole.set()
        self._carrying: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._carry, HOST)
        self.address = f"{HOST}:{self._listening.sockets[0].getsockname()[1]}"
        self.url = f"nats://{self.address}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()
        for task in list(self._carrying):
            await end(task)

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        """What was swallowed is lost, and so is who sent it: only new connections work."""
        for task in self._carrying:
            task.cancel()
        self._whole.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "start_server runs this in a task"
        self._carrying.add(task)
        try:
            if not self._whole.is_set():
                await asyncio.Event().wait()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                to_server = await asyncio.open_connection(HOST, self._to_port)
                try:
                    await asyncio.gather(self._pump(reader, to_server[1]), self._pump(to_server[0], writer))
                finally:
                    to_server[1].close()
        except asyncio.CancelledError:
            pass
        finally:
            self._carrying.discard(task)
            writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1 << 16):
            if self._whole.is_set():
                writer.write(piece)
                await writer.drain()
        writer.close()
