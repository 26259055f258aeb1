"""A line of progress: redrawn in a terminal, written from time to time to a file or a pipe."""

import asyncio
import logging
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TextIO
from zoneinfo import ZoneInfo

REDRAW_S: Final = 0.25
SPARSE_S: Final = 10.0
ERASE_LINE: Final = "\r\x1b[K"
NEW_YORK: Final = ZoneInfo("America/New_York")


class Progress:
    """Shows `line()` until it is cancelled. In a terminal it also keeps log lines and its own apart.

    Args:
        line: what to show now; empty for nothing.
        shown: False keeps quiet.
    """

    def __init__(self, line: Callable[[], str], *, shown: bool, output: TextIO | None = None) -> None:
        self._line = line
        self._shown = shown
        self._output = output or sys.stderr
        self._redraws = shown and self._output.isatty()
        self._drawn = False

    async def run(self) -> None:
        if not self._shown:
            return
        if self._redraws:
            for handler in logging.getLogger().handlers:
                if isinstance(handler, logging.StreamHandler):
                    handler.addFilter(self._make_room)
        try:
            while True:
                await asyncio.sleep(REDRAW_S if self._redraws else SPARSE_S)
                self._draw()
        finally:
            self._erase()

    def _draw(self) -> None:
        text = self._line()
        self._erase()
        if text:
            columns = shutil.get_terminal_size().columns
            self._output.write(text[: columns - 1] if self._redraws else text + "\n")
            self._drawn = self._redraws
        self._output.flush()

    def _erase(self) -> None:
        if self._drawn:
            self._output.write(ERASE_LINE)
            self._output.flush()
            self._drawn = False

    def _make_room(self, _record: logging.LogRecord) -> bool:
        self._erase()
        return True


def duration(seconds: float) -> str:
    """0:07, 12:34, 1:02:03."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def size(count: float) -> str:
    """Bytes in a few characters: 950 B, 12.3 kB, 4.6 MB."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def new_york(ts_ms: float) -> str:
    """The time of day there; empty where it is none."""
    try:
        return f"{datetime.fromtimestamp(ts_ms / 1000, UTC).astimezone(NEW_YORK):%H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return ""
