"""The file descriptor limit: each viewer needs one descriptor. The gateway raises its limit at the start.

When none is left, the event loop accepts a new connection with the one that libuv keeps back, and closes it at once:
viewers stay, new ones are refused, and nothing spins. libuv reports nothing; hence the watch.
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
    """How many descriptors this process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_limit() -> int:
    """Raise the limit of this process and its children as far as the system allows; returns the new limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS allows less than it reports
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return limit()


def shortage(descriptors: int, max_viewers: int, workers: int) -> str | None:
    """What to do where a worker has too few descriptors for its share of the viewers; None where it has enough."""
    needed = -(-max_viewers // workers) + OTHERS
    if descriptors >= needed:
        return None
    return (
        f"GATEWAY_MAX_VIEWERS={max_viewers} needs {needed} file descriptors in each process, "
        f"which may have {descriptors}: raise ulimit -n"
    )


class FileDescriptorWatch:
    """Logs once that no descriptor is left, and once that some are free again."""

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
