"""Build the parts, run them, stop them: `python -m src.gateway.main`."""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Final

import uvicorn
import uvloop

from src.common import logs
from src.common.bus import BusError
from src.common.tasks import end, unless
from src.gateway.delivery.stream_peer import PeerLimits, factory
from src.gateway.http_api import STREAM_PATH, make_app
from src.gateway.settings import SettingError, Settings, unknown_variables
from src.gateway.socket_broadcaster import SocketBroadcaster

logger = logging.getLogger("gateway")

BACKLOG: Final = 4096  # connections that may wait to be accepted; the kernel caps it at net.core.somaxconn
HTTP_STOP_LIMIT_S: Final = 1  # for HTTP requests under way at a stop
STOP_LIMIT_S: Final = 2.5  # for the HTTP server as a whole


def main() -> int:
    """Run the gateway until a signal; the exit status is 0 after one, 1 where it cannot run, 2 for a wrong setting."""
    logs.configure("text", "INFO")
    try:
        settings = Settings.from_environment(os.environ)
        logs.configure(settings.log_format, settings.log_level)
        listener = _listener(settings)
    except SettingError as error:
        return _give_up(error, 2)
    except OSError as error:
        return _give_up(error, 1)
    for line in unknown_variables(os.environ):
        logger.warning(line)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(settings, listener))


async def _run(settings: Settings, listener: socket.socket) -> int:
    stop = _stop_event()
    broadcaster = SocketBroadcaster(settings=settings)
    _say(*_banner(settings, broadcaster.bus.url))
    try:
        await unless(stop, broadcaster.start())
        if stop.is_set():
            return 0
        _say("✅ Gateway subscribed to NATS subjects")
        await _serve(broadcaster, listener, stop)
    except BusError as error:
        return _give_up(error, 1)
    finally:
        listener.close()
        await broadcaster.close()
    return 0


async def _serve(broadcaster: SocketBroadcaster, listener: socket.socket, stop: asyncio.Event) -> None:
    """Take viewers in until `stop`; then take no more in and let go of those that are here."""
    logger.info("listening on %s:%d", *listener.getsockname()[:2])
    server = Server(_uvicorn_config(broadcaster))
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http server")
    await unless(stop, asyncio.wait({serving}))
    logger.info("stopping; %d viewers are told to reconnect", len(broadcaster.hub.peers))
    server.should_exit = True  # the listening socket closes first
    await broadcaster.say_goodbye()
    await asyncio.wait({serving}, timeout=STOP_LIMIT_S)
    await end(serving)


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: it would raise the signal again after a clean stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _uvicorn_config(broadcaster: SocketBroadcaster) -> uvicorn.Config:
    settings = broadcaster.settings
    limits = PeerLimits(
        stall_limit_s=settings.stall_limit_s,
        ping_interval_s=settings.ping_interval_s,
        pong_timeout_s=settings.pong_timeout_s,
        max_incoming_bytes=settings.max_incoming_bytes,
    )
    return uvicorn.Config(
        make_app(broadcaster),
        http="httptools",
        ws=factory(broadcaster.hub, STREAM_PATH, limits),  # type: ignore[arg-type]  # any callable that makes a protocol
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=HTTP_STOP_LIMIT_S,
    )


def _listener(settings: Settings) -> socket.socket:
    """A bound socket, so that a busy port is known before anything else starts.

    Raises:
        OSError: with a text that says what to change.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, UnicodeError) as error:
        where = f"{settings.host}:{settings.port}"
        if isinstance(error, UnicodeError):
            raise OSError(None, f"cannot listen on {where}: GATEWAY_HOST is not a host name") from None
        remedy = {
            errno.EADDRINUSE: "another program has that port; stop it or set GATEWAY_PORT",
            errno.EACCES: "not allowed; set GATEWAY_PORT to 1024 or above",
        }.get(error.errno or 0, f"{error.strerror}; is GATEWAY_HOST right?")
        raise OSError(error.errno, f"cannot listen on {where}: {remedy}") from None
    return listener


def _banner(settings: Settings, nats_url: str) -> tuple[str, ...]:
    rule = "=" * 60
    return (
        rule,
        "GATEWAY SERVICE",
        rule,
        f"  NATS URL: {nats_url}",
        f"  WebSocket: ws://localhost:{settings.port}{STREAM_PATH}",
        rule,
    )


def _say(*lines: str) -> None:
    """The start-up lines of the interface document, on stdout; nothing else goes there."""
    text = "\n".join(lines) + "\n"
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def _give_up(error: Exception, status: int) -> int:
    """One line, in the form that logs have where that is known already."""
    logger.error("%s", error.strerror if isinstance(error, OSError) else error)
    return status


def _stop_event() -> asyncio.Event:
    """Set by SIGTERM or SIGINT; a second one ends the process at once."""
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop


if __name__ == "__main__":
    sys.exit(main())
