"""Every task has an owner, which ends it."""

import asyncio
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Final, NoReturn, TypeVar

from src.common.stop_requests import STOPS, StopRequests

T = TypeVar("T")

logger = logging.getLogger("gateway")

ASK_AGAIN_S: Final = 0.1


async def end(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel the tasks and wait until all have ended; their results and errors are their own affair.

    Asks more than once: on Python 3.11 `asyncio.wait_for`, which the NATS library uses, swallows a cancellation that
    comes together with the answer. So the one who waits here may be cancelled more than once, too: that is put off
    until all have ended, or nobody would own those that have not.
    """
    put_off: asyncio.CancelledError | None = None
    ending = {task for task in tasks if task is not None}
    while staying := {task for task in ending if not task.done()}:
        for task in staying:
            task.cancel()
        try:
            await asyncio.wait(staying, timeout=ASK_AGAIN_S)
        except asyncio.CancelledError as cancelled:
            put_off = cancelled
    for task in ending:
        if not task.cancelled():
            task.exception()  # seen; else the loop would report it as lost
    if put_off is not None:
        raise put_off


def guarded(work: Callable[..., object], *given: object) -> None:
    """Call `work`, a step of a periodic check: an exception is logged, and the check goes on."""
    try:
        work(*given)
    except Exception:
        logger.exception("a fault of the gateway; it goes on")


async def tick(period_s: float) -> float:
    """Sleep until the loop's clock is at the next multiple of `period_s`, seconds; returns that time.

    All that is done so often is done at one waking of the process: a waking costs more than most of what is done then.
    The first time takes a quarter of the period at least, and five quarters at most.
    """
    loop = asyncio.get_running_loop()
    due_s = (math.floor(loop.time() / period_s + 0.25) + 1) * period_s
    await asyncio.sleep(due_s - loop.time())
    return due_s


async def within(limit_s: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`. Keeps its limit also where `asyncio.timeout` would not: see `end`.

    Raises:
        TimeoutError: there was none within `limit_s` seconds; `work` has ended.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=limit_s)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        await end(task)


async def unless(event: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`, or None when `event` came first and `work` was given up."""
    task = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        await end(waiting, task)


def stop_event() -> asyncio.Event:
    """Set by SIGTERM or SIGINT; one that insists ends the process at once.

    The handlers are not the loop's: those are gone with it, and the rest of a signal that comes twice would end the
    process before its exit status is told.
    """
    stop, requests, loop = asyncio.Event(), StopRequests(), asyncio.get_running_loop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        requests.arrive(time.monotonic())
        if requests.insisted:
            os._exit(1)
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)

    for number in STOPS:
        signal.signal(number, on_signal)
    return stop


def exit_with(status: int) -> NoReturn:
    """End the program. A signal that still comes changes nothing: Python would give it back its default, to kill."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(status)
