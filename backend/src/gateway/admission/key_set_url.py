"""A JWK set behind a URL, kept fresh: fetched every few minutes, and when a token names a key that is not in it.

What was fetched last counts until the next fetch succeeds. A fetch runs in a thread of its own, because nothing in the
standard library asks for HTTPS without blocking; a daemon, so that it never holds up the end of the process.
"""

import asyncio
import contextlib
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from src.common.tasks import end
from src.gateway.admission.files import MAX_FILE_BYTES
from src.gateway.admission.keys import JWKS_VARIABLE, Keys, keys_in

logger = logging.getLogger("gateway")

REFRESH_S: Final = 300.0
PAUSE_S: Final = 5.0  # between two fetches at least, whatever tokens ask for
RETRY_S: Final = 15.0  # after a fetch that failed
FETCH_LIMIT_S: Final = 5.0
MAX_WAITING: Final = 1000  # handshakes that wait for one fetch
CHUNK_BYTES: Final = 1 << 16

Fetch = Callable[[str], Awaitable[bytes]]


class KeySetUrl(Keys):
    """Keys from a URL, fetched from `open` to `close`."""

    def __init__(self, url: str, fetch: "Fetch | None" = None) -> None:
        """
        Args:
            url: http or https.
            fetch: returns the body, in bounded time; raises FetchFailed.
        """
        super().__init__()
        self.trouble = "not fetched yet"
        self._url = url
        self._fetch = fetch or fetched
        self._asked = asyncio.Event()
        self._waiting: list[Callable[[], None]] = []
        self._refreshing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start to fetch periodically; returns when the first fetch has succeeded or failed."""
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh(), name="key set")
            first = asyncio.Event()
            self._waiting.append(first.set)
            await first.wait()

    async def close(self) -> None:
        """Idempotent. No callback follows."""
        await end(self._refreshing)
        self._refreshing = None
        self._waiting.clear()

    def refresh(self, then: Callable[[], None]) -> bool:
        """Call `then` after the next fetch, within `PAUSE_S` and `FETCH_LIMIT_S`; False where too many wait."""
        if self._refreshing is None or len(self._waiting) >= MAX_WAITING:
            return False
        self._waiting.append(then)
        self._asked.set()
        return True

    def reread(self) -> str:
        """Starts a fetch, which logs the changes."""
        self._asked.set()
        return "the keys are fetched again"

    async def _refresh(self) -> None:
        while True:
            self._asked.clear()
            waiting, self._waiting = self._waiting, []  # requests during a fetch wait for the next one
            try:
                await self._fetch_once()
            except Exception:
                logger.exception("%s: the keys could not be taken; trying again", JWKS_VARIABLE)
                self.trouble = self.trouble or "a fault of the gateway; see its log"
            for then in waiting:
                asyncio.get_running_loop().call_soon(then)
            await asyncio.sleep(PAUSE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout((RETRY_S if self.trouble else REFRESH_S) - PAUSE_S):
                    await self._asked.wait()

    async def _fetch_once(self) -> None:
        try:
            keys = keys_in(await self._fetch(self._url))
        except (FetchFailed, ValueError) as error:
            if self.trouble != str(error):
                kept = "those from before stay" if self else "no token can be checked until it is there"
                logger.error("%s: no keys from %s: %s; %s", JWKS_VARIABLE, shown(self._url), error, kept)
            self.trouble = str(error)
            return
        before = self.identities
        changed = self.replace(keys)
        if self.trouble or before != self.identities:
            logger.info("%s: %s", JWKS_VARIABLE, changed)
        self.trouble = None


class FetchFailed(Exception):
    """The text says why."""


async def fetched(url: str) -> bytes:
    """The content at the URL, at most `MAX_FILE_BYTES`, within `FETCH_LIMIT_S`.

    Raises:
        FetchFailed: it could not be had.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[bytes] = loop.create_future()

    def settle(body: bytes | None, failure: str) -> None:
        if outcome.done():
            return
        if body is None:
            outcome.set_exception(FetchFailed(failure))
        else:
            outcome.set_result(body)

    def work() -> None:
        body, failure = _got(url)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, body, failure)

    threading.Thread(target=work, name="key set", daemon=True).start()
    try:
        async with asyncio.timeout(FETCH_LIMIT_S):
            return await outcome
    except TimeoutError:
        raise FetchFailed(f"no answer within {FETCH_LIMIT_S:g} s") from None


def shown(url: str) -> str:
    """The URL without user and query, which may be secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from the configured URL only."""

    def redirect_request(self, *_args: Any) -> None:
        return None


def _got(url: str) -> tuple[bytes | None, str]:
    """The body, or None and why not."""
    deadline_s = time.monotonic() + FETCH_LIMIT_S
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(url, timeout=FETCH_LIMIT_S) as response:
            body = b""
            while chunk := response.read1(CHUNK_BYTES):
                body += chunk
                if len(body) > MAX_FILE_BYTES:
                    return None, f"more than {MAX_FILE_BYTES} bytes"
                if time.monotonic() > deadline_s:
                    return None, f"not complete within {FETCH_LIMIT_S:g} s"
            return body, ""
    except urllib.error.HTTPError as error:
        error.close()
        return None, f"it answers with status {error.code}"
    except urllib.error.URLError as error:
        return None, str(error.reason)
    except (OSError, HTTPException, ValueError) as error:
        return None, str(error) or type(error).__name__
