"""The login of the gateway at a NATS server: user, secret, and TLS.

**Files are named once and read at each dial**, so that a password, key or certificate that is renewed on disk counts
from the next connection on, without a restart. What they hold goes to the client library alone: it stands in no error,
log line or endpoint.
"""

import base64
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

LARGEST_FILE_BYTES: Final = 64 << 10  # a `.creds` file has one to four KiB
CREDS: Final = re.compile(  # the armour that `nsc` writes: the user's JWT, then the seed of the key that it is bound to
    r"-{3,}\s*BEGIN NATS USER JWT\s*-{3,}\s+(?P<jwt>\S+)\s+-{3,}.*"
    r"-{3,}\s*BEGIN USER NKEY SEED\s*-{3,}\s+(?P<seed>\S+)\s+-{3,}",
    re.DOTALL,
)


class AccessError(Exception):
    """A file does not hold what is needed to log in; the text names setting and file, and shows no content."""


@dataclass(frozen=True, slots=True)
class Access:
    """At most one of `user`, `token_file`, `nkey_file` and `creds_file`; none where the URL has the login.

    Attributes:
        user: the name that goes with `password_file`.
        password_file: holds the password, one line.
        token_file: holds the token, one line.
        nkey_file: holds the seed of the user's nkey, one line.
        creds_file: the user's JWT and seed, as `nsc` writes them.
        ca_file: PEM; the authorities that may sign the server's certificate, instead of the system's.
        cert_file: PEM; our certificate with what leads to its authority.
        key_file: PEM, not encrypted; its key, where that is not in `cert_file`.
        tls_first: whether the server awaits the TLS handshake before it sends INFO.
    """

    user: str = ""
    password_file: str = ""
    token_file: str = ""
    nkey_file: str = ""
    creds_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    tls_first: bool = False

    @property
    def asks_for_tls(self) -> bool:
        """Whether something here makes sense with TLS alone."""
        return bool(self.ca_file or self.cert_file or self.tls_first)

    def options(self, with_tls: bool) -> dict[str, Any]:
        """Arguments of the client's `connect`, from the files' content. Blocks: not for the event loop.

        Raises:
            AccessError: a file cannot be read, or has wrong content.
        """
        tls = {"tls": self._tls_context(), "tls_handshake_first": self.tls_first} if with_tls else {}
        return {**self._login(), **tls}

    def require_files(self) -> None:
        """Read all files once, so that a wrong one ends the start.

        Raises:
            AccessError: as `options` does.
        """
        self.options(self.asks_for_tls)

    def _login(self) -> dict[str, Any]:
        if self.creds_file:
            return _creds(self.creds_file)
        if self.nkey_file:
            return _nkey(self.nkey_file)
        if self.token_file:
            return {"token": _line("GATEWAY_NATS_TOKEN_FILE", self.token_file)}
        if self.user:
            return {"user": self.user, "password": _line("GATEWAY_NATS_PASSWORD_FILE", self.password_file)}
        return {}

    def _tls_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except OSError as error:
            raise AccessError(f"GATEWAY_NATS_CA: {self.ca_file} is no PEM of certificates: {_words(error)}") from None
        if self.cert_file:
            cert, key = self.cert_file, self.key_file or self.cert_file
            try:
                context.load_cert_chain(cert, key, password=_no_passphrase)
            except OSError as error:
                raise AccessError(
                    f"GATEWAY_NATS_CERT: {cert} and {key} are no PEM of a certificate and its key: {_words(error)}"
                ) from None
        return context


def _creds(path: str) -> dict[str, Any]:
    setting = "GATEWAY_NATS_CREDS_FILE"
    found = CREDS.search(_text(setting, path))
    if found is None:
        raise AccessError(f"{setting}: {path} does not hold the JWT of a NATS user and the seed of its key")
    jwt, sign = found["jwt"].encode(), _signer(setting, path, found["seed"])
    return {"user_jwt_cb": lambda: bytearray(jwt), "signature_cb": sign}


def _nkey(path: str) -> dict[str, Any]:
    setting = "GATEWAY_NATS_NKEY_FILE"
    seed = _line(setting, path)
    _signer(setting, path, seed)
    return {"nkeys_seed_str": seed}


def _signer(setting: str, path: str, seed: str) -> Callable[[str], bytes]:
    """What answers the server's challenge."""
    import nkeys  # noqa: PLC0415  # 0.9 MB and 50 ms, for those who use a key

    try:
        key_pair = nkeys.from_seed(bytearray(seed.encode()))
    except (nkeys.NkeysError, ValueError):
        raise AccessError(f"{setting}: {path} does not hold the seed of a user's nkey (SU…)") from None
    return lambda nonce: base64.b64encode(key_pair.sign(nonce.encode()))


def _line(setting: str, path: str) -> str:
    """The one line of a file, without its end."""
    line = _text(setting, path).rstrip("\r\n")
    if not line or "\n" in line:
        raise AccessError(f"{setting}: {path} does not hold one line")
    return line


def _text(setting: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise AccessError(f"{setting}: cannot read {path}: {_words(error)}") from None
    if len(content) > LARGEST_FILE_BYTES:
        raise AccessError(f"{setting}: {path} is larger than {LARGEST_FILE_BYTES} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise AccessError(f"{setting}: {path} is not text in UTF-8") from None


def _words(error: OSError) -> str:
    """An error of the operating system or of OpenSSL, without the path, which stands beside it."""
    return error.strerror or type(error).__name__


def _no_passphrase() -> NoReturn:
    """Without this OpenSSL would ask for one on the terminal."""
    raise AccessError("GATEWAY_NATS_KEY: the key is encrypted; give one without a passphrase")
