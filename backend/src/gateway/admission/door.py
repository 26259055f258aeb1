"""The door: asked once a handshake, without waiting, it answers with a place or a refusal.

**The cheapest question comes first**: is there a handshake left in this second, may a page of this origin come, is the
token good, is there room. So whoever is refused has cost as little as can be.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable

from src.gateway.admission.addresses import client_address
from src.gateway.admission.caller import MAX_TOKEN_CHARACTERS, Caller, answered_subprotocol, offered_token, subprotocols
from src.gateway.admission.grants import ANYBODY, Grant, Tokens
from src.gateway.admission.jwts import Jwts
from src.gateway.admission.key_set_url import KeySetUrl
from src.gateway.admission.keys import Keys, KeySetFile, SecretFile
from src.gateway.admission.limits import Crowd, Pace
from src.gateway.admission.origins import Origins
from src.gateway.admission.static_tokens import StaticTokens
from src.gateway.goodbyes import (
    NO_KEYS,
    ORIGIN_REFUSED,
    TOKEN_BAD,
    TOKEN_KEY_UNKNOWN,
    TOKEN_MISSING,
    TOO_FAST,
    Closing,
    Refusal,
)
from src.gateway.head_count import HeadCount
from src.gateway.settings import SettingError, Settings

logger = logging.getLogger("gateway")

UNSURE = (NO_KEYS, TOKEN_KEY_UNKNOWN)  # newer keys may tell


class Entry:
    """A viewer's place, from its handshake to the end of its connection.

    Attributes:
        subprotocol: what the handshake has to answer, or None.
    """

    __slots__ = ("_clock", "_crowd", "_grant", "_place", "subprotocol")

    def __init__(
        self, grant: Grant, crowd: Crowd, place: str, subprotocol: str | None, clock: Callable[[], float]
    ) -> None:
        self.subprotocol = subprotocol
        self._grant = grant
        self._crowd: Crowd | None = crowd
        self._place = place
        self._clock = clock

    def over(self) -> Closing | None:
        """Why the viewer has to go; None while it may stay."""
        return self._grant.over(self._clock())

    def release(self) -> None:
        """Give the place to somebody else; idempotent."""
        if self._crowd is not None:
            self._crowd.leave(self._place)
            self._crowd = None


class Door:
    """The rules of one gateway process, and what it refused.

    Attributes:
        refused: how often since the start, by the refusal's name.
        origins: which pages may read what is answered.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        head_count: HeadCount | None = None,
        now_s: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            settings: by default nobody is asked for a token.
            head_count: how many viewers other workers have; by default there are none.
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
        self._keys = _keys(settings)
        self._tokens = _tokens(settings, self._keys)
        self._crowd = Crowd(
            settings.max_viewers, settings.max_viewers_of_address, head_count or HeadCount(settings.workers)
        )
        self._pace = Pace(settings.max_handshakes, clock())
        self._now_s = now_s
        self._clock = clock

    # -- the life --------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Begin to keep keys fresh that come from elsewhere."""
        if isinstance(self._keys, KeySetUrl):
            await self._keys.open()

    async def close(self) -> None:
        """Idempotent."""
        if isinstance(self._keys, KeySetUrl):
            await self._keys.close()

    def reread(self) -> None:
        """Read the files anew. A viewer whose token is not among those any more is let go within a second."""
        if self._tokens is None:
            return
        try:
            logger.info("reread: %s", self._tokens.reread())
        except SettingError as error:
            logger.error("not reread, what was read before still counts: %s", error)

    @property
    def trouble(self) -> str | None:
        """Why nobody can be let in at all, or None."""
        if self._keys is None or self._keys:
            return None
        return f"no keys to check tokens with: {self._keys.trouble}"

    # -- what is asked ---------------------------------------------------------------------------------------------

    def enter(self, caller: Caller, again: Callable[[], None]) -> Entry | Refusal | None:
        """May this caller become a viewer?

        Args:
            caller: see there.
            again: called in a few seconds at most where None is returned: the token names a key that has to be fetched
                first. To be followed by `enter_again`.
        """
        answer = self._entry(caller) if self._pace.allows(self._clock()) else TOO_FAST
        if answer in UNSURE and self._newer_keys(again):
            return None
        return self._counted(answer)

    def enter_again(self, caller: Caller) -> Entry | Refusal:
        """The answer for who has waited."""
        return self._counted(self._entry(caller))

    async def enter_soon(self, caller: Caller) -> Entry | Refusal:
        """Both of them, for who waits here."""
        newer_keys = asyncio.Event()
        answer = self.enter(caller, newer_keys.set)
        if answer is not None:
            return answer
        await newer_keys.wait()
        return self.enter_again(caller)

    async def may_read(self, caller: Caller) -> Refusal | None:
        """Why this caller may not have the state by a plain request; None where it may."""
        grant = self._grant(caller)
        newer_keys = asyncio.Event()
        if grant in UNSURE and self._newer_keys(newer_keys.set):
            await newer_keys.wait()
            grant = self._grant(caller)
        return self.count(grant) if isinstance(grant, Refusal) else None

    def count(self, refusal: Refusal) -> Refusal:
        """Refusals of viewers and of readers are counted here, also those that somebody else decided."""
        self.refused[refusal.name] += 1
        return refusal

    def _counted(self, answer: Entry | Refusal) -> Entry | Refusal:
        return self.count(answer) if isinstance(answer, Refusal) else answer

    def _newer_keys(self, then: Callable[[], None]) -> bool:
        """Have `then` called when the keys have been fetched anew; False where that cannot be."""
        return isinstance(self._keys, KeySetUrl) and self._keys.ask(then)

    def _entry(self, caller: Caller) -> Entry | Refusal:
        if not self._may_come_from_page(caller):
            return ORIGIN_REFUSED
        grant = self._grant(caller)
        if isinstance(grant, Refusal):
            return grant
        place = self._crowd.enter(self._client_address(caller) if self._crowd.counts_addresses else "")
        if isinstance(place, Refusal):
            return place
        return Entry(grant, self._crowd, place, answered_subprotocol(subprotocols(caller)), self._now_s)

    def _may_come_from_page(self, caller: Caller) -> bool:
        """A caller that names no origin is no browser; one that names several is none either."""
        origins, hosts = caller.header("Origin"), caller.header("Host")
        if not origins:
            return True
        return len(origins) == 1 and self.origins.allow(origins[0], hosts[0] if len(hosts) == 1 else "")

    def _client_address(self, caller: Caller) -> str:
        return client_address(caller.address, caller.header("X-Forwarded-For"), self._trusted_proxies)

    def _grant(self, caller: Caller) -> Grant | Refusal:
        if self._tokens is None:
            return ANYBODY
        token = offered_token(caller, self._query_counts)
        if token is None:
            return TOKEN_MISSING
        if len(token) > MAX_TOKEN_CHARACTERS:
            return TOKEN_BAD
        return self._tokens.grant(token, self._now_s())


def _keys(settings: Settings) -> Keys | None:
    if settings.auth != "jwt":
        return None
    if settings.jwt_secret_file:
        return SecretFile(settings.jwt_secret_file)
    if settings.jwks.startswith(("http://", "https://")):
        return KeySetUrl(settings.jwks)
    return KeySetFile(settings.jwks)


def _tokens(settings: Settings, keys: Keys | None) -> Tokens | None:
    if settings.auth == "token":
        return StaticTokens(settings.tokens_file)
    if keys is not None:
        return Jwts(keys, settings.jwt_audience, settings.jwt_issuer)
    return None
