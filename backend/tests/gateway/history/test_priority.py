"""The priority of the history process, as the kernel has it."""

import os
import subprocess
import sys

import pytest

from src.gateway.history.priority import NICE, SCHED_SETATTR, SLICE_NS
from tests.end_to_end.gateway_process import BACKEND

READS_IT = f"""
import ctypes, os, struct
from src.gateway.history.priority import give_way
give_way()
attributes = ctypes.create_string_buffer(56)
assert ctypes.CDLL(None).syscall({SCHED_SETATTR.get(os.uname().machine, 0) + 1}, 0, attributes, 56, 0) == 0
print(os.getpriority(os.PRIO_PROCESS, 0), struct.unpack_from("=Q", attributes, 24)[0])
"""


def kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in os.uname().release.partition("-")[0].split(".")[:2])


@pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine not in SCHED_SETATTR or kernel() < (6, 12),
    reason="slices can be asked for since Linux 6.12",
)
def test_it_has_a_low_priority_and_short_slices() -> None:
    said = subprocess.run([sys.executable, "-c", READS_IT], cwd=BACKEND, capture_output=True, check=True, timeout=20)
    assert said.stdout.decode().split() == [str(NICE), str(SLICE_NS)]
