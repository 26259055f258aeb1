"""Questions between processes that were forked from one, in one process here: each object takes one number."""

import asyncio
import contextlib
import copy
from collections.abc import Callable, Iterator

import pytest

from src.gateway.processes import worker_messages as module
from src.gateway.processes.worker_messages import WorkerMessages


def worker(shared: WorkerMessages, number: int) -> WorkerMessages:
    """As it is in the process of this worker."""
    own = copy.copy(shared)
    own.own = number
    return own


def constant(answer: bytes) -> Callable[[], bytes]:
    return lambda: answer


@pytest.fixture
def shared() -> Iterator[WorkerMessages]:
    with contextlib.closing(WorkerMessages(3)) as shared:
        yield shared


async def test_one_asks_and_all_others_answer(shared: WorkerMessages) -> None:
    workers = [worker(shared, number) for number in (1, 2, 3)]
    for number, one in enumerate(workers, 1):
        one.listen(constant(b"I am %d" % number))
    assert await workers[0].ask() == {2: b"I am 2", 3: b"I am 3"}
    assert await asyncio.gather(*(one.ask() for one in workers)) == [
        {2: b"I am 2", 3: b"I am 3"},
        {1: b"I am 1", 3: b"I am 3"},
        {1: b"I am 1", 2: b"I am 2"},
    ]
    for one in workers:
        one.stop_listening()


async def test_a_long_answer_arrives_whole(shared: WorkerMessages) -> None:
    """As long as the metrics of one worker are, and some."""
    answering = worker(shared, 2)
    answering.listen(constant(b"x" * 100_000))
    asking = asyncio.create_task(worker(shared, 1).ask())
    assert await asking == {2: b"x" * 100_000}
    answering.stop_listening()


async def test_a_worker_that_does_not_answer_in_time_is_left_out_each_time(
    shared: WorkerMessages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", 0.05)
    answering = worker(shared, 2)
    answering.listen(constant(b"here"))
    for _ in range(15):  # more than the kernel lets wait for the third
        assert await worker(shared, 1).ask() == {2: b"here"}
    returned = worker(shared, 3)
    returned.listen(constant(b"back"))
    while await worker(shared, 1).ask() != {2: b"here", 3: b"back"}:
        pass
    answering.stop_listening()
    returned.stop_listening()


async def test_a_single_worker_asks_no_other() -> None:
    alone = WorkerMessages()
    alone.listen(constant(b""))
    assert await alone.ask() == {}
    alone.stop_listening()
