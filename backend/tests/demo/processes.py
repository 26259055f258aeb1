"""Look at processes from outside, by Linux's /proc."""

import time
from pathlib import Path

LIMIT_S = 20.0  # a net for what never comes


def children(pid: int) -> dict[int, str]:
    """The command line of each child of a process."""
    pids = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return {child: Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ") for child in pids}


def wait_until_gone(pid: int) -> None:
    """Wait until no process has this id."""
    deadline = time.monotonic() + LIMIT_S
    while _exists(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.01)


def _exists(pid: int) -> bool:
    """Whether the process runs; one that waits only to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
