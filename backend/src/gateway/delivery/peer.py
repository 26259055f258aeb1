"""One viewer's socket, as the hub and its channels use it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from src.gateway.close_codes import CloseCode
from src.gateway.delivery.frame import Form
from src.gateway.delivery.pong_clock import PongClock

if TYPE_CHECKING:
    from src.gateway.delivery.channel import Channel

Send = Callable[[Any], int]
"""Sends what the kernel takes of a frame and returns how many bytes; raises OSError where that is none."""


class Peer(Protocol):
    """See above. The peer calls `Hub.ready` and `Hub.blocked`."""

    @property
    def form(self) -> Form:
        """Which form of a frame the peer takes; one function object for each form."""

    @property
    def send(self) -> Send:
        """See there. The peer changes it only while it is blocked. One that blocks itself here sends the rest, too."""

    @property
    def pongs(self) -> PongClock | None:
        """What the viewer's pongs say; None where another server pings it."""

    def send_rest(self, wire: Any, taken: int) -> None:
        """Send the bytes that `send` left, later."""

    def close(self, close_code: CloseCode) -> None:
        """Send a close frame and end, in bounded time; idempotent."""

    def move(self, channel: "Channel", *, has_newest: bool = False) -> None:
        """Take the frames of another channel from now on; see `Channel.join`."""

    def check(self, now_s: float) -> None:
        """Ping, or close a viewer that stalls, does not answer, or has a token that ended."""
