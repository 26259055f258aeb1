"""Every no of the gateway: refusals before a viewer is in, goodbyes after. The documents are compared with this.

Close codes below 4000 are RFC 6455's (§7.4.1); those from 4000 are the gateway's own.
"""

from typing import Final, NamedTuple

CLOSE_LIMIT_S: Final = 1.0  # for the viewer's half of the closing handshake


class Refusal(NamedTuple):
    """Why a request is answered with an HTTP error.

    Attributes:
        status: the HTTP status.
        name: what counters call it.
        detail: goes to who asked: what is wrong and what to do about it.
        retry_after_s: when the same request may succeed, in whole seconds, where waiting helps.
    """

    status: int
    name: str
    detail: str
    retry_after_s: int | None = None


class Closing(NamedTuple):
    """Why a viewer is let go.

    Attributes:
        code: the WebSocket close code.
        reason: goes to the viewer in the close frame, at most 123 bytes.
        reconnect: whether connecting again makes sense.
    """

    code: int
    reason: str
    reconnect: bool


BAD_REQUEST: Final = Refusal(400, "bad_request", "this is no HTTP request")
BAD_UPGRADE: Final = Refusal(
    400, "bad_upgrade", "upgrade by a GET of HTTP/1.1, without a body, when all before is answered"
)
NO_STREAM: Final = Refusal(404, "no_stream", "no stream here; connect to /ws/stream")
NOT_UPGRADED: Final = Refusal(426, "not_upgraded", "this is a WebSocket; connect to it with ws://")

REFUSALS: Final = (BAD_REQUEST, BAD_UPGRADE, NO_STREAM, NOT_UPGRADED)

GOING_AWAY: Final = Closing(1001, "the gateway is stopping; reconnect", True)
STALLED: Final = Closing(4001, "took nothing for too long; reconnect when the network allows", True)
NOT_RESPONDING: Final = Closing(4002, "did not answer a ping; reconnect", True)

CLOSINGS: Final = (GOING_AWAY, STALLED, NOT_RESPONDING)
