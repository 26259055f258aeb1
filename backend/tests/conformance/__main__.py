"""Run the Autobahn suite against the gateway's peer: `make conformance`. Writes docs/conformance.md.

The suite is Python 2 code, in its latest release too, so it needs a Python 2.7 with pip; the gateway does not.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
SUITE = ROOT / ".tools" / "autobahn"
REPORT = ROOT / "docs" / "conformance.md"
PACKAGES = (
    "autobahntestsuite==0.8.2",
    "autobahn==0.10.9",
    "Twisted==20.3.0",
    "txaio==2.1.0",
    "zope.interface==5.5.2",
    "wsaccel==0.6.3",  # masks in C: without it the suite takes hours
)
RUN_SUITE = "from autobahntestsuite.wstest import run; run()"
PASSED = {"OK", "INFORMATIONAL"}
LIMIT_S = 3600
SECTIONS = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "closing",
    "9": "limits and performance",
    "10": "miscellaneous",
    "12": "compression, different payloads",
    "13": "compression, different parameters",
}


def main(cases: list[str]) -> int:
    """Exit status 0 when every case is OK or informational."""
    python2 = shutil.which(os.environ.get("PYTHON2", "python2.7"))
    if python2 is None or subprocess.run([python2, "-m", "pip", "--version"], capture_output=True).returncode:
        print("the Autobahn suite needs a Python 2.7 with pip; set PYTHON2 to one", file=sys.stderr)
        return 2
    if not (SUITE / ".ready").exists():
        subprocess.run([python2, "-m", "pip", "install", "-q", "--target", SUITE, *PACKAGES], check=True)
        (SUITE / "zope" / "__init__.py").touch()  # a namespace package, which Python 2 does not see in a plain folder
        (SUITE / ".ready").touch()
    results = _run(python2, cases)
    _write(results, cases)
    failed = {case: result for case, result in results.items() if not _passed(result)}
    for case, result in sorted(failed.items()):
        print(f"{case}: {result['behavior']}, close {result['behaviorClose']}", file=sys.stderr)
    print(f"{len(results) - len(failed)} of {len(results)} cases passed; see {REPORT.relative_to(ROOT)}")
    return 1 if failed or not results else 0


def _run(python2: str, cases: list[str]) -> dict[str, dict[str, Any]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    echo = subprocess.Popen([sys.executable, "-m", "tests.conformance.echo_server", str(port)], cwd=ROOT / "backend")
    try:
        _wait_for(port, echo)
        with tempfile.TemporaryDirectory() as folder:
            spec = Path(folder) / "spec.json"
            server = {"agent": "gateway", "url": f"ws://127.0.0.1:{port}/ws/stream"}
            spec.write_text(json.dumps({"outdir": folder, "servers": [server], "cases": cases, "exclude-cases": []}))
            command = [python2, "-c", RUN_SUITE, "-m", "fuzzingclient", "-s", str(spec)]
            subprocess.run(command, env={**os.environ, "PYTHONPATH": str(SUITE)}, check=True, timeout=LIMIT_S)
            index: dict[str, dict[str, dict[str, Any]]] = json.loads((Path(folder) / "index.json").read_text())
            return index["gateway"]
    finally:
        echo.terminate()
        echo.wait(5)


def _wait_for(port: int, echo: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        assert echo.poll() is None, "the echo server ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the echo server does not listen")


def _passed(result: dict[str, Any]) -> bool:
    return {result["behavior"], result["behaviorClose"]} <= PASSED


def _write(results: dict[str, dict[str, Any]], cases: list[str]) -> None:
    by_section: dict[str, Counter[str]] = {}
    for case, result in results.items():
        by_section.setdefault(case.partition(".")[0], Counter())[result["behavior"]] += 1
    rows = [
        f"| {section} | {name} | {sum(counts.values())} | {_words(counts)} |"
        for section, name in SECTIONS.items()
        if (counts := by_section.get(section))
    ]
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(
        "# WebSocket conformance\n\n"
        "The Autobahn suite's client cases against `StreamPeer`, the class that serves viewers, in a server that\n"
        "echoes what it receives (`backend/tests/conformance/`).\n"
        f"Written by `make conformance` on {datetime.now(UTC):%Y-%m-%d}, "
        f"Python {sys.version.split()[0]}, cases `{' '.join(cases)}`: "
        f"{sum(map(_passed, results.values()))} of {len(results)} passed.\n\n"
        "| section | about | cases | behaviour |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"
    )


def _words(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {behaviour}" for behaviour, count in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["*"]))
