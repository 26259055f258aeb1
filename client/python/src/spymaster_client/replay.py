"""The stream from a moment on."""

import ssl as tls
from typing import Any, Final

from spymaster_client.contract import ReplayStatus, Status
from spymaster_client.past import Moment, moment_text
from spymaster_client.request import Token
from spymaster_client.shape import WHOLE, Shape
from spymaster_client.stream import Stream

PRESENT: Final = "live"


def at(
    url: str,
    moment: Moment,
    token: Token | None = None,
    *,
    ssl: tls.SSLContext | None = None,
    shape: Shape = WHOLE,
    events: bool = False,
    speed: float | None = None,
    paused: bool = False,
) -> "Replay":
    """As `stream`, but its frames show the past from a moment on, until they reach the present.

    There it goes over into the live stream by itself. A reconnection goes on from the moment that was shown.

    Args:
        url: of the stream; `token`, `ssl`, `shape` and `events` as for that.
        moment: Core's time; `"live"` begins in the present, from which `seek` leads to the past.
        speed: 0.1 to 60 times Core's own; by default 1.
        paused: show the moment, and stand still.

    Raises:
        ValueError: `url` is not the address of a WebSocket, or a datetime has no time zone.
    """
    return Replay(url, moment, token, ssl=ssl, shape=shape, events=events, speed=speed, paused=paused)


class Place:
    """Where a replay is: what another connection begins with. Rules only.

    Attributes:
        at: the moment as the gateway reads it, or `PRESENT`.
        speed: times Core's own; None while nobody said.
        paused: whether it stands still.
    """

    def __init__(self, at: str, speed: float | None, paused: bool) -> None:
        self.at = at
        self.speed = speed
        self.paused = paused
        self._is_shown = False

    def seek(self, at: str) -> None:
        """A replay that stands still stands still there too; the present goes on."""
        self.at = at
        self.paused = self.paused and at != PRESENT
        self._is_shown = False

    @property
    def wish(self) -> dict[str, Any]:
        """As a message has it."""
        if self.at == PRESENT:
            return {"at": self.at}
        return {"at": self.at, "paused": self.paused} | ({} if self.speed is None else {"speed": self.speed})

    @property
    def query(self) -> dict[str, Any]:
        """As a handshake has it, which has no word for standing still."""
        return {name: value for name, value in self.wish.items() if name != "paused" and value != PRESENT}

    def shows(self, replay: ReplayStatus | None) -> None:
        """A frame is shown, of the past or of the present."""
        if replay is None and self._is_shown:
            self.seek(PRESENT)
        elif replay is not None and replay["at_ms"] > 0:  # 0: before its first message
            self.at, self.speed, self.paused = str(replay["at_ms"]), replay["speed"], replay["paused"]
            self._is_shown = True


class Replay(Stream):
    """See `at`."""

    def __init__(
        self,
        url: str,
        moment: Moment,
        token: Token | None = None,
        *,
        ssl: tls.SSLContext | None = None,
        shape: Shape = WHOLE,
        events: bool = False,
        speed: float | None = None,
        paused: bool = False,
    ) -> None:
        super().__init__(url, token, ssl=ssl, shape=shape, events=events)
        self._place = Place(moment_text(moment), speed, paused)

    @property
    def speed(self) -> float:
        """Times Core's own, as asked for or as the newest frame says."""
        return self._place.speed or 1.0

    async def pause(self) -> None:
        """Stand still."""
        self._place.paused = True
        await self._say({"paused": True})

    async def resume(self) -> None:
        """Go on."""
        self._place.paused = False
        await self._say({"paused": False})

    async def set_speed(self, speed: float) -> None:
        """0.1 to 60 times Core's own."""
        self._place.speed = speed
        await self._say({"speed": speed})

    async def step(self, messages: int) -> None:
        """So many levels messages forward, or back, and stand still. Without a connection it does nothing."""
        if self.is_connected:
            self._place.paused = True
            await self._say({"step": messages})

    async def seek(self, moment: Moment) -> None:
        """Go to another moment, also from the present; a replay that stands still stands still there."""
        self._place.seek(moment_text(moment))
        await self._say(self._place.wish)

    async def live(self) -> None:
        """Go to the present."""
        await self.seek(PRESENT)

    async def _say(self, change: dict[str, Any]) -> None:
        await self._send({"replay": change})

    def _further(self) -> dict[str, Any]:
        return self._place.query

    async def _begin(self) -> None:
        if self._place.paused:
            await self._say(self._place.wish)

    def _take_status(self, status: Status | None, now_s: float) -> None:
        self._place.shows(None if status is None else status.get("replay"))
        super()._take_status(status, now_s)
