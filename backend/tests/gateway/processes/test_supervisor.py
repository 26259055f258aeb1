"""The supervisor, with workers that do what a test wants instead of relaying."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGCONT, SIGINT, SIGKILL, SIGSTOP, SIGTERM

import pytest

from tests.documents import BACKEND
from tests.waiting import until

PROGRAM = """
import os, signal, sys, time
from pathlib import Path
from src.common import logs
from src.gateway.processes import supervisor as module
from src.gateway.processes.viewer_count import ViewerCount

folder = Path(sys.argv[1])

def has_happened(what):  # so often before
    marks = folder / what
    with marks.open("a") as file:
        file.write("x")
    return len(marks.read_text()) - 1

viewer_count = ViewerCount(2)

def serve(on_serving):
    on_serving()
    while True:
        viewer_count.report(0)
        time.sleep(0.05)

{work}

logs.configure("text", "INFO")
supervisor = module.Supervisor(work, viewer_count, module.Signals())
sys.exit(supervisor.run(lambda: print("serving", flush=True)))
"""

INSISTS_AT_ONCE = "import src.common.stop_requests; src.common.stop_requests.SAME_REQUEST_S = 0.0\n"
NEVER_INSISTS = "import src.common.stop_requests; src.common.stop_requests.SAME_REQUEST_S = 3600.0\n"
NEVER_HANGS = "from src.gateway.processes import hang_check; hang_check.HANG_LIMIT_S = 3600.0\n"
SERVES = """
def work(number, on_serving):
    serve(on_serving)
"""


class Supervised:
    """The program above, in a process of its own."""

    def __init__(self, folder: Path, work: str) -> None:
        self.folder = folder
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM.format(work=work), str(folder)],
                cwd=BACKEND,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )

    @property
    def stdout(self) -> str:
        return self._stdout.read_text()

    @property
    def stderr(self) -> list[str]:
        return self._stderr.read_text().splitlines()

    @property
    def workers(self) -> list[int]:
        """Their process ids."""
        pid = self.process.pid
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    async def until_serving(self) -> None:
        await until(lambda: self.stdout == "serving\n", "all workers serve")

    async def until_replaced(self, gone: int) -> None:
        await until(lambda: gone not in (workers := self.workers) and len(workers) == 2, "another worker")  # read once

    async def exit_status(self) -> int:
        await until(lambda: self.process.poll() is not None, "the supervisor ends")
        return self.process.wait()


Supervise = Callable[[str], Supervised]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    started: list[Supervised] = []

    def start(work: str) -> Supervised:
        started.append(Supervised(tmp_path, work))
        return started[-1]

    yield start
    for supervised in started:
        supervised.process.kill()
        supervised.process.wait()


def state(pid: int) -> str:
    """Its letter in proc(5); Z where there is none any more, as for one that nobody has looked after yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def is_gone(pid: int) -> bool:
    return state(pid) == "Z"


async def until_gone(pids: list[int]) -> None:
    await until(lambda: all(map(is_gone, pids)), f"{pids} are gone")


async def freeze(pid: int) -> None:
    os.kill(pid, SIGSTOP)
    await until(lambda: state(pid) == "T", "it is stopped")


# -- the start ---------------------------------------------------------------------------------------------------------


async def test_it_says_once_that_all_serve(supervise: Supervise) -> None:
    supervised = supervise(SERVES)
    await supervised.until_serving()
    assert len(supervised.workers) == 2
    assert supervised.stderr == []


STARTS_THAT_FAIL = {
    "told": ("raise module.CannotStart('check the moon') from None", ["check the moon"]),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", ["worker 2 ended by signal 9 (Killed) before all served"]),
    "left": ("return", ["worker 2 ended with status 0 before all served"]),
    "a bug": ("1 / 0", ["worker 2 failed", "worker 2 ended with status 1 before all served"]),
}


@pytest.mark.parametrize(("failure", "lines"), STARTS_THAT_FAIL.values(), ids=STARTS_THAT_FAIL)
async def test_a_worker_that_cannot_start_ends_the_whole_start(
    supervise: Supervise, failure: str, lines: list[str]
) -> None:
    supervised = supervise(f"""
def work(number, on_serving):
    if number == 2:
        {failure}
    serve(on_serving)
""")
    assert await supervised.exit_status() == 1
    assert supervised.stdout == ""
    assert len(supervised.stderr) == len(lines)
    for said, expected in zip(supervised.stderr, lines, strict=True):
        assert f" ERROR gateway: {expected}" in said


# -- replacements ------------------------------------------------------------------------------------------------------


async def test_a_dead_worker_is_replaced_and_told_with_its_signal(supervise: Supervise) -> None:
    supervised = supervise(SERVES)
    await supervised.until_serving()
    dead, other = supervised.workers
    os.kill(dead, SIGKILL)
    await supervised.until_replaced(dead)
    assert other in supervised.workers
    (line,) = supervised.stderr
    assert line.endswith(" WARNING gateway: worker 1 ended by signal 9 (Killed); starting another")
    assert supervised.stdout == "serving\n", "said once"


async def test_a_replacement_that_cannot_start_is_tried_again(supervise: Supervise) -> None:
    supervised = supervise("""
def work(number, on_serving):
    if number == 1:
        starts = has_happened("start")
        if starts in (1, 2):
            raise module.CannotStart("cannot find the moon")
        if starts == 3:
            has_happened("found")
    serve(on_serving)
""")
    await supervised.until_serving()
    os.kill(supervised.workers[0], SIGTERM)
    await until(lambda: (supervised.folder / "found").exists(), "the third replacement serves")
    assert [line.partition("gateway: ")[2] for line in supervised.stderr] == [
        "worker 1 ended by signal 15 (Terminated); starting another",
        "worker 1 cannot find the moon; starting another",
        "worker 1 cannot find the moon; starting another",
    ]


async def test_a_worker_that_hangs_is_killed_and_replaced(supervise: Supervise) -> None:
    supervised = supervise(SERVES)
    await supervised.until_serving()
    frozen, other = supervised.workers
    await freeze(frozen)
    await supervised.until_replaced(frozen)
    assert other in supervised.workers
    assert [line.partition("gateway: ")[2] for line in supervised.stderr] == [
        "worker 1 hangs: no report for 4 s; it is killed",
        "worker 1 ended by signal 9 (Killed); starting another",
    ]


async def test_a_worker_that_is_slow_to_start_does_not_hang(supervise: Supervise) -> None:
    supervised = supervise("""
from src.gateway.processes import hang_check
hang_check.HANG_LIMIT_S = 1.0

def work(number, on_serving):
    if number == 1 and has_happened("start") == 1:
        time.sleep(2.5)
        has_happened("slow start")
    serve(on_serving)
""")
    await supervised.until_serving()
    os.kill(supervised.workers[0], SIGTERM)
    await until(lambda: (supervised.folder / "slow start").exists(), "the replacement serves")
    assert not any("worker 1 hangs" in line for line in supervised.stderr)


NO_ROOM = """
def work(number, on_serving):
    serve(on_serving)

fork = os.fork

def fork_or_not():
    if has_happened("fork") == {failing}:
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()

os.fork = fork_or_not
"""


async def test_a_system_without_room_for_another_process_ends_nothing(supervise: Supervise) -> None:
    supervised = supervise(NO_ROOM.format(failing=2))
    await supervised.until_serving()
    dead, other = supervised.workers
    os.kill(dead, SIGKILL)
    await supervised.until_replaced(dead)
    assert other in supervised.workers
    assert [line.partition("gateway: ")[2] for line in supervised.stderr] == [
        "worker 1 ended by signal 9 (Killed); starting another",
        "worker 1 cannot be started: Resource temporarily unavailable",
    ]


async def test_a_system_without_room_at_the_start_is_told_in_one_line(supervise: Supervise) -> None:
    supervised = supervise(NO_ROOM.format(failing=1))
    assert await supervised.exit_status() == 1
    (line,) = supervised.stderr
    assert line.endswith("ERROR gateway: worker 2 cannot be started: Resource temporarily unavailable")


# -- the end -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [SIGTERM, SIGINT], ids=["SIGTERM", "SIGINT"])
async def test_a_signal_ends_all_workers_and_the_status_is_0(supervise: Supervise, how: int) -> None:
    supervised = supervise(SERVES)
    await supervised.until_serving()
    pids = supervised.workers
    supervised.process.send_signal(how)
    assert await supervised.exit_status() == 0
    assert all(map(is_gone, pids))
    assert supervised.stderr == []


async def test_a_worker_that_does_not_stop_is_killed(supervise: Supervise) -> None:
    supervised = supervise(NEVER_HANGS + "module.STOP_LIMIT_S = 0.25" + SERVES)
    await supervised.until_serving()
    pids = supervised.workers
    await freeze(pids[1])
    supervised.process.send_signal(SIGTERM)
    assert await supervised.exit_status() == 0
    assert all(map(is_gone, pids))
    (line,) = supervised.stderr
    assert line.endswith("not stopped after 0.25 s, so killed: worker 2")


async def test_a_signal_that_insists_ends_it_at_once(supervise: Supervise) -> None:
    supervised = supervise(NEVER_HANGS + INSISTS_AT_ONCE + "module.STOP_LIMIT_S = 3600" + SERVES)
    await supervised.until_serving()
    pids = supervised.workers
    await freeze(pids[1])
    supervised.process.send_signal(SIGTERM)
    await until(lambda: is_gone(pids[0]), "the first signal has had its effect")
    supervised.process.send_signal(SIGINT)
    assert await supervised.exit_status() == 1
    assert all(map(is_gone, pids))


async def test_a_signal_that_comes_twice_is_one(supervise: Supervise) -> None:
    supervised = supervise(NEVER_HANGS + NEVER_INSISTS + SERVES)
    await supervised.until_serving()
    pids = supervised.workers
    await freeze(pids[1])
    supervised.process.send_signal(SIGTERM)
    await until(lambda: is_gone(pids[0]), "the first signal has had its effect")
    supervised.process.send_signal(SIGINT)
    os.kill(pids[1], SIGCONT)
    assert await supervised.exit_status() == 0
    assert supervised.stderr == []


async def test_ctrl_c_is_left_to_the_supervisor(supervise: Supervise) -> None:
    """A terminal sends it to all of them at once."""
    supervised = supervise(SERVES)
    await supervised.until_serving()
    for pid in supervised.workers:
        (ignored,) = re.findall(r"^SigIgn:\s+(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        assert int(ignored, 16) & 1 << SIGINT - 1


async def test_workers_die_with_their_supervisor(supervise: Supervise) -> None:
    supervised = supervise(SERVES)
    await supervised.until_serving()
    pids = supervised.workers
    supervised.process.kill()
    await until_gone(pids)
