"""What happens too often to be logged, counted."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Metrics:
    """Counts since the start of the process.

    Attributes:
        faults: bad parts of good messages, each left out at its own cost, by what they were.
        payloads: merged payloads that were offered to the peers.
        unserializable: merged payloads that could not be written as JSON and were skipped.
    """

    faults: Counter[str] = field(default_factory=Counter)
    payloads: int = 0
    unserializable: int = 0
