"""Commands that end with the process that started them, and that the terminal's Ctrl-C does not reach.

A child of the demo or of a test must never outlive it, also when the parent is killed with SIGKILL and runs no more
code. On Linux the kernel does that (`prctl(2)`, PR_SET_PDEATHSIG); elsewhere the command runs as it is. The request has
to be made by the child itself: a small Python makes it and then becomes the command, which keeps its pid. (subprocess's
`preexec_fn` could do the same, but is unsafe beside threads.)
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from signal import SIGCONT, Signals
from typing import IO, Any

PR_SET_PDEATHSIG = 1  # linux/prctl.h

# The parent may end before the request is made: then the kernel would never send the signal.
BECOME = f"""
import ctypes, os, sys
death_signal, parent_pid, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, death_signal)
if os.getppid() == parent_pid:
    os.execvp(command[0], command)
"""


def start_child(
    command: Sequence[str], *, death_signal: Signals, output: IO[Any] | int, env: dict[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a command in a process group of its own; both its outputs go to `output`.

    Args:
        death_signal: sent to the child by the kernel when the thread that called this has ended.
        env: the whole environment of the child; ours when it is None.
    """
    return subprocess.Popen(
        _with_death_signal(command, death_signal),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        process_group=0,
        env=env,
    )


def end(process: "subprocess.Popen[bytes]", patience_s: float) -> int:
    """Ask a child to stop, kill it if it has not within `patience_s`, and return its exit status."""
    if process.poll() is None:
        process.terminate()
        process.send_signal(SIGCONT)  # a frozen process gets to see the request only when it runs again
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def _with_death_signal(command: Sequence[str], death_signal: Signals) -> list[str]:
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", BECOME, str(int(death_signal)), str(os.getpid()), *command]
