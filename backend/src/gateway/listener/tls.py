"""TLS on the gateway's own port: between the socket and the protocol on it, without a queue of its own.

**Encrypted bytes go to the socket's transport at once**, and its water marks are those of the protocol: a peer is
paused as soon as a byte is unsent, with TLS as without. The event loop's TLS has a buffer of 64 KiB between the two,
whose mark cannot be set.

OpenSSL implements TLS; this module carries bytes to it and from it.
"""

import asyncio
import contextlib
import logging
import ssl
from typing import Any, Final, cast

from src.gateway.admission.files import content
from src.gateway.delivery.stream_peer import refused
from src.gateway.listener.handshake_timeouts import HandshakeTimeouts
from src.gateway.refusals import BAD_TLS, NOT_TLS, SILENT, TOO_SLOW
from src.gateway.settings import SettingError

logger = logging.getLogger("gateway")

RECORD_BYTES: Final = 1 << 14  # RFC 8446 §5.1; encrypted one by one, so that OpenSSL keeps no buffer larger than that
READ_BYTES: Final = 1 << 16
NO_PROTOCOL: Final = asyncio.Protocol()


class Certificate:
    """The gateway's certificate and key.

    Attributes:
        context: for new connections; existing connections keep theirs.
    """

    def __init__(self, cert_path: str, key_path: str) -> None:
        """
        Raises:
            SettingError: a file cannot be used; the text says which, and why.
        """
        self._paths = cert_path, key_path
        self.context = _context(*self._paths)

    def reread(self) -> None:
        """Load the files again, for connections from now on. Where they cannot be used, the old certificate stays."""
        try:
            self.context = _context(*self._paths)
            logger.info("reread: the certificate, for connections from now on")
        except SettingError as error:
            logger.error("not reread, the old content still counts: %s", error)


WEAK: Final = ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK")  # as OpenSSL names them


def _context(cert_path: str, key_path: str) -> ssl.SSLContext:
    for variable, path in (("GATEWAY_TLS_CERT", cert_path), ("GATEWAY_TLS_KEY", key_path)):
        content(variable, path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert_path, key_path, password=_no_passphrase)
    except OSError as error:
        raise SettingError(_explanation(error, cert_path)) from None
    return context


def _no_passphrase() -> str:
    """OpenSSL calls this for an encrypted key; its default asks on the terminal."""
    raise SettingError("GATEWAY_TLS_KEY is encrypted; name a file with the key in the clear that nobody else may read")


def _explanation(error: OSError, cert_path: str) -> str:
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return "GATEWAY_TLS_KEY is not the key of GATEWAY_TLS_CERT; the gateway's own certificate has to come first"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cert_path)
    except OSError:
        return "GATEWAY_TLS_CERT is not a PEM file with a certificate"
    reason = getattr(error, "reason", None)
    if reason in WEAK:
        return f"GATEWAY_TLS_CERT has a key or a signature that is too weak ({reason})"
    return "GATEWAY_TLS_KEY is not a PEM file with a private key"


class TlsConnection(asyncio.Transport, asyncio.Protocol):
    """One socket: a protocol for the event loop, and a transport for the protocol on it."""

    def __init__(self, timeouts: HandshakeTimeouts, context: ssl.SSLContext, protocol: asyncio.Protocol) -> None:
        """
        Args:
            timeouts: bound the TLS handshake.
            context: of this connection, to its end.
            protocol: gets the decrypted bytes, once the handshake is done.
        """
        super().__init__()
        self._timeouts = timeouts
        self._protocol: asyncio.BaseProtocol = protocol
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._received = False
        self._is_open = False
        self._ended = False
        self._reads = True

    # -- called by the event loop ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._tcp = cast(asyncio.Transport, transport)
        self._timeouts.start(self)

    def data_received(self, data: bytes) -> None:
        if self._ended:
            return
        self._received = True
        self._incoming.write(data)
        if self._is_open or self._handshake_done():
            self._decrypt()

    def eof_received(self) -> None:
        """The socket closes itself; an end without a close_notify counts too."""
        if self._is_open:
            self._inner.eof_received()

    def pause_writing(self) -> None:
        if self._is_open:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._is_open:
            self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timeouts.cancel(self)
        self._ended = True
        protocol, self._protocol = self._protocol, NO_PROTOCOL
        if self._is_open:
            protocol.connection_lost(exc)

    # -- called by the timeouts ------------------------------------------------------------------------------------

    def timed_out(self) -> None:
        self._timeouts.refused[TOO_SLOW.name if self._received else SILENT] += 1
        self._tcp.abort()

    # -- from the socket -------------------------------------------------------------------------------------------

    @property
    def _inner(self) -> asyncio.Protocol:
        return cast(asyncio.Protocol, self._protocol)

    def _handshake_done(self) -> bool:
        """Continue the handshake; whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._refuse(error)
            return False
        self._is_open = True
        self._timeouts.cancel(self)
        self._flush()
        self._protocol.connection_made(self)
        return True

    def _refuse(self, error: ssl.SSLError) -> None:
        refusal = NOT_TLS if error.reason == "HTTP_REQUEST" else None
        self._timeouts.refused[BAD_TLS if refusal is None else refusal.name] += 1
        self._flush()  # the TLS alert
        if refusal is not None:
            self._tcp.write(refused(refusal).serialize())
        self._ended = True
        self._tcp.close()

    def _decrypt(self) -> None:
        """Hand arrived bytes to the protocol, which may change or pause meanwhile."""
        try:
            while self._reads and not self._ended and (data := self._tls.read(READ_BYTES)):
                self._inner.data_received(data)
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError:  # the bytes are not TLS
            self._tcp.abort()
        else:
            if self._reads and not self._ended:  # the other side has sent its close_notify
                self._inner.eof_received()
                self.close()

    # -- to the socket ---------------------------------------------------------------------------------------------

    def send(self, wire: bytes) -> int:
        """Takes all bytes; those that the socket does not take are unsent, and pause the protocol."""
        self.write(wire)
        return len(wire)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._ended:
            return
        records, rest = [], memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest[:RECORD_BYTES]) :]
            records.append(self._outgoing.read())
        self._tcp.write(b"".join(records))

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._tcp.write(self._outgoing.read())

    # -- called by the protocol ------------------------------------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "send":
            return self.send
        if name == "sslcontext":
            return self._tls.context
        return self._tcp.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._tcp.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._tcp.get_write_buffer_size()

    def is_reading(self) -> bool:
        return self._reads

    def pause_reading(self) -> None:
        self._reads = False
        self._tcp.pause_reading()

    def resume_reading(self) -> None:
        if not self._reads:
            self._reads = True
            self._tcp.resume_reading()
            asyncio.get_running_loop().call_soon(self._decrypt)  # what had arrived before the pause

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Send nothing more, and drop what still arrives."""
        self._send_close_notify()
        self._tcp.write_eof()

    def is_closing(self) -> bool:
        return self._tcp.is_closing()

    def close(self) -> None:
        self._send_close_notify()
        self._tcp.close()

    def abort(self) -> None:
        self._tcp.abort()

    def _send_close_notify(self) -> None:
        """A close_notify, without which the other side could not tell the end from a cut (RFC 8446 §6.1)."""
        if self._ended or self._tcp.is_closing():
            return
        self._ended = True
        with contextlib.suppress(ssl.SSLError):  # it waits for that of the other side; the gateway does not
            self._tls.unwrap()
        self._flush()
