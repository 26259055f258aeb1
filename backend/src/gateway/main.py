"""Starts and stops the gateway: `python -m src.gateway.main`."""

import gc
import os
import signal

if __name__ == "__main__":  # the imports below take half a second: a signal meanwhile stops the process
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # until the files can be read again
    gc.disable()  # the imports make no garbage: collections would find none in a tenth of their time

import asyncio
import contextlib
import dataclasses
import functools
import logging
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import uvloop

from src.common import logs
from src.common.access import AccessError
from src.common.bus import BusError
from src.common.tasks import exit_with, stop_event
from src.gateway import serving
from src.gateway.admission.admission_control import AdmissionControl
from src.gateway.delivery.stream_peer import STREAM_PATH
from src.gateway.listener.file_descriptors import raise_limit, shortage
from src.gateway.listener.server import bind, bind_beside, reserve
from src.gateway.listener.tls import Certificate
from src.gateway.processes.supervisor import CannotStart, Signals, Supervisor
from src.gateway.processes.viewer_count import ViewerCount
from src.gateway.processes.worker_messages import WorkerMessages
from src.gateway.serving import Parts
from src.gateway.settings import SettingError, Settings, nats_access, overruled_variables, unknown_variables

logger = logging.getLogger("gateway")

SUBSCRIBED: Final = "✅ Gateway subscribed to NATS subjects"


def main() -> int:
    """Run the gateway until a signal.

    Returns:
        The exit status: 0 after a signal, 1 where the gateway cannot run, 2 for a wrong setting.
    """
    gc.enable()
    logs.configure("text", "INFO")
    try:
        settings = Settings.from_environment(os.environ)
        logs.configure(settings.log_format, settings.log_level)
        parts = _make_parts(settings)
        listener = bind(settings.host, settings.port, shared=settings.handover == "on")
    except (SettingError, AccessError) as error:
        return _give_up(error, 2)
    except OSError as error:
        return _give_up(error, 1)
    _warn(settings, listener, raise_limit())
    with _history_address(settings) as history_path:
        parts = dataclasses.replace(parts, history_path=history_path)
        if settings.workers > 1:
            return _supervise(parts, listener)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run_alone(parts, listener))


def _make_parts(settings: Settings) -> Parts:
    """
    Raises:
        SettingError: a setting or a file that it names cannot be used.
        AccessError: a file for the login to NATS cannot be used.
        OSError: the system has no memory or no file descriptor for them.
    """
    if settings.workers > 1 and sys.platform != "linux":
        raise SettingError(f"GATEWAY_WORKERS={settings.workers} is not accepted: above 1 needs Linux")
    nats_access(settings).require_files()
    viewer_count = ViewerCount(settings.workers)
    return Parts(
        settings=settings,
        viewer_count=viewer_count,
        worker_messages=WorkerMessages(settings.workers),
        admission_control=AdmissionControl(settings, viewer_count),
        certificate=Certificate(settings.tls_cert, settings.tls_key) if settings.tls_cert else None,
    )


@contextlib.contextmanager
def _history_address(settings: Settings) -> Iterator[str | None]:
    """Where the history process listens; None where there is none.

    On Linux in the abstract namespace of Unix sockets, which needs no file and leaves none behind; the process takes
    only connections of its own user. Elsewhere in a folder of this user alone.
    """
    if settings.history == "off":
        yield None
    elif sys.platform == "linux":
        yield f"\0gateway-history-{secrets.token_hex(8)}"
    else:
        with tempfile.TemporaryDirectory(prefix="gateway-") as folder:
            yield str(Path(folder) / "history")


def _warn(settings: Settings, listener: socket.socket, file_descriptors: int) -> None:
    """Log what an operator probably did not mean."""
    for line in unknown_variables(os.environ) + overruled_variables(settings, os.environ):
        logger.warning(line)
    wanted = os.environ.get("GATEWAY_MAX_VIEWERS", "").strip()
    if wanted and (short := shortage(file_descriptors, settings.max_viewers, settings.workers)):
        logger.warning(short)
    if settings.auth == "none" and not ip_address(listener.getsockname()[0]).is_loopback:
        logger.warning("anybody who reaches %s may connect: set GATEWAY_AUTH, or leave it to a proxy", settings.host)


# -- one process -------------------------------------------------------------------------------------------------------


async def _run_alone(parts: Parts, listener: socket.socket) -> int:
    stop = stop_event()
    _print(*_banner(parts.settings))
    try:
        await serving.run(parts, listener, stop, lambda: _print(SUBSCRIBED))
    except (BusError, OSError) as error:
        return _give_up(error, 1)
    return 0


# -- several workers ---------------------------------------------------------------------------------------------------


def _supervise(parts: Parts, reserved: socket.socket) -> int:
    """Run workers, each with a listening socket of its own beside `reserved`, which only keeps the port."""
    try:
        reservation = reserve(reserved) if parts.settings.handover == "off" else contextlib.nullcontext()
    except OSError as error:
        return _give_up(error, 1)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # A durable belongs to one process.
    of_worker = dataclasses.replace(parts, settings=parts.settings.model_copy(update={"consumers": "ephemeral"}))
    work = functools.partial(_work, of_worker, reserved)
    drain_s, pre_stop_s = parts.settings.drain_s, parts.settings.pre_stop_s
    supervisor = Supervisor(work, parts.viewer_count, Signals(), parts.reread_files, drain_s, pre_stop_s)
    _print(*_banner(parts.settings))
    with reservation, contextlib.closing(parts.worker_messages):
        return supervisor.run(lambda: _print(SUBSCRIBED))


def _work(parts: Parts, reserved: socket.socket, worker: int, on_serving: Callable[[], None]) -> None:
    logs.configure(parts.settings.log_format, parts.settings.log_level, worker)
    parts.worker_messages.own = worker
    listener = bind_beside(reserved)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run_as_worker(parts, listener, on_serving))
    except (BusError, OSError) as error:
        raise CannotStart(_text_of(error)) from None


async def _run_as_worker(parts: Parts, listener: socket.socket, on_serving: Callable[[], None]) -> None:
    stop = asyncio.Event()
    # Any number of times: a signal to the whole group of processes arrives directly, and again from the supervisor.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)

    def on_subscribed() -> None:
        parts.viewer_count.report(0)
        on_serving()

    await serving.run(parts, listener, stop, on_subscribed)


# -- output ------------------------------------------------------------------------------------------------------------


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


def _print(*lines: str) -> None:
    """The start-up lines of the interface document, on stdout; nothing else goes there."""
    text = "\n".join(lines) + "\n"
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def _give_up(error: Exception, status: int) -> int:
    """Log one line, in the configured format where that is known already."""
    logger.error("%s", _text_of(error))
    return status


def _text_of(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


if __name__ == "__main__":
    exit_with(main())
