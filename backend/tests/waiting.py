"""Wait for the thing itself, never for a while."""

import asyncio
from collections.abc import Callable
from typing import Any

LIMIT_S = 20.0  # a net for what never comes; nothing is measured by it


async def until(condition: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> None:
    """Return once `condition()` is true; fail with `what` when it never is."""
    try:
        async with asyncio.timeout(limit_s):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited {limit_s:g} s in vain: {what}") from None


class Inbox:
    """A bus callback that keeps what it was given."""

    def __init__(self) -> None:
        self.received: list[Any] = []

    async def __call__(self, message: Any) -> None:
        self.received.append(message)

    async def until_newest(self, expected: Any) -> None:
        await until(lambda: self.received[-1:] == [expected], f"{expected} as the newest of {self.received[-3:]}")
