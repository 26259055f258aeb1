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
import functools
import gc
import logging
import socket
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

import uvloop

from src.common import logs
from src.common.access import AccessError
from src.common.bus import BusError
from src.common.tasks import end, guarded, unless
from src.gateway.admission.admission_control import AdmissionControl
from src.gateway.delivery.stream_peer import STREAM_PATH, PeerLimits, peer_factory
from src.gateway.http.app import make_app
from src.gateway.http.metrics_page import MetricsPage
from src.gateway.listener.file_descriptors import FileDescriptorWatch, limit, raise_limit, shortage
from src.gateway.listener.handshake_timeouts import HandshakeLimits, HandshakeTimeouts
from src.gateway.listener.server import BACKLOG, Server, bind, bind_beside, connection_factory, server_config
from src.gateway.listener.tls import Certificate
from src.gateway.metrics import LOOP_LAG_INTERVAL_S, LoopLag
from src.gateway.processes.supervisor import CannotStart, Signals, Supervisor
from src.gateway.processes.viewer_count import REPORT_INTERVAL_S, ViewerCount
from src.gateway.processes.worker_messages import WorkerMessages
from src.gateway.settings import SettingError, Settings, nats_access, overruled_variables, unknown_variables
from src.gateway.socket_broadcaster import SocketBroadcaster

logger = logging.getLogger("gateway")

STOP_LIMIT_S: Final = 2.5  # for the HTTP server as a whole
TICK_S: Final = 1.0
# The last number counts 7,000 new objects each: 20,000 viewers, of 60 objects, do not make a collection a full one.
COLLECT_AFTER: Final = (700, 10, 200)
SUBSCRIBED: Final = "✅ Gateway subscribed to NATS subjects"


@dataclass(frozen=True, slots=True)
class Parts:
    """What is made before there are workers, and inherited by each."""

    settings: Settings
    viewer_count: ViewerCount
    worker_messages: WorkerMessages
    admission_control: AdmissionControl
    certificate: Certificate | None

    @property
    def files(self) -> list[Callable[[], None]]:
        """What reads them anew at SIGHUP."""
        return [self.admission_control.reread, *([self.certificate.reread] if self.certificate else [])]


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
        viewer_count = ViewerCount(settings.workers)
        admission_control = AdmissionControl(settings, viewer_count)
        certificate = Certificate(settings.tls_cert, settings.tls_key) if settings.tls_cert else None
        listener = bind(settings.host, settings.port)
        worker_messages = WorkerMessages(settings.workers)
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
    parts = Parts(settings, viewer_count, worker_messages, admission_control, certificate)
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
    supervisor = Supervisor(work, parts.viewer_count, Signals(), on_hangup, parts.settings.drain_s)
    _say(*_banner(parts.settings))
    with contextlib.closing(parts.worker_messages):
        return supervisor.run(lambda: _say(SUBSCRIBED))


def _work(parts: Parts, reserved: socket.socket, worker: int, on_serving: Callable[[], None]) -> None:
    logs.configure(parts.settings.log_format, parts.settings.log_level, worker)
    parts.worker_messages.own = worker
    listener = bind_beside(reserved)
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
        parts.viewer_count.report(0)
        on_serving()

    await _relay(parts, listener, stop, on_subscribed)


async def _relay(parts: Parts, listener: socket.socket, stop: asyncio.Event, on_subscribed: Callable[[], None]) -> None:
    """The gateway in one process, until `stop`.

    Raises:
        BusError: it cannot subscribe.
    """
    broadcaster = SocketBroadcaster(settings=parts.settings, admission_control=parts.admission_control)
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
    timeouts = HandshakeTimeouts(
        HandshakeLimits(broadcaster.settings.handshake_timeout_s, broadcaster.settings.max_head_bytes),
        broadcaster.admission_control.refused,
    )
    metrics_page = MetricsPage(broadcaster, parts.viewer_count, parts.worker_messages)
    server = Server(
        server_config(
            make_app(broadcaster, parts.viewer_count, metrics_page),
            connection_factory(timeouts, parts.certificate),
            peer_factory(broadcaster.hub, _peer_limits(broadcaster.settings), broadcaster.admission_control),
        )
    )
    _collect_seldom()
    parts.worker_messages.listen(metrics_page.own)
    timeouts.open()
    reporting = asyncio.create_task(_report(broadcaster, parts.viewer_count), name="viewer count")
    watching = asyncio.create_task(_watch_loop(broadcaster.metrics.loop_lag), name="loop watch")
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http server")
    await unless(stop, asyncio.wait({serving}))
    logger.info("stopping; %d viewers are told to reconnect", len(broadcaster.hub.peers))
    broadcaster.begin_drain()  # a load balancer that asks on a connection of its own hears of it first
    server.stop_listening()
    await broadcaster.drain(broadcaster.settings.drain_s)
    server.stop()
    await asyncio.gather(broadcaster.close_viewers(), asyncio.wait({serving}, timeout=STOP_LIMIT_S))
    failed = serving.done() and not stop.is_set()
    await end(serving)
    await timeouts.close()
    parts.worker_messages.stop_listening()
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


async def _report(broadcaster: SocketBroadcaster, viewer_count: ViewerCount) -> None:
    descriptors = FileDescriptorWatch()
    while True:
        guarded(descriptors.look)
        viewer_count.report(len(broadcaster.hub.peers))
        await asyncio.sleep(REPORT_INTERVAL_S if broadcaster.settings.workers > 1 else TICK_S)


async def _watch_loop(lag: LoopLag) -> None:
    """What else is due waits as long as this does."""
    while True:
        due_s = time.monotonic() + LOOP_LAG_INTERVAL_S
        await asyncio.sleep(LOOP_LAG_INTERVAL_S)
        lag.observe(time.monotonic() - due_s)


def _peer_limits(settings: Settings) -> PeerLimits:
    return PeerLimits(
        stall_limit_s=settings.stall_limit_s,
        ping_interval_s=settings.ping_interval_s,
        pong_timeout_s=settings.pong_timeout_s,
        max_incoming_bytes=settings.max_incoming_bytes,
        max_incoming_rate=settings.max_incoming_rate,
    )


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
