"""The messages that a stream holds, newest first, until one of them is good."""

import time
from collections.abc import Callable
from typing import Final

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from src.common.arrivals import JETSTREAM, Arrival, OnArrival, digest_of

LOOK_BACK_MESSAGES: Final = 100  # sequences from the newest on in which a good message is looked for


async def look_back(
    jetstream: JetStreamContext,
    stream_name: str,
    subject: str | None,
    sequences: range,
    on_arrival: OnArrival,
    has_message: Callable[[], bool],
) -> None:
    """Hand over the messages of `subject`, None for any, at `sequences`, in their order, until a good one was taken.

    Raises:
        NotPermitted: this user may not read them.
    """
    for seq in sequences:
        if has_message():
            return
        try:
            stored = await jetstream.get_msg(stream_name, seq)
        except NotFoundError:
            continue
        if subject in (None, stored.subject) and not has_message():
            now_s, body = time.time(), stored.data or b""
            stored_s = now_s if stored.time is None else stored.time.timestamp()
            await on_arrival(Arrival(JETSTREAM, digest_of(body), now_s, None, seq, stored_s, is_first=True), body)
