"""Keys for the signatures of JWTs. **The algorithm follows from the key**, never from the token.

The source of a key decides: a secret file holds one secret (HS256), a JWK set holds public keys only (RS256, ES256). So
no public key can be taken for a secret, and there is no key for `none`.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from src.gateway.admission.files import content
from src.gateway.admission.grants import Trust
from src.gateway.settings import SettingError

SECRET_VARIABLE: Final = "GATEWAY_JWT_SECRET_FILE"
JWKS_VARIABLE: Final = "GATEWAY_JWKS"
LEAST_SECRET_BYTES: Final = 32  # as long as the hash, RFC 7518 §3.2
LEAST_RSA_BITS: Final = 2048  # RFC 7518 §3.3
MAX_KEYS: Final = 32  # a token without a key id is checked with each
PUBLIC_KEY_BEGINNINGS: Final = (b"-----BEGIN", b"ssh-", b"ecdsa-", b"{")
ALGORITHM: Final = {("RSA", ""): "RS256", ("EC", "P-256"): "ES256"}  # by type and curve
PUBLIC_FIELDS: Final[tuple[str, ...]] = ("kty", "crv", "n", "e", "x", "y")


class Key(Trust):
    """One key.

    Attributes:
        kid: its name in a JWK set.
        algorithm: the only one for this key.
        material: the key as PyJWT takes it.
        identity: equal for the same key, read twice.
    """

    __slots__ = ("algorithm", "identity", "kid", "material")

    def __init__(self, kid: str | None, algorithm: str, material: Any, identity: object) -> None:
        super().__init__()
        self.kid = kid
        self.algorithm = algorithm
        self.material = material
        self.identity = identity


class Keys:
    """The current keys.

    Attributes:
        trouble: why there may be none, for `/ready`.
    """

    def __init__(self) -> None:
        self.trouble: str | None = None
        self._keys: list[Key] = []

    def __bool__(self) -> bool:
        return bool(self._keys)

    @property
    def identities(self) -> set[object]:
        """The identities of all keys."""
        return {key.identity for key in self._keys}

    def candidates(self, algorithm: object, kid: object) -> list[Key]:
        """The keys that may have signed a token with this header."""
        return [
            key
            for key in self._keys
            if key.algorithm == algorithm and (kid is None or key.kid is None or key.kid == kid)
        ]

    def replace(self, keys: Sequence[Key]) -> str:
        """Replace all keys; a key that was there before keeps its grants. Returns a summary of the changes."""
        before = {key.identity: key for key in self._keys}
        now = {key.identity: key for key in keys}
        for identity in before.keys() - now.keys():
            before[identity].withdrawn = True
        self._keys = [before.get(identity, key) for identity, key in now.items()]
        gone, new = len(before.keys() - now.keys()), len(now.keys() - before.keys())
        return f"{len(now)} keys, {new} of them new; {gone} are gone"

    async def open(self) -> None:
        """As `Tokens.open`."""

    async def close(self) -> None:
        """As `Tokens.close`."""

    def refresh(self, then: Callable[[], None]) -> bool:
        """As `Tokens.refresh`."""
        return False

    def reread(self) -> str:
        """As `Tokens.reread`."""
        raise NotImplementedError


class SecretFile(Keys):
    """One secret, from a file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self.reread()

    def reread(self) -> str:
        return self.replace([secret_key(content(SECRET_VARIABLE, self._path))])


class KeySetFile(Keys):
    """A JWK set, from a file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self.reread()

    def reread(self) -> str:
        try:
            return self.replace(keys_in(content(JWKS_VARIABLE, self._path)))
        except ValueError as error:
            raise error if isinstance(error, SettingError) else SettingError(f"{JWKS_VARIABLE}: {error}") from None


def secret_key(body: bytes) -> Key:
    """
    Raises:
        SettingError: it is not one.
    """
    secret = body.strip()
    if secret.startswith(PUBLIC_KEY_BEGINNINGS):
        raise SettingError(f"{SECRET_VARIABLE} names a key file, not a secret; public keys go into GATEWAY_JWKS")
    if len(secret) < LEAST_SECRET_BYTES:
        raise SettingError(
            f"{SECRET_VARIABLE}: the secret has {len(secret)} bytes, and {LEAST_SECRET_BYTES} are the least; "
            "make one with: openssl rand -hex 32"
        )
    return Key(None, "HS256", secret, secret)


def keys_in(body: bytes) -> list[Key]:
    """The keys of a JWK set (RFC 7517 §5) that can check RS256 or ES256; others are skipped, as the RFC demands.

    Raises:
        ValueError: it is no JWK set, or has no such key; the text is a sentence.
    """
    try:
        entries = json.loads(body)["keys"]
        described = [entry for entry in entries if isinstance(entry, dict)]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError('not a JWK set, which is {"keys": [...]}') from None
    keys = list(_usable(described[:MAX_KEYS]))
    if not keys:
        raise ValueError("no key in it is for RS256 (2048 bits at least) or ES256")
    return keys


def _usable(described: Iterable[dict[str, Any]]) -> Iterable[Key]:
    for entry in described:
        algorithm = ALGORITHM.get((str(entry.get("kty")), str(entry.get("crv", ""))))
        if algorithm is None or not _may_verify(entry, algorithm):
            continue
        public = {field: entry[field] for field in PUBLIC_FIELDS if field in entry}  # a private half is none of ours
        try:
            material = jwt.PyJWK(public, algorithm).key
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if isinstance(material, RSAPublicKey) and material.key_size < LEAST_RSA_BITS:
            continue
        kid = entry.get("kid")
        yield Key(kid if isinstance(kid, str) else None, algorithm, material, json.dumps([kid, public], sort_keys=True))


def _may_verify(entry: dict[str, Any], algorithm: str) -> bool:
    """What it says of itself allows it, RFC 7517 §4."""
    operations = entry.get("key_ops")
    return (
        entry.get("alg", algorithm) == algorithm
        and entry.get("use", "sig") == "sig"
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )
