"""The whole service: a real nats-server, the gateway as a process, standard clients."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from src.demo.nats_server import NatsServer
from tests.browser import chromium, require_browser
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.waiting import LIMIT_S


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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A Chromium for the tests of a module, which share its event loop."""
    require_browser()
    expect.set_options(timeout=LIMIT_S * 1000)
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def core(nats_server: NatsServer) -> AsyncIterator[Publisher]:
    """What the gateway takes for Core, in the event loop of the module."""
    async with Publisher(nats_server) as publisher:
        yield publisher
