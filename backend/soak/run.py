"""A run: NATS, gateways, Core and the viewers as they are, and one fault after the other."""

import asyncio
import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec

from benchmarks.processes import allow_many_sockets
from benchmarks.publisher import NUMBERED, Marks, Publisher
from benchmarks.workload import USUAL, bodies
from soak import cluster_faults, faults
from soak.faults import Fault, Nats, Surroundings, name_of
from soak.gateway import Gateway
from soak.nats_cluster import NatsCluster
from soak.samples import Ending, Rest, Sample, Verdict, verdicts
from soak.shapes import COUNTED, COUNTER, missing_between
from soak.viewers import Plan, Tally
from src.demo.nats_server import NatsServer, NatsServerError

SETTLE_LIMIT_S: Final = 40.0  # for what has to happen in the end: newest state everywhere, everybody gone
LOOK_EVERY_S: Final = 0.5  # long enough for the connection that asked to be gone from what is counted
# Short limits, so that they are met by the thousand.
SETTINGS: Final = {"GATEWAY_STALL_LIMIT": "10", "GATEWAY_PING_INTERVAL": "5", "GATEWAY_PONG_TIMEOUT": "10"}
CLUSTER_SETTINGS: Final = {**SETTINGS, "GATEWAY_WORKERS": "2", "GATEWAY_MARKET": "24x7"}
CLUSTER_GATEWAYS: Final = 3
ALL_OF_COUNTER: Final = f"/events?kinds={COUNTED}&levels={COUNTER}"
LEVELS: Final = b'"levels":['
MARKS: Final = Marks(levels=lambda body, number: _counted(NUMBERED.levels(body, number), number), flow=NUMBERED.flow)


class Scale(NamedTuple):
    """How long, how many, how hard.

    Attributes:
        cluster: three nats-servers, and gateways with workers; else one of each.
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
    cluster: bool = False

    @property
    def gateways(self) -> int:
        return CLUSTER_GATEWAYS if self.cluster else 1

    @property
    def settings(self) -> Mapping[str, str]:
        """Of each gateway."""
        return CLUSTER_SETTINGS if self.cluster else SETTINGS


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


def soak(scale: Scale, say: Callable[[str], Any], logs: Path | None = None) -> Results:
    """Run it all, and judge.

    Args:
        say: told each fault.
        logs: a folder in which the gateways' logs stay; None: they do not.

    Raises:
        RuntimeError: NATS or a gateway did not start.
    """
    allow_many_sockets()
    with tempfile.TemporaryDirectory(prefix="spymaster-soak-") as name:
        folder = Path(name)
        if scale.cluster:
            with _cluster(folder) as cluster:
                return _soaked_on(cluster, cluster.url, cluster_faults.FAULTS, scale, logs or folder, say)
        with NatsServer() as server:
            return _soaked_on(server, server.url, faults.FAULTS, scale, logs or folder, say)


@contextlib.contextmanager
def _cluster(folder: Path) -> Iterator[NatsCluster]:
    cluster = NatsCluster(folder)
    asyncio.run(cluster.start())
    try:
        yield cluster
    finally:
        cluster.close()


def _soaked_on(
    nats: Nats, url: str, all_faults: Sequence[Fault[Nats]], scale: Scale, logs: Path, say: Callable[[str], Any]
) -> Results:
    gateways = [Gateway(url, logs, scale.settings) for _ in range(scale.gateways)]
    try:
        for gateway in gateways:
            gateway.start()
        with Publisher(url, bodies(USUAL), scale.rate_hz, MARKS, in_turns=False) as core:
            _until(lambda: core.stored > 2 * scale.rate_hz, "Core publishes")
            before = _at_rest_twice(gateways)
            plan = Plan([gateway.port for gateway in gateways], scale.viewers, scale.arrivals_hz, scale.seed)
            with ViewersProcess(plan) as viewers, Watch(gateways[0], viewers, scale.sample_every_s) as watch:
                around = Surroundings(nats, url, gateways, scale.viewers, Random(scale.seed), viewers.order)
                happened = list(_faults(scale, all_faults, around, watch, say))
                behind = _behind_in_the_end(viewers, core)
                health = gateways[0].health()
                watch.stop()
                tally = viewers.leave()
            after = _settled(gateways, before)
            past = _missing_in_the_past(gateways) if scale.cluster else None
        for gateway in gateways:
            gateway.stop()
    finally:
        for gateway in gateways:
            gateway.kill()
    ending = Ending(
        before,
        after,
        behind,
        traceback=any("Traceback" in gateway.log.read_text() for gateway in gateways),
        trouble=[sentence for gateway in gateways for sentence in gateway.trouble],
        past=past,
    )
    judged = verdicts(watch.samples, tally, ending, judges_memory=scale.judges_memory)
    return Results(scale, watch.samples, happened, tally, health, core.stored, core.lost, judged)


def _counted(body: bytes, number: int) -> bytes:
    """A levels message, with the level that counts."""
    level = b'{"id":"%s","price":690.0,"kind":"STRIKE","distance":0.0,"barrier":{"state":"%d"}},'
    return body.replace(LEVELS, LEVELS + level % (COUNTER.encode(), number + 1), 1)


def _faults(
    scale: Scale,
    all_faults: Sequence[Fault[Nats]],
    around: Surroundings[Nats],
    watch: "Watch",
    say: Callable[[str], Any],
) -> Iterator[Happened]:
    """All of them in an order of chance, again and again, until it is time for the quiet end."""
    end_s = scale.minutes * 60 - scale.quiet_s
    due = list(all_faults)
    while True:
        around.chance.shuffle(due)
        for fault in due:
            if watch.now_s + scale.fault_every_s > end_s:
                time.sleep(max(scale.minutes * 60 - watch.now_s, 0))
                return
            time.sleep(scale.fault_every_s)
            from_s = watch.now_s
            say(f"{from_s:6.0f} s  {name_of(fault)}")
            try:
                fault(around)
            except NatsServerError as error:
                around.gateways[0].trouble.append(f"{name_of(fault)}: {error}")
            yield Happened(from_s, watch.now_s, name_of(fault))


def _behind_in_the_end(viewers: "ViewersProcess", core: Publisher) -> int:
    """How many healthy viewers do not get the newest, with all the time that they may need."""
    published, before = core.stored, viewers.newest.newest
    with contextlib.suppress(TimeoutError):
        _until(lambda: core.stored > published + 4 and viewers.newest.newest > before, "the newest state arrives")
        _until(lambda: not viewers.newest.healthy_behind, "it arrives everywhere")
        return 0
    return viewers.newest.healthy_behind or sum(viewers.newest.connected.values())


def _missing_in_the_past(gateways: Sequence[Gateway]) -> list[str]:
    """Sentences about events that a gateway does not know, or knows otherwise than the first one."""
    answers = [_past_of(gateway) for gateway in gateways]
    known_to_all = min((answer["events"][-1]["seq"] for answer in answers if answer["events"]), default=0)
    known = [{one["id"]: one["count"] for one in answer["events"] if one["seq"] <= known_to_all} for answer in answers]
    sentences: list[str] = []
    for gateway, answer, events in zip(gateways, answers, known, strict=True):
        wrong = missing_between((one["before"], one["after"]) for one in answer["events"])
        if not (answer["complete"] and events):
            wrong.append("it does not know all")
        if events != known[0]:
            wrong.append(f"{len(events.items() ^ known[0].items())} events are not those of the first gateway")
        sentences += [f"port {gateway.port}: {sentence}" for sentence in wrong]
    return sentences


def _past_of(gateway: Gateway) -> Any:
    """Its answer, as soon as that is complete; else what it has when there was time enough."""
    deadline_s = time.monotonic() + SETTLE_LIMIT_S
    while True:
        status, body = gateway.get(ALL_OF_COUNTER)
        answer = json.loads(body) if status == 200 else {"complete": False, "events": []}
        if answer["complete"] or time.monotonic() > deadline_s:
            return answer
        time.sleep(LOOK_EVERY_S)


def _settled(gateways: Sequence[Gateway], before: Rest) -> Rest:
    """At rest again, as soon as all is as it was before; else what is left when there was time enough."""
    deadline_s = time.monotonic() + SETTLE_LIMIT_S
    while (rest := _at_rest(gateways)) != before and time.monotonic() < deadline_s:
        time.sleep(LOOK_EVERY_S)
    return rest


def _at_rest_twice(gateways: Sequence[Gateway]) -> Rest:
    """What is so at two looks, and not in the middle of a start."""
    rest = _at_rest(gateways)
    time.sleep(LOOK_EVERY_S)
    while (again := _at_rest(gateways)) != rest:
        rest = again
        time.sleep(LOOK_EVERY_S)
    return rest


def _at_rest(gateways: Sequence[Gateway]) -> Rest:
    """Of all together."""
    each = [gateway.at_rest() for gateway in gateways]
    descriptors: Counter[str] = Counter()
    for rest in each:
        descriptors.update(rest.descriptors)
    return Rest(dict(descriptors), sum(rest.tasks or 0 for rest in each), sum(rest.viewers for rest in each))


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + SETTLE_LIMIT_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"waited {SETTLE_LIMIT_S:g} s in vain: {what}")
        time.sleep(LOOK_EVERY_S)


class ViewersProcess:
    """The process of all viewers.

    Attributes:
        newest: its newest tally.
    """

    def __init__(self, plan: Plan) -> None:
        self.newest = Tally({}, 0, 0, 0, 0, {}, {}, [], [])
        self._plan = plan
        self._orders = 0

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
        """Returns when it was obeyed: what is done next, the viewers see after it."""
        assert self._process.stdin is not None, "it is a pipe"
        self._process.stdin.write(words + "\n")
        self._orders += 1
        _until(lambda: self.newest.orders >= self._orders or not self._reader.is_alive(), "an order is obeyed")

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
    """Looks at a gateway again and again, in a thread, for as long as it is entered."""

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
            with contextlib.suppress(OSError):  # a process ended just now
                self.samples.append(self._sample())

    def _sample(self) -> Sample:
        gateway = self._gateway
        tasks = viewers = None
        with contextlib.suppress(OSError, http.client.HTTPException):  # paused
            viewers, tasks = gateway.health()["connections"], gateway.tasks()
        history_bytes, resident_bytes = gateway.resident_bytes()
        return Sample(
            at_s=self.now_s,
            resident_bytes=resident_bytes,
            descriptors=sum(gateway.descriptors().values()),
            tasks=tasks,
            viewers=viewers,
            cpu_s=gateway.cpu_s(),
            frames=self._viewers.newest.frames,
            history_bytes=history_bytes,
        )
