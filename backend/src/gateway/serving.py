"""One process of the gateway: subscribe, listen, serve viewers until a stop, then drain."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from src.common.tasks import end, guarded, tick, unless
from src.gateway.admission.admission_control import AdmissionControl
from src.gateway.delivery.stream_peer import PeerLimits, peer_factory
from src.gateway.history.client import HistoryClient
from src.gateway.history.process import HistoryProcess
from src.gateway.http.app import make_app
from src.gateway.http.metrics_page import MetricsPage
from src.gateway.listener.file_descriptors import FileDescriptorWatch, limit
from src.gateway.listener.handshake_timeouts import HandshakeLimits, HandshakeTimeouts
from src.gateway.listener.server import BACKLOG, Server, connection_factory, server_config
from src.gateway.listener.tls import Certificate
from src.gateway.processes.viewer_count import REPORT_INTERVAL_S, ViewerCount
from src.gateway.processes.worker_messages import WorkerMessages
from src.gateway.settings import Settings
from src.gateway.socket_broadcaster import SocketBroadcaster

logger = logging.getLogger("gateway")

FIRST_WORKER: Final = 1  # it has the history process, for all workers
STOP_TIMEOUT_S: Final = 2.5  # for the HTTP server as a whole
REPORT_ALONE_S: Final = 1.0  # without other workers, only `/health` reads the report
# The last number counts 7,000 new objects each: 20,000 viewers, of 60 objects, do not make a collection a full one.
COLLECT_AFTER: Final = (700, 10, 200)


@dataclass(frozen=True, slots=True)
class Parts:
    """What is made before there are workers; each worker inherits it."""

    settings: Settings
    viewer_count: ViewerCount
    worker_messages: WorkerMessages
    admission_control: AdmissionControl
    certificate: Certificate | None
    history_path: str | None = None  # of the history process's socket

    def reread_files(self) -> None:
        """SIGHUP: read tokens, keys and certificate again. A part whose file is bad keeps what it has."""
        logger.info("SIGHUP: reading files again")
        self.admission_control.reread()
        if self.certificate is not None:
            self.certificate.reread()


async def run(parts: Parts, listener: socket.socket, stop: asyncio.Event, on_subscribed: Callable[[], None]) -> None:
    """The gateway in this process, until `stop`.

    Args:
        parts: see there.
        listener: bound, not listening yet; closed in the end.
        stop: set from outside.
        on_subscribed: called when the state is there and viewers may connect.

    Raises:
        BusError: it cannot subscribe.
    """
    history = None if parts.history_path is None else HistoryClient(parts.history_path)
    broadcaster = SocketBroadcaster(settings=parts.settings, admission_control=parts.admission_control, history=history)
    history_process = None
    if parts.history_path is not None and parts.worker_messages.own == FIRST_WORKER:
        history_process = HistoryProcess(parts.settings, parts.history_path)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, parts.reread_files)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
    try:
        await unless(stop, broadcaster.start())
        if not stop.is_set():
            listener.listen(BACKLOG)  # before the start-up line: a viewer may connect as soon as it is read
            on_subscribed()
            if history_process is not None:
                history_process.open()  # not before: the start of the gateway has the processors for itself
            await _serve(broadcaster, parts, listener, stop)
    finally:
        listener.close()
        await broadcaster.close()
        if history_process is not None:
            await history_process.close()


async def _serve(broadcaster: SocketBroadcaster, parts: Parts, listener: socket.socket, stop: asyncio.Event) -> None:
    tls = ", with TLS" if parts.certificate else ""
    logger.info("listening on %s:%d%s; %d file descriptors, one a viewer", *listener.getsockname()[:2], tls, limit())
    timeouts = HandshakeTimeouts(_handshake_limits(parts.settings), parts.admission_control.refused)
    metrics_page = MetricsPage(broadcaster, parts.viewer_count, parts.worker_messages)
    server = _make_server(broadcaster, parts, timeouts, metrics_page)
    _collect_rarely()
    parts.worker_messages.listen(metrics_page.own)
    timeouts.open()
    periodic = [
        asyncio.create_task(_report(broadcaster, parts.viewer_count), name="viewer count"),
    ]
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http server")
    await unless(stop, asyncio.wait({serving}))
    if stop.is_set() and parts.settings.pre_stop_s:
        logger.info("stopping in %g s; until then the port stays open, and /ready says 503", parts.settings.pre_stop_s)
        broadcaster.begin_stop()
        await asyncio.wait({serving}, timeout=parts.settings.pre_stop_s)
    await _drain(broadcaster, server, serving, listener)
    failed = serving.done() and not stop.is_set()
    await end(serving)
    await timeouts.close()
    parts.worker_messages.stop_listening()
    for task in periodic:
        await end(task)
    if failed:
        serving.result()


async def _drain(
    broadcaster: SocketBroadcaster, server: Server, serving: asyncio.Task[None], listener: socket.socket
) -> None:
    """Accept no more connections, then close viewers over the drain time, then the HTTP connections."""
    logger.info("stopping; %d viewers are told to reconnect", len(broadcaster.hub.peers))
    broadcaster.begin_drain()  # first: `/ready` says so to a load balancer on a connection that is open already
    await server.stop_listening(listener)
    await broadcaster.drain(broadcaster.settings.drain_s)
    server.stop()
    await asyncio.gather(broadcaster.close_viewers(), asyncio.wait({serving}, timeout=STOP_TIMEOUT_S))


def _make_server(
    broadcaster: SocketBroadcaster, parts: Parts, timeouts: HandshakeTimeouts, metrics_page: MetricsPage
) -> Server:
    config = server_config(
        make_app(broadcaster, parts.viewer_count, metrics_page),
        connection_factory(timeouts, parts.certificate),
        peer_factory(broadcaster.hub, _peer_limits(parts.settings), parts.admission_control, broadcaster.shapes),
    )
    return Server(config)


def _handshake_limits(settings: Settings) -> HandshakeLimits:
    return HandshakeLimits(settings.handshake_timeout_s, settings.response_timeout_s, settings.max_head_bytes)


def _peer_limits(settings: Settings) -> PeerLimits:
    return PeerLimits(
        stall_limit_s=settings.stall_limit_s,
        ping_interval_s=settings.ping_interval_s,
        pong_timeout_s=settings.pong_timeout_s,
        max_incoming_bytes=settings.max_incoming_bytes,
        max_incoming_rate=settings.max_incoming_rate,
    )


def _collect_rarely() -> None:
    """Objects that exist now stay, and viewers leave no cycles: a full collection finds nothing, and stops everything.

    Measured while 5,000 viewers connect: 0.54 s of collections, the longest of which stops the event loop for 174 ms;
    with these thresholds 0.2 s, and 5 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


async def _report(broadcaster: SocketBroadcaster, viewer_count: ViewerCount) -> None:
    file_descriptors = FileDescriptorWatch()
    while True:
        guarded(file_descriptors.look)
        viewer_count.report(len(broadcaster.hub.peers))
        await tick(REPORT_INTERVAL_S if viewer_count.configured > 1 else REPORT_ALONE_S)
