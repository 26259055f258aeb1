"""Several processes on one port: a supervisor that forks workers, replaces those that die or hang, and ends them.

**The supervisor has no event loop and no thread**, so it may fork at any time: a child would inherit halves of both. It
waits in one `select` for a signal, for the start message of a worker, and for the time of the next start or look.
"""

import contextlib
import ctypes
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final, NoReturn

from src.common.stop_requests import STOPS, StopRequests
from src.gateway.processes.hang_check import HANG_LIMIT_S, LOOK_INTERVAL_S, HangCheck
from src.gateway.processes.viewer_count import ViewerCount

logger = logging.getLogger("gateway")

START_PAUSE_S: Final = 1.0  # between two starts of one worker
STOP_LIMIT_S: Final = 5.0  # for workers to close their viewers; then they are killed
USUAL_DRAIN_S: Final = 3.0  # of that for the drain; a longer drain adds as much
READY: Final = b"\0"
START_MESSAGE_BYTES: Final = 4096  # one line: why a worker cannot start
SIGNALS: Final = (*STOPS, signal.SIGCHLD, signal.SIGHUP)
PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h

Work = Callable[[int, Callable[[], None]], None]
"""The work of a worker, given its number from 1: it calls back once it serves, and returns after SIGTERM."""


class CannotStart(Exception):
    """Raised by a worker's work before it serves; the text says what to check."""


class Signals:
    """SIGTERM, SIGINT, SIGCHLD and SIGHUP as a file descriptor for `select`.

    Attributes:
        stop: the requests to stop.
        hangups: how often it was asked to read files again.
    """

    def __init__(self) -> None:
        self.stop = StopRequests()
        self.hangups = 0
        self._arriving, self._wakeup = socket.socketpair()
        for end in (self._arriving, self._wakeup):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, _ignore)

    def fileno(self) -> int:
        return self._arriving.fileno()

    def take(self) -> None:
        """Count the signals that have arrived."""
        with contextlib.suppress(BlockingIOError):
            arrived = self._arriving.recv(4096)
            if any(number in STOPS for number in arrived):
                self.stop.arrive(time.monotonic())
            self.hangups += arrived.count(signal.SIGHUP)

    def leave(self) -> None:
        """In a forked process: handle none of them."""
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        self._arriving.close()
        self._wakeup.close()


class Worker:
    """One of the workers: a number, and one process after the other.

    Attributes:
        number: from 1; it outlives the process.
        pid: of the process, or None while there is none.
        serves: whether this process has reported that it serves.
        trouble: why it cannot start, as it reported.
        started_s: when it was started, monotonic seconds.
        start_pipe: the read end of the pipe on which it reports its start.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid: int | None = None
        self.serves = False
        self.trouble = ""
        self.started_s = float("-inf")
        self.start_pipe: int | None = None

    def fork(self) -> int | None:
        """Returns None in the supervisor, and in the new process the write end of its start pipe.

        Raises:
            OSError: the system cannot make another process; the next attempt is due as after any start.
        """
        self.started_s = time.monotonic()
        read_end, write_end = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(read_end)
            os.close(write_end)
            raise
        if pid == 0:
            os.close(read_end)
            return write_end
        os.close(write_end)
        self.pid, self.start_pipe, self.serves, self.trouble = pid, read_end, False, ""
        return None

    def read_start(self) -> None:
        """Read the report of its start."""
        assert self.start_pipe is not None, "its pipe is readable"
        message = os.read(self.start_pipe, START_MESSAGE_BYTES)
        if message == READY:
            self.serves = True
        elif message:
            self.trouble = message.decode(errors="replace")
        else:
            self.close_pipe()

    def close_pipe(self) -> None:
        if self.start_pipe is not None:
            os.close(self.start_pipe)
            self.start_pipe = None

    def reap(self, options: int = os.WNOHANG) -> str | None:
        """How its process ended; None while it runs."""
        if self.pid is None:
            return None
        pid, status = os.waitpid(self.pid, options)
        if pid == 0:
            return None
        while self.start_pipe is not None:
            self.read_start()
        self.pid = None
        code = os.waitstatus_to_exitcode(status)
        return f"ended with status {code}" if code >= 0 else f"ended by signal {-code} ({signal.strsignal(-code)})"

    def send(self, number: signal.Signals) -> None:
        if self.pid is not None:
            os.kill(self.pid, number)


class Supervisor:
    """Owns the workers from their first fork to their end."""

    def __init__(
        self,
        work: Work,
        viewer_count: ViewerCount,
        signals: Signals,
        on_hangup: Callable[[], None] = lambda: None,
        drain_s: float = 0.0,
        pre_stop_s: float = 0.0,
    ) -> None:
        """
        Args:
            work: see there; the supervisor logs what it raises before it serves.
            viewer_count: has the number of workers; those that end are cleared there.
            signals: report workers that end, and requests to stop.
            on_hangup: called at SIGHUP, before the workers get it: workers that start later inherit its changes.
            drain_s: over how long a worker closes its viewers.
            pre_stop_s: how long a worker waits before that.
        """
        self._work = work
        self._viewer_count = viewer_count
        self._signals = signals
        self._on_hangup = on_hangup
        self._stop_limit_s = STOP_LIMIT_S + pre_stop_s + max(0.0, drain_s - USUAL_DRAIN_S)
        self._hangups_passed_on = 0
        self._hang_check = HangCheck()
        self._workers = [Worker(number) for number in range(1, viewer_count.configured + 1)]

    def run(self, on_serving: Callable[[], None]) -> int:
        """Run until a signal. Returns the exit status: 1 where a worker cannot start or a signal insists, else 0.

        Args:
            on_serving: called once, when all workers serve.
        """
        for worker in self._workers:
            if not self._start(worker):
                self._kill(self._workers)
                return 1
        trouble = self._until_all_serve()
        if trouble is not None:
            self._kill(self._workers)
            logger.error("%s", trouble)
            return 1
        if not self._signals.stop.requested:
            on_serving()
            self._replace_until_stopped()
        return self._stop()

    # -- lifecycle -------------------------------------------------------------------------------------------------

    def _until_all_serve(self) -> str | None:
        """Returns None when all serve, or after a signal; else why one of them cannot."""
        while not self._signals.stop.requested and not all(worker.serves for worker in self._workers):
            self._wait(None)
            for worker, ending in self._reaped():
                return worker.trouble or f"worker {worker.number} {ending} before all served"
        return None

    def _replace_until_stopped(self) -> None:
        while not self._signals.stop.requested:
            missing = [worker for worker in self._workers if worker.pid is None]
            look_s = time.monotonic() + LOOK_INTERVAL_S
            self._wait(min([look_s, *(worker.started_s + START_PAUSE_S for worker in missing)]))
            for worker in missing:
                if not self._signals.stop.requested and time.monotonic() >= worker.started_s + START_PAUSE_S:
                    self._start(worker)
            for worker, ending in self._reaped():
                logger.warning("worker %d %s; starting another", worker.number, worker.trouble or ending)
            if not self._signals.stop.requested:
                self._kill_hanging()

    def _kill_hanging(self) -> None:
        serving = {worker.number: worker for worker in self._workers if worker.serves and worker.pid is not None}
        reports = {number: self._viewer_count.reported_ms(number) for number in serving}
        for number in self._hang_check.hanging(time.monotonic(), reports):
            logger.error("worker %d hangs: no report for %g s; it is killed", number, HANG_LIMIT_S)
            serving[number].send(signal.SIGKILL)

    def _stop(self) -> int:
        """Send SIGTERM to all; kill those that take too long, and all at a signal that insists."""
        deadline_s = time.monotonic() + self._stop_limit_s
        for worker in self._workers:
            worker.send(signal.SIGTERM)
        staying = self._staying()
        while staying and not self._signals.stop.insisted and time.monotonic() < deadline_s:
            self._wait(deadline_s)
            staying = self._staying()
        if staying and not self._signals.stop.insisted:
            names = ", ".join(str(worker.number) for worker in staying)
            logger.warning("not stopped after %g s, so killed: worker %s", self._stop_limit_s, names)
        self._kill(staying)
        return 0 if not self._signals.stop.insisted else 1

    def _staying(self) -> list[Worker]:
        self._reaped()
        return [worker for worker in self._workers if worker.pid is not None]

    def _kill(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            worker.send(signal.SIGKILL)
        for worker in workers:
            worker.reap(options=0)

    # -- events ----------------------------------------------------------------------------------------------------

    def _wait(self, until_s: float | None) -> None:
        """Wait for an event, or until this monotonic time."""
        timeout_s = None if until_s is None else max(0.0, until_s - time.monotonic())
        pipes = {worker.start_pipe: worker for worker in self._workers if worker.start_pipe is not None}
        readable, _, _ = select.select([self._signals.fileno(), *pipes], [], [], timeout_s)
        self._signals.take()
        self._pass_on_hangups()
        for descriptor in pipes.keys() & set(readable):
            pipes[descriptor].read_start()

    def _pass_on_hangups(self) -> None:
        if self._hangups_passed_on == self._signals.hangups:
            return
        self._hangups_passed_on = self._signals.hangups
        self._on_hangup()
        for worker in self._workers:
            worker.send(signal.SIGHUP)

    def _reaped(self) -> list[tuple[Worker, str]]:
        """The workers that ended since the last call, each with how it ended."""
        reaped = [(worker, ending) for worker in self._workers if (ending := worker.reap()) is not None]
        for worker, _ in reaped:
            self._viewer_count.clear(worker.number)
        return reaped

    # -- the fork --------------------------------------------------------------------------------------------------

    def _start(self, worker: Worker) -> bool:
        """False, with a line in the log, where the system cannot make another process."""
        supervisor_pid = os.getpid()
        # A signal between the fork and the worker's own handlers would wake the supervisor's socket and be lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            start_pipe = worker.fork()
            if start_pipe is not None:
                self._become(worker, start_pipe, supervisor_pid)
        except OSError as error:
            logger.error("worker %d cannot be started: %s", worker.number, error.strerror)
            return False
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return True

    def _become(self, worker: Worker, start_pipe: int, supervisor_pid: int) -> NoReturn:
        """The new process, until its end."""
        status = 1
        try:
            _die_with(supervisor_pid)
            self._leave_supervisor()
            self._viewer_count.own = worker.number
            self._work(worker.number, lambda: _report(start_pipe, READY))
            status = 0
        except CannotStart as error:
            _report(start_pipe, str(error).encode())
        except Exception:
            logger.exception("worker %d failed", worker.number)
        finally:
            os._exit(status)  # always: there must never be two supervisors

    def _leave_supervisor(self) -> None:
        """Close the supervisor's sockets and pipes, and undo its signal handlers."""
        self._signals.leave()
        # Ctrl-C in a terminal reaches the workers too, but it is the supervisor that stops them.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for other in self._workers:
            other.close_pipe()
        signal.pthread_sigmask(
            signal.SIG_UNBLOCK, {*SIGNALS} - {signal.SIGHUP}
        )  # its work unblocks that when it can handle it


def _die_with(supervisor_pid: int) -> None:
    """Have the kernel send SIGKILL when the supervisor is gone: the port is then free for the next one."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor_pid:  # it ended before the request was made
        os._exit(1)


def _report(descriptor: int, line: bytes) -> None:
    os.write(descriptor, line[:START_MESSAGE_BYTES])


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Python writes the number to the wake-up descriptor before it calls this."""
