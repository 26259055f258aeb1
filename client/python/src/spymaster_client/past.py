"""What was: requests to the gateway of a stream."""

import ssl as tls
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, cast

from spymaster_client.contract import Events, History
from spymaster_client.request import Token, get

Moment = int | str | datetime
"""Core's time: ms since 1970 UTC, ISO 8601 with an offset, a time before the newest message like `-2h`, or a datetime
that has a time zone."""


async def history(
    url: str,
    token: Token | None = None,
    *,
    ssl: tls.SSLContext | None = None,
    from_: Moment | None = None,
    to: Moment | None = None,
    step: int | str | None = None,
    fields: Sequence[Literal["spot", "levels", "flow"]] | None = None,
    levels: Sequence[str] | None = None,
) -> History:
    """What the market looked like, in points of equal length.

    Args:
        url: of the stream; `token` and `ssl` as for that.
        from_: by default the last open of the market.
        to: by default the newest message.
        step: the length of a point: seconds, or a text such as `1m`; by default about 1000 points.
        fields: by default all.
        levels: only those of these `id`.

    Raises:
        RequestError: the gateway refuses, or does not answer.
        ValueError: `url` is not the address of a WebSocket, or a datetime has no time zone.
    """
    span = {name: moment_text(moment) for name, moment in (("from", from_), ("to", to)) if moment is not None}
    asked = span | {"step": step, "fields": _list(fields), "levels": _list(levels)}
    return cast(History, await get(url, "history", asked, token, ssl))


async def events(
    url: str,
    token: Token | None = None,
    *,
    ssl: tls.SSLContext | None = None,
    since: str | None = None,
    kinds: Sequence[str] | None = None,
    levels: Sequence[str] | None = None,
) -> Events:
    """What happened in the last 24 hours, or since a cursor.

    Args:
        url: of the stream; `token` and `ssl` as for that.
        since: the cursor of an answer: only what happened after it.
        kinds: only these.
        levels: only of levels with these `id`; for verdicts, of these sections.

    Raises:
        RequestError: the gateway refuses, or does not answer.
        ValueError: `url` is not the address of a WebSocket.
    """
    asked = {"since": since, "kinds": _list(kinds), "levels": _list(levels)}
    return cast(Events, await get(url, "events", asked, token, ssl))


def moment_text(moment: Moment) -> str:
    """As the gateway reads it.

    Raises:
        ValueError: a datetime has no time zone.
    """
    if not isinstance(moment, datetime):
        return str(moment)
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone; the gateway would have to guess it")
    return str(int(moment.timestamp() * 1000))


def _list(names: Sequence[str] | None) -> list[str] | None:
    return None if names is None else list(names)
