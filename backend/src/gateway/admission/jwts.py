"""JSON Web Tokens: signature, `exp`, `nbf`, and audience and issuer where they are set."""

import hashlib
from collections.abc import Callable
from typing import Any, Final

import jwt

from src.gateway.admission.grants import Grant, Tokens
from src.gateway.admission.key_set_url import KeySetUrl
from src.gateway.admission.keys import Key, Keys, KeySetFile, SecretFile
from src.gateway.refusals import (
    NO_KEYS,
    TOKEN_BAD,
    TOKEN_EXPIRED_BEFORE,
    TOKEN_KEY_UNKNOWN,
    TOKEN_NOT_YET,
    TOKEN_WRONG_CLAIMS,
    Refusal,
)
from src.gateway.settings import Settings

LEEWAY_S: Final = 10.0  # clocks of issuers differ: `exp` counts so much later, `nbf` so much earlier
MAX_REMEMBERED: Final = 10_000  # verified tokens; a viewer that comes back costs no signature
PUBLIC_ALGORITHMS: Final = ("RS256", "ES256")
OF: Final[tuple[tuple[type[Exception], Refusal], ...]] = (
    (jwt.ExpiredSignatureError, TOKEN_EXPIRED_BEFORE),
    (jwt.ImmatureSignatureError, TOKEN_NOT_YET),
    (jwt.InvalidAudienceError, TOKEN_WRONG_CLAIMS),
    (jwt.InvalidIssuerError, TOKEN_WRONG_CLAIMS),
    (jwt.MissingRequiredClaimError, TOKEN_WRONG_CLAIMS),
)


def jwts(settings: Settings) -> "Jwts":
    """The JWTs that the settings accept.

    Raises:
        SettingError: a file that they name cannot be used.
    """
    return Jwts(_keys(settings), settings.jwt_audience, settings.jwt_issuer)


def _keys(settings: Settings) -> Keys:
    if settings.jwt_secret_file:
        return SecretFile(settings.jwt_secret_file)
    if settings.jwks.startswith(("http://", "https://")):
        return KeySetUrl(settings.jwks)
    return KeySetFile(settings.jwks)


class Jwts(Tokens):
    """The JWTs that are accepted."""

    def __init__(self, keys: Keys, audience: str, issuer: str) -> None:
        """
        Args:
            keys: see there.
            audience: one that must be in `aud`; empty where any may be.
            issuer: what `iss` must be; empty where it may be anything.
        """
        self._keys = keys
        self._claims: dict[str, Any] = {
            "audience": audience or None,
            "issuer": issuer or None,
            "leeway": LEEWAY_S,
            "options": {
                "require": ["exp"],
                "verify_aud": bool(audience),
                "verify_iss": bool(issuer),
                "verify_sub": False,
                "verify_jti": False,
            },
        }
        self._remembered: dict[bytes, Grant] = {}

    async def open(self) -> None:
        await self._keys.open()

    async def close(self) -> None:
        await self._keys.close()

    @property
    def trouble(self) -> str | None:
        return None if self._keys else f"no keys to check tokens with: {self._keys.trouble}"

    def refresh(self, then: Callable[[], None]) -> bool:
        return self._keys.refresh(then)

    def grant(self, token: str, now_s: float) -> Grant | Refusal:
        digest = hashlib.sha256(token.encode(errors="surrogateescape")).digest()
        remembered = self._remembered.get(digest)
        if remembered is not None and remembered.over(now_s) is None:
            return remembered
        answer = self._verified(token)
        if isinstance(answer, Grant):
            self._remember(digest, answer)
        return answer

    def reread(self) -> str:
        return self._keys.reread()

    def _verified(self, token: str) -> Grant | Refusal:
        if not self._keys:
            return NO_KEYS
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, ValueError, RecursionError):
            return TOKEN_BAD
        algorithm = header.get("alg")
        candidates = self._keys.candidates(algorithm, header.get("kid"))
        answer: Grant | Refusal = TOKEN_BAD
        if not candidates and algorithm in PUBLIC_ALGORITHMS:
            answer = NO_KEYS if self._keys.trouble else TOKEN_KEY_UNKNOWN
        for key in candidates:
            answer = self._verified_with(key, token)
            if answer is not TOKEN_BAD:
                break
        return answer

    def _verified_with(self, key: Key, token: str) -> Grant | Refusal:
        try:
            claims = jwt.decode(token, key.material, algorithms=[key.algorithm], **self._claims)
            return Grant(key, float(claims["exp"]) + LEEWAY_S)
        except jwt.PyJWTError as error:
            return next((refusal for kind, refusal in OF if isinstance(error, kind)), TOKEN_BAD)
        except (ValueError, TypeError, OverflowError, RecursionError):
            return TOKEN_BAD

    def _remember(self, digest: bytes, grant: Grant) -> None:
        self._remembered.pop(digest, None)
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.pop(next(iter(self._remembered)))  # the oldest
        self._remembered[digest] = grant
