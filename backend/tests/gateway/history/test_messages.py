"""What a gateway process and its history process say to each other, as bytes."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.gateway.history import messages
from src.gateway.history.messages import LARGEST_BYTES, LENGTH_BYTES, Answer, Ask, Begin, News, Progress, Verdict
from tests.gateway.history.test_event_ring import event

EACH = (
    Ask(1, "/events", "kinds=signal"),
    Answer(1, 200, b'{"events":[]}'),
    Verdict("levels", "live", "stale", 1_766_120_400_000),
    Begin("life-1-0", "life-9-90", [event(7, 70, "e7"), event(0, 80, "v")]),
    News("life-9-90", [event(9, 90, "e9", 2)]),
    Progress("life-9-90", 70, complete=True, events=3),
)


class Written:
    """Where `messages.write` writes."""

    def __init__(self) -> None:
        self.wire = b""

    def write(self, part: bytes) -> None:
        self.wire += part


def written(*each: messages.Message) -> bytes:
    to = Written()
    for message in each:
        messages.write(to, message)  # type: ignore[arg-type]  # it is only written to
    return to.wire


@given(st.lists(st.integers(1, 40), max_size=20))
def test_messages_are_read_as_they_were_written_however_the_bytes_arrive(sizes: list[int]) -> None:
    async def read_all() -> None:
        reader = asyncio.StreamReader()
        wire, arrives = written(*EACH), 0

        async def arrive() -> None:
            nonlocal arrives
            for size in [*sizes, len(wire)]:
                reader.feed_data(wire[arrives : arrives + size])
                arrives += size
                await asyncio.sleep(0)
            reader.feed_eof()

        arriving = asyncio.create_task(arrive())
        assert [await messages.read(reader) for _ in EACH] == list(EACH)
        with pytest.raises(EOFError):
            await messages.read(reader)
        await arriving

    asyncio.run(read_all())


@pytest.mark.parametrize("left", [0, 1, LENGTH_BYTES, LENGTH_BYTES + 1, len(written(EACH[0])) - 1])
async def test_an_end_within_a_message_is_an_end(left: int) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(written(EACH[0])[:left])
    reader.feed_eof()
    with pytest.raises(EOFError):
        await messages.read(reader)


async def test_a_length_of_nonsense_is_not_waited_for() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data((LARGEST_BYTES + 1).to_bytes(LENGTH_BYTES))
    with pytest.raises(AssertionError):
        await messages.read(reader)
