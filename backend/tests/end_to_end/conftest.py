"""The whole service: a real nats-server, the gateway as a process, standard clients."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from src.demo.nats_server import NatsServer
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher

LaunchGateway = Callable[..., GatewayProcess]


@pytest.fixture
def make_gateway(tmp_path: Path, nats_server: NatsServer) -> Iterator[LaunchGateway]:
    """Makes gateways, of `nats_server` where no URL is given; those that still run after the test are killed."""
    made: list[GatewayProcess] = []

    def make(nats_url: str = nats_server.url, **settings: str) -> GatewayProcess:
        made.append(GatewayProcess(tmp_path, nats_url, **settings))
        return made[-1]

    yield make
    for gateway in made:
        gateway.kill()


@pytest.fixture
def gateway(make_gateway: LaunchGateway) -> GatewayProcess:
    """A running gateway of its own for a test, on `nats_server`."""
    return make_gateway().start()


@pytest.fixture
async def publisher(nats_server: NatsServer) -> AsyncIterator[Publisher]:
    """A plain NATS client on `nats_server`."""
    async with Publisher(nats_server) as publisher:
        yield publisher


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
