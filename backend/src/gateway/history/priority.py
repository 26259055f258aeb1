"""The live path has the processors first.

A lower priority alone is not enough: on Linux a task keeps the processor for its slice, some 3 ms, also where one of
higher priority wakes up. Since Linux 6.12 it may ask for shorter slices by sched_setattr(2); older kernels take no
notice.
"""

import ctypes
import os
import struct
import sys
from typing import Final

NICE: Final = 10
SLICE_NS: Final = 100_000  # the shortest that there is
SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}  # numbers of the system call, which Python has no name for
# size, policy, flags, nice, priority, runtime, which is the slice here, deadline, period, util_min, util_max
_ATTRIBUTES: Final = struct.Struct("=IIQiIQQQII")


def give_way() -> None:
    """Let other processes go first, as far as the system knows how; for the calling process."""
    os.nice(NICE)
    number = SCHED_SETATTR.get(os.uname().machine)
    if sys.platform == "linux" and number is not None:
        attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, NICE, 0, SLICE_NS, 0, 0, 0, 0)
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)
