"""A viewer on a slow line behind real proxies, whose default buffers take seconds of frames."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Final

import pytest

from benchmarks.proxies import CHAINS, COMMANDS, behind
from benchmarks.slow_line import SlowViewer
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.end_to_end.viewer import Viewer

MESSAGES: Final = 120
MESSAGES_A_FRAME: Final = 4  # that are published while the slow line takes one frame
FRAME_BYTES: Final = 20_000
# Of a publisher. The gateway calls a line slow that takes 0.1 s for a frame; a slow machine makes the period longer,
# and all that is counted here stays the same, because the line takes its bytes by the message.
PERIOD_S: Final = 0.06
SETTLED_AFTER: Final = 30  # messages
# How many messages behind a frame may be when it has arrived: those of its own transfer, of the frame that was in
# flight, and of the steps in which a pong waits to be read.
MOST_BEHIND: Final = 2 * MESSAGES_A_FRAME + 4


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
async def test_a_slow_viewer_behind_proxies_gets_no_old_frames_and_the_others_get_all(
    chain: tuple[str, ...], gateway: GatewayProcess, publisher: Publisher, tmp_path: Path
) -> None:
    for program in chain:
        if shutil.which(program) is None and not os.environ.get("CI"):
            pytest.skip(f"{program} is not installed; .ci/run installs it")
    await publisher.flow(0, padding="x" * FRAME_BYTES)
    behind_at: list[int] = []
    with behind(chain, gateway.port, tmp_path / "proxies") as port:
        slow = await SlowViewer.connect(port)
        async with Viewer(gateway, compression=None) as other:
            for number in range(1, MESSAGES + 1):
                await publisher.flow(number, padding="x" * FRAME_BYTES)
                await other.until_newest(flow=number)
                await asyncio.sleep(PERIOD_S)
                known = len(slow.arrived)
                await slow.take(FRAME_BYTES // MESSAGES_A_FRAME)
                behind_at += [number - number_in(arrived.payload) for arrived in slow.arrived[known:]]
                if number == SETTLED_AFTER:
                    behind_at.clear()
        slow.close()
    numbers = [number_in(arrived.payload) for arrived in slow.arrived]
    assert numbers == sorted(numbers)
    assert len(behind_at) > (MESSAGES - SETTLED_AFTER) / MESSAGES_A_FRAME / 4, "frames arrive"
    assert max(behind_at) <= MOST_BEHIND


def number_in(payload: bytes) -> int:
    number: int = json.loads(payload)["flow"]["n"]
    return number


def test_both_proxies_are_in_the_chains() -> None:
    assert {program for chain in CHAINS.values() for program in chain} == set(COMMANDS)
