"""Why a connection ended, whether to connect again, and after what pause. Rules only: no clock, no socket."""

import json
import os
import re
from typing import Final, NamedTuple

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response

from spymaster_client.contract import CLOSE_CODES

LOST: Final = 1006  # RFC 6455 §7.1.5: there was no close frame
PROTOCOL_ERRORS: Final = (1002, 1003, 1007, 1009)  # RFC 6455 §7.4.1: the next connection would end likewise

# HTTP statuses below 500 that pass by themselves; the others are about the request, and would come again.
PASSING: Final = (408, 425, 429)

RETRY_AFTER: Final = re.compile(r"reconnect in (\d{1,6}(?:\.\d{1,6})?) ?s")
LONGEST_RETRY_AFTER_S: Final = 600.0  # a longer wait that a server asks for is cut to this
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 10.0


class Disconnect(NamedTuple):
    """Why a connection ended, or was not made.

    Attributes:
        code: the WebSocket close code; 1006 when the connection was lost or could not be made; the HTTP status, which
            is below 1000, when the gateway refused it.
        explanation: in words.
        reconnect: whether the client connects again by itself.
        reason: as the gateway sent it; empty when it sent none.
        retry_after_s: how long the gateway asked the client to wait before that.
    """

    code: int
    explanation: str
    reconnect: bool
    reason: str = ""
    retry_after_s: float = 0.0


def disconnect_of(error: Exception) -> Disconnect:
    """What the end of a connection, or of an attempt to make one, means."""
    if isinstance(error, ConnectionClosed):
        # A close frame that the gateway sends after ours is an echo.
        received = error.rcvd if error.rcvd_then_sent is not False else None
        return _closed(received.code, received.reason) if received else Disconnect(LOST, _lost(error), True)
    if isinstance(error, InvalidStatus):
        response: Response = error.response
        return disconnect_of_answer(response.status_code, response.headers.get("Retry-After", ""), response.body)
    if isinstance(error, TimeoutError):
        return Disconnect(LOST, "no answer", True)
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return Disconnect(LOST, os.strerror(error.errno).lower(), True)  # asyncio's own text repeats the address
    return Disconnect(LOST, str(error) or type(error).__name__, True)


def pause_s(failures: int, disconnect: Disconnect, random_share: float) -> float:
    """How long to wait before the next attempt: the time asked for, and full jitter below a bound that doubles.

    Args:
        failures: attempts in a row that failed; 0 for the first pause.
        random_share: 0 to 1, even.
    """
    return disconnect.retry_after_s + random_share * min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures, 16))


def _closed(code: int, reason: str) -> Disconnect:
    asked = RETRY_AFTER.search(reason)
    _, reconnect = CLOSE_CODES.get(code, ("", code not in PROTOCOL_ERRORS))  # an unknown code: connect again
    explanation = f"closed by the gateway: {code} {reason}".rstrip()
    return Disconnect(code, explanation, reconnect, reason, _bounded(float(asked[1])) if asked else 0.0)


def _lost(error: ConnectionClosed) -> str:
    if error.sent is None:
        return "connection lost"
    return f"connection left: {error.sent.code} {error.sent.reason}".rstrip()  # no answer to pings, a frame too large


def disconnect_of_answer(status: int, retry_after: str, body: bytes | bytearray | None) -> Disconnect:
    """What a refusal by HTTP means.

    Args:
        retry_after: the header of that name; empty where there is none.
    """
    retry_after_s = _bounded(float(retry_after)) if retry_after.isascii() and retry_after.isdigit() else 0.0
    reason = _detail(body)
    reconnect = status in PASSING or status >= 500 or retry_after_s > 0
    return Disconnect(status, f"refused: HTTP {status} {reason}".rstrip(), reconnect, reason, retry_after_s)


def _detail(body: bytes | bytearray | None) -> str:
    """The gateway's text beside the status; empty for the pages of a proxy."""
    try:
        detail = json.loads(body or b"")["detail"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return detail[:200] if isinstance(detail, str) else ""


def _bounded(asked_s: float) -> float:
    return min(asked_s, LONGEST_RETRY_AFTER_S)
