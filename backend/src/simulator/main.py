"""`python -m src.simulator.main`: publish a simulated session on the bus until stopped.

With `--past` it first publishes what the session was until now, as fast as the bus takes it. A gateway has to start
after that, or its viewers see the past go by.

The cadence is kept by deadlines counted from the first snapshot, so it does not drift. A snapshot that cannot be
published is dropped, never queued: the next one carries the whole state.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NoReturn

from src.common import logs
from src.common.bus import DEFAULT_NATS_URL, BusError, NATSBus
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from src.simulator.conditions import Conditions, Silence
from src.simulator.pacing import CLOSE_S, PAST_STEP_S, PREMARKET_S, Pace, PastMoment, today
from src.simulator.session import Session, Snapshot

logger = logging.getLogger("simulator")

CONNECT_LIMIT_S = 10.0
_DAY_S = 86_400
# Of the past, so many snapshots are published before the answers are waited for.
_BATCH = 64
_SUBJECTS = {"levels": LEVELS_SIGNALS, "flow": MARKET_FLOW}

_DESCRIPTION = """
Publish levels.signals and market.flow of a simulated trading day. Days run until 16:00 New York time; then the next
weekday starts over at --start. --past comes before the live part: start a gateway after it.
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line asks for. `count` None: until stopped."""

    pace: Pace
    seed: int
    levels: int
    contracts: int
    nats_url: str
    count: int | None
    is_present: bool
    conditions: Conditions


def main() -> int:
    settings = read_settings(sys.argv[1:])
    logs.configure("text", "INFO")
    try:
        asyncio.run(run(settings))
    except BusError as error:
        logger.error("%s", error)
        return 1
    return 0


def read_settings(arguments: Sequence[str]) -> Settings:
    """The settings of a command line.

    Raises:
        SystemExit: an argument is wrong; one line on stderr says which, and what is accepted.
    """
    parser = _Parser(prog="simulator", description=_DESCRIPTION)
    option = parser.add_argument
    option("--rate", type=_number(0.1, 200), default=4.0, help="snapshots a second of each subject (default 4)")
    option("--speed", type=_number(0.1, 3600), default=1.0, help="session seconds a second (default 1)")
    option("--start", type=_session_time, default="09:29", help="HH:MM in New York at which days begin (default 09:29)")
    option(
        "--past",
        type=_number(0, (CLOSE_S - PREMARKET_S) / 60),
        default=0.0,
        metavar="MINUTES",
        help=f"first publish so much of the day from --start on, a message each {PAST_STEP_S:g} s (default 0)",
    )
    option("--seed", type=_whole(0, 2**63 - 1), default=1, help="the same seed gives the same session (default 1)")
    option("--levels", type=_whole(1, 200), default=10, help="levels in a message (default 10)")
    option("--contracts", type=_whole(1, 500), default=60, help="calls, and puts, in the option chain (default 60)")
    option(
        "--clock",
        choices=("session", "present"),
        default="session",
        help="the time in the messages: the session's, or the present, as of a live Core (default session)",
    )
    option(
        "--es", action="store_true", help="also the future; SPY is then a tenth of it, and the levels are the future's"
    )
    option("--lag", type=_number(0, _DAY_S), default=0.0, help="seconds by which the times in the messages lie behind")
    option(
        "--silence",
        type=_silence,
        metavar="AFTER:FOR[:SUBJECT]",
        help="after each AFTER seconds publish nothing for FOR seconds: 60:20, or 60:20:levels, or 60:20:flow",
    )
    option("--null-spot", action="store_true", help="no spot, bid and ask")
    option("--all-no-trade", action="store_true", help="no level has a signal")
    option("--count", type=_whole(1, 10**9), help="stop after that many snapshots (default: never)")
    nats_url = os.environ.get("NATS_URL") or DEFAULT_NATS_URL
    option(
        "--nats-url", default=nats_url, help=f"servers, comma-separated (default: NATS_URL, then {DEFAULT_NATS_URL})"
    )
    given = parser.parse_args(arguments)
    past_s = given.past * 60
    if given.start + past_s >= CLOSE_S:
        left = (CLOSE_S - given.start) / 60
        parser.error(
            f"argument --past: {given.past:g} minutes from --start on are beyond the close, {left:g} minutes away"
        )
    return Settings(
        pace=Pace(given.rate, given.speed, given.start, past_s),
        seed=given.seed,
        levels=given.levels,
        contracts=given.contracts,
        nats_url=given.nats_url,
        count=given.count,
        is_present=given.clock == "present",
        conditions=Conditions(given.es, round(given.lag * 1000), given.silence, given.null_spot, given.all_no_trade),
    )


async def run(settings: Settings) -> None:
    """Publish until the count is reached, or until SIGINT or SIGTERM.

    Raises:
        BusError: NATS cannot be reached at the start.
    """
    stopping = asyncio.Event()
    work = asyncio.create_task(_connect_and_publish(settings, stopping))

    def stop() -> None:
        # Cancelling ends every wait at once, but asyncio.wait_for (Python 3.11) loses a cancellation that comes
        # together with its result: the event is what holds.
        stopping.set()
        work.cancel()

    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await work
    if stopping.is_set():
        logger.info("stopped")


async def _connect_and_publish(settings: Settings, stopping: asyncio.Event) -> None:
    bus = NATSBus(settings.nats_url, name="simulator", connect_timeout_s=CONNECT_LIMIT_S)
    try:
        await bus.connect()
        session = Session(settings.seed, today(datetime.now(UTC)), settings.levels, settings.contracts)
        await _Publisher(bus, session, settings).publish(stopping)
    finally:
        await bus.close()


class _Publisher:
    """Publishes the past of a session at once, and then each snapshot when it is due."""

    def __init__(self, bus: NATSBus, session: Session, settings: Settings) -> None:
        self._bus = bus
        self._session = session
        self._settings = settings
        self._getting_through = True

    async def publish(self, stopping: asyncio.Event) -> None:
        await self._publish_past(stopping)
        await self._publish_live(stopping)

    async def _publish_past(self, stopping: asyncio.Event) -> None:
        """Publish the past as fast as the bus takes it. It ends with the first message that the bus does not take."""
        begun_s, now_ms, published = time.monotonic(), _now_ms(), 0
        past = self._settings.pace.past()
        while (batch := list(islice(past, _BATCH))) and not stopping.is_set():
            messages = [each for moment in batch for each in self._past_messages(moment, now_ms)]
            try:
                # The order of a subject is that of the calls.
                await asyncio.gather(*(self._bus.publish(subject, message) for subject, message in messages))
            except BusError as error:
                logger.warning("the past ends early: %s", error)
                return
            published += len(messages)
        if published:
            logger.info("published %d messages of the past in %.1f s", published, time.monotonic() - begun_s)

    def _past_messages(self, past: PastMoment, now_ms: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """What Core published at a moment of the past: subjects and messages."""
        conditions, elapsed_s = self._settings.conditions, self._settings.pace.past_s - past.before_s
        snapshot = self._session.snapshot(past.moment, with_flow=past.has_flow)
        if self._settings.is_present:
            snapshot = snapshot.at(now_ms - round(past.before_s * 1000))
        snapshot = conditions.change(snapshot, is_past=True)
        for subject, message in ((LEVELS_SIGNALS, snapshot.levels), (MARKET_FLOW, snapshot.flow)):
            if message and not conditions.are_silent(subject, elapsed_s):
                yield subject, message

    async def _publish_live(self, stopping: asyncio.Event) -> None:
        pace, count, index, made = self._settings.pace, self._settings.count, 0, 0
        snapshot = self._session.snapshot(pace.moment(index))  # the first takes longest: it has a day to live through
        self._log_start()
        begun_s = asyncio.get_running_loop().time()
        while not stopping.is_set():
            await self._offer(self._live(snapshot), pace.past_s + pace.due_s(index))
            made += 1
            if made == count:
                return
            index = pace.index_after(index, asyncio.get_running_loop().time() - begun_s)
            snapshot = self._session.snapshot(pace.moment(index))
            await asyncio.sleep(begun_s + pace.due_s(index) - asyncio.get_running_loop().time())

    def _live(self, snapshot: Snapshot) -> Snapshot:
        if self._settings.is_present:
            snapshot = snapshot.at(_now_ms())
        return self._settings.conditions.change(snapshot)

    async def _offer(self, snapshot: Snapshot, elapsed_s: float) -> None:
        """Publish both messages, levels first, or drop what the bus does not take."""
        try:
            for subject, message in ((LEVELS_SIGNALS, snapshot.levels), (MARKET_FLOW, snapshot.flow)):
                if not self._settings.conditions.are_silent(subject, elapsed_s):
                    await self._bus.publish(subject, message)
        except BusError as error:
            self._note(getting_through=False, reason=str(error))
        else:
            self._note(getting_through=True)

    def _note(self, *, getting_through: bool, reason: str = "") -> None:
        if getting_through is self._getting_through:
            return
        self._getting_through = getting_through
        if getting_through:
            logger.info("publishing again")
        else:
            logger.warning("%s; dropping snapshots until it works again", reason)

    def _log_start(self) -> None:
        pace, settings = self._settings.pace, self._settings
        logger.info(
            "publishing %s and %s to %s: %g a second, seed %d, %g session seconds a second from %02d:%02d New York",
            LEVELS_SIGNALS,
            MARKET_FLOW,
            self._bus.url,
            pace.rate_hz,
            settings.seed,
            pace.speed,
            *divmod(int(pace.start_s) // 60, 60),
        )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _number(low: float, high: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return value

    return number


def _whole(low: int, high: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text[:20]) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return whole


def _silence(text: str) -> Silence:
    spec = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?):([0-9]+(?:\.[0-9]+)?)(?::(levels|flow))?", text)
    if spec is None or not all(0 < float(seconds[:20]) <= _DAY_S for seconds in spec.group(1, 2)):
        raise argparse.ArgumentTypeError(f"{text!r} is not AFTER:FOR, AFTER:FOR:levels or AFTER:FOR:flow, in seconds")
    return Silence(float(spec[1]), float(spec[2]), (_SUBJECTS[spec[3]],) if spec[3] else tuple(_SUBJECTS.values()))


def _session_time(text: str) -> float:
    """Seconds since midnight of HH:MM."""
    clock = re.fullmatch("([0-2][0-9]):([0-5][0-9])", text)
    second = int(clock[1]) * 3600.0 + int(clock[2]) * 60.0 if clock else -1.0
    if not PREMARKET_S <= second < CLOSE_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time HH:MM from 04:00 to 15:59")
    return second


if __name__ == "__main__":
    sys.exit(main())
