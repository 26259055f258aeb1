"""The last message of a subject, kept beyond the age limit of its stream: after a weekend there is a state to show.

**The server keeps it.** A second stream mirrors the first, without a limit of age, and holds the newest
`LOOK_BACK_MESSAGES` of the subject. A mirror keeps sequence and time of each message, and what the first stream drops
by age stays in it. Nobody writes, so it does not matter how many gateways there are, and whether one runs at all when
the last message comes.

**A mirror is of one life of its stream.** It goes on from the sequence that it has, so it would wait for ever for a
stream that was remade and counts from 1, or that was cut back. Such a mirror is made anew, but not before the stream
has a message again: until then it has the last one.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from typing import Final

from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg, RetentionPolicy, StorageType, StreamConfig, StreamInfo, StreamSource
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from src.common.arrivals import OnArrival
from src.common.connection import PASSING, BusError, Connection, NotPermitted, reason
from src.common.look_back import LOOK_BACK_MESSAGES, look_back
from src.common.streams import NAME_IN_USE
from src.common.tasks import end

logger = logging.getLogger("bus")

LOOK_INTERVAL_S: Final = 10.0  # a stream that was remade has its mirror so soon
RETRY_S: Final = 1.0


class LastMessage:
    """Sees to it that the mirror is there, and hands its newest message over while there is no other.

    Attributes:
        trouble: why the message is not kept, where somebody has to do something about it; None where it is, or need not
            be.
    """

    def __init__(
        self,
        connection: Connection,
        subject: str,
        stream: Callable[[], StreamInfo | None],
        on_last: OnArrival,
        has_message: Callable[[], bool],
    ) -> None:
        """
        Args:
            connection: see there.
            subject: whose last message is kept.
            stream: that which holds the subject; None while it is not known.
            on_last: takes the message.
            has_message: whether a good one was taken.
        """
        self.trouble: str | None = None
        self._connection = connection
        self._subject = subject
        self._stream = stream
        self._on_last = on_last
        self._has_message = has_message
        self._name = mirror_name(subject)
        self._has_read = False
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, limit_s: float) -> None:
        """Hand the message over, if there is one and no other; what cannot be done within `limit_s` is done later."""
        try:
            async with asyncio.timeout(limit_s):
                link = await self._connection.link()
                await link.use(self._read(link.jetstream))
        except PASSING as error:
            logger.debug("%s: its last message is not read yet: %s", self._subject, reason(error))
        finally:
            self._keeper = asyncio.create_task(self._keep(), name=f"last message {self._subject}")

    async def close(self) -> None:
        """Stop; idempotent. The mirror stays."""
        await end(self._keeper)
        self._keeper = None

    async def _keep(self) -> None:
        while True:
            link = await self._connection.link()
            pause_s = LOOK_INTERVAL_S
            try:
                await link.use(self._look(link.jetstream))
            except (NotPermitted, NotMirrored) as refusal:
                self._tell(refusal)
            except PASSING as error:
                logger.debug("%s: cannot look after its last message: %s", self._subject, reason(error))
                pause_s = RETRY_S
            except Exception:
                logger.exception("%s: unexpected error; looking after its last message again", self._subject)
            await asyncio.sleep(pause_s)

    async def _look(self, jetstream: JetStreamContext) -> None:
        await self._read(jetstream)
        if (stream := self._stream()) is None:
            return
        if drops_by_age(stream):
            await self._make_missing(jetstream, stream)
        self.trouble = None

    def _tell(self, refusal: BusError) -> None:
        before, self.trouble = self.trouble, str(refusal)
        if self.trouble != before:
            logger.warning(
                "the last message of %s is not kept beyond its stream: %s; or set GATEWAY_LAST_STATE=off",
                self._subject,
                self.trouble,
            )

    # -- reading it ------------------------------------------------------------------------------------------------

    async def _read(self, jetstream: JetStreamContext) -> None:
        if self._has_read or self._has_message():
            return
        newest = await _last_of(jetstream, self._name, self._subject)
        if newest is not None:
            last_seq = newest.seq or 0
            sequences = range(last_seq, max(last_seq - LOOK_BACK_MESSAGES, 0), -1)
            await look_back(jetstream, self._name, self._subject, sequences, self._on_last, self._has_message)
        self._has_read = True

    # -- the mirror ------------------------------------------------------------------------------------------------

    async def _make_missing(self, jetstream: JetStreamContext, stream: StreamInfo) -> None:
        try:
            mirror = await jetstream.stream_info(self._name)
        except NotFoundError:
            await self._make(jetstream, stream, await self._last_in(jetstream, stream))
            return
        if not _is_mirror_of(mirror, self._subject):
            raise NotMirrored(f"stream {self._name} is there and is no mirror of it; give that another name")
        now = await jetstream.stream_info(stream.config.name or "")  # after the mirror, which is never ahead of it
        if not follows(mirror, now) and (last := await self._last_in(jetstream, stream)) is not None:
            with contextlib.suppress(NotFoundError):  # another gateway was first
                await jetstream.delete_stream(self._name)
            await self._make(jetstream, stream, last)

    async def _last_in(self, jetstream: JetStreamContext, stream: StreamInfo) -> RawStreamMsg | None:
        return await _last_of(jetstream, stream.config.name or "", self._subject)

    async def _make(self, jetstream: JetStreamContext, stream: StreamInfo, last: RawStreamMsg | None) -> None:
        # Not from the first one of the stream: a day of messages would be copied.
        first_seq = None if last is None else max((last.seq or 0) - LOOK_BACK_MESSAGES + 1, 1)
        source = StreamSource(name=stream.config.name or "", filter_subject=self._subject, opt_start_seq=first_seq)
        config = StreamConfig(
            name=self._name,
            description=f"the last message of {self._subject}, kept beyond the age limit of its stream",
            mirror=source,
            storage=StorageType.FILE,
            max_msgs=LOOK_BACK_MESSAGES,
            num_replicas=stream.config.num_replicas,
            placement=stream.config.placement,
        )
        try:
            await jetstream.add_stream(config)
        except ServiceUnavailableError:
            raise
        except APIError as refusal:
            if refusal.err_code != NAME_IN_USE:  # else another gateway was first, at another message
                raise NotMirrored(f"cannot make stream {self._name}: {reason(refusal)}") from refusal


class NotMirrored(BusError):
    """The mirror cannot be made; the text says why and what to do."""


def mirror_name(subject: str) -> str:
    """The name of the stream that keeps the last message of a subject."""
    return re.sub(r"[^A-Z0-9-]", "_", subject.upper()) + "_LAST"


def drops_by_age(stream: StreamInfo) -> bool:
    """Whether a mirror has a purpose, and no effect: on other retention than by limits it would take messages away."""
    return bool(stream.config.max_age) and stream.config.retention in (None, RetentionPolicy.LIMITS)


def follows(mirror: StreamInfo, stream: StreamInfo) -> bool:
    """Whether a mirror goes on with `stream`: it is younger, and has no sequence that the stream has yet to give."""
    assert mirror.config.mirror is not None, "it is a mirror"
    assert mirror.created is not None, "the server says when"
    assert stream.created is not None, "the server says when"
    is_of_this_life = mirror.config.mirror.name == stream.config.name and mirror.created >= stream.created
    return is_of_this_life and mirror.state.last_seq <= stream.state.last_seq


def _is_mirror_of(mirror: StreamInfo, subject: str) -> bool:
    return mirror.config.mirror is not None and mirror.config.mirror.filter_subject == subject


async def _last_of(jetstream: JetStreamContext, stream_name: str, subject: str) -> RawStreamMsg | None:
    try:
        return await jetstream.get_last_msg(stream_name, subject)
    except NotFoundError:
        return None
