"""`python -m src.gateway run | record … | replay …`: the gateway's commands."""

import runpy
import sys

from src.common.tasks import exit_with
from src.gateway.recording import commands

USAGE = """usage: python -m src.gateway COMMAND

  run                  the gateway itself, as `python -m src.gateway.main`
  record FILE …        write what is published on the bus to a file; `record --help`
  replay FILE …        publish such a file again; `replay --help`
"""


def main() -> int:
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command in ("record", "replay"):
        return commands.main(sys.argv[1:])
    if sys.argv[1:] == ["run"]:
        del sys.argv[1]
        runpy.run_module("src.gateway.main", run_name="__main__", alter_sys=True)
        return 0
    wanted = command in ("-h", "--help")
    print(USAGE, end="", file=sys.stdout if wanted else sys.stderr)
    return 0 if wanted else 2


if __name__ == "__main__":
    exit_with(main())
