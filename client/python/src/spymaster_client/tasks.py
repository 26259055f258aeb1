"""Every task has an owner, which ends it."""

import asyncio
from typing import Any


async def end(task: asyncio.Task[Any] | None) -> None:
    """Cancel `task` and wait until it has ended; its result or error is not looked at."""
    if task is None:
        return
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # retrieved; else the event loop would report it as lost
