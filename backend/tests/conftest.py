"""What every test may ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from src.demo.nats_server import NatsServer


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running nats-server with JetStream on a free port, its own and an empty store."""
    with NatsServer(store=tmp_path / "jetstream") as server:
        yield server
