"""Admission control: each handshake is admitted or refused at once.

**The cheapest check comes first**: the rate of handshakes, the origin, the token, the number of viewers. So a refusal
costs as little as possible.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from src.common.logs import Throttle, more
from src.gateway.admission.addresses import client_address, counted_as
from src.gateway.admission.client_request import (
    MAX_TOKEN_CHARACTERS,
    ClientRequest,
    answered_subprotocol,
    offered_token,
    subprotocols,
)
from src.gateway.admission.grants import ANYBODY, Grant, Tokens
from src.gateway.admission.limits import HandshakeRate, ViewerLimits
from src.gateway.admission.origins import Origins, asked_hosts
from src.gateway.admission.static_tokens import StaticTokens
from src.gateway.close_codes import CloseCode
from src.gateway.processes.viewer_count import ViewerCount
from src.gateway.refusals import NO_KEYS, ORIGIN_REFUSED, TOKEN_BAD, TOKEN_KEY_UNKNOWN, TOKEN_MISSING, TOO_FAST, Refusal
from src.gateway.settings import SettingError, Settings

logger = logging.getLogger("gateway")

UNDECIDED = (NO_KEYS, TOKEN_KEY_UNKNOWN)  # newer keys may decide otherwise
ORIGIN_LINES_S: Final = 60.0
LOGGED_ORIGIN_CHARACTERS: Final = 200


class Admission:
    """An admitted viewer, from its handshake to the end of its connection.

    Attributes:
        subprotocol: the one that the response has to name, or None.
    """

    __slots__ = ("_clock", "_counted_address", "_grant", "_viewer_limits", "subprotocol")

    def __init__(
        self,
        grant: Grant,
        viewer_limits: ViewerLimits,
        counted_address: str,
        subprotocol: str | None,
        clock: Callable[[], float],
    ) -> None:
        self.subprotocol = subprotocol
        self._grant = grant
        self._viewer_limits: ViewerLimits | None = viewer_limits
        self._counted_address = counted_address
        self._clock = clock

    def over(self) -> CloseCode | None:
        """Why the viewer has to go; None while it may stay."""
        return self._grant.over(self._clock())

    def release(self) -> None:
        """The viewer is gone; idempotent."""
        if self._viewer_limits is not None:
            self._viewer_limits.release(self._counted_address)
            self._viewer_limits = None


class AdmissionControl:
    """The rules of one gateway process, and the count of its refusals.

    Attributes:
        refused: refusals since the start, by name.
        origins: pages that may read the responses.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        viewer_count: ViewerCount | None = None,
        now_s: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            settings: by default no token is needed.
            viewer_count: how many viewers other workers have; by default there are none.
            now_s: seconds since 1970.
            clock: monotonic seconds.

        Raises:
            SettingError: a file that the settings name cannot be used.
        """
        settings = settings or Settings()
        self.refused: Counter[str] = Counter()
        self.origins = Origins(settings.allowed_origins)
        self._trusted_proxies = settings.trusted_proxies
        self._query_counts = settings.auth_query
        self._tokens = _tokens(settings)
        self._viewer_limits = ViewerLimits(
            settings.max_viewers, settings.max_viewers_of_address, viewer_count or ViewerCount(settings.workers)
        )
        self._handshake_rate = HandshakeRate(settings.max_handshakes, clock())
        self._now_s = now_s
        self._clock = clock
        self._origin_lines = Throttle(ORIGIN_LINES_S, clock)

    # -- lifecycle -------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Start to fetch the keys that come from a URL."""
        if self._tokens is not None:
            await self._tokens.open()

    async def close(self) -> None:
        """Idempotent."""
        if self._tokens is not None:
            await self._tokens.close()

    def reread(self) -> None:
        """Read the files again. A viewer whose token is no longer accepted is closed within a second."""
        if self._tokens is None:
            return
        try:
            logger.info("reread: %s", self._tokens.reread())
        except SettingError as error:
            logger.error("not reread, the old content still counts: %s", error)

    @property
    def trouble(self) -> str | None:
        """Why no viewer can be admitted at all, or None."""
        return None if self._tokens is None else self._tokens.trouble

    # -- decisions -------------------------------------------------------------------------------------------------

    def admit(self, request: ClientRequest, retry: Callable[[], None]) -> Admission | Refusal | None:
        """Decide about a handshake.

        Args:
            request: the handshake's request.
            retry: called within a few seconds where None is returned: the token names a key that has to be fetched
                first. The caller then calls `admit_again`.
        """
        answer = self._decide(request) if self._handshake_rate.allows(self._clock()) else TOO_FAST
        if answer in UNDECIDED and self._fetch_keys(retry):
            return None
        return self._counted(answer)

    def admit_again(self, request: ClientRequest) -> Admission | Refusal:
        """Decide once the keys have been fetched."""
        return self._counted(self._decide(request))

    async def admit_async(self, request: ClientRequest) -> Admission | Refusal:
        """`admit`, then `admit_again` where that is needed."""
        newer_keys = asyncio.Event()
        answer = self.admit(request, newer_keys.set)
        if answer is not None:
            return answer
        await newer_keys.wait()
        return self.admit_again(request)

    async def check_read(self, request: ClientRequest) -> Refusal | None:
        """Why this request may not read the state over HTTP; None where it may."""
        grant = self._grant(request)
        newer_keys = asyncio.Event()
        if grant in UNDECIDED and self._fetch_keys(newer_keys.set):
            await newer_keys.wait()
            grant = self._grant(request)
        return self.count(grant) if isinstance(grant, Refusal) else None

    def counted_address(self, request: ClientRequest) -> str:
        """The client for which bounds on one address count, behind proxies that are trusted."""
        return counted_as(self._client_address(request))

    def count(self, refusal: Refusal) -> Refusal:
        """Count a refusal, also one that was decided elsewhere; returns it."""
        self.refused[refusal.name] += 1
        return refusal

    def _counted(self, answer: Admission | Refusal) -> Admission | Refusal:
        return self.count(answer) if isinstance(answer, Refusal) else answer

    def _fetch_keys(self, then: Callable[[], None]) -> bool:
        """Call `then` when the keys have been fetched again; False where they cannot be."""
        return self._tokens is not None and self._tokens.refresh(then)

    def _decide(self, request: ClientRequest) -> Admission | Refusal:
        if not self._origin_allowed(request):
            self._log_origin(request)
            return ORIGIN_REFUSED
        grant = self._grant(request)
        if isinstance(grant, Refusal):
            return grant
        address = self._client_address(request) if self._viewer_limits.counts_addresses else ""
        counted_address = self._viewer_limits.acquire(address)
        if isinstance(counted_address, Refusal):
            return counted_address
        return Admission(
            grant, self._viewer_limits, counted_address, answered_subprotocol(subprotocols(request)), self._now_s
        )

    def _origin_allowed(self, request: ClientRequest) -> bool:
        """A request without an origin does not come from a browser, nor does one with several."""
        origins = request.header("Origin")
        if not origins:
            return True
        hosts = asked_hosts(request.header("Host"), request.header("X-Forwarded-Host"))
        return len(origins) == 1 and self.origins.allow(origins[0], hosts)

    def _log_origin(self, request: ClientRequest) -> None:
        held_back = self._origin_lines.lets_through()
        if held_back is not None:
            origin = ", ".join(request.header("Origin"))[:LOGGED_ORIGIN_CHARACTERS]
            logger.warning(
                "a page of %r may not connect: add its origin to GATEWAY_ALLOWED_ORIGINS%s", origin, more(held_back)
            )

    def _client_address(self, request: ClientRequest) -> str:
        return client_address(request.address, request.header("X-Forwarded-For"), self._trusted_proxies)

    def _grant(self, request: ClientRequest) -> Grant | Refusal:
        if self._tokens is None:
            return ANYBODY
        token = offered_token(request, self._query_counts)
        if token is None:
            return TOKEN_MISSING
        if len(token) > MAX_TOKEN_CHARACTERS:
            return TOKEN_BAD
        return self._tokens.grant(token, self._now_s())


def _tokens(settings: Settings) -> Tokens | None:
    """None where no token is needed."""
    if settings.auth == "token":
        return StaticTokens(settings.tokens_file)
    if settings.auth == "jwt":
        from src.gateway.admission.jwts import jwts  # noqa: PLC0415 - only here: a tenth of the start is its libraries

        return jwts(settings)
    return None
