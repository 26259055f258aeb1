"""Tokens from a file: one a line, with an optional name after it. `#` begins a comment."""

import hashlib
import hmac
import re
from typing import Final

from src.gateway.admission.files import content
from src.gateway.admission.grants import Grant, Tokens, Trust
from src.gateway.refusals import TOKEN_BAD, Refusal
from src.gateway.settings import SettingError

VARIABLE: Final = "GATEWAY_TOKENS_FILE"
# Characters that every place for a token allows: RFC 6750 §2.1 without the `/` and `=` that a subprotocol may not have.
TOKEN: Final = re.compile(r"[A-Za-z0-9._~+-]{16,1024}")
MAX_TOKENS: Final = 1000  # each is compared at each handshake, 0.1 µs apiece


class StaticTokens(Tokens):
    """The tokens of one file, as digests."""

    def __init__(self, path: str) -> None:
        """Raises SettingError as `reread` does."""
        self._path = path
        self._grants: dict[bytes, Grant] = {}
        self.reread()

    def grant(self, token: str, now_s: float) -> Grant | Refusal:
        """Takes the same time for every wrong token, however much of it is right."""
        digest = _digest(token)
        found: Grant | Refusal = TOKEN_BAD
        for known, grant in self._grants.items():
            if hmac.compare_digest(known, digest):
                found = grant
        return found

    def reread(self) -> str:
        digests = {_digest(token) for token in tokens_in(content(VARIABLE, self._path))}
        gone = self._grants.keys() - digests
        new = digests - self._grants.keys()
        for digest in gone:
            self._grants.pop(digest).trust.withdrawn = True
        self._grants.update((digest, Grant(Trust())) for digest in new)
        return f"{len(self._grants)} tokens, {len(new)} of them new; {len(gone)} are gone"


def tokens_in(body: bytes) -> list[str]:
    """
    Raises:
        SettingError: a line is wrong; the text names its number and shows no content.
    """
    try:
        lines = body.decode().splitlines()
    except UnicodeDecodeError:
        raise SettingError(f"{VARIABLE}: the file is not text in UTF-8") from None
    tokens = []
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split(maxsplit=1)
        if words and not TOKEN.fullmatch(words[0]):
            raise SettingError(
                f"{VARIABLE}, line {number}: a token has 16 to 1024 of the characters A-Z a-z 0-9 . _ ~ + -, "
                "and its name follows it; make one with: openssl rand -hex 32"
            )
        tokens += words[:1]
    if not 0 < len(tokens) <= MAX_TOKENS:
        raise SettingError(f"{VARIABLE}: {len(tokens)} tokens in the file; 1 to {MAX_TOKENS} are accepted")
    return tokens


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()
