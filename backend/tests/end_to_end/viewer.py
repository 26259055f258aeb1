"""A viewer with a standard WebSocket client, which keeps every payload that it is sent."""

import asyncio
import json
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.end_to_end.gateway_process import GatewayProcess
from tests.waiting import until


class Viewer:
    """Connected for as long as the `async with` lasts, unless the gateway ends it.

    Attributes:
        texts: each frame as it came.
        payloads: the same, decoded; a frame that is no JSON object ends the test that looks at it.
    """

    def __init__(
        self, gateway: GatewayProcess, compression: str | None = "deflate", path: str = "/ws/stream", **asking: Any
    ) -> None:
        """
        Args:
            gateway: to which it connects.
            compression: what it offers.
            path: with a query, where there is one.
            asking: what the request says besides, as the library's `connect` takes it.
        """
        self.texts: list[str] = []
        self.payloads: list[dict[str, Any]] = []
        self._connecting = connect(gateway.url(path), compression=compression, proxy=None, max_size=None, **asking)
        self._reading: asyncio.Task[None] | None = None
        self._reads = asyncio.Event()
        self._reads.set()

    async def __aenter__(self) -> Self:
        self.socket: ClientConnection = await self._connecting
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.resume()
        await self.socket.close()
        assert self._reading is not None
        await self._reading

    @property
    def connected(self) -> bool:
        return self._reading is not None and not self._reading.done()

    @property
    def newest(self) -> dict[str, Any]:
        """The newest payload; empty before the first."""
        return self.payloads[-1] if self.payloads else {}

    async def until_newest(self, **sections: Any) -> dict[str, Any]:
        """Wait until the newest payload shows these numbers, as `numbers_in` reads them; return it."""
        await until(
            lambda: sections.items() <= numbers_in(self.newest).items(),
            f"{sections} as the newest of {[numbers_in(payload) for payload in self.payloads[-3:]]}",
        )
        return self.newest

    async def until_first(self) -> dict[str, Any]:
        await until(lambda: self.payloads, "a first payload")
        return self.payloads[0]

    async def close_code(self) -> int | None:
        """The code of the gateway's close frame, once it has arrived."""
        await until(lambda: not self.connected, "the gateway closes")
        return self.socket.close_code

    def pause(self) -> None:
        """Read no frame until `resume`, except for those that are on their way into this process."""
        self._reads.clear()

    def resume(self) -> None:
        """Read on."""
        self._reads.set()

    async def ping(self) -> None:
        """Return when the gateway has answered: then it has also sent what it sent before."""
        await (await self.socket.ping())

    async def _read(self) -> None:
        try:
            async for text in self.socket:
                assert isinstance(text, str), "text frames only"
                await self._reads.wait()
                self.texts.append(text)
                self.payloads.append(json.loads(text, parse_constant=_refuse))
        except ConnectionClosed:
            return


def numbers_in(payload: dict[str, Any]) -> dict[str, Any]:
    """Which of the `numbered` messages a payload shows: `flow` and `levels`, those that it has."""
    numbers = {}
    if "levels" in payload:
        numbers["levels"] = payload["levels"]["ts"]
    if "flow" in payload:
        numbers["flow"] = payload["flow"].get("n")
    return numbers


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not strict JSON")
