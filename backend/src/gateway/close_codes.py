"""WebSocket close codes that the gateway sends, and those that it counts when a viewer leaves.

Codes below 4000 are defined by RFC 6455 §7.4.1; codes from 4000 are the gateway's own. `INTERFACES.md` lists the same
rows; a test compares the two.
"""

from typing import Final, NamedTuple

CLOSE_HANDSHAKE_TIMEOUT_S: Final = 1.0  # for the viewer's close frame after ours


class CloseCode(NamedTuple):
    """Why the gateway closes a viewer.

    Attributes:
        code: the WebSocket close code.
        reason: sent to the viewer in the close frame, at most 123 bytes.
        reconnect: whether connecting again makes sense.
    """

    code: int
    reason: str
    reconnect: bool


GOING_AWAY: Final = CloseCode(1001, "the gateway is stopping; reconnect", True)
TOO_MANY_MESSAGES: Final = CloseCode(1008, "sent too many messages; reconnect in 10 s", True)
STALLED: Final = CloseCode(4001, "took nothing for too long; reconnect when the network allows", True)
NOT_RESPONDING: Final = CloseCode(4002, "did not answer a ping; reconnect", True)
TOKEN_EXPIRED: Final = CloseCode(4003, "the token has expired; reconnect with a new one", True)
TOKEN_WITHDRAWN: Final = CloseCode(4004, "the token is not accepted any more", False)
WRONG_SUBSCRIBE: Final = CloseCode(4005, "a value in the subscribe message is not accepted", False)
NO_SHAPE_LEFT: Final = CloseCode(4006, "as many shapes as GATEWAY_MAX_SHAPES allows are in use", True)
ORIGIN_NOT_ALLOWED: Final = CloseCode(
    4007, "a page of this origin may not connect; add the origin to GATEWAY_ALLOWED_ORIGINS", False
)

OWN_CLOSE_CODES: Final = (
    GOING_AWAY,
    TOO_MANY_MESSAGES,
    STALLED,
    NOT_RESPONDING,
    TOKEN_EXPIRED,
    TOKEN_WITHDRAWN,
    WRONG_SUBSCRIBE,
    NO_SHAPE_LEFT,
    ORIGIN_NOT_ALLOWED,
)

PROTOCOL_ERROR_CODES: Final = (1002, 1007, 1009)  # sent to a viewer that breaks the protocol

# Codes with which viewers leave by themselves, RFC 6455 §7.4.1: 1005 is a close frame without a code, 1006 no close
# frame at all. All other codes are counted together: a stranger chooses them, and each would be one more counter.
LEFT_CODES: Final = ("1000", "1001", "1005", "1006", "other")


def left_code(code: int) -> str:
    """The name under which a viewer that left with this code is counted."""
    return str(code) if str(code) in LEFT_CODES else "other"
