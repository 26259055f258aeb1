"""A run: nats-server, the gateway, Core and the viewers as they are, and one fault after the other."""

import contextlib
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec

from benchmarks.processes import allow_many_sockets, cpu_s, resident_bytes, serving
from benchmarks.publisher import NUMBERED, Publisher
from benchmarks.workload import USUAL, bodies
from soak.faults import FAULTS, Surroundings, name_of
from soak.samples import Ending, Rest, Sample, Verdict, verdicts
from soak.viewers import Plan, Tally
from src.demo.nats_server import HOST, NatsServer, free_port

SETTLE_LIMIT_S: Final = 40.0  # for what has to happen in the end: newest state everywhere, everybody gone
LOOK_EVERY_S: Final = 0.5  # long enough for the connection that asked to be gone from what is counted
ASK_LIMIT_S: Final = 5.0
TASKS: Final = re.compile(r"^gateway_tasks\{.*\} (\d+)", re.MULTILINE)
# Short limits, so that they are met by the thousand.
SETTINGS: Final = {"GATEWAY_STALL_LIMIT": "10", "GATEWAY_PING_INTERVAL": "5", "GATEWAY_PONG_TIMEOUT": "10"}


class Scale(NamedTuple):
    """How long, how many, how hard.

    Attributes:
        arrivals_hz: how many viewers come a second until all are there.
        fault_every_s: from the end of a fault to the next.
        quiet_s: without faults in the end.
    """

    minutes: float = 30.0
    viewers: int = 2000
    rate_hz: float = 4.0
    arrivals_hz: float = 200.0
    fault_every_s: float = 15.0
    sample_every_s: float = 5.0
    quiet_s: float = 20.0
    seed: int = 1
    judges_memory: bool = True


class Happened(NamedTuple):
    """A fault, from when to when."""

    from_s: float
    to_s: float
    what: str


class Results(NamedTuple):
    """All that was seen."""

    scale: Scale
    samples: list[Sample]
    faults: list[Happened]
    tally: Tally
    health: Any
    stored: int
    lost: int
    verdicts: list[Verdict]


def soak(scale: Scale, say: Callable[[str], Any]) -> Results:
    """Run it all, and judge.

    Raises:
        RuntimeError: the gateway did not start, or did not survive.
    """
    allow_many_sockets()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="spymaster-soak-") as name, NatsServer() as nats:
        log = Path(name) / "gateway.log"
        environment = {"NATS_URL": nats.url, "GATEWAY_HOST": HOST, "GATEWAY_PORT": str(port), **SETTINGS}
        with serving(["-m", "src.gateway.main"], port, environment, log) as pid:
            gateway = Gateway(port, pid, log)
            with Publisher(nats.url, bodies(USUAL), scale.rate_hz, NUMBERED, in_turns=False) as core:
                return _soaked(scale, nats, gateway, core, say)


def _soaked(scale: Scale, nats: NatsServer, gateway: "Gateway", core: Publisher, say: Callable[[str], Any]) -> Results:
    _until(lambda: core.stored > 2 * scale.rate_hz, "Core publishes")
    before = gateway.at_rest()
    plan = Plan(gateway.port, scale.viewers, scale.arrivals_hz, scale.seed)
    with ViewersProcess(plan) as viewers, Watch(gateway, viewers, scale.sample_every_s) as watch:
        around = Surroundings(nats, scale.viewers, Random(scale.seed), viewers.order, gateway.signal)
        faults = list(_faults(scale, around, watch, say))
        behind = _behind_in_the_end(viewers, core)
        health = gateway.health()
        watch.stop()
        tally = viewers.leave()
    after = _settled(gateway, before)
    ending = Ending(before, after, behind, "Traceback" in gateway.log.read_text())
    judged = verdicts(watch.samples, tally, ending, judges_memory=scale.judges_memory)
    return Results(scale, watch.samples, faults, tally, health, core.stored, core.lost, judged)


def _faults(scale: Scale, around: Surroundings, watch: "Watch", say: Callable[[str], Any]) -> Iterator[Happened]:
    """All of them in an order of chance, again and again, until it is time for the quiet end."""
    end_s = scale.minutes * 60 - scale.quiet_s
    due = list(FAULTS)
    while True:
        around.chance.shuffle(due)
        for fault in due:
            if watch.now_s + scale.fault_every_s > end_s:
                time.sleep(max(scale.minutes * 60 - watch.now_s, 0))
                return
            time.sleep(scale.fault_every_s)
            from_s = watch.now_s
            say(f"{from_s:6.0f} s  {name_of(fault)}")
            fault(around)
            yield Happened(from_s, watch.now_s, name_of(fault))


def _behind_in_the_end(viewers: "ViewersProcess", core: Publisher) -> int:
    """How many healthy viewers do not get the newest, with all the time that they may need."""
    published, before = core.stored, viewers.newest.newest
    with contextlib.suppress(TimeoutError):
        _until(lambda: core.stored > published + 4 and viewers.newest.newest > before, "the newest state arrives")
        _until(lambda: not viewers.newest.healthy_behind, "it arrives everywhere")
        return 0
    return viewers.newest.healthy_behind or sum(viewers.newest.connected.values())


def _settled(gateway: "Gateway", before: Rest) -> Rest:
    """At rest again, as soon as all is as it was before; else what is left when there was time enough."""
    deadline_s = time.monotonic() + SETTLE_LIMIT_S
    while (rest := gateway.at_rest()) != before and time.monotonic() < deadline_s:
        time.sleep(LOOK_EVERY_S)
    return rest


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + SETTLE_LIMIT_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"waited {SETTLE_LIMIT_S:g} s in vain: {what}")
        time.sleep(LOOK_EVERY_S)


class Gateway:
    """The process that is soaked, as anybody on the machine can see it."""

    def __init__(self, port: int, pid: int, log: Path) -> None:
        self.port = port
        self.pid = pid
        self.log = log

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def descriptors(self) -> dict[str, int]:
        """Open ones by kind: file, socket, pipe, …"""
        kinds: Counter[str] = Counter()
        for descriptor in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                target = str(descriptor.readlink())
                kinds["file" if target.startswith("/") else target.partition(":[")[0]] += 1
        return dict(kinds)

    def health(self) -> Any:
        status, body = self._get("/health")
        assert status == 200, body
        return json.loads(body)

    def tasks(self) -> int | None:
        """Of its event loop, as `/metrics` tells."""
        found = TASKS.search(self._get("/metrics")[1])
        return int(found[1]) if found else None

    def at_rest(self) -> Rest:
        return Rest(self.descriptors(), self.tasks(), self.health()["connections"])

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=ASK_LIMIT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


class ViewersProcess:
    """The process of all viewers.

    Attributes:
        newest: its newest tally.
    """

    def __init__(self, plan: Plan) -> None:
        self.newest = Tally({}, 0, 0, 0, 0, {}, {}, [], [])
        self._plan = plan

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "soak.viewers", msgspec.json.encode(self._plan).decode()]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    def order(self, words: str) -> None:
        assert self._process.stdin is not None, "it is a pipe"
        self._process.stdin.write(words + "\n")

    def leave(self) -> Tally:
        """Everybody goes; the last tally."""
        self.order("leave")
        self._reader.join(SETTLE_LIMIT_S)
        return self.newest

    def _read(self) -> None:
        assert self._process.stdout is not None, "it is a pipe"
        for line in self._process.stdout:
            self.newest = msgspec.json.decode(line, type=Tally)


class Watch:
    """Looks at the gateway again and again, in a thread, for as long as it is entered."""

    def __init__(self, gateway: Gateway, viewers: ViewersProcess, every_s: float) -> None:
        self.samples: list[Sample] = []
        self._gateway = gateway
        self._viewers = viewers
        self._every_s = every_s
        self._began_s = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @property
    def now_s(self) -> float:
        return time.monotonic() - self._began_s

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(self._every_s):
            self.samples.append(self._sample())

    def _sample(self) -> Sample:
        gateway = self._gateway
        tasks = viewers = None
        with contextlib.suppress(OSError):  # paused
            viewers, tasks = gateway.health()["connections"], gateway.tasks()
        return Sample(
            at_s=self.now_s,
            resident_bytes=resident_bytes(gateway.pid),
            descriptors=sum(gateway.descriptors().values()),
            tasks=tasks,
            viewers=viewers,
            cpu_s=cpu_s(gateway.pid),
            frames=self._viewers.newest.frames,
        )
