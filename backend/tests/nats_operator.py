"""A NATS operator for tests: signs the JWTs (version 2) that `nsc` would, for one account and its users."""

import base64
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import nkeys

NO_LIMITS = dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), -1) | {"wildcards": True}
JETSTREAM_LIMITS: Mapping[str, Any] = dict.fromkeys(("mem_storage", "disk_storage", "streams", "consumer"), -1)


class Key(NamedTuple):
    """An nkey: its seed, and the public key that it is known by."""

    seed: str
    public: str

    def sign(self, content: bytes) -> bytes:
        signature: bytes = nkeys.from_seed(bytearray(self.seed.encode())).sign(content)
        return signature


def new_key(prefix: int = nkeys.PREFIX_BYTE_USER) -> Key:
    seed = nkeys.encode_seed(os.urandom(32), prefix)
    return Key(seed.decode(), nkeys.from_seed(bytearray(seed)).public_key.decode())


class Operator:
    """An operator with a system account and one that has JetStream."""

    def __init__(self, jetstream_limits: Mapping[str, Any] = JETSTREAM_LIMITS) -> None:
        self._jetstream_limits = jetstream_limits
        self._key = new_key(nkeys.PREFIX_BYTE_OPERATOR)
        self._system, self._account = (new_key(nkeys.PREFIX_BYTE_ACCOUNT) for _ in range(2))

    def server_config(self) -> str:
        """What a nats-server needs to know of it."""
        operator = self._jwt(self._key, self._key, "operator", system_account=self._system.public)
        system = self._jwt(self._key, self._system, "account", limits=NO_LIMITS)
        account = self._jwt(self._key, self._account, "account", limits={**NO_LIMITS, **self._jetstream_limits})
        return f"""\
operator: {operator}
system_account: {self._system.public}
resolver: MEMORY
resolver_preload {{ {self._system.public}: {system}, {self._account.public}: {account} }}
"""

    def write_creds(self, path: Path, *, valid_for_s: float | None = None, **rights: Any) -> None:
        """Make a user of the account, and its `.creds` file, in one step, as who rotates it should.

        Args:
            valid_for_s: from now; without limit when it is None.
            rights: `pub` and `sub` of the user's JWT.
        """
        user = new_key()
        limits = {"subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}, **rights}
        jwt = self._jwt(self._account, user, "user", valid_for_s, **limits)
        written = path.with_suffix(".new")
        written.write_text(creds(jwt, user.seed))
        written.rename(path)

    def _jwt(self, issuer: Key, subject: Key, kind: str, valid_for_s: float | None = None, **claims: Any) -> str:
        now_s = int(time.time())
        body = {
            "jti": base64.b32encode(os.urandom(32)).decode().rstrip("="),
            "iat": now_s,
            "iss": issuer.public,
            "name": f"test {kind}",
            "sub": subject.public,
            "nats": {**claims, "type": kind, "version": 2},
        }
        if valid_for_s is not None:
            body["exp"] = int(now_s + valid_for_s)
        signed = f"{_base64({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_base64(body)}"
        return f"{signed}.{_url_safe(issuer.sign(signed.encode()))}"


def creds(jwt: str, seed: str) -> str:
    """The two in the armour that `nsc` puts them in."""
    return f"""\
-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------

*************************************************************
"""


def _base64(content: dict[str, Any]) -> str:
    return _url_safe(json.dumps(content).encode())


def _url_safe(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
