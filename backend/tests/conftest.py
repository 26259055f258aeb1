"""What every test may ask for."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from src.common.bus import NATSBus
from src.demo.nats_server import NatsServer
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher

LaunchGateway = Callable[..., GatewayProcess]

# For programs that tests start: `src.watch`, and scripts that use the Python client.
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2] / "client" / "python" / "src")


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running nats-server with JetStream on a free port, its own and an empty store."""
    with NatsServer(store=tmp_path / "jetstream") as server:
        yield server


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


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[NATSBus]:
    """A connected bus on `nats_server`."""
    bus = NATSBus(nats_server.url)
    await bus.connect()
    yield bus
    await bus.close()
