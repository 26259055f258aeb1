"""Every goodbye of the gateway: its code, what it means, and whether the viewer should come back.

Codes below 4000 are RFC 6455's (§7.4.1); those from 4000 are the gateway's own.
"""

from typing import Final, NamedTuple

CLOSE_LIMIT_S: Final = 1.0  # for the viewer's half of the closing handshake


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


GOING_AWAY: Final = Closing(1001, "the gateway is stopping; reconnect", True)
STALLED: Final = Closing(4001, "took nothing for too long; reconnect when the network allows", True)
NOT_RESPONDING: Final = Closing(4002, "did not answer a ping; reconnect", True)

CLOSINGS: Final = (GOING_AWAY, STALLED, NOT_RESPONDING)
