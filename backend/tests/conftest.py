"""What every test may ask for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from src.demo.nats_server import NatsServer

# For programs that tests start: `src.watch`, and scripts that use the Python client.
os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2] / "client" / "python" / "src")


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running nats-server with JetStream on a free port, its own and an empty store."""
    with NatsServer(store=tmp_path / "jetstream") as server:
        yield server
