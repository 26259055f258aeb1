"""A viewer whose line is always fuller than full, from its very first frame."""

import asyncio
import json

from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.end_to_end.sockets import deaf_viewer
from tests.end_to_end.viewer import Viewer

LAST = 40


def frames_in(received: bytes) -> list[int]:
    """The flow numbers of all complete frames; fails on a byte that is no part of one."""
    reader, numbers = StreamReader(), []
    reader.feed_data(received)
    while True:
        parser = Frame.parse(reader.read_exact, mask=False)
        try:
            next(parser)
        except StopIteration as parsed:
            if parsed.value.opcode is not Opcode.PING:
                numbers.append(json.loads(bytes(parsed.value.data))["flow"]["n"])
        else:
            return numbers


async def test_a_viewer_that_reads_in_small_sips_gets_whole_frames_in_order_and_the_newest_last(
    gateway: GatewayProcess, publisher: Publisher
) -> None:
    """Its first frame is too large for its line, so it is behind from the start, through all that follows."""
    await publisher.flow(0, padding="x" * 300_000)
    loop = asyncio.get_running_loop()
    async with Viewer(gateway) as other, deaf_viewer(gateway) as slow:
        await other.until_newest(flow=0)
        received = b""
        for number in range(1, LAST + 1):
            await publisher.flow(number, padding="x" * (20_000 + 5_000 * number))
            await other.until_newest(flow=number)
            received += await loop.sock_recv(slow, 2_000)
        while (numbers := frames_in(received))[-1:] != [LAST]:
            received += await loop.sock_recv(slow, 1 << 20)
    assert numbers[0] == 0
    assert numbers == sorted(numbers)
    assert len(numbers) < LAST, "it skipped"
