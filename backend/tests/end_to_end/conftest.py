"""The whole service: a real nats-server, the gateway as a process, standard clients."""

from collections.abc import AsyncIterator, Iterator

import pytest

from src.demo.nats_server import NatsServer
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher


@pytest.fixture(scope="module")
def shared_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A nats-server for all tests of a module, which takes messages larger than the gateway does."""
    with NatsServer(store=tmp_path_factory.mktemp("jetstream"), config="max_payload: 9MB") as server:
        yield server


@pytest.fixture(scope="module")
def shared_gateway(shared_nats: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway for all tests of a module that leave it as they found it, except for its state."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("gateway"), shared_nats.url).start()
    yield gateway
    gateway.kill()


@pytest.fixture
async def shared_publisher(shared_nats: NatsServer) -> AsyncIterator[Publisher]:
    """A plain NATS client on `shared_nats`."""
    async with Publisher(shared_nats) as publisher:
        yield publisher
