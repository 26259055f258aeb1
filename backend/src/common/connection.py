"""The connection to NATS: dialled anew, forever, whenever it ends.

Law of this file: **a client is used once.** The library's own reconnect replays every subscription before anyone can
say where it should resume, and gives up for good on some errors that pass (an expired password, a full server). So
each client ends with its socket, and what was bound to it is bound again, deliberately, to the next one.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import ServiceUnavailableError

from src.common.logs import redacted
from src.common.tasks import end, unless

logger = logging.getLogger("bus")

T = TypeVar("T")

DIAL_LIMIT_S: Final = 5.0
PING_INTERVAL_S: Final = 2  # with two unanswered pings allowed, a frozen server is noticed within 6 s
UNANSWERED_PINGS: Final = 2
API_LIMIT_S: Final = 2.0  # one JetStream request; the server answers in milliseconds or is in trouble
CLOSE_LIMIT_S: Final = 1.0
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 1.0


class BusError(Exception):
    """The bus cannot do what was asked; the text says what to check."""


PASSING: Final = (
    NatsError,
    OSError,
    TimeoutError,
    BusError,
)  # errors that may pass by themselves: wait, then try again


class Link:
    """One client from its dial to its end."""

    def __init__(self) -> None:
        self.client = Client()
        self.ended = asyncio.Event()
        self.last_error: Exception | None = None

    async def dial(self, servers: list[str], name: str) -> None:
        """Connect to one of `servers`.

        Raises:
            NatsError, OSError, TimeoutError: none of them took us within `DIAL_LIMIT_S`.
        """
        async with asyncio.timeout(DIAL_LIMIT_S):
            await self.client.connect(
                servers=servers,
                name=name,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0.1,  # type: ignore[arg-type]
                connect_timeout=2,
                ping_interval=PING_INTERVAL_S,
                max_outstanding_pings=UNANSWERED_PINGS,
                error_cb=self._note_error,
                closed_cb=self._note_end,
            )
        self.jetstream: JetStreamContext = self.client.jetstream(timeout=API_LIMIT_S)

    async def use(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` on this link, for no longer than the link lives.

        Raises:
            BusError: the link ended first; without this every request under way would wait for its own timeout.
        """
        done = await unless(self.ended, _boxed(work))
        if done is None:
            raise BusError("the connection was lost")
        return done[0]

    async def close(self) -> None:
        """End it, within `CLOSE_LIMIT_S`, whatever state it is in."""
        with contextlib.suppress(NatsError, OSError, TimeoutError, AttributeError, AssertionError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self.client.close()
        self.ended.set()

    async def _note_error(self, error: Exception) -> None:
        self.last_error = error
        logger.debug("nats: %s", error)

    async def _note_end(self) -> None:
        self.ended.set()


class Connection:
    """Keeps one link to NATS alive from `open()` to `close()`."""

    def __init__(self, url: str, name: str) -> None:
        self.url = redacted(url)
        self.reconnects = 0
        self._servers = [server.strip() for server in url.split(",") if server.strip()]
        self._name = name
        self._link: Link | None = None
        self._linked = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def is_connected(self) -> bool:
        return self._link is not None and not self._link.ended.is_set()

    async def open(self, limit_s: float) -> None:
        """Connect for the first time.

        Raises:
            BusError: no server answered within `limit_s` seconds.
        """
        error: BaseException | None = None
        try:
            async with asyncio.timeout(limit_s):
                async for failed in self._attempts():
                    error = error if _is_refusal(error) else failed
        except TimeoutError:
            raise BusError(
                f"cannot reach {self.url} after {limit_s:g} s ({reason(error)}); is NATS_URL right and the server up?"
            ) from None
        self._keeper = asyncio.create_task(self._keep_linked(), name="nats-connection")

    async def link(self) -> Link:
        """The live link; waits, without limit, for the next one while there is none."""
        while self._link is None or self._link.ended.is_set():
            self._linked.clear()
            await self._linked.wait()
        return self._link

    def link_nowait(self) -> Link:
        """The live link.

        Raises:
            BusError: there is none right now.
        """
        if self._link is None or self._link.ended.is_set():
            raise BusError(f"not connected to {self.url}")
        return self._link

    async def persist(self, failure: str, attempt: Callable[[Link], Coroutine[Any, Any, None]], limit_s: float) -> Link:
        """Try `attempt` on the live link until it works; return the link that it worked on.

        Raises:
            BusError: it did not within `limit_s` seconds; `failure` and the last error say why.
        """
        error: BaseException | None = None
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    link = await self.link()
                    try:
                        await link.use(attempt(link))
                    except PASSING as passing:
                        error = passing
                        await asyncio.sleep(LONGEST_PAUSE_S / 4)
                    else:
                        return link
        except TimeoutError:
            raise BusError(f"{failure} on {self.url} after {limit_s:.3g} s: {reason(error)}") from error

    async def close(self) -> None:
        await end(self._keeper)
        self._keeper = None
        if self._link is not None:
            await self._link.close()

    async def _keep_linked(self) -> None:
        """Owner of the link: when one ends, dial until there is another."""
        while True:
            assert self._link is not None, "the first link is made by open()"
            await self._link.ended.wait()
            logger.warning("lost the connection to %s; reconnecting until it is back", self.url)
            await self._link.close()
            async for error in self._attempts():
                logger.debug("cannot reach %s: %s", self.url, reason(error))
            self.reconnects += 1
            logger.warning("connected to %s again", self.url)

    async def _attempts(self) -> AsyncIterator[BaseException]:
        """Dial until it works, yielding the error of each attempt that did not."""
        pause_s = FIRST_PAUSE_S
        while True:
            link = Link()
            try:
                await link.dial(self._servers, self._name)
            except (NatsError, OSError, TimeoutError) as error:
                await link.close()
                yield link.last_error or error
            except BaseException:
                await link.close()
                raise
            else:
                self._link = link
                self._linked.set()
                return
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _is_refusal(error: BaseException | None) -> bool:
    """The server said no to the credentials: that outlives the resets and refusals of later attempts."""
    return "authorization" in str(error).lower()


async def _boxed(work: Coroutine[Any, Any, T]) -> tuple[T]:
    return (await work,)


def reason(error: BaseException | None) -> str:
    """An error in words, also where the library has none."""
    if isinstance(error, ServiceUnavailableError):
        return "JetStream is not ready or not enabled (nats-server needs -js)"
    return "no answer" if error is None else str(error) or type(error).__name__
