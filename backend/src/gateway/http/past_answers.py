"""Answers of the past: what the history process says to a request, kept until the client has taken it.

The longest answer is a history of 2,500 points with 256 levels, uncompressed: 20 MB. A client that reads slowly makes
the gateway keep it for `GATEWAY_RESPONSE_TIMEOUT` at most. Bound of all together: `MOST_UNDER_WAY` answers and
`MOST_KEPT_BYTES`; a client address has at most half of both. Policy: a further one is refused with 503, and the client
asks again.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from src.gateway.admission.client_request import ClientRequest
from src.gateway.history.client import HistoryClient, HistoryUnavailable
from src.gateway.http.client_request import client_request
from src.gateway.refusals import NO_HISTORY, TOO_MANY_OF_THE_PAST, Refusal

MOST_UNDER_WAY: Final = 128  # half as many pages of one address that open at the same moment are served
MOST_KEPT_BYTES: Final = 128 << 20  # six of the longest answers; a session of 16 levels is 0.3 MB. With TLS twice that
AGAIN: Final = {"Retry-After": "1"}


class Budget:
    """An amount that all addresses share. What one of them has is at most what it leaves to the others.

    The first that an address takes only needs to fit. So whoever takes all he can still leaves some for who comes then.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._taken: Counter[str] = Counter()  # by address; bounded by `most`

    def take(self, address: str, amount: int) -> bool:
        """Whether it may have so much; if so, it is taken."""
        has, left = self._taken[address], self._free - amount
        if left < (has + amount if has else 0):
            return False
        self._taken[address] += amount
        self._free = left
        return True

    def give_back(self, address: str, amount: int) -> None:
        self._free += amount
        self._taken[address] -= amount
        if not self._taken[address]:
            del self._taken[address]


class PastAnswers:
    """Those of one gateway process that are under way."""

    def __init__(
        self,
        history: HistoryClient | None,
        refused: Counter[str],
        address_of: Callable[[ClientRequest], str],
        most: int = MOST_UNDER_WAY,
        most_bytes: int = MOST_KEPT_BYTES,
    ) -> None:
        """
        Args:
            history: is asked; None where the past is not kept.
            refused: where refusals are counted.
            address_of: of the client that asks.
            most: how many answers may be under way.
            most_bytes: how many bytes of them may be kept.
        """
        self._history = history
        self._refused = refused
        self._address_of = address_of
        self._places, self._bytes = Budget(most), Budget(most_bytes)

    def answer(self, request: Request) -> Response:
        """The response to a request of the past, which is asked for while it is sent."""
        if self._history is None:
            return _refusal(NO_HISTORY)
        return _AskedWhenSent(self, self._history, request)

    async def send_answer(self, history: HistoryClient, request: Request, send: Send) -> None:
        """Ask, and send what is answered; returns when the client has taken it, or is gone."""
        address = self._address_of(client_request(request))
        if not self._places.take(address, 1):
            await _send_until_taken(self._refuse(), send)
            return
        try:
            await self._keep(address, await _answered(history, request), send)
        finally:
            self._places.give_back(address, 1)

    async def _keep(self, address: str, response: Response, send: Send) -> None:
        kept_bytes = len(response.body)
        if not self._bytes.take(address, kept_bytes):
            await _send_until_taken(self._refuse(), send)
            return
        try:
            await _send_until_taken(response, send)
        finally:
            self._bytes.give_back(address, kept_bytes)

    def _refuse(self) -> Response:
        self._refused[TOO_MANY_OF_THE_PAST.name] += 1
        return _refusal(TOO_MANY_OF_THE_PAST)


class _AskedWhenSent(Response):
    """So that one call knows how long the answer is under way, whatever ends it."""

    def __init__(self, answers: PastAnswers, history: HistoryClient, request: Request) -> None:
        super().__init__()
        self._answers, self._history, self._request = answers, history, request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answers.send_answer(self._history, self._request, send)


async def _answered(history: HistoryClient, request: Request) -> Response:
    """What the history process answers; 503 while it cannot."""
    takes_gzip = "gzip" in request.headers.get("accept-encoding", "")
    try:
        answered = await history.ask(request.scope["route"].path, client_request(request).query, takes_gzip=takes_gzip)
    except HistoryUnavailable as why:
        return JSONResponse({"detail": str(why)}, 503, AGAIN)
    headers = {"Cache-Control": "no-store"} | (AGAIN if answered.status == 503 else {})
    if answered.is_gzip:
        headers["Content-Encoding"] = "gzip"
    return Response(answered.body, answered.status, media_type="application/json", headers=headers)


async def _send_until_taken(response: Response, send: Send) -> None:
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    await send({"type": "http.response.body", "body": b""})  # the server waits here until nearly all has been taken


def _refusal(refusal: Refusal) -> Response:
    return JSONResponse({"detail": refusal.detail}, refusal.status, refusal.headers)
