"""That the soak runs, sees what is broken, and finds nothing in a few seconds. Memory is judged in long runs alone."""

import subprocess
import sys
import zlib
from pathlib import Path

import msgspec
import pytest

from soak.hostile_viewers import deflated_zeros
from soak.samples import Ending, Rest, Sample, memory_windows, verdicts
from soak.viewers import Frames, Shown, Tally, inflated
from src.gateway.delivery.frame import Frame, Last

BACKEND = Path(__file__).parents[1]
RUN_LIMIT_S = 55
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
