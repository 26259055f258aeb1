"""What was: requests to the gateway of a stream."""

import ssl as tls
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, cast

from spymaster_client.contract import Event, Events, History
from spymaster_client.disconnect import LOST, Disconnect
from spymaster_client.events_told import is_events
from spymaster_client.request import RequestError, Token, get

MOST_PAGES: Final = 100  # ten times what a gateway keeps, by its usual page

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
    """What happened in the last 24 hours, or since a cursor. Pages of the gateway are asked for until all is there.

    Args:
        url: of the stream; `token` and `ssl` as for that.
        since: the cursor of an answer: only what happened after it.
        kinds: only these.
        levels: only of levels with these `id`; for verdicts, of these sections.

    Raises:
        RequestError: the gateway refuses, or does not answer.
        ValueError: `url` is not the address of a WebSocket.
    """
    asked: dict[str, object] = {"since": since, "kinds": _list(kinds), "levels": _list(levels)}
    told: dict[str, Event] = {}
    complete = True
    for _ in range(MOST_PAGES):
        page = await get(url, "events", asked, token, ssl)
        more = isinstance(page, dict) and page.pop("more", False) is True
        if not more and not told:
            return cast(Events, page)
        if not is_events(page):
            raise RequestError(Disconnect(LOST, "no events", False))
        for event in page["events"]:
            told.pop(event["id"], None)  # the newest stand last
            told[event["id"]] = event
        complete = complete and page["complete"]
        asked["since"] = page["cursor"]
        if not more:
            break
    else:
        complete = False
    return {"cursor": page["cursor"], "complete": complete, "events": list(told.values())}


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
