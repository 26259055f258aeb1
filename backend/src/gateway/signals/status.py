"""Section `status`: how fresh each section is, why not all is live, and whether the market is open.

Values in, values out: the facts about NATS and the process come from outside, and so does the time.
"""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

import msgspec

from src.gateway.signals.causes import CAUSES
from src.gateway.signals.contract import LevelsPayload, MarketStatus, ReplayStatus, SectionStatus, Skipped, Status
from src.gateway.signals.freshness import CLOSED, LIVE, REPLAY, Message, SectionFreshness
from src.gateway.signals.market_calendar import MarketState, market_at, sentence

HEARTBEAT_MS: Final = 1_000
JUDGED: Final = ("levels", "flow")
PAST: Final = "past"


class Facts(NamedTuple):
    """What the process knows beside the messages.

    Attributes:
        is_draining: whether viewers are being closed, or are about to be.
        is_connected: to NATS.
        is_subscribed: whether every subscription is live.
    """

    is_draining: bool = False
    is_connected: bool = True
    is_subscribed: bool = True


class Judgement(NamedTuple):
    """What a viewer is to know of at once when it changes.

    Attributes:
        verdicts: of the sections that are known.
        cause: a word of `CAUSES`; None while all is live.
        is_open: whether the market is.
    """

    verdicts: Mapping[str, str]
    cause: str | None
    is_open: bool


class StreamStatus:
    """How fresh the stream is.

    Attributes:
        sections: those of `JUDGED` of which a message has come.
    """

    def __init__(self, market: str) -> None:
        """
        Args:
            market: one of `MARKETS`, whose hours rule.
        """
        self.sections: dict[str, SectionFreshness] = {}
        self._market = market
        self._has_spot = True
        self._was_open = True
        self._opened_ms = 0  # 0: since before the first look

    def add(
        self,
        section: str,
        seq: int,
        published_ms: int | None,
        now_ms: int,
        *,
        is_live: bool,
        levels: LevelsPayload | None = None,
        ts_ms: int | None = None,
    ) -> None:
        """A message of `section` has come; see `SectionFreshness.add`.

        Args:
            section: one of `JUDGED`.
            seq: its sequence in the stream; 0 while it is not known.
            published_ms: when NATS took it; None while it is not known.
            now_ms: the gateway's clock.
            is_live: False for the first one of a subscription.
            levels: of a levels message.
            ts_ms: Core's own time in it; None where Core sends none. The `ts` of `levels` is then the gateway's time.
        """
        if levels is not None:
            self._has_spot = any(
                spot is not None and spot["spot"] is not None for spot in (levels["spy"], levels.get("es"))
            )
        self.sections.setdefault(section, SectionFreshness()).add(seq, published_ms, ts_ms, now_ms, is_live=is_live)

    def place(self, section: str, seq: int, published_ms: int, arrived_ms: int) -> None:
        """The place in the stream of the newest message of `section` is known now; see `SectionFreshness.place`."""
        self.sections[section].place(seq, published_ms, arrived_ms)

    def market(self, now_ms: int) -> MarketState:
        """The hours of the market, now."""
        state = market_at(self._market, now_ms)
        if state.is_open and not self._was_open:
            self._opened_ms = now_ms
        self._was_open = state.is_open
        return state

    def judge(self, facts: Facts, now_ms: int, asked: Collection[str] = JUDGED) -> Judgement:
        """How it stands.

        Args:
            facts: see there.
            now_ms: the gateway's clock, ms since 1970 UTC.
            asked: the sections that count.
        """
        is_open = self.market(now_ms).is_open
        verdicts = {name: verdict for name, verdict in self._verdicts(now_ms, is_open).items() if name in asked}
        return Judgement(verdicts, self._cause(facts, verdicts, now_ms, asked), is_open)

    def verdicts(self, now_ms: int) -> dict[str, str]:
        """How fresh each section is; the argument as for `judge`."""
        return self._verdicts(now_ms, self.market(now_ms).is_open)

    def _verdicts(self, now_ms: int, is_open: bool) -> dict[str, str]:
        opened_ms = self._opened_ms if is_open else None
        return {name: section.verdict(now_ms, opened_ms) for name, section in self.sections.items()}

    def _cause(self, facts: Facts, verdicts: Mapping[str, str], now_ms: int, asked: Collection[str]) -> str | None:
        """The first of the table that is true."""
        silent = {name for name, section in self.sections.items() if section.is_silent(now_ms)}
        told = {name for name, verdict in verdicts.items() if verdict != LIVE}
        of_core = bool(silent & told)
        true = {
            "gateway_draining": facts.is_draining,
            "nats_down": not facts.is_connected,
            "subscription_lost": not facts.is_subscribed,
            "past": False,
            "replay": REPLAY in verdicts.values(),
            "no_message": not verdicts,
            "market_closed": CLOSED in verdicts.values(),
            "core_silent": of_core and silent == self.sections.keys(),
            "levels_silent": of_core and "levels" in silent & told,
            "flow_silent": of_core and "flow" in silent & told,
            "core_behind": bool(told),
            "spot_missing": "levels" in asked and "levels" in self.sections and not self._has_spot,
        }
        return next((cause for cause in CAUSES if true[cause]), None)

    @property
    def messages(self) -> Mapping[str, Message]:
        """The newest of each section that is known: those that the payload of this moment shows."""
        return {name: section.newest for name, section in self.sections.items()}

    def stamp(
        self,
        facts: Facts,
        now_ms: int,
        asked: Collection[str],
        epoch: str,
        messages: Mapping[str, Message] | None,
        state: int,
        states: int,
        why: str | None,
    ) -> bytes:
        """The section, as JSON.

        Args:
            facts: see there.
            now_ms: the gateway's clock.
            asked: the sections that count.
            epoch: the life of the stream in which `state` counts.
            messages: those that the frame shows, which may be older than the newest; None where it shows none.
            state: the number of the state that the frame shows.
            states: how many a viewer has skipped.
            why: it did.
        """
        judgement = self.judge(facts, now_ms, asked)
        cause = judgement.cause
        market = self.market(now_ms)
        said = _market_status(market, self.market_sentence(now_ms))
        status = _status(now_ms, epoch, state, {"frames": states, "why": why}, cause, said)
        for name, verdict in judgement.verdicts.items():
            if messages is not None and name in messages:
                age_ms = self.sections[name].age_ms(now_ms, messages[name])
                status[name] = _section(messages[name], age_ms, verdict)  # type: ignore[literal-required]
        return msgspec.json.encode(status)

    def stamp_of_past(
        self,
        replay: ReplayStatus,
        messages: Mapping[str, Message],
        now_ms: int,
        epoch: str,
        state: int,
        states: int,
        why: str | None,
    ) -> bytes:
        """The section in a frame that shows the past, as JSON; the hours of the market are those of then.

        Args:
            replay: where it is.
            messages: those that the frame shows.
            now_ms: the gateway's clock.
            epoch: as for `stamp`.
            state: likewise.
            states: likewise.
            why: likewise.
        """
        market = market_at(self._market, replay["at_ms"])
        said = _market_status(market, sentence(market, replay["at_ms"], None))
        status = _status(now_ms, epoch, state, {"frames": states, "why": why}, PAST, said)
        status["replay"] = replay
        for name, message in messages.items():
            age_ms = max(now_ms - message.published_ms, 0)
            status[name] = _section(message, age_ms, REPLAY)  # type: ignore[literal-required]
        return msgspec.json.encode(status)

    def market_sentence(self, now_ms: int) -> str:
        """The hours, in words."""
        return sentence(self.market(now_ms), now_ms, self._last_data_ms)

    @property
    def _last_data_ms(self) -> int | None:
        return max((section.newest.published_ms for section in self.sections.values()), default=None)


def _status(now_ms: int, epoch: str, state: int, skipped: Skipped, cause: str | None, market: MarketStatus) -> Status:
    """Without the sections."""
    return {
        "seq": state,
        "epoch": epoch,
        "sent_ms": now_ms,
        "heartbeat_ms": HEARTBEAT_MS,
        "skipped": skipped,
        "cause": cause,
        "explanation": None if cause is None else CAUSES[cause].sentence,
        "market": market,
    }


def _section(message: Message, age_ms: int, verdict: str) -> SectionStatus:
    return {
        "seq": message.seq,
        "age_ms": age_ms,
        "published_ms": message.published_ms,
        "core_lag_ms": message.core_lag_ms,
        "verdict": verdict,
    }


def _market_status(market: MarketState, said: str) -> MarketStatus:
    return {
        "name": market.market,
        "open": market.is_open,
        "sentence": said,
        "opens_ms": market.opens_ms,
        "closes_ms": market.closes_ms,
    }
