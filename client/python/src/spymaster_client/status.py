"""What the section `status` says: whether it is one, whether its frame is a heartbeat or an old one, and how far to
believe the rest.

The gateway judges; here its words are read. Rules only: no clock, no socket.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, cast

from spymaster_client.contract import SectionStatus, Status
from spymaster_client.freshness import Age

Verdict = Literal["live", "late", "stale", "replay", "market_closed"]

# `closed` of a section is `market_closed` of the stream, which has an end called `closed`.
VERDICTS: Final[dict[str, Verdict]] = {
    "live": "live",
    "late": "late",
    "closed": "market_closed",
    "stale": "stale",
    "replay": "replay",
}
# Causes for which a section has no worth, be its newest message as fresh as it may.
MISSING: Final = {"levels": ("levels_silent", "spot_missing"), "flow": ("flow_silent",)}
# The section of `status` that is about each section of a frame.
JUDGED_BY: Final = {"levels": "levels", "viewport": "levels", "flow": "flow"}
LARGEST_MS: Final = 1 << 53  # of an integer in the contract
ALIKE_MS: Final = 1_000  # two gateways tell the time of one message by their own clocks, until JetStream tells it


def is_status(status: object) -> bool:
    """Whether it has what the client reads of a `Status`, in its types."""
    if not isinstance(status, dict):
        return False
    market = status.get("market")
    return (
        isinstance(status.get("seq"), int)
        and isinstance(status.get("epoch"), str)
        and _is_number(status.get("heartbeat_ms"), 1)
        and all(isinstance(status.get(name), str | None) for name in ("cause", "explanation"))
        and isinstance(market, dict)
        and all(isinstance(market.get(name), str) for name in ("name", "sentence"))
        and all(_is_section(status[name]) for name in ("levels", "flow") if name in status)
        and ("replay" not in status or _is_replay(status["replay"]))
    )


def is_past(status: Status | None) -> bool:
    """Whether its frame shows the past, because that was asked for."""
    return status is not None and "replay" in status


def is_heartbeat(frame: Mapping[str, object], status: Status, before: Status | None) -> bool:
    """Whether a frame with this status repeats the state of the frame before, and so leaves every section as it is."""
    return (
        frame.keys() == {"status"}
        and before is not None
        and (status["epoch"], status["seq"]) == (before["epoch"], before["seq"])
    )


def is_behind(status: Status, shown: Status) -> bool:
    """Whether a gateway tells with `status` of a state older than the one `shown`.

    States of one epoch are numbered; those of two are compared by the messages in them. A gateway that knows no message
    knows less than was shown.
    """
    if status["epoch"] == shown["epoch"]:
        return status["seq"] < shown["seq"]
    told, before = _published_ms(status), _published_ms(shown)
    if not told:
        return bool(before)
    return any(told[name] < before[name] - ALIKE_MS for name in told.keys() & before.keys())


def _published_ms(status: Status) -> dict[str, float]:
    """When NATS took the message of each section that is known. A gateway that does not tell it is never behind."""
    sections = {"levels": status.get("levels"), "flow": status.get("flow")}
    return {name: section.get("published_ms", math.nan) for name, section in sections.items() if section is not None}


def age_of(section: SectionStatus) -> Age:
    """The verdict. A word that this client does not know is no reason to trade."""
    return cast(Age, section["verdict"]) if section["verdict"] in VERDICTS else "stale"


def verdict_of(ages: Mapping[str, Age], sections: Sequence[str] | None, cause: str | None) -> Verdict:
    """How far to believe a frame: as its levels, or its flow where it has no levels.

    Live levels beside a dead flow are not all live: that is late. A replay of either is a replay of both, and so is the
    past that was asked for.

    Args:
        ages: of those of levels and flow that are known.
        sections: that are asked for; None for all.
        cause: why not all is live.
    """
    asked = {JUDGED_BY.get(name) for name in (JUDGED_BY if sections is None else sections)}
    words = {name: VERDICTS[age] for name, age in ages.items() if name in asked}
    if "replay" in words.values() or cause == "past":
        return "replay"
    if not words:
        return "live" if cause is None else "market_closed" if cause == "market_closed" else "late"
    word = words.get("levels") or words["flow"]
    is_part_dead = words.get("flow") in ("late", "stale") or any(
        cause in causes for name, causes in MISSING.items() if name in asked
    )
    return "late" if word == "live" and is_part_dead else word


def news_of(status: Status) -> object:
    """What is worth telling a reader: equal in two heartbeats between which only time has passed."""
    verdicts = [section and section["verdict"] for section in (status.get("levels"), status.get("flow"))]
    return verdicts, status["cause"], status["explanation"], status["market"]


def _is_section(section: Any) -> bool:
    is_judged = isinstance(section, dict) and isinstance(section.get("verdict"), str)
    return is_judged and _is_number(section.get("age_ms"), 0) and _is_number(section.get("published_ms", 0), 0)


def _is_replay(replay: Any) -> bool:
    return (
        isinstance(replay, dict)
        and _is_number(replay.get("at_ms"), 0)
        and isinstance(replay.get("speed"), int | float)
        and isinstance(replay.get("paused"), bool)
    )


def _is_number(value: Any, least: int) -> bool:
    return isinstance(value, int) and least <= value <= LARGEST_MS
