"""A child whose lines appear among ours, each with its name before it."""

import contextlib
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from signal import SIGTERM

from src.demo.child_process import end, start_child

LAST_LINES = 15
NAME_WIDTH = 9
DRAIN_LIMIT_S = 1.0


class Program:
    """A running program; it ends when we do, in whatever way."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Start it.

        Args:
            env: its whole environment.
        """
        self.name = name
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._process = start_child(command, death_signal=SIGTERM, output=subprocess.PIPE, env=dict(env))
        self._reader = threading.Thread(target=self._pass_lines_on, daemon=True)
        self._reader.start()

    @property
    def running(self) -> bool:
        """Whether the process exists."""
        return self._process.poll() is None

    def has_said(self, text: str) -> bool:
        """Whether one of its last lines has this text."""
        return any(text in line for line in list(self._last_lines))

    def stop(self, patience_s: float) -> None:
        """End it in good order, or by force after `patience_s`; its last lines have appeared on return."""
        end(self._process, patience_s)
        self._reader.join(DRAIN_LIMIT_S)

    def obituary(self) -> str:
        """How a program that ended by itself did so, and its last lines."""
        self._reader.join(DRAIN_LIMIT_S)
        return obituary(self.name, f"with status {self._process.wait()}", "\n".join(self._last_lines))

    def _pass_lines_on(self) -> None:
        assert self._process.stdout is not None, "its output is a pipe"
        with self._process.stdout as lines:
            for line in lines:
                text = line.decode(errors="replace").rstrip()
                self._last_lines.append(text)
                with contextlib.suppress(OSError):  # our output is closed; the program's still has to be read
                    sys.stdout.write(f"{self.name:<{NAME_WIDTH}} | {text}\n")
                    sys.stdout.flush()


def obituary(name: str, manner: str, last_lines: str) -> str:
    """What a person needs to know of a program that was not meant to end."""
    return f"the {name} ended {manner}; its last lines were:\n\n{last_lines or '(none)'}\n"
