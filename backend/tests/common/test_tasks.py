"""That every task is ended by its owner, also by one that is cancelled again and again."""

import asyncio
import contextlib
import gc
from typing import Any

from src.common.tasks import tick, unless
from tests.waiting import until


class Slow:
    """Work that ends only when it may, and then by an error, as a request of the NATS library does."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self.cancellations = 0

    async def run(self) -> None:
        self.began.set()
        while not self.may_end.is_set():
            try:
                await self.may_end.wait()
            except asyncio.CancelledError:
                self.cancellations += 1
        raise TimeoutError


async def test_work_is_not_left_behind_by_an_owner_that_is_cancelled_more_than_once() -> None:
    lost: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: lost.append(context))
    work, never = Slow(), asyncio.Event()
    owner = asyncio.create_task(unless(never, work.run()))
    await work.began.wait()
    for cancellations in (1, 2, 3):
        owner.cancel()
        await until(lambda asked=cancellations: work.cancellations >= asked, "its work is asked to end")  # type: ignore[misc]
    assert not owner.done(), "it waits for its work"
    work.may_end.set()
    with contextlib.suppress(asyncio.CancelledError):
        await owner
    assert owner.cancelled()
    gc.collect()
    assert lost == []


async def test_what_ticks_at_one_period_is_woken_at_the_same_multiples_of_it() -> None:
    loop, period_s = asyncio.get_running_loop(), 0.01

    async def three() -> list[float]:
        ticks = []
        for _ in range(3):
            ticks.append(await tick(period_s))
            assert loop.time() > ticks[-1] - period_s / 4
        return ticks

    begin_s = loop.time()
    both = await asyncio.gather(three(), three())
    assert both[0] == both[1]
    assert all(abs(due_s / period_s - round(due_s / period_s)) < 1e-3 for due_s in both[0])
    assert begin_s < both[0][0] < both[0][1] < both[0][2]
