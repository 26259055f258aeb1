"""How far a section can be believed, by its own cadence."""

import re

import pytest

from spymaster_client import disconnect, freshness
from spymaster_client.freshness import Age, Cadence, FrameRate
from tests.documents import ROOT


def cadence(*moments_s: float) -> Cadence:
    """Changes at these moments, the first of them with a connection's first frame."""
    made = Cadence()
    for number, moment_s in enumerate(moments_s):
        made.add(moment_s, first=number == 0)
    return made


def age_at(made: Cadence, now_s: float) -> Age | None:
    seen = made.at(now_s)
    return None if seen is None else seen.age


@pytest.mark.parametrize(
    ("gap_s", "silent_s", "expected"),
    [
        (0.25, 0.2, "live"),
        (0.25, 0.85, "live"),
        (0.25, 0.9, "late"),
        (0.25, 2.45, "late"),
        (0.25, 2.55, "stale"),
        (10.0, 20.0, "live"),
        (10.0, 25.5, "late"),
        (10.0, 79.0, "late"),
        (10.0, 80.5, "stale"),
    ],
)
def test_a_section_is_judged_by_its_own_cadence(gap_s: float, silent_s: float, expected: Age) -> None:
    made = cadence(*(number * gap_s for number in range(10)))
    assert age_at(made, 9 * gap_s + silent_s) == expected


def test_nothing_is_said_before_the_first_change() -> None:
    assert Cadence().at(1.0) is None


@pytest.mark.parametrize(("silent_s", "expected"), [(0.0, "late"), (2.0, "late"), (9.0, "stale")])
def test_the_first_frame_of_a_connection_never_makes_it_live(silent_s: float, expected: Age) -> None:
    assert age_at(cadence(0.0), silent_s) == expected


def test_the_second_change_does() -> None:
    assert age_at(cadence(0.0, 0.25), 0.25) == "live"


def test_a_first_frame_that_brings_nothing_new_leaves_the_age_as_it_was() -> None:
    made = cadence(0.0, 0.25, 0.5)
    made.interrupt()
    seen = made.at(1.0)
    assert seen is not None
    assert (seen.age, seen.age_s) == ("late", 0.5)


def test_an_outage_does_not_count_as_a_gap() -> None:
    made = cadence(0.0, 1.0, 2.0)
    made.interrupt()
    made.add(60.0, first=True)
    made.add(61.0, first=False)
    made.add(62.0, first=False)
    seen = made.at(62.0)
    assert seen is not None
    assert seen.usual_s == 1.0


def moments(*runs: tuple[float, float]) -> list[float]:
    """Moments of changes, from 0 on: each run is a gap and how long changes come at it."""
    made = [0.0]
    for gap_s, length_s in runs:
        made += [made[-1] + gap_s * number for number in range(1, round(length_s / gap_s) + 1)]
    return made


@pytest.mark.parametrize("outage_s", [2.6, 10.0, 600.0])
def test_an_outage_of_core_within_a_connection_does_not_count_as_a_gap_either(outage_s: float) -> None:
    changes = moments((0.25, 10.0), (outage_s, outage_s), (0.25, 5.0))
    made = cadence(*changes)
    seen = [(silent_s, age_at(made, changes[-1] + silent_s)) for silent_s in (0.85, 0.9, 2.45, 2.55)]
    assert seen == [(0.85, "live"), (0.9, "late"), (2.45, "late"), (2.55, "stale")]


def test_outages_one_after_the_other_are_no_cadence_when_they_differ() -> None:
    changes = moments((0.25, 10.0), (4.0, 4.0), (9.0, 9.0), (30.0, 30.0), (3.0, 3.0), (10.0, 10.0))
    assert age_at(cadence(*changes), changes[-1] + 2.55) == "stale"


@pytest.mark.parametrize("runs", [((12.0, 48.0),), ((2.0, 8.0), (30.0, 600.0)), ((0.25, 20.0), (12.0, 36.0))])
def test_a_slow_steady_producer_is_live_at_its_own_pace(runs: tuple[tuple[float, float], ...]) -> None:
    changes = moments(*runs)
    gap_s = runs[-1][0]
    made = cadence(*changes)
    seen = [age_at(made, changes[-1] + share * gap_s) for share in (1.0, 2.4, 3.0, 8.1)]
    assert seen == ["live", "live", "late", "stale"]


def test_the_usual_gap_is_one_that_nine_of_ten_keep() -> None:
    moments, moment = [0.0], 0.0
    for number in range(40):
        moment += 2.4 if number == 20 else 0.25
        moments.append(moment)
    seen = cadence(*moments).at(moment)
    assert seen is not None
    assert seen.usual_s == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("verdict", "silent_s", "expected"),
    [
        ("live", 2.7, "live"),
        ("live", 2.8, "late"),
        ("live", 3.1, "stale"),
        ("late", 1.0, "late"),
        ("late", 3.1, "stale"),
        ("stale", 0.0, "stale"),
        ("closed", 60.0, "closed"),
        ("replay", 60.0, "replay"),
    ],
)
def test_the_verdict_of_a_gateway_that_says_no_more_is_out_of_date(
    verdict: Age, silent_s: float, expected: Age
) -> None:
    made = cadence(*moments((0.25, 10.0)))
    made.tell(10.0, verdict, 0.1, heartbeat_s=1.0)
    seen = made.at(10.0 + silent_s)
    assert seen is not None
    assert seen.age == expected
    assert seen.age_s == pytest.approx(0.1 + silent_s)


def test_a_slow_section_may_be_silent_for_longer_than_a_heartbeat() -> None:
    made = cadence(*moments((5.0, 50.0)))
    made.tell(50.0, "live", 4.0, heartbeat_s=1.0)
    assert age_at(made, 60.0) == "live"


def test_frames_are_counted_over_the_last_seconds() -> None:
    rate = FrameRate()
    rate.begin(0.0)
    for number in range(20):
        rate.add(number * 0.125)
    assert rate.at(2.5) == pytest.approx(8.0)
    assert rate.at(7.0) == pytest.approx(0.6)
    assert rate.at(60.0) == 0.0


def test_one_frame_at_once_is_no_rate_of_hundreds() -> None:
    rate = FrameRate()
    rate.begin(10.0)
    rate.add(10.001)
    assert rate.at(10.002) == 1.0


def test_the_typescript_client_judges_by_the_same_numbers() -> None:
    source = (ROOT / "client" / "typescript" / "src" / "freshness.ts").read_text()
    written = re.findall(r"^const (\w+) = ([\d_.]+);", source, re.MULTILINE)
    theirs = {
        re.sub("_MS$", "_S", name): float(value) / (1000 if name.endswith("_MS") else 1) for name, value in written
    }
    ours = {name: value for name, value in vars(freshness).items() if name.isupper()}
    both = theirs.keys() & ours.keys()
    assert len(both) >= 6
    assert {name: theirs[name] for name in both} == {name: ours[name] for name in both}


def test_the_typescript_client_waits_as_long() -> None:
    source = (ROOT / "client" / "typescript" / "src" / "stream.ts").read_text()
    first, longest = re.findall(r"(?:firstPauseMs|longestPauseMs) = ([\d_]+)", source)
    assert [float(first) / 1000, float(longest) / 1000] == [disconnect.FIRST_PAUSE_S, disconnect.LONGEST_PAUSE_S]
