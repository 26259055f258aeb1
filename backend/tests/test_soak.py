"""That the soak runs, sees what is broken, and finds nothing in a few seconds. Memory is judged in long runs alone."""

import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from soak.hostile_viewers import deflated_zeros
from soak.samples import Ending, Rest, Sample, memory_windows, verdicts
from soak.shapes import EVENTS, NEARBY, STATUS, Counts, Events, Follower, Gap, Shape, Shown, missing_between
from soak.viewers import Frames, Tally, inflated
from src.gateway.delivery.frame import Frame, Last

BACKEND = Path(__file__).parents[1]
RUN_LIMIT_S = 100  # a run takes 30 s, with much else on the machine 60 s
CLUSTER_RUN_LIMIT_S = 240  # a run takes 40 s, with much else on the machine two minutes
REST = Rest({"socket": 4}, tasks=9, viewers=0)
TALLY = Tally({}, 0, 9, 9, 9, {}, {}, [], [])
FLAT = [Sample(at_s=n, resident_bytes=100, descriptors=9, tasks=9, viewers=9, cpu_s=n, frames=n) for n in range(61)]


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc and uses epoll")
@pytest.mark.timeout(RUN_LIMIT_S + 5)
def test_a_short_run_has_every_behaviour_and_finds_no_fault(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "soak", "--minutes", "0.25", "--viewers", "80", "--fault-every", "0.5"]
    run = subprocess.run([*command, "--output", str(tmp_path)], cwd=BACKEND, timeout=RUN_LIMIT_S, capture_output=True)
    assert run.returncode == 0, (run.stdout + run.stderr).decode()
    page = (tmp_path / "README.md").read_text()
    for heading in ("## Verdicts", "### steady", "### visiting", "### hostile", "### unfinished", "## Faults"):
        assert heading in page
    assert "memory is at most" not in page, "a word about growth takes longer"


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc and uses epoll")
@pytest.mark.timeout(CLUSTER_RUN_LIMIT_S + 5)
def test_a_short_run_on_a_cluster_finds_no_fault(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "soak", "--cluster", "--minutes", "0.3", "--viewers", "60", "--fault-every", "0.5"]
    run = subprocess.run(
        [*command, "--output", str(tmp_path)], cwd=BACKEND, timeout=CLUSTER_RUN_LIMIT_S, capture_output=True
    )
    assert run.returncode == 0, (run.stdout + run.stderr).decode()
    page = (tmp_path / "cluster.md").read_text()
    assert "/events of each gateway knows every message of Core" in page
    for shape in (NEARBY, STATUS, EVENTS):
        assert f"| `{shape.query}` " in page


@pytest.mark.parametrize(
    ("ending", "tally", "broken"),
    [
        (Ending(REST, REST, behind=0, traceback=False), TALLY, set()),
        (Ending(REST, REST._replace(descriptors={"socket": 5}), 0, False), TALLY, {"no descriptor is leaked"}),
        (Ending(REST, REST._replace(tasks=10), 0, False), TALLY, {"no task is leaked"}),
        (Ending(REST, REST._replace(viewers=1), 0, False), TALLY, {"no viewer is remembered that has left"}),
        (Ending(REST, REST, 3, False), TALLY, {"every healthy viewer has the newest state in the end"}),
        (Ending(REST, REST, 0, True), TALLY, {"nothing is logged with a traceback"}),
        (
            Ending(REST, REST, 0, False),
            Tally({}, 0, 9, 9, 9, {}, {}, ["older"], []),
            {"no viewer is shown an older state after a newer one"},
        ),
        (
            Ending(REST, REST, 0, False),
            Tally({}, 0, 9, 9, 9, {}, {}, [], ["let go"]),
            {"no healthy viewer is let go, or sent what is no frame"},
        ),
        (
            Ending(REST, REST, 0, False),
            Tally({}, 0, 9, 9, 9, {}, {}, [], [], ["other sections"]),
            {"each frame is of the shape that was asked for, and tells every event"},
        ),
        (
            Ending(REST, REST, 0, False, trouble=["a worker is gone"]),
            TALLY,
            {"every process starts, ends and is replaced in time"},
        ),
        (
            Ending(REST, REST, 0, False, past=["it does not know all"]),
            TALLY,
            {"/events of each gateway knows every message of Core"},
        ),
    ],
)
def test_what_is_broken_is_seen(ending: Ending, tally: Tally, broken: set[str]) -> None:
    judged = verdicts(FLAT, tally, ending, judges_memory=True)
    assert {verdict.claim for verdict in judged if not verdict.holds} == broken


@pytest.mark.parametrize(("growth", "holds"), [(4, True), (5, False), (-50, True)])
def test_growth_is_that_of_the_last_sixth_over_the_first(growth: int, holds: bool) -> None:
    samples = [one._replace(resident_bytes=100 + growth * (one.at_s >= 50)) for one in FLAT]
    assert memory_windows(samples) == (100, 100 + growth)
    judged = verdicts(samples, TALLY, Ending(REST, REST, 0, False), judges_memory=True)
    assert judged[0].holds is holds


@pytest.mark.parametrize(("more_viewers", "holds"), [(0, False), (10, True)])
def test_memory_that_further_viewers_take_is_no_growth(more_viewers: int, holds: bool) -> None:
    samples = [
        one._replace(resident_bytes=1_000_000 + 100_000 * late, viewers=100 + more_viewers * late)
        for one in FLAT
        for late in [one.at_s >= 50]
    ]
    assert verdicts(samples, TALLY, Ending(REST, REST, 0, False), judges_memory=True)[0].holds is holds


@pytest.mark.parametrize(("grown_bytes", "holds"), [(12_000_000, True), (13_000_000, False)])
def test_the_history_may_grow_by_what_a_day_of_events_takes(grown_bytes: int, holds: bool) -> None:
    samples = [one._replace(history_bytes=grown_bytes * (one.at_s >= 50)) for one in FLAT]
    judged = verdicts(samples, TALLY, Ending(REST, REST, 0, False), judges_memory=True)
    assert judged[1].holds is holds


def frame(**sections: Any) -> bytes:
    """One that is of any shape: with levels, and further sections."""
    levels = {"ts": 7, "levels": [{"id": "counter", "distance": 0.0}]}
    return msgspec.json.encode({"levels": levels, **sections})


def status(seq: int, epoch: str = "a") -> dict[str, Any]:
    return {"seq": seq, "epoch": epoch}


def told(*pairs: tuple[int, int], cursor: str = "life-9-9", complete: bool = True) -> dict[str, Any]:
    """Section `events`: of each event the numbers before and after, of which the second is that in the stream."""
    events = [
        {"kind": "barrier_state", "level": "counter", "seq": after, "before": f"{before}", "after": f"{after}"}
        for before, after in pairs
    ]
    return {"cursor": cursor, "complete": complete, "events": events}


FLOW = {"n": 8}


@pytest.mark.parametrize(
    ("shape", "frames", "astray"),
    [
        (NEARBY, [frame()], 0),
        (NEARBY, [frame(flow=FLOW)], 1),
        (NEARBY, [frame(viewport={})], 1),
        (NEARBY, [frame(levels={"ts": 7, "levels": [{"id": "far", "distance": -26.0}]})], 1),
        (NEARBY, 5 * [frame()], 0),
        (NEARBY, 6 * [frame()], 1),  # within a second
        (STATUS, [frame(flow=FLOW, status=status(3)), frame(flow=FLOW, status=status(4))], 0),
        (STATUS, [frame(flow=FLOW)], 1),
        (STATUS, [frame(flow=FLOW, status=status(3)), frame(flow=FLOW, status=status(2))], 1),
        (STATUS, [frame(flow=FLOW, status=status(3)), frame(flow=FLOW, status=status(2, "b"))], 0),
        (STATUS, [frame(flow=FLOW, status=status(3)), frame(flow={"n": 7}, status=status(4))], 1),
        (STATUS, [msgspec.json.encode({"status": status(0)})], 0),
        (STATUS, [frame(flow=FLOW, status=status(3)), msgspec.json.encode({"status": status(3)})], 0),
        (STATUS, [frame(flow=FLOW, status=status(3)), msgspec.json.encode({"status": status(4)})], 1),
        (EVENTS, [frame(flow=FLOW, status=status(3))], 1),
        (EVENTS, [frame(flow=FLOW, status=status(seq), events=told((seq, seq + 1))) for seq in (1, 2, 3)], 0),
        (EVENTS, [frame(flow=FLOW, status=status(seq), events=told((seq, seq + 1))) for seq in (1, 3)], 1),
        (EVENTS, [frame(flow=FLOW, status=status(1), events=told((1, 2), (1, 2), (2, 3)))], 0),
        (EVENTS, [frame(flow=FLOW, status=status(1), events=told((1, 2), (3, 4)))], 1),
        (
            EVENTS,
            [
                frame(flow=FLOW, status=status(1), events=told((1, 2))),
                frame(flow=FLOW, status=status(2), events=told((7, 8), (8, 9), complete=False)),
            ],
            0,
        ),
    ],
)
def test_a_frame_that_is_not_as_it_was_asked_for_is_seen(shape: Shape, frames: list[bytes], astray: int) -> None:
    follower = Follower(shape, Counts())
    follower.begin(now_s=100.0)
    assert sum(len(follower.take(text, now_s=101.0)[1]) for text in frames) == astray


def test_a_viewer_of_a_shape_says_what_it_had_when_it_comes_back_and_misses_no_event() -> None:
    counts = Counts()
    follower = Follower(EVENTS, counts)
    assert follower.begin(0.0) == "status=1&events=1"
    follower.take(frame(flow=FLOW, status=status(3), events=told((1, 2), cursor="life-2-5")), 1.0)
    follower.take(frame(flow=FLOW, status=status(4), events=told(cursor="-0-0", complete=False)), 1.0)
    assert follower.begin(2.0) == "status=1&events=1&since=a:4&events_since=life-2-5"
    follower.take(frame(flow=FLOW, status=status(3, "b"), events=told((2, 3), cursor="life-3-6")), 3.0)
    assert counts == Counts(frames=3, events=2, incomplete=1)
    assert follower.take(frame(flow=FLOW, status=status(4, "b"), events=told((4, 5))), 3.0)[1]


@pytest.mark.parametrize(
    ("answered", "later", "wrong"),
    [
        (told((2, 3), (3, 4)), told((3, 4), (4, 5)), 0),
        (told((2, 3)), told((4, 5)), 1),
        (told((3, 4)), told((4, 5)), 1),
    ],
)
def test_what_fills_a_gap_goes_on_from_the_last_event_to_the_next(
    answered: dict[str, Any], later: dict[str, Any], wrong: int
) -> None:
    counts = Counts()
    follower = Follower(EVENTS, counts)
    follower.begin(0.0)
    follower.take(frame(flow=FLOW, status=status(1), events=told((1, 2), cursor="life-2-5")), 1.0)
    follower.take(frame(flow=FLOW, status=status(2), events=told(cursor="-0-0", complete=False)), 1.0)
    gap = follower.gap
    assert gap == Gap(cursor="life-2-5", told="2", until="-0-0")
    seen = follower.fill(gap, msgspec.convert(answered, Events))
    seen += follower.take(frame(flow=FLOW, status=status(3), events=later), 1.0)[1]
    assert (len(seen), follower.gap, counts.filled) == (wrong, None, 1)


def test_a_gap_after_a_filled_one_begins_where_that_ended() -> None:
    follower = Follower(EVENTS, Counts())
    follower.begin(0.0)
    follower.take(frame(flow=FLOW, status=status(1), events=told((1, 2), cursor="life-2-5")), 1.0)
    unread = frame(flow=FLOW, status=status(2), events=told(cursor="-0-0", complete=False))
    follower.take(unread, 1.0)
    assert follower.gap is not None
    follower.fill(follower.gap, msgspec.convert(told((2, 3), (3, 4), cursor="life-4-9"), Events))
    follower.take(unread, 1.0)
    assert follower.gap == Gap(cursor="life-4-9", told="4", until="-0-0")


@pytest.mark.parametrize(
    ("until", "reached"),
    [("life-5-9", True), ("life-4-9", True), ("life-6-0", False), ("-0-0", True), ("new-9-9", True)],
)
def test_an_answer_of_a_gateway_that_has_read_less_than_the_frame_is_not_all(until: str, reached: bool) -> None:
    assert msgspec.convert(told((1, 2), cursor="life-5-8"), Events).reaches(until) is reached


def test_a_gap_that_grows_while_it_is_asked_for_stays() -> None:
    counts = Counts()
    follower = Follower(EVENTS, counts)
    follower.begin(0.0)
    follower.take(frame(flow=FLOW, status=status(1), events=told((1, 2))), 1.0)
    follower.take(frame(flow=FLOW, status=status(2), events=told(complete=False)), 1.0)
    first = follower.gap
    follower.take(frame(flow=FLOW, status=status(3), events=told((5, 6), complete=False)), 1.0)
    assert first is not None
    assert follower.fill(first, None) == []
    assert follower.gap == first._replace(times=2)
    assert follower.fill(first._replace(times=2), None) == []
    assert counts == Counts(frames=3, events=2, incomplete=2, unfilled=1)


def test_a_hole_in_all_events_is_seen() -> None:
    assert missing_between([("1", "2"), ("2", "3")]) == []
    assert len(missing_between([("1", "2"), ("3", "4")])) == 1


@pytest.mark.parametrize("deflated", [True, False])
def test_the_numbers_of_a_frame_are_read(deflated: bool) -> None:
    frame = Frame(b'{"levels":{"ts":7,"levels":[]},"flow":{"n":8,"x":[1]}}')
    message = frame.deflated[2:] if deflated else frame.payload
    assert Frames().decoded(message, deflated=deflated).shown == Shown(levels=7, flow=8)


def test_a_frame_after_another_is_read_with_the_window_of_its_viewer() -> None:
    first, second = (Frame(b'{"levels":{"ts":%d},"pad":"%s"}' % (ts, b"abc" * 99), ts) for ts in (1, 2))
    message = second.deflated_after(Last(1, first.payload))[2:]
    assert Frames().decoded(message, deflated=True, window=first.payload).shown == Shown(levels=2, flow=0)
    with pytest.raises(zlib.error):
        Frames().decoded(message, deflated=True)


@pytest.mark.parametrize("message", [b"", b"[]", b'{"flow":{"n":8}', b'{"flow":{}}', b'{"flow":{"n":1},"x":"\xff"}'])
def test_a_frame_that_is_none_is_seen(message: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
        Frames().decoded(message, deflated=False)


def test_a_frame_that_cannot_be_inflated_is_seen() -> None:
    with pytest.raises(zlib.error):
        Frames().decoded(b"\xff\xff", deflated=True)


def test_bombs_are_bombs() -> None:
    body = deflated_zeros(3 << 20)
    assert len(body) < 4096
    assert inflated(body) == bytes(3 << 20)
