"""`docs/configuration.md`: every setting, from the model in `settings.py`."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from src.gateway.settings import Variable, variables

TOPICS: Final = {  # by the first setting of each
    "nats_url": "NATS",
    "host": "The port",
    "allowed_origins": "Admission",
    "drain_s": "Viewers",
    "wall_baseline": "Signals and logs",
}

HEAD: Final = """\
# Configuration

`make contract` writes this page from `backend/src/gateway/settings.py`.

The gateway reads its settings from the environment, once, at its start. An empty variable counts as not set. A wrong
value ends the start with status 2 and one line that names the variable, the value and what is accepted. The gateway
warns about each `GATEWAY_…` variable that is not a setting, and about each that another setting leaves without effect.

A secret is in a file, and a setting names the path of the file. The files for NATS are read again at each connection to
NATS. SIGHUP makes the gateway read the files for tokens, keys and its own certificate again.
"""


def configuration_page() -> str:
    """The page, as Markdown."""
    settings = variables()
    fields = [setting.field for setting in settings]
    begins = [fields.index(field) for field in TOPICS]
    sections = [settings[begin:end] for begin, end in pairwise([*begins, len(settings)])]
    return "\n".join([HEAD, *map(_section, TOPICS.values(), sections)])


def _section(title: str, settings: Sequence[Variable]) -> str:
    head = ["| variable | default | accepted | description |", "|---|---|---|---|"]
    return "\n".join([f"## {title}", "", *head, *map(_row, settings), ""])


def _row(setting: Variable) -> str:
    names = ", else ".join(f"`{name}`" for name in setting.names)
    return f"| {names} | {_default(setting.default)} | {setting.accepted} | {setting.text} |"


def _default(default: object) -> str:
    if default in ("", ()):
        return "not set"
    return f"`{default:g}`" if isinstance(default, float | bool) else f"`{default}`"
