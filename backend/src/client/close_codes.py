"""Why a connection ended, whether to connect again, and after what pause. All rules: no clock, no socket."""

import json
import os
import re
from typing import Final, NamedTuple

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response

from src.gateway.close_codes import OWN_CLOSE_CODES

LOST: Final = 1006  # RFC 6455 §7.1.5: there was no close frame
OF_THE_PROTOCOL: Final = {1002: False, 1003: False, 1007: False, 1009: False}  # it would happen again
RECONNECT: Final = OF_THE_PROTOCOL | {close_code.code: close_code.reconnect for close_code in OWN_CLOSE_CODES}

# HTTP statuses below 500 that pass by themselves; the others are about the request, and would come again.
PASSING: Final = (408, 425, 429)

ASKED: Final = re.compile(r"reconnect in (\d{1,6}(?:\.\d{1,6})?) ?s")
LONGEST_ASKED_S: Final = 600.0  # a hint is obeyed, but nobody is sent away for a day
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 10.0


class CloseCode(NamedTuple):
    """Why a connection ended, or was not made.

    Attributes:
        code: the WebSocket close code; 1006 when the connection was lost or could not be made; the HTTP status, which
            is below 1000, when the gateway refused it.
        reason: in words.
        reconnect: whether the client connects again by itself.
        asked_s: how long the gateway asked us to wait before that.
    """

    code: int
    reason: str
    reconnect: bool
    asked_s: float = 0.0


def closing_of(error: Exception) -> CloseCode:
    """What the end of a connection, or of an attempt to make one, means."""
    if isinstance(error, ConnectionClosed):
        # What the gateway says after we did is an echo.
        heard = error.rcvd if error.rcvd_then_sent is not False else None
        return _goodbye(heard.code, heard.reason) if heard else CloseCode(LOST, _lost(error), True)
    if isinstance(error, InvalidStatus):
        return _refusal(error.response)
    if isinstance(error, TimeoutError):
        return CloseCode(LOST, "no answer", True)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return CloseCode(LOST, os.strerror(error.errno).lower(), True)  # asyncio's own text repeats the address
    return CloseCode(LOST, str(error) or type(error).__name__, True)


def pause_s(failures: int, close_code: CloseCode, random_share: float) -> float:
    """How long to wait before the next attempt: what was asked, and full jitter below a bound that doubles.

    Args:
        failures: attempts in a row that did not hold; 0 for the first pause.
        random_share: 0 to 1, even.
    """
    return close_code.asked_s + random_share * min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures, 16))


def _goodbye(code: int, reason: str) -> CloseCode:
    asked = ASKED.search(reason)
    # A code that is not known is no reason to stay away.
    reconnect = RECONNECT.get(code, True)
    words = f"closed by the gateway: {code} {reason}".rstrip()
    return CloseCode(code, words, reconnect, _bounded(float(asked[1])) if asked else 0.0)


def _lost(error: ConnectionClosed) -> str:
    if error.sent is None:
        return "connection lost"
    return f"connection left: {error.sent.code} {error.sent.reason}".rstrip()  # no answer to pings, a frame too large


def _refusal(response: Response) -> CloseCode:
    status, retry_after = response.status_code, response.headers.get("Retry-After", "")
    asked_s = _bounded(float(retry_after)) if retry_after.isascii() and retry_after.isdigit() else 0.0
    words = f"refused: HTTP {status} {_detail(response.body)}".rstrip()
    return CloseCode(status, words, status in PASSING or status >= 500 or asked_s > 0, asked_s)


def _detail(body: bytes | bytearray | None) -> str:
    """What the gateway says beside the status; nothing for the pages that proxies write."""
    try:
        detail = json.loads(body or b"")["detail"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return detail[:200] if isinstance(detail, str) else ""


def _bounded(asked_s: float) -> float:
    return min(asked_s, LONGEST_ASKED_S)
