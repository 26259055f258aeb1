"""Processes of a run: where they run, what they cost, how they start and end. Linux only, for /proc and epoll."""

import contextlib
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from signal import SIGKILL
from typing import Final, NamedTuple

from src.demo.child_process import start_child
from src.demo.nats_server import HOST

START_LIMIT_S: Final = 30.0
LOOK_EVERY_S: Final = 0.02
TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Cores(NamedTuple):
    """The server has one to itself where there are two or more."""

    server: frozenset[int]
    load: frozenset[int]


def cores() -> Cores:
    first, *others = sorted(os.sched_getaffinity(0))
    return Cores(frozenset({first}), frozenset(others or {first}))


@contextlib.contextmanager
def pinned(to: frozenset[int]) -> Iterator[None]:
    """Processes that are started within run there; threads that are, too."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, to)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allow_many_sockets() -> None:
    """As many as this process may have, and the processes that it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def serving(arguments: list[str], port: int, environment: Mapping[str, str], log: Path) -> Iterator[int]:
    """A Python program that listens on `port`, and its process id; killed in the end.

    Raises:
        RuntimeError: it does not listen; with the end of what it said.
    """
    with log.open("wb") as output:
        process = start_child(
            [sys.executable, *arguments], death_signal=SIGKILL, output=output, env={**os.environ, **environment}
        )
    try:
        until_listening(process, port, log)
        yield process.pid
        if process.poll() is not None:
            raise RuntimeError(f"{' '.join(arguments)} ended while it was measured:\n{log.read_text()[-2000:]}")
    finally:
        process.kill()
        process.wait()


def until_listening(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Wait until a child listens on `port`.

    Raises:
        RuntimeError: it does not; with the end of what it said.
    """
    deadline_s = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        time.sleep(LOOK_EVERY_S)
    raise RuntimeError(f"nothing listens on port {port}:\n{log.read_text()[-2000:]}")


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process and its children have used so far, user and kernel."""
    return sum(_own_cpu_s(each) for each in family(pid))


def waited_s(pid: int) -> float:
    """Seconds that a process and its children could have run so far, and did not: something else had the core."""
    return sum(_scheduled_ns(each)[1] for each in family(pid)) / 1e9


def resident_bytes(pid: int) -> int:
    """Memory of a process and its children, as far as it is in RAM."""
    return sum(int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in family(pid)) * PAGE_BYTES


def family(pid: int) -> list[int]:
    """A process and its children, parents first."""
    found = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [one for child in children.read_text().split() for one in family(int(child))]
    return found


def _own_cpu_s(pid: int) -> float:
    """To the nanosecond where the kernel keeps scheduler statistics, else to the tick."""
    on_cpu_ns, _ = _scheduled_ns(pid)
    if on_cpu_ns:
        return on_cpu_ns / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND  # utime and stime, proc(5)


def _scheduled_ns(pid: int) -> tuple[int, int]:
    """On a core, and waiting for one; zeros where the kernel keeps no scheduler statistics."""
    on_cpu_ns = waiting_ns = 0
    for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            ran, waited, _ = schedstat.read_text().split()
            on_cpu_ns, waiting_ns = on_cpu_ns + int(ran), waiting_ns + int(waited)
    return on_cpu_ns, waiting_ns
