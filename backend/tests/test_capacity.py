"""The capacities of docs/operations.md follow from what README and the benchmarks measured."""

import re

from tests.documents import README, ROOT

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
SHARE_OF_CORE = 0.6
FRAMES_A_SECOND = 8


def test_the_egress_of_a_thousand_viewers_is_that_of_the_readme() -> None:
    measured = re.findall(r"^\| [^|]+ \| (?:`[^`]+`)? ?\| ([\d.]+) \|$", README.read_text(), re.MULTILINE)
    (table,) = re.findall(r"\| Mbit/s of 1,000 \|\n\|---\|---\|\n((?:\|.*\n)+)", OPERATIONS)
    written = [int(cell.replace(",", "")) for cell in re.findall(r"\| ([\d,]+) \|$", table, re.MULTILINE)]
    assert written == [round(float(megabytes_an_hour) * 8 / 3600 * 1000) for megabytes_an_hour in measured]


def test_the_viewers_of_a_core_follow_from_the_benchmarks() -> None:
    rows = re.findall(r"^\| (\d+ KB), ([a-z ]+) \| ([\d.]+) µs \| ([\d,]+) \|$", OPERATIONS, re.MULTILINE)
    assert len(rows) == 4
    for _, _, cpu_us, viewers in rows:
        exact = SHARE_OF_CORE / (FRAMES_A_SECOND * float(cpu_us) / 1e6)
        assert abs(int(viewers.replace(",", "")) - exact) <= 50
