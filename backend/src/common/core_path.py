"""The path of one subject through core NATS: the plain subject, without stream, consumer and quorum."""

import asyncio
import contextlib
import logging
import time
from typing import Final

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from src.common.arrivals import (
    CORE,
    PENDING_BYTES,
    PENDING_MESSAGES,
    Arrival,
    OnArrival,
    digest_of,
    publication_of,
)
from src.common.connection import PASSING, Connection, Link, NotPermitted, reason
from src.common.tasks import end, unless

logger = logging.getLogger("bus")

RETRY_S: Final = 1.0
ASK_AGAIN_S: Final = 10.0  # for a right that was missing


class CorePath:
    """Brings each message that is published from now on, as long as the connection lasts.

    Attributes:
        trouble: why it is not live, or None while it is.
    """

    def __init__(self, connection: Connection, subject: str, on_arrival: OnArrival) -> None:
        """
        Args:
            connection: see there.
            subject: what to read.
            on_arrival: takes each message, one at a time.
        """
        self.trouble: str | None = "not subscribed yet"
        self._connection = connection
        self._subject = subject
        self._on_arrival = on_arrival
        self._answered = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, limit_s: float) -> None:
        """Subscribe, and go on to try where it cannot; returns when the server has answered, or after `limit_s`."""
        self._keeper = asyncio.create_task(self._keep_live(), name=f"core {self._subject}")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._answered.wait()

    async def close(self) -> None:
        """Stop; idempotent. The subscription ends with the connection."""
        await end(self._keeper)
        self._keeper = None
        self.trouble = "closed"

    async def _keep_live(self) -> None:
        while True:
            link = await self._connection.link()
            try:
                await link.use(self._listen(link))
            except NotPermitted as refusal:
                self._lose(str(refusal))
                await unless(link.ended, asyncio.sleep(ASK_AGAIN_S))
            except PASSING as error:
                self._lose(reason(error))
                await asyncio.sleep(RETRY_S if self._connection.is_connected else 0.0)
            except Exception:
                logger.exception("%s: unexpected error; subscribing again", self._subject)
                await asyncio.sleep(RETRY_S)

    async def _listen(self, link: Link) -> None:
        """Subscribe; returns only by an error.

        Raises:
            NotPermitted: this user may not subscribe, or may no longer.
        """
        subscription = await link.subscribe(
            self._subject,
            cb=self._on_message,
            pending_msgs_limit=PENDING_MESSAGES,
            pending_bytes_limit=PENDING_BYTES,
        )
        try:
            await link.confirm(self._subject)
            self.trouble = None
            self._answered.set()
            await link.until_denied(self._subject)
        finally:
            if not link.ended.is_set():
                with contextlib.suppress(NatsError, OSError):
                    await subscription.unsubscribe()

    def _lose(self, why: str) -> None:
        if self.trouble != why and self._connection.is_connected:
            logger.warning("%s comes through JetStream alone: %s", self._subject, why)
        self.trouble = why
        self._answered.set()

    async def _on_message(self, message: Msg) -> None:
        self._connection.heard_s = time.monotonic()
        now_s, digest = time.time(), digest_of(message.data)
        await self._on_arrival(
            Arrival(CORE, digest, now_s, publication_of(message.headers), stored_s=now_s), message.data
        )
