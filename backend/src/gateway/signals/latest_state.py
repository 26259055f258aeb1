"""The latest state: the newest of each section, merged into the one payload that every viewer gets."""

from typing import Any

from src.gateway.signals.contract import LevelsPayload


class LatestState:
    """The market as known now. A section that was never seen, or that the newest message does not have, is None.

    A relayed section, `flow` or `viewport`, is a mapping or the bytes of one (`msgspec.Raw`); JSON encoders write both.
    """

    def __init__(self) -> None:
        self.flow: Any | None = None
        self.levels: LevelsPayload | None = None
        self.viewport: Any | None = None
        self.further: dict[str, Any] = {}  # relayed like `flow`, to viewers that name them

    def payload(self) -> dict[str, Any]:
        """The sections that are known, in the order of the wire: `flow`, `levels`, `viewport`."""
        sections = {"flow": self.flow, "levels": self.levels, "viewport": self.viewport}
        return {name: section for name, section in sections.items() if section is not None}

    def with_further(self) -> dict[str, Any]:
        """The payload, and the further sections that are known."""
        return {**self.payload(), **self.further}
