"""Build the parts, run them, stop them: `python -m src.gateway.main`."""

import os
import signal

if __name__ == "__main__":  # the imports below take a second or two: a signal meanwhile is a stop like any other
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # until somebody is there who reads files anew

import asyncio
import contextlib
import dataclasses
import errno
import functools
import gc
import logging
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

import uvicorn
import uvloop

from src.common import logs
from src.common.access import AccessError
from src.common.bus import BusError
from src.common.tasks import end, guarded, unless
from src.gateway.admission.door import Door
from src.gateway.anteroom import Anteroom, AnteroomLimits
from src.gateway.delivery.stream_peer import PeerLimits, factory
from src.gateway.descriptors import DescriptorWatch, limit, raise_limit, shortage
from src.gateway.exporter import Exporter
from src.gateway.head_count import REPORT_INTERVAL_S, HeadCount
from src.gateway.http_api import STREAM_PATH, make_app
from src.gateway.http_connection import HttpConnection
from src.gateway.metrics import LOOP_LAG_INTERVAL_S, LoopLag
from src.gateway.settings import SettingError, Settings, nats_access, overruled_variables, unknown_variables
from src.gateway.siblings import Siblings
from src.gateway.socket_broadcaster import SocketBroadcaster
from src.gateway.tls import Certificate, TlsConnection
from src.gateway.workers import CannotStart, Signals, Supervisor

logger = logging.getLogger("gateway")

BACKLOG: Final = 4096  # connections that may wait to be accepted; the kernel caps it at net.core.somaxconn
HTTP_STOP_LIMIT_S: Final = 1  # for HTTP requests under way at a stop
STOP_LIMIT_S: Final = 2.5  # for the HTTP server as a whole
TICK_S: Final = 1.0
# The last number counts 7,000 new objects each: 20,000 viewers, of 60 objects, do not make a collection a full one.
COLLECT_AFTER: Final = (700, 10, 200)
SUBSCRIBED: Final = "✅ Gateway subscribed to NATS subjects"


@dataclass(frozen=True, slots=True)
class Parts:
    """What is made before there are workers, and inherited by each."""

    settings: Settings
    head_count: HeadCount
    siblings: Siblings
    door: Door
    certificate: Certificate | None

    @property
    def files(self) -> list[Callable[[], None]]:
        """What reads them anew at SIGHUP."""
        return [self.door.reread, *([self.certificate.reread] if self.certificate else [])]


def main() -> int:
    """Run the gateway until a signal; the exit status is 0 after one, 1 where it cannot run, 2 for a wrong setting."""
    logs.configure("text", "INFO")
    try:
        settings = Settings.from_environment(os.environ)
        logs.configure(settings.log_format, settings.log_level)
        descriptors = raise_limit()
        if settings.workers > 1 and sys.platform != "linux":
            raise SettingError(f"GATEWAY_WORKERS={settings.workers} is not accepted: above 1 needs Linux")
        nats_access(settings).require_files()
        head_count = HeadCount(settings.workers)
        door = Door(settings, head_count)
        certificate = Certificate(settings.tls_cert, settings.tls_key) if settings.tls_cert else None
        listener = _listener(settings)
        siblings = Siblings(settings.workers)
    except (SettingError, AccessError) as error:
        return _give_up(error, 2)
    except OSError as error:
        return _give_up(error, 1)
    for line in unknown_variables(os.environ) + overruled_variables(settings, os.environ):
        logger.warning(line)
    wanted = os.environ.get("GATEWAY_MAX_VIEWERS", "").strip()
    if wanted and (short := shortage(descriptors, settings.max_viewers, settings.workers)):
        logger.warning(short)
    if settings.auth == "none" and not ip_address(listener.getsockname()[0]).is_loopback:
        logger.warning("anybody who reaches %s may connect: set GATEWAY_AUTH, or leave it to a proxy", settings.host)
    parts = Parts(settings, head_count, siblings, door, certificate)
    if settings.workers > 1:
        return _supervise(parts, listener)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run_alone(parts, listener))


async def _run_alone(parts: Parts, listener: socket.socket) -> int:
    stop = _stop_event()
    _say(*_banner(parts.settings))
    try:
        await _relay(parts, listener, stop, lambda: _say(SUBSCRIBED))
    except (BusError, OSError) as error:
        return _give_up(error, 1)
    return 0


def _supervise(parts: Parts, reserved: socket.socket) -> int:
    """Run workers, each with a listening socket of its own beside `reserved`, which only keeps the port."""
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # A durable belongs to one process.
    of_worker = dataclasses.replace(parts, settings=dataclasses.replace(parts.settings, consumers="ephemeral"))
    work = functools.partial(_work, of_worker, reserved)
    on_hangup = functools.partial(reread, parts.files)
    supervisor = Supervisor(work, parts.head_count, Signals(), on_hangup, parts.settings.drain_s)
    _say(*_banner(parts.settings))
    with contextlib.closing(parts.siblings):
        return supervisor.run(lambda: _say(SUBSCRIBED))


def _work(parts: Parts, reserved: socket.socket, worker: int, on_serving: Callable[[], None]) -> None:
    logs.configure(parts.settings.log_format, parts.settings.log_level, worker)
    parts.siblings.own = worker
    listener = _listener_beside(reserved)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run_as_worker(parts, listener, on_serving))
    except (BusError, OSError) as error:
        raise CannotStart(_said(error)) from None


async def _run_as_worker(parts: Parts, listener: socket.socket, on_serving: Callable[[], None]) -> None:
    stop = asyncio.Event()
    # However often: who stops a whole group of processes reaches a worker itself and through its supervisor.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    def on_subscribed() -> None:
        parts.head_count.report(0)
        on_serving()

    await _relay(parts, listener, stop, on_subscribed)


async def _relay(parts: Parts, listener: socket.socket, stop: asyncio.Event, on_subscribed: Callable[[], None]) -> None:
    """The gateway in one process, until `stop`.

    Raises:
        BusError: it cannot subscribe.
    """
    broadcaster = SocketBroadcaster(settings=parts.settings, door=parts.door)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reread, parts.files)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    try:
        await unless(stop, broadcaster.start())
        if not stop.is_set():
            listener.listen(BACKLOG)  # who hears that it is subscribed may connect at once
            on_subscribed()
            await _serve(broadcaster, parts, listener, stop)
    finally:
        listener.close()
        await broadcaster.close()


def reread(files: Iterable[Callable[[], None]]) -> None:
    """SIGHUP: read anew what may change while the gateway runs. Each keeps what it has where it finds a fault."""
    logger.info("SIGHUP: reading files anew")
    for read in files:
        read()


async def _serve(broadcaster: SocketBroadcaster, parts: Parts, listener: socket.socket, stop: asyncio.Event) -> None:
    """Take viewers in until `stop`; then take no more in and let go of those that are here."""
    tls = ", with TLS" if parts.certificate else ""
    logger.info("listening on %s:%d%s; %d file descriptors, one a viewer", *listener.getsockname()[:2], tls, limit())
    anteroom = Anteroom(
        AnteroomLimits(broadcaster.settings.handshake_timeout_s, broadcaster.settings.max_head_bytes),
        broadcaster.door.refused,
    )
    exporter = Exporter(broadcaster, parts.head_count, parts.siblings)
    server = Server(_uvicorn_config(broadcaster, parts.head_count, exporter, connections(anteroom, parts.certificate)))
    _collect_seldom()
    parts.siblings.listen(exporter.own)
    anteroom.open()
    reporting = asyncio.create_task(_report(broadcaster, parts.head_count), name="head count")
    watching = asyncio.create_task(_watch_loop(broadcaster.metrics.loop_lag), name="loop watch")
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http server")
    await unless(stop, asyncio.wait({serving}))
    logger.info("stopping; %d viewers are told to reconnect", len(broadcaster.hub.peers))
    broadcaster.begin_goodbye()  # a load balancer that asks on a connection of its own hears of it first
    server.stop_listening()
    await broadcaster.say_goodbye(broadcaster.settings.drain_s)
    server.stop()
    await asyncio.gather(broadcaster.await_farewells(), asyncio.wait({serving}, timeout=STOP_LIMIT_S))
    failed = serving.done() and not stop.is_set()
    await end(serving)
    await anteroom.close()
    parts.siblings.deafen()
    await end(watching)
    await end(reporting)
    if failed:
        serving.result()


def _collect_seldom() -> None:
    """What is here now stays, and viewers leave no cycles: a full collection would find nothing, and stop everything.

    Measured while 5,000 viewers connect: 0.54 s of collections, of which the longest stops the event loop for 174 ms;
    so it is 0.2 s, and 5 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


async def _report(broadcaster: SocketBroadcaster, head_count: HeadCount) -> None:
    descriptors = DescriptorWatch()
    while True:
        guarded(descriptors.look)
        head_count.report(len(broadcaster.hub.peers))
        await asyncio.sleep(REPORT_INTERVAL_S if broadcaster.settings.workers > 1 else TICK_S)


async def _watch_loop(lag: LoopLag) -> None:
    """What else is due waits as long as this does."""
    while True:
        due_s = time.monotonic() + LOOP_LAG_INTERVAL_S
        await asyncio.sleep(LOOP_LAG_INTERVAL_S)
        lag.observe(time.monotonic() - due_s)


class Server(uvicorn.Server):
    """uvicorn without its signal handlers, which raise the signal again after a clean stop, or its idle work."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    def stop_listening(self) -> None:
        """Take no more connections; those that are there are served on."""
        for server in self.servers:
            server.close()

    def stop(self) -> None:
        """Let go of HTTP connections, then end."""
        self.should_exit = True
        self._stopping.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """Once a second for the date header, where uvicorn looks ten times for what `stop` says here."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._stopping.wait()


def connections(anteroom: Anteroom, certificate: Certificate | None) -> Callable[..., asyncio.Protocol]:
    """What uvicorn calls, with its own configuration and state, for each socket that it accepts."""

    def make_connection(**of_uvicorn: Any) -> asyncio.Protocol:
        http = HttpConnection(anteroom, **of_uvicorn)
        return TlsConnection(anteroom, certificate.context, http) if certificate else http

    return make_connection


def _uvicorn_config(
    broadcaster: SocketBroadcaster,
    head_count: HeadCount,
    exporter: Exporter,
    connection: Callable[..., asyncio.Protocol],
) -> uvicorn.Config:
    settings = broadcaster.settings
    limits = PeerLimits(
        stall_limit_s=settings.stall_limit_s,
        ping_interval_s=settings.ping_interval_s,
        pong_timeout_s=settings.pong_timeout_s,
        max_incoming_bytes=settings.max_incoming_bytes,
        max_incoming_rate=settings.max_incoming_rate,
    )
    return uvicorn.Config(
        make_app(broadcaster, head_count, exporter),
        http=connection,  # type: ignore[arg-type]  # any callable that makes a protocol
        ws=factory(broadcaster.hub, STREAM_PATH, limits, broadcaster.door),  # type: ignore[arg-type]  # makes a protocol
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


def _listener_beside(reserved: socket.socket) -> socket.socket:
    """One more socket on a port that is ours already; the kernel spreads connections over those that listen."""
    listener = socket.socket(reserved.family, reserved.type, reserved.proto)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(reserved.getsockname())
    return listener


def _banner(settings: Settings) -> tuple[str, ...]:
    rule = "=" * 60
    return (
        rule,
        "GATEWAY SERVICE",
        rule,
        f"  NATS URL: {logs.redacted(settings.nats_url)}",
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
    logger.error("%s", _said(error))
    return status


def _said(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


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
