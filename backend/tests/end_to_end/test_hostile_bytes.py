"""Any bytes, over real sockets, to the gateway as a process: it answers or hangs up, and goes on."""

import asyncio
import contextlib
import os
import socket

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src.demo.nats_server import HOST
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher, fresh
from tests.end_to_end.viewer import Viewer, numbers_in
from tests.fuzz.dictionary import WORDS
from tests.fuzz.gateway_under_test import UPGRADE
from tests.waiting import until

EXAMPLES = int(os.environ.get("FUZZ_INPUTS", "100"))

pieces = st.lists(st.sampled_from(WORDS) | st.binary(max_size=40), max_size=20)
conversations = st.tuples(st.booleans(), st.lists(pieces.map(b"".join), max_size=4), st.booleans())


async def test_any_bytes_are_survived_and_a_healthy_viewer_is_sent_every_message(
    shared_gateway: GatewayProcess, shared_publisher: Publisher
) -> None:
    def say(upgrades: bool, sent: list[bytes], waits: bool) -> None:
        """On a connection of its own; who waits reads until the gateway has hung up."""
        with contextlib.suppress(OSError), socket.create_connection((HOST, shared_gateway.port), 20) as viewer:
            for piece in [UPGRADE + b"\r\n"] * upgrades + sent:
                viewer.sendall(piece)
            if waits:
                viewer.shutdown(socket.SHUT_WR)
                while viewer.recv(1 << 16):
                    pass

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(conversations)
    def talk(conversation: tuple[bool, list[bytes], bool]) -> None:
        say(*conversation)

    logged, published = shared_gateway.stderr, []
    async with Viewer(shared_gateway) as viewer:
        talking = asyncio.create_task(asyncio.to_thread(talk))
        while not talking.done():
            published.append(fresh())
            await shared_publisher.levels(published[-1])
            await viewer.until_newest(levels=published[-1])
        await talking
        await until(lambda: shared_gateway.health()["connections"] == 1, "all others are gone")
    assert [numbers_in(payload)["levels"] for payload in viewer.payloads][-len(published) :] == published
    assert shared_gateway.stderr == logged
