"""The commands `record` and `replay`: arguments, signals, exit status, and lines on stderr."""

import argparse
import asyncio
import contextlib
import logging
import math
import os
import re
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from src.common import logs
from src.common.access import AccessError
from src.common.bus import BusError, NATSBus
from src.common.tasks import end, stop_event, unless
from src.gateway.recording.file import Reader, RecordingError, Writer
from src.gateway.recording.progress import Progress
from src.gateway.recording.record import Recording
from src.gateway.recording.replay import Replay, Span
from src.gateway.settings import SettingError, Settings, jetstream_options, nats_access

logger = logging.getLogger("recording")

UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600}
LONGEST_S: Final = 366 * 24 * 3600.0
DURATION_WORDS: Final = "a duration such as 90, 30s, 10m, 2h, 1:30 or 1:02:03"


def main(arguments: Sequence[str]) -> int:
    """Run `record …` or `replay …`; the exit status: 0 done or stopped, 1 it cannot go on, 2 a wrong argument."""
    given = read_arguments(arguments)
    try:
        settings = Settings.from_environment(os.environ)
        nats_access(settings).require_files()
    except (AccessError, SettingError) as error:
        return _give_up(str(error), 2)
    logs.configure(settings.log_format, settings.log_level)
    commands = {"record": record, "replay": replay}
    try:
        return asyncio.run(commands[given.command](given, settings))
    except (BusError, RecordingError) as error:
        logger.error("%s", error)
        return 1


async def record(given: argparse.Namespace, settings: Settings) -> int:
    """Record until a signal, or for as long as was asked.

    Raises:
        BusError: the bus cannot be read.
        RecordingError: the file cannot be written.
    """
    stop, bus = stop_event(), _bus(given, settings)
    try:
        if await unless(stop, _connected(bus)) is None:
            return 0
        since_ms = None if given.since is None else round((time.time() - given.since) * 1000)
        writer = Writer(given.file, overwrite=given.force)
        recording = Recording(bus, writer)
        progress = Progress(recording.progress, shown=not given.quiet)
        logger.info("recording from %s to %s; Ctrl-C ends it", bus.url, given.file)
        try:
            with _stopping_after(given.limit, stop):
                await _beside(progress, recording.run(stop, since_ms))
        except RecordingError:
            if recording.written:
                logger.info("what can be replayed: %s", recording.summary())
            raise
        finally:
            writer.close()
        logger.info("%s", recording.summary())
    finally:
        await bus.close()
    return 0


async def replay(given: argparse.Namespace, settings: Settings) -> int:
    """Replay to the end, or until a signal.

    Raises:
        BusError: the bus does not take it.
        RecordingError: the file is no recording, or nothing of it was to be replayed.
    """
    stop, bus = stop_event(), _bus(given, settings)
    reader = Reader(given.file)
    replaying = Replay(bus, reader, given.speed, Span(given.begin, given.end), retimed=given.retime)
    progress = Progress(replaying.progress, shown=not given.quiet)
    try:
        if await unless(stop, _connected(bus)) is None:
            return 0
        logger.info("replaying %s to %s", given.file, bus.url)
        done = await _beside(progress, unless(stop, _then_true(replaying.run(loop=given.loop))))
    finally:
        await bus.close()
    if reader.cut:
        logger.warning("%s ends early: %s; all before that was replayed", given.file, reader.cut)
    if reader.unreadable:
        logger.warning("%d lines of %s hold no message and were left out", reader.unreadable, given.file)
    ended = "replayed" if done else "stopped:"
    logger.info("%s %s messages, up to %s", ended, f"{replaying.published:,}", replaying.position())
    return 0


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """
    Raises:
        SystemExit: an argument is wrong; one line on stderr says which, and what is accepted.
    """
    parser = _Parser(prog="gateway", description="Record a session of the bus to a file, and publish it again.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="record|replay")
    both = _Parser(add_help=False)
    both.add_argument("file", type=Path, metavar="FILE", help="the recording, such as session.jsonl.gz")
    both.add_argument("--nats-url", help="servers, comma-separated (default: NATS_URL)")
    both.add_argument("--quiet", action="store_true", help="show no progress")

    what = "Write every message of both subjects to FILE until Ctrl-C."
    option = commands.add_parser("record", parents=[both], help="from the bus to a file", description=what).add_argument
    option("--for", dest="limit", type=_duration, metavar="TIME", help="stop after that long")
    option("--since", type=_duration, metavar="TIME", help="begin that long ago, with what the streams still have")
    option("--force", action="store_true", help="write over a file that is there")

    what = "Publish FILE on the bus again, with the gaps that it was recorded with."
    option = commands.add_parser("replay", parents=[both], help="from a file to the bus", description=what).add_argument
    option("--speed", type=_speed, default=1.0, metavar="N", help="recorded seconds a second, or max (default 1)")
    option("--from", dest="begin", type=_duration, default=0.0, metavar="TIME", help="begin there in the recording")
    option("--to", dest="end", type=_duration, default=math.inf, metavar="TIME", help="end there")
    option("--loop", action="store_true", help="begin again at its end")
    option("--retime", action="store_true", help="write the time of publication into the levels' ts")
    given = parser.parse_args(arguments)
    if given.command == "replay" and given.end <= given.begin:
        parser.error("--to is not accepted: it has to lie after --from")
    return given


async def _beside(progress: Progress, work: Coroutine[Any, Any, Any]) -> Any:
    showing = asyncio.create_task(progress.run(), name="progress")
    try:
        return await work
    finally:
        await end(showing)


@contextlib.contextmanager
def _stopping_after(limit_s: float | None, stop: asyncio.Event) -> Iterator[None]:
    timer = None if limit_s is None else asyncio.get_running_loop().call_later(limit_s, stop.set)
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()


async def _connected(bus: NATSBus) -> bool:
    await bus.connect()
    return True


async def _then_true(work: Coroutine[Any, Any, None]) -> bool:
    await work
    return True


def _bus(given: argparse.Namespace, settings: Settings) -> NATSBus:
    return NATSBus(
        given.nats_url or settings.nats_url,
        name=given.command,
        connect_timeout_s=settings.connect_timeout_s,
        access=nats_access(settings),
        jetstream=jetstream_options(settings),
    )


def _give_up(text: str, status: int) -> int:
    print(f"gateway: {text}", file=sys.stderr)
    return status


class _Parser(argparse.ArgumentParser):
    """Reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _duration(text: str) -> float:
    if re.fullmatch(r"\d{1,4}(:[0-5]?\d){1,2}", text):
        seconds = 0.0
        for part in text.split(":"):
            seconds = seconds * 60 + int(part)
        return seconds
    plain = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)([smh]?)", text)
    seconds = float(plain[1]) * UNITS_S[plain[2]] if plain else math.inf
    if seconds > LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text!r} is not {DURATION_WORDS}")
    return seconds


def _speed(text: str) -> float:
    if text == "max":
        return math.inf
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0.001 <= speed <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0.001 to 100000, or max")
    return speed
