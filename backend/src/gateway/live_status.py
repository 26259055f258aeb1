"""The section `status` of this process: it collects the facts, makes the stamps, and tells in silence that it lives."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any, Final

from src.common.bus import NATSBus
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from src.common.subscription import Stored, message_in_hand
from src.common.tasks import end, guarded, tick
from src.gateway.delivery.channel import Channel
from src.gateway.delivery.hub import Hub
from src.gateway.signals.contract import LevelsPayload
from src.gateway.signals.shape import Shape, judged_sections
from src.gateway.signals.status import HEARTBEAT_MS, JUDGED, Facts, Judgement, StreamStatus

StatusStamp = Callable[[Any, int, int, str | None], bytes]
"""Makes the section: by the messages that a frame shows, its state, how many states a peer skipped, and why."""
SECTIONS: Final = {LEVELS_SIGNALS: "levels", MARKET_FLOW: "flow"}
OnVerdict = Callable[[str, str, str, int], None]
LOOK_EVERY_S: Final = 0.25  # a change of verdict is told within this time, and no silence is longer than a heartbeat


class LiveStatus:
    """How fresh the stream is now.

    Attributes:
        stream: the freshness of each section.
        on_verdict: called with a section, its verdict before, the one that it has now, and when: ms since 1970 UTC;
            None: nobody wants to know.
    """

    def __init__(self, hub: Hub, bus: NATSBus, market: str, now_ms: Callable[[], int]) -> None:
        """
        Args:
            hub: has the channels, some of which tell the status.
            bus: see there.
            market: one of `MARKETS`.
            now_ms: the gateway's clock, ms since 1970 UTC.
        """
        self.stream = StreamStatus(market)
        self._hub = hub
        self._bus = bus
        self._now_ms = now_ms
        self._judgements: dict[Channel, Judgement] = {}
        self._verdicts: dict[str, str] = {}
        self.on_verdict: OnVerdict | None = None
        self._looking: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start to look at the freshness."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_regularly(), name="status")

    async def close(self) -> None:
        """Idempotent."""
        await end(self._looking)
        self._looking = None

    def add(self, section: str, levels: LevelsPayload | None = None, ts_ms: int | None = None) -> None:
        """A message of `section` is in hand; a levels message has `levels`, and `ts_ms` where Core sends its time."""
        now_ms = self._now_ms()
        stored = message_in_hand() or Stored(0, now_ms / 1000, is_first=True)  # or it did not come from a stream
        published_ms = int(stored.stored_s * 1000) if stored.seq else None
        self.stream.add(
            section, stored.seq, published_ms, now_ms, is_live=not stored.is_first, levels=levels, ts_ms=ts_ms
        )

    def place(self, subject: str, stored: Stored) -> None:
        """JetStream has told the place of the newest message of `subject`, which core NATS had brought."""
        section = SECTIONS.get(subject)
        if section in self.stream.sections:
            self.stream.place(section, stored.seq, int(stored.stored_s * 1000), int(stored.arrived_s * 1000))

    def judge(self, asked: Collection[str] = JUDGED) -> Judgement:
        """How fresh the sections are that count, and why not all is live."""
        return self.stream.judge(self._facts(), self._now_ms(), asked)

    @property
    def market_sentence(self) -> str:
        """The hours of the market, in words."""
        return self.stream.market_sentence(self._now_ms())

    def stamp(self, asked: Collection[str], epoch: str) -> StatusStamp:
        """What makes the section, of the moment of the call, for frames of one stream; see `StreamStatus.stamp`."""
        return lambda *shown: self.stream.stamp(self._facts(), self._now_ms(), asked, epoch, *shown)

    def _facts(self) -> Facts:
        subscriptions = self._bus.subscriptions
        is_subscribed = bool(subscriptions) and all(one.is_live for one in subscriptions)
        return Facts(self._hub.is_closing, self._bus.is_connected, is_subscribed)

    def _look_at_verdicts(self, on_verdict: OnVerdict) -> None:
        now_ms = self._now_ms()
        for section, verdict in self.stream.verdicts(now_ms).items():
            before = self._verdicts.get(section, verdict)
            self._verdicts[section] = verdict
            if verdict != before:
                on_verdict(section, before, verdict, now_ms)

    async def _look_regularly(self) -> None:
        while True:
            await tick(LOOK_EVERY_S)
            guarded(self._look, asyncio.get_running_loop().time())

    def _look(self, now_s: float) -> None:
        """Tell the viewers that ask for it what has changed, and that the gateway lives where nothing has."""
        if self.on_verdict is None:
            self.stream.market(self._now_ms())  # it notices an opening when it comes
        else:
            self._look_at_verdicts(self.on_verdict)
        before, self._judgements = self._judgements, {}
        for shape, channel in self._hub.channels.items():
            if not isinstance(shape, Shape) or not shape.status:
                continue
            judgement = self._judgements[channel] = self.judge(judged_sections(shape))
            is_silent = now_s - channel.spoke_s > HEARTBEAT_MS / 1000 - LOOK_EVERY_S
            if is_silent or judgement != before.get(channel, judgement):
                channel.tell()
