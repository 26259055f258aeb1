"""One line a change of state, on stderr, as text or JSON. What happens often is counted, not logged."""

import json
import logging
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

FORMATS: Final = ("text", "json")
BETWEEN_URLS: Final = re.compile(r",(?=\s*\w+://)")
SECRET: Final = re.compile(r"^(\s*\w+://)?.*@", re.DOTALL)
QUERY: Final = re.compile(r"\?.*", re.DOTALL)
HOST: Final = re.compile(r"(\w+://)?(\[[0-9a-fA-F:.]+\]|[\w.-]+)(:\d*)?/?")
LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


def configure(log_format: str, level: str, worker: int | None = None) -> None:
    """Send every logger's lines to stderr in one format; libraries speak from WARNING up.

    Args:
        log_format: one of `FORMATS`.
        level: one of `LEVELS`.
        worker: the number of this process, where several write to one stream.
    """
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(JsonLine(worker) if log_format == "json" else TextLine(worker))
    logging.basicConfig(handlers=[lines], level=level, force=True)
    logging.getLogger("asyncio").addFilter(_is_news)
    for library in ("nats", "uvicorn", "websockets", "asyncio", "fastapi"):
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def _is_news(record: logging.LogRecord) -> bool:
    """The NATS library provokes this line with each TLS connection that its server ends, and means nothing by it."""
    return "eof_received() has no effect" not in record.getMessage()


class TextLine(logging.Formatter):
    """`2026-01-02T14:30:00.123Z INFO gateway: text`, with a traceback folded into the line's end.

    In worker 2 the logger is `gateway[2]`.
    """

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._process = "" if worker is None else f"[{worker}]"

    def format(self, record: logging.LogRecord) -> str:
        text = f"{_utc(record.created)} {record.levelname} {record.name}{self._process}: {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text.replace("\n", " | ")


class JsonLine(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`; `worker` and `exception` where there is one."""

    def __init__(self, worker: int | None = None) -> None:
        super().__init__()
        self._process: dict[str, str | int] = {} if worker is None else {"worker": worker}

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _utc(record.created),
            "level": record.levelname,
            "logger": record.name,
            **self._process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class Throttle:
    """Lets one line through each `interval_s` and says how many it held back meanwhile."""

    def __init__(self, interval_s: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval_s = interval_s
        self._clock = clock
        self._quiet_until = float("-inf")
        self._held_back = 0

    def lets_through(self) -> int | None:
        """The number of lines held back since the last one, or None when this one is to be held back too."""
        now = self._clock()
        if now < self._quiet_until:
            self._held_back += 1
            return None
        self._quiet_until = now + self._interval_s
        held_back, self._held_back = self._held_back, 0
        return held_back


def more(held_back: int) -> str:
    """For the end of a line that a `Throttle` lets through."""
    return f" ({held_back} more since the last such line)" if held_back else ""


def redacted(urls: str) -> str:
    """URLs, separated by commas, with user names, passwords, tokens and queries replaced by `***`.

    Works on the text alone: it may be too wrong to be parsed, and secrets may hold any character. So beside a secret
    only a plain host stays.
    """
    has_login = "@" in urls
    return ",".join(QUERY.sub("?***", _without_login(url) if has_login else url) for url in BETWEEN_URLS.split(urls))


def _without_login(url: str) -> str:
    if "@" in url:
        return SECRET.sub(r"\1***@", url)
    return url if HOST.fullmatch(url.strip()) else "***"


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
