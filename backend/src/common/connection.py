"""The connection to NATS: dialled again, without end, whenever it ends.

Law of this file: **a client is used once.** The library's own reconnect replays every subscription before anyone can
say where it should resume, and gives up for good on some errors that pass (an expired password, a full server). So
each client ends with its socket, and its subscriptions bind again, deliberately, to the next one.
"""

import asyncio
import contextlib
import logging
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import StaleConnectionError
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError, ServiceUnavailableError

from src.common.access import Access, AccessError
from src.common.logs import redacted
from src.common.subjects import USUAL_JETSTREAM, JetStreamOptions
from src.common.tasks import end, tick, unless, within

logger = logging.getLogger("bus")

T = TypeVar("T")

DIAL_LIMIT_S: Final = 5.0
GREETING_LIMIT_S: Final = 1  # a frozen server accepts connections and says nothing: the next one is tried
PING_INTERVAL_S: Final = 0.5  # with two unanswered pings allowed, a frozen server is noticed within 2 s
UNANSWERED_PINGS: Final = 2
API_LIMIT_S: Final = 2.0  # one JetStream request; the server answers in milliseconds or is in trouble
CLOSE_HANDSHAKE_TIMEOUT_S: Final = 1.0
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 1.0

DENIAL: Final = re.compile(r"permissions violation for (publish|subscription) to \"([^\"]+)\"", re.IGNORECASE)
ASK_FOR_LOGIN: Final = "is the login right, in NATS_URL or the GATEWAY_NATS_… settings?"
REFUSALS: Final = {  # text in the error of the server or of TLS: what to do
    "authorization violation": ASK_FOR_LOGIN,
    "authentication expired": "give it credentials that are still valid",
    "authentication revoked": "give it credentials that are still valid",
    "authentication timeout": ASK_FOR_LOGIN,
    "certificate verify failed": "is its certificate signed by an authority of GATEWAY_NATS_CA, for this host name?",
    "certificate required": "the server wants a client certificate: set GATEWAY_NATS_CERT and GATEWAY_NATS_KEY",
    "unknown ca": "the server does not trust the authority of GATEWAY_NATS_CERT",
    "bad certificate": "the server does not accept GATEWAY_NATS_CERT",
    "certificate expired": "renew GATEWAY_NATS_CERT",
    "wrong version number": "the server speaks before TLS: is GATEWAY_NATS_TLS_FIRST right?",
    "offers no tls": "is NATS_URL right? tls://, GATEWAY_NATS_CA and GATEWAY_NATS_CERT ask for TLS",
    "not permitted": "",
}


NO_LEADER: Final = "is a majority of the NATS servers up?"
API_ERRORS: Final = {  # `err_code` that nats-server 2.15 answered in tests/common/test_jetstream_errors.py: what to do
    10002: "raise the storage that this account may have, or give its streams a max_bytes",
    10005: "set GATEWAY_STREAM_REPLICAS or GATEWAY_STREAM_MAX_BYTES lower, or add servers to the cluster",
    10008: NO_LEADER,
    10023: "raise max_file_store of the servers, or give the streams a max_bytes",
    10026: "raise max_consumers of the stream or of this account, or delete consumers that nobody uses",
    10027: "raise max_streams of this account, or add the subject to one of its streams",
    10039: "enable JetStream for this account",
    10047: "set GATEWAY_STREAM_MAX_BYTES lower, or raise the storage of the servers or of this account",
    10054: "raise max_msg_size of the stream",
    10074: "this NATS is no cluster: set GATEWAY_STREAM_REPLICAS=1",
    10077: "raise the bounds of the stream, or let it discard old messages",
    10098: "a work queue gives each message to one reader only: give the stream limits retention",
    10113: "set GATEWAY_STREAM_MAX_BYTES",
    10120: "set GATEWAY_STREAM_REPLICAS to a number that this account has limits for",
    10122: "set GATEWAY_STREAM_MAX_BYTES lower",
}


class BusError(Exception):
    """The bus cannot do this; the text says what to check."""


class NotPermitted(BusError):
    """The server does not let this user do it; the text says what to grant."""

    def __init__(self, action: str, subject: str) -> None:
        super().__init__(f"not permitted: grant this NATS user {action} on {subject}")


class NoJetStream(ServiceUnavailableError):
    """Nobody answers requests to JetStream."""

    def __init__(self, domain: str) -> None:
        super().__init__()
        self._domain = domain

    def __str__(self) -> str:
        if self._domain:
            return f"no JetStream of domain {self._domain} answers: is GATEWAY_NATS_DOMAIN right, and its server up?"
        return (
            "JetStream is not enabled, or not for this account: start nats-server with -js, "
            "or set GATEWAY_NATS_DOMAIN where it is that of another domain"
        )


PASSING: Final = (
    NatsError,
    OSError,
    TimeoutError,
    BusError,
)  # errors that may pass by themselves: wait, then try again


class StrictClient(Client):
    """The library's client, with three changes.

    The library believes the first line of the server about TLS, which is not encrypted and may be forged: this client
    sends nothing to a server without TLS where TLS is required. And the library fails at its end where it has unsent
    bytes for a broken socket, before it ends its subscriptions: here it has none, and `ended` is set in any case. And
    the library pings at times of its own: here with all else that is done regularly, see `tick`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asks_for_tls = False
        self.ended = asyncio.Event()

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self._wants_tls and not info.get("tls_required"):
            if not info.get("tls_available"):
                raise NatsError("the server offers no TLS")
            info["tls_required"] = True  # the library reads this next
        await super()._process_info(info, initial_connection)

    async def _ping_interval(self) -> None:
        while True:
            await tick(self.options["ping_interval"])
            if not self.is_connected:
                continue
            self._pings_outstanding += 1
            if self._pings_outstanding > self.options["max_outstanding_pings"]:
                await self._process_op_err(StaleConnectionError())
                return
            await self._send_ping()

    async def _process_op_err(self, e: Exception) -> None:
        self._pending, self._pending_data_size = [], 0  # `_close` would write them, and raise
        await super()._process_op_err(e)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        try:
            await super()._close(status, do_cbs)
        finally:
            if self._transport is not None:
                self._transport.close()  # type: ignore[no-untyped-call]
            self.ended.set()

    @property
    def server_name(self) -> str:
        """As the server calls itself; by default its identity."""
        return str(self._server_info.get("server_name", ""))

    @property
    def server_id(self) -> str:
        """Of one life of the server, by whatever address it is reached."""
        return str(self._server_info.get("server_id", ""))

    @property
    def _wants_tls(self) -> bool:
        assert self._current_server is not None, "a server spoke"
        return self.asks_for_tls or self._current_server.uri.scheme == "tls"


class Link:
    """One client from its dial to its end.

    Attributes:
        address: host and port of the server, once it is dialled.
        server: its name and address.
    """

    def __init__(self, jetstream: JetStreamOptions, ping_interval_s: float = PING_INTERVAL_S) -> None:
        self._jetstream_options = jetstream
        self._ping_interval_s = ping_interval_s
        self.client = StrictClient()
        self.ended = self.client.ended
        self.address = self.server = ""
        self._last_error: Exception | None = None
        self._dialled = False
        self._denied: dict[tuple[str, str], asyncio.Event] = {}

    async def dial(self, servers: list[str], name: str, access: Access) -> None:
        """Connect to one of `servers`.

        Raises:
            NatsError, OSError, TimeoutError, BusError: none of them took us within `DIAL_LIMIT_S`.
            AccessError: a file that we need to log in is missing or wrong.
        """
        await within(DIAL_LIMIT_S, self._connect(servers, name, access))
        url = self.client.connected_url
        if url is not None:
            self.address = f"{url.hostname}:{url.port}"
            self.server = f"{self.client.server_name} ({self.address})"
        self.jetstream = JetStream(self, self._jetstream_options)
        self._dialled = True

    @property
    def last_error(self) -> Exception | None:
        """What ended it, where that is known."""
        if self._dialled:  # the client's own error may be a permission that was denied, until something ends it
            return self.client.last_error or self._last_error
        return self._last_error or self.client.last_error  # it calls every failed dial "no servers"

    @property
    def told_servers(self) -> list[str]:
        """Host and port of the other servers of its cluster, as it names them."""
        return [server.netloc for server in self.client.discovered_servers]

    async def use(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work` on this link, for no longer than the link lives.

        Raises:
            BusError: the link ended first; without this every request under way would wait for its own timeout.
        """
        done = await unless(self.ended, _boxed(work))
        if done is None:
            raise BusError("the connection was lost")
        return done[0]

    async def publishing(self, subject: str, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`, which publishes on `subject` and waits for an answer, unless the server refuses it.

        Raises:
            NotPermitted: this user may not publish there; without this the answer would be waited for in vain.
        """
        denied = self._denied.setdefault(("publish", subject.lower()), asyncio.Event())
        denied.clear()  # the rights may be others by now
        done = await unless(denied, _boxed(work))
        if done is None:
            raise NotPermitted("publish", subject)
        return done[0]

    async def subscribe(self, subject: str, **options: Any) -> Subscription:
        """Subscribe. Whether the server agrees, `require_agreed` knows after any later answer of it."""
        self._denied.pop(("subscription", subject.lower()), None)
        return await self.client.subscribe(subject, **options)

    def require_agreed(self, subject: str) -> None:
        """
        Raises:
            NotPermitted: this user may not subscribe to `subject`.
        """
        if self._is_denied(subject):
            raise NotPermitted("subscribe", "_INBOX.>")

    async def confirm(self, subject: str) -> None:
        """Wait until the server has taken the subscription to `subject`.

        Raises:
            NotPermitted: it has not, because this user may not.
        """
        for _ in range(2):  # the library writes the first ping before the subscription, which waits in a queue
            await self.client.flush(int(API_LIMIT_S))
        if self._is_denied(subject):
            raise NotPermitted("subscribe", subject)

    async def until_denied(self, subject: str) -> None:
        """Wait until the server takes the right to `subject` back.

        Raises:
            NotPermitted: it has.
        """
        await self._denied.setdefault(("subscription", subject.lower()), asyncio.Event()).wait()
        raise NotPermitted("subscribe", subject)

    async def close(self) -> None:
        """End it, within `CLOSE_HANDSHAKE_TIMEOUT_S`, whatever state it is in."""
        with contextlib.suppress(NatsError, OSError, TimeoutError, AttributeError, AssertionError):
            async with asyncio.timeout(CLOSE_HANDSHAKE_TIMEOUT_S):
                await self.client.close()
        self.ended.set()

    def _is_denied(self, subject: str) -> bool:
        denied = self._denied.get(("subscription", subject.lower()))
        return denied is not None and denied.is_set()

    async def _connect(self, servers: list[str], name: str, access: Access) -> None:
        with_tls = access.asks_for_tls or any(server.startswith("tls:") for server in servers)
        options = {}
        if with_tls or access != Access():
            options = await asyncio.to_thread(access.options, with_tls)  # the system's certificates take 50 ms
        self.client.asks_for_tls = access.asks_for_tls
        await self.client.connect(
            servers=servers,
            name=name,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0.1,  # type: ignore[arg-type]
            dont_randomize=True,  # they come in the order in which they shall be tried
            connect_timeout=GREETING_LIMIT_S,
            ping_interval=self._ping_interval_s,  # type: ignore[arg-type]
            max_outstanding_pings=UNANSWERED_PINGS,
            error_cb=self._note_error,
            **options,
        )
        await self._require_answers()

    async def _require_answers(self) -> None:
        """Try whether answers to requests reach us: to a subject of the form that the library uses for them."""
        if not self.client.is_connected:  # the library takes an end without a word for a success
            raise self.last_error or BusError("the server hung up")
        answers = await self.subscribe(f"{self.client.new_inbox()}.*")
        for _ in range(2):  # the library writes the first ping before the subscription, which waits in a queue
            await self.client.flush()
        self.require_agreed(answers.subject)
        await answers.unsubscribe()

    async def _note_error(self, error: Exception) -> None:
        logger.debug("nats: %s", error)
        if (denial := DENIAL.search(str(error))) is not None:
            self._denied.setdefault((denial[1].lower(), denial[2].lower()), asyncio.Event()).set()
        else:
            self._last_error = error


class JetStream(JetStreamContext):
    """JetStream's requests, which end at once where the server refuses them.

    Attributes:
        options: how it is deployed.
    """

    def __init__(self, link: Link, options: JetStreamOptions) -> None:
        super().__init__(link.client, domain=options.domain or None, timeout=API_LIMIT_S)
        self.options = options
        self._link = link

    @property
    def api_prefix(self) -> str:
        """Of the subjects of its requests."""
        return self._prefix

    async def _api_request(
        self,
        req_subject: str,
        req: bytes = b"",
        timeout: float = API_LIMIT_S,  # noqa: ASYNC109  # the library's
    ) -> dict[str, Any]:
        try:
            return await self._link.publishing(req_subject, super()._api_request(req_subject, req, timeout))
        except ServiceUnavailableError as error:
            if error.err_code is None:  # of the library, where nobody listens
                raise NoJetStream(self.options.domain) from None
            raise


class Connection:
    """Keeps one link to NATS alive from `open()` to `close()`.

    Attributes:
        url: the servers, without secrets.
        reconnects: links after the first.
        trouble: why there is no link, in words, or None while there is one.
        heard_s: when core NATS last brought a message of any subscription, by the monotonic clock; set by those.
    """

    def __init__(
        self,
        url: str,
        name: str,
        access: Access,
        jetstream: JetStreamOptions = USUAL_JETSTREAM,
        ping_interval_s: float = PING_INTERVAL_S,
    ) -> None:
        self.url = redacted(url)
        self.reconnects = 0
        self.trouble: str | None = reason(None)
        self.heard_s = 0.0
        self._servers = [server.strip() for server in url.split(",") if server.strip()]
        self._name = name
        self._access = access
        self._jetstream = jetstream
        self._ping_interval_s = ping_interval_s
        self._link: Link | None = None
        self._better: Link | None = None  # takes the place of the present one as soon as that has ended
        self._lost_server = ""
        self._told: list[str] = []  # addresses of servers of the same cluster, as the last one named them
        self._lost_s = time.monotonic()
        self._linked = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._cause: Exception | None = None

    @property
    def is_connected(self) -> bool:
        return self._link is not None and not self._link.ended.is_set()

    @property
    def server(self) -> str | None:
        """The server that we are connected to, by name and address; None while to none."""
        return self._link.server if self._link is not None and self.is_connected else None

    @property
    def outage_s(self) -> float:
        """For how long there has been no link; 0 while there is one."""
        return 0.0 if self.is_connected else time.monotonic() - self._lost_s

    async def open(self, limit_s: float) -> None:
        """Connect for the first time.

        Raises:
            BusError: no server let us in within `limit_s` seconds, or at once when a file that we need is wrong.
        """
        try:
            await within(limit_s, self._enter())
        except AccessError as error:
            raise BusError(str(error)) from None
        except TimeoutError:
            raise BusError(self._failure(limit_s)) from None
        self._keeper = asyncio.create_task(self._keep_linked(), name="nats-connection")

    async def link(self) -> Link:
        """The live link; waits, without limit, for the next one while there is none."""
        while self._link is None or self._link.ended.is_set():
            self._linked.clear()
            await self._linked.wait()
        return self._link

    def link_nowait(self) -> Link:
        """The live link.

        Raises:
            BusError: there is none right now.
        """
        if self._link is None or self._link.ended.is_set():
            raise BusError(f"not connected to {self.url}")
        return self._link

    async def persist(self, failure: str, attempt: Callable[[Link], Coroutine[Any, Any, None]], limit_s: float) -> Link:
        """Try `attempt` on the live link until it works; return the link that it worked on.

        Raises:
            BusError: it did not within `limit_s` seconds; `failure` and the last error say why.
        """
        error: BaseException | None = None
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    link = await self.link()
                    try:
                        await link.use(attempt(link))
                    except PASSING as passing:
                        error = passing
                        await asyncio.sleep(LONGEST_PAUSE_S / 4)
                    else:
                        return link
        except TimeoutError:
            raise BusError(f"{failure} on {self.url} after {limit_s:.3g} s: {reason(error)}") from error

    async def move(self, works: Callable[[Link], Coroutine[Any, Any, bool]], is_wanted: Callable[[], bool]) -> None:
        """Go on with another server, if there is one on which `works`, and it is still wanted then.

        The present server is left only when the other one is there.
        """
        present = self._link
        assert present is not None, "there was a first link"
        self._told = present.told_servers or self._told
        better = await self._another(present, works)
        if better is None:
            return
        if present is not self._link or not self.is_connected or not is_wanted():
            await better.close()
            return
        self._better, self._lost_s = better, time.monotonic()
        await present.close()

    async def close(self) -> None:
        await end(self._keeper)
        self._keeper = None
        for link in (self._link, self._better):
            if link is not None:
                await link.close()

    async def _enter(self) -> None:
        async for failed in self._attempts():
            if isinstance(failed, AccessError):
                raise failed

    async def _keep_linked(self) -> None:
        """Owner of the link: when one ends, dial until there is another."""
        while True:
            assert self._link is not None, "the first link is made by open()"
            await self._link.ended.wait()
            if self._better is not None:
                await self._take_better(self._link, self._better)
                continue
            self._lost_s = time.monotonic()
            self._note_cause(self._link.last_error)
            lost, self._lost_server = self._link.server, self._link.address
            self._told = self._link.told_servers or self._told
            logger.warning("lost the connection to %s (%s); reconnecting until there is one", lost, self.trouble)
            await self._link.close()
            async for failed in self._attempts():
                logger.debug("cannot reach %s: %s", self.url, reason(failed))
            self.reconnects += 1
            logger.warning("connected to %s again", self._link.server)

    async def _take_better(self, left: Link, better: Link) -> None:
        logger.warning("left %s, where nothing arrives, for %s", left.server, better.server)
        self._lost_server = left.address
        self._link, self._better = better, None
        self.reconnects += 1
        self._linked.set()
        await left.close()

    async def _another(self, present: Link, works: Callable[[Link], Coroutine[Any, Any, bool]]) -> Link | None:
        """A link to another server, on which `works`; None where there is none now."""
        for server in self._servers_to_try():
            link = Link(self._jetstream, self._ping_interval_s)
            try:
                await link.dial([server], self._name, self._access)
                if link.client.server_id != present.client.server_id and await link.use(works(link)):
                    return link
            except (*PASSING, AccessError) as error:
                logger.debug("%s is no better: %s", redacted(server), reason(error))
            except BaseException:
                await link.close()
                raise
            await link.close()
        return None

    async def _attempts(self) -> AsyncIterator[Exception]:
        """Dial until it works, yielding the error of each attempt that did not.

        No error of the library ends the attempts: nothing would start them again.
        """
        pause_s = FIRST_PAUSE_S
        while True:
            link = Link(self._jetstream, self._ping_interval_s)
            try:
                await link.dial(self._servers_to_try(), self._name, self._access)
            except Exception as error:
                await link.close()
                failed = error if isinstance(error, BusError | AccessError) else link.last_error or error
                if not isinstance(error, (*PASSING, AccessError)) and reason(failed) != self.trouble:
                    logger.exception("the NATS library failed on %s; trying again", self.url)
                self._note_cause(failed)
                yield failed
            except BaseException:
                await link.close()
                raise
            else:
                self._link, self._cause, self.trouble = link, None, None
                self._linked.set()
                return
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _servers_to_try(self) -> list[str]:
        """By chance, so that many gateways spread; then those that the cluster told; the one that was lost last.

        The lost one may be frozen. Those that were told may not be reachable from here, or have another name in TLS.
        """
        servers = random.sample(self._servers, len(self._servers))
        known = {urlsplit(server).netloc.rpartition("@")[2] for server in servers}
        login = next((f"{part[0]}@" for server in servers if (part := urlsplit(server).netloc.rpartition("@"))[1]), "")
        scheme = urlsplit(servers[0]).scheme or "nats"
        servers += [f"{scheme}://{login}{address}" for address in self._told if address not in known]
        return sorted(servers, key=lambda server: bool(self._lost_server) and self._lost_server in server)

    def _note_cause(self, cause: Exception | None) -> None:
        """A refusal outlives the resets and timeouts of later attempts and of other servers."""
        if _is_refusal(self._cause) and not _needs_somebody(cause):
            return
        before, self.trouble = self.trouble, reason(cause)
        self._cause = cause
        if self._keeper is not None and self.trouble != before and _needs_somebody(cause):
            logger.warning("%s does not let us in: %s", self.url, self.trouble)

    def _failure(self, limit_s: float) -> str:
        if _is_refusal(self._cause):
            return f"{self.url} does not let us in: {self.trouble}"
        return f"cannot reach {self.url} after {limit_s:g} s ({self.trouble}); is NATS_URL right and the server up?"


def _is_refusal(error: Exception | None) -> bool:
    """The server or TLS refuses this client as it is configured."""
    return _remedy(error) is not None


def _needs_somebody(error: Exception | None) -> bool:
    """Somebody has to correct a login, a certificate or a file."""
    return _is_refusal(error) or isinstance(error, AccessError)


def _remedy(error: BaseException | None) -> str | None:
    text = str(error).lower()
    return next((remedy for refusal, remedy in REFUSALS.items() if refusal in text), None)


async def _boxed(work: Coroutine[Any, Any, T]) -> tuple[T]:
    return (await work,)


def reason(error: BaseException | None) -> str:
    """An error in words, also where the library has none, with what to do where that is known."""
    if isinstance(error, APIError) and error.err_code is not None:
        remedy = API_ERRORS.get(error.err_code)
        return f"{error.description}: {remedy}" if remedy else f"{error.description} (JetStream error {error.err_code})"
    if isinstance(error, NoStreamResponseError):
        return "no stream takes it; is there one that covers the subject, and its server up?"
    if type(error) is NatsTimeout:  # not one of its kinds, which are of the connection
        return f"JetStream does not answer: is a server up that has the stream, and {NO_LEADER}"
    words = "no answer" if error is None else str(error) or type(error).__name__
    return f"{words}; {remedy}" if (remedy := _remedy(error)) else words
