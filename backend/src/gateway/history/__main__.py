"""The history process: `python -m src.gateway.history`, started by a gateway process with its settings on stdin."""

import asyncio
import contextlib
import logging
import pickle
import signal
import sys
from typing import Final

from src.common import logs
from src.common.bus import BusError, NATSBus
from src.common.tasks import unless
from src.gateway.history.archive import Archive
from src.gateway.history.priority import give_way
from src.gateway.history.reader import AGAIN_S, LifeEnded
from src.gateway.history.server import HistoryServer
from src.gateway.market_bus import make_bus
from src.gateway.settings import Settings

logger = logging.getLogger("history")

PING_INTERVAL_S: Final = 2.0  # of the NATS server: nobody waits for this process as for the live path


async def _serve(settings: Settings, socket_path: str) -> None:
    """Until the process that started this one is gone."""
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), gone.set)
    await unless(gone, _read_again(settings, socket_path))


async def _read_again(settings: Settings, socket_path: str) -> None:
    """Read the streams, and once more from the beginning whenever one of them was made anew."""
    async with contextlib.AsyncExitStack() as closing:
        bus = make_bus(settings, "gateway history", PING_INTERVAL_S)
        closing.push_async_callback(bus.close)
        server = HistoryServer(socket_path, bus, settings.wall_baseline)
        await server.open()
        closing.push_async_callback(server.close)
        await _connect(bus)
        while True:
            archive = Archive(bus, settings.wall_baseline, server.tell)
            server.show(archive)
            with contextlib.suppress(LifeEnded):
                await archive.run()


async def _connect(bus: NATSBus) -> None:
    """Wait for NATS, for as long as it takes; the gateway process says what is wrong."""
    while True:
        try:
            await bus.connect()
            return
        except BusError as error:
            logger.debug("no connection for the history: %s", error)
            await asyncio.sleep(AGAIN_S)


def main() -> None:
    """Ends with the process that started it, not by a signal to the whole group of processes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    settings, socket_path = pickle.load(sys.stdin.buffer)  # of the process that started this one, and has the same code
    logs.configure(settings.log_format, settings.log_level)
    give_way()  # not before: imports at a low priority take ten seconds on a machine that is busy
    asyncio.run(_serve(settings, socket_path))


if __name__ == "__main__":
    main()
