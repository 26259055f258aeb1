"""The listening sockets, and uvicorn on them."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

import uvicorn
from fastapi import FastAPI

from src.gateway.listener.handshake_timeouts import HandshakeTimeouts
from src.gateway.listener.http_connection import HttpConnection
from src.gateway.listener.tls import Certificate, TlsConnection

BACKLOG: Final = 4096  # connections that may wait to be accepted; the kernel caps it at net.core.somaxconn
HTTP_STOP_TIMEOUT_S: Final = 1  # for HTTP requests under way at a stop
TICK_S: Final = 1.0
EVERY_ADDRESS: Final = ("0.0.0.0", "::")

MakeConnection = Callable[..., asyncio.Protocol]
"""Called by uvicorn with its own configuration and state, for each socket."""


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A bound socket, so that a busy port is known before anything else starts.

    Args:
        host: a name or an address.
        port: to listen on.
        shared: whether other processes of the same user may listen there too, if they say the same.

    Raises:
        OSError: with a text that says what to change.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
        if shared and _is_reserved(bound):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    except UnicodeError:
        raise OSError(None, f"cannot listen on {host}:{port}: GATEWAY_HOST is not a host name") from None
    except OSError as error:
        raise _cannot_listen(host, port, error) from None
    return bound


def _cannot_listen(host: str, port: int, error: OSError) -> OSError:
    remedy = {
        errno.EADDRINUSE: "another program has that port; stop it or set GATEWAY_PORT",
        errno.EACCES: "not allowed; set GATEWAY_PORT to 1024 or above",
    }.get(error.errno or 0, f"{error.strerror}; is GATEWAY_HOST right?")
    return OSError(error.errno, f"cannot listen on {host}:{port}: {remedy}")


def reserve(bound: socket.socket) -> socket.socket:
    """Keep gateways that share their port away from this one, which `bind_beside` will share among own processes.

    To the kernel any process of the same user that sets SO_REUSEPORT is our own. So the port has a name beside it, for
    which the others look: an abstract Unix socket (unix(7)), which goes with its process and belongs to the network
    namespace, as the port does. Call it before the port is shared: then nobody gets between the two.

    Returns:
        What has the name until it is closed.

    Raises:
        OSError: another gateway has reserved the port; with a text that says what to change.
    """
    reservation = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    host, port = bound.getsockname()[:2]
    try:
        reservation.bind(_reserved_name(host, port))
    except OSError as error:
        reservation.close()
        raise _cannot_listen(host, port, error) from None
    return reservation


def _is_reserved(bound: socket.socket) -> bool:
    """Whether another gateway has the port of this socket for itself."""
    host, port = bound.getsockname()[:2]
    for each in {host, *EVERY_ADDRESS}:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking, contextlib.suppress(OSError):
            asking.connect(_reserved_name(each, port))
            return True
    return False


def _reserved_name(host: str, port: int) -> str:
    return f"\0spymaster-gateway {os.geteuid()} {host} {port}"


def bind_beside(reserved: socket.socket) -> socket.socket:
    """One more socket on a port that is ours already; the kernel spreads connections over those that listen."""
    bound = socket.socket(reserved.family, reserved.type, reserved.proto)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind(reserved.getsockname())
    return bound


def connection_factory(timeouts: HandshakeTimeouts, certificate: Certificate | None) -> MakeConnection:
    """Makes the protocol of each accepted socket."""

    def make_connection(**of_uvicorn: Any) -> asyncio.Protocol:
        http = HttpConnection(timeouts, **of_uvicorn)
        return TlsConnection(timeouts, certificate.context, http) if certificate else http

    return make_connection


def server_config(app: FastAPI, make_connection: MakeConnection, make_peer: MakeConnection) -> uvicorn.Config:
    """What uvicorn needs to know.

    Args:
        app: answers HTTP requests.
        make_connection: makes the protocol of each accepted socket.
        make_peer: makes the protocol that a socket gets at its upgrade.
    """
    return uvicorn.Config(
        app,
        http=make_connection,  # type: ignore[arg-type]  # any callable that makes a protocol
        ws=make_peer,  # type: ignore[arg-type]  # likewise
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=HTTP_STOP_TIMEOUT_S,
    )


class Server(uvicorn.Server):
    """uvicorn without its signal handlers, which raise the signal again after a clean stop, and without polling."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    async def stop_listening(self, listener: socket.socket) -> None:
        """Accept the connections that wait, then no more; the accepted ones are served on.

        A listening socket that closes resets those that wait for it, also where another gateway has the port too.
        """
        waiting = list(_accept_all(listener))
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # at once: the loop closes it later, and more would wait until then
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        await asyncio.gather(
            *(loop.connect_accepted_socket(self._make_connection, sock=one) for one in waiting), return_exceptions=True
        )

    def _make_connection(self) -> asyncio.Protocol:
        """As uvicorn makes it for a socket that it has accepted."""
        make_connection: MakeConnection = self.config.http_protocol_class
        return make_connection(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def stop(self) -> None:
        """Close HTTP connections, then end."""
        self.should_exit = True
        self._stopping.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """Wakes once a second for the date header; uvicorn's own loop polls `should_exit` ten times a second."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._stopping.wait()


def _accept_all(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections that wait now."""
    with contextlib.suppress(OSError):  # none is left, or no file descriptor
        listener.setblocking(False)
        while True:
            accepted, _ = listener.accept()
            accepted.setblocking(False)
            yield accepted
