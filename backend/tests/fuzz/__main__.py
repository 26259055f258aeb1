"""Fuzz for long: `make fuzz`, or `python -m tests.fuzz [--runs N] [TARGET…]` from `backend`.

Every target gets its share of the inputs in a process of its own, under atheris (guided by coverage) where that is
installed, else under hypothesis. The whole gateway, as a process, is fuzzed by hypothesis.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.fuzz.targets import TARGETS

RUNS: Final = 150_000
MOST_SLOW: Final = 3_000  # inputs of the target that takes 30 ms for each
LONGEST_INPUT_BYTES: Final = 2048
HERE: Final = Path(__file__).parent
BACKEND: Final = HERE.parents[1]
PROCESS: Final = "process"  # the gateway as a process of its own, which no engine can look into
NAMES: Final = ", ".join([*TARGETS, PROCESS])
PROCESS_TEST: Final = str(BACKEND / "tests" / "end_to_end" / "test_hostile_bytes.py")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description="Bytes that nobody should send, by the hundred thousand.")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"inputs, of all targets together (default {RUNS:,})")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"default: all of {NAMES}")
    given = parser.parse_args(arguments)
    chosen = given.targets or [*TARGETS, PROCESS]
    if unknown := set(chosen) - {*TARGETS, PROCESS}:
        parser.error(f"no target: {', '.join(unknown)}; there are {NAMES}")
    engine = "atheris" if importlib.util.find_spec("atheris") else "hypothesis"
    print(f"{len(chosen)} targets, {given.runs:,} inputs, {engine}", flush=True)
    share = given.runs // len(chosen)
    failed = [
        name for name in chosen if not _survives(name, min(share, MOST_SLOW) if name == PROCESS else share, engine)
    ]
    print(f"failed: {', '.join(failed)}" if failed else "nothing found", flush=True)
    return 1 if failed else 0


def _survives(name: str, runs: int, engine: str) -> bool:
    print(f"\n{name}: {runs:,} inputs", flush=True)
    with tempfile.TemporaryDirectory(prefix="spymaster-fuzz-") as corpus:
        if engine == "atheris" and name != PROCESS:
            command = ["-m", "tests.fuzz.with_atheris", name, f"-runs={runs}", f"-max_len={LONGEST_INPUT_BYTES}"]
            command += [f"-artifact_prefix={HERE}/found-", corpus]
        else:
            test = PROCESS_TEST if name == PROCESS else f"{HERE}/test_fuzz.py::test_any_bytes_are_survived[{name}]"
            command = ["-m", "pytest", "-q", "--timeout=0", test]
        environment = {**os.environ, "FUZZ_INPUTS": str(runs)}
        return subprocess.run([sys.executable, *command], cwd=BACKEND, env=environment).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
