"""File descriptors: each viewer needs one. As many as may be had are taken at start; it is told when none is left.

Without one, the event loop (libuv keeps one back for this) accepts a new connection and closes it at once: who is here
stays, who comes is refused, and nothing spins. Nobody else hears of it; hence the watch.
"""

import contextlib
import errno
import logging
import os
import resource
from typing import Final

logger = logging.getLogger("gateway")

OTHERS: Final = 64  # for NATS, HTTP, files and the event loop itself
NONE_LEFT: Final = (errno.EMFILE, errno.ENFILE)


def limit() -> int:
    """How many this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_limit() -> int:
    """Raise the limit of this process and its children as far as the system allows; return what it is then."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return limit()


def shortage(descriptors: int, max_viewers: int, workers: int) -> str | None:
    """What to do where a worker may have so many descriptors and its share of the viewers needs more, else None."""
    needed = -(-max_viewers // workers) + OTHERS
    if descriptors >= needed:
        return None
    return (
        f"GATEWAY_MAX_VIEWERS={max_viewers} needs {needed} file descriptors in each process, "
        f"which may have {descriptors}: raise ulimit -n"
    )


class FileDescriptorWatch:
    """Says once that no descriptor is left, and once that there are some again."""

    def __init__(self) -> None:
        self._none_left = False

    def look(self) -> None:
        none_left = _none_left()
        if none_left and not self._none_left:
            logger.error("all %d file descriptors are in use: new viewers are refused; raise ulimit -n", limit())
        elif self._none_left and not none_left:
            logger.warning("there are free file descriptors again")
        self._none_left = none_left


def _none_left() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno in NONE_LEFT
    return False
