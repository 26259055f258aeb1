"""What a token grants, until when, and what ends it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from src.gateway.close_codes import TOKEN_EXPIRED, TOKEN_WITHDRAWN, CloseCode
from src.gateway.refusals import Refusal


class Trust:
    """The basis of grants: a line of the tokens file, or a key.

    Attributes:
        withdrawn: whether it was removed; then all its grants end.
    """

    __slots__ = ("withdrawn",)

    def __init__(self) -> None:
        self.withdrawn = False


@dataclass(frozen=True, slots=True)
class Grant:
    """
    Attributes:
        trust: see there.
        until_s: when it ends, seconds since 1970.
    """

    trust: Trust
    until_s: float = math.inf

    def over(self, now_s: float) -> CloseCode | None:
        """Why it is over; None while it is not."""
        if self.trust.withdrawn:
            return TOKEN_WITHDRAWN
        return TOKEN_EXPIRED if now_s >= self.until_s else None


ANYBODY: Final = Grant(Trust())


class Tokens:
    """The tokens that are accepted."""

    async def open(self) -> None:
        """Start to fetch keys that come from a URL; returns after the first attempt."""

    async def close(self) -> None:
        """Idempotent."""

    @property
    def trouble(self) -> str | None:
        """Why no token can be checked at all, or None."""
        return None

    def grant(self, token: str, now_s: float) -> Grant | Refusal:
        """
        Args:
            token: as the client sent it.
            now_s: seconds since 1970.
        """
        raise NotImplementedError

    def refresh(self, then: Callable[[], None]) -> bool:
        """Fetch the keys again and call `then` within a few seconds; False where that cannot be."""
        return False

    def reread(self) -> str:
        """Read the files again and return a summary of the changes; nothing changes where one of them is wrong.

        Raises:
            SettingError: a file cannot be used; the text says which and why, and shows no content.
        """
        raise NotImplementedError
