"""What an end means, and how long to stay away."""

import errno
import json

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response

from spymaster_client.disconnect import LONGEST_PAUSE_S, LONGEST_RETRY_AFTER_S, Disconnect, disconnect_of, pause_s
from src.gateway.close_codes import OWN_CLOSE_CODES
from src.gateway.refusals import REFUSALS, Refusal


def said(code: int, reason: str = "") -> Disconnect:
    """The gateway closed first."""
    return disconnect_of(ConnectionClosedError(Close(code, reason), Close(code, reason), True))


def refused(status: int, body: bytes = b"", **headers: str) -> Disconnect:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return disconnect_of(InvalidStatus(Response(status, "", Headers(named), body)))


@pytest.mark.parametrize("disconnect", OWN_CLOSE_CODES, ids=lambda disconnect: str(disconnect.code))
def test_the_close_codes_of_the_gateway_are_obeyed(disconnect: tuple[int, str, bool]) -> None:
    code, reason, reconnect = disconnect
    assert said(code, reason)[:3] == (code, f"closed by the gateway: {code} {reason}", reconnect)


@pytest.mark.parametrize(
    ("code", "reconnect"), [(1000, True), (1002, False), (1007, False), (1009, False), (4999, True)]
)
def test_other_codes_keep_away_only_when_it_would_happen_again(code: int, reconnect: bool) -> None:
    assert said(code).reconnect is reconnect


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionClosedError(None, None, None), "connection lost"),
        (ConnectionClosedError(None, Close(1011, "keepalive ping timeout"), None), "1011 keepalive ping timeout"),
        (ConnectionClosedError(Close(1009, ""), Close(1009, "frame too large"), False), "1009 frame too large"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), "connection refused"),
        (TimeoutError("timed out during opening handshake"), "no answer"),
        (OSError("Multiple exceptions: …"), "Multiple exceptions: …"),
        (OSError(), "OSError"),
    ],
)
def test_a_lost_connection_is_told_in_words_and_made_again(error: Exception, reason: str) -> None:
    disconnect = disconnect_of(error)
    assert (disconnect.code, disconnect.reconnect) == (1006, True)
    assert disconnect.explanation.endswith(reason)


@pytest.mark.parametrize(
    ("status", "reconnect"),
    [(400, False), (401, False), (403, False), (404, False), (408, True), (429, True), (500, True), (503, True)],
)
def test_a_refusal_that_would_come_again_is_the_end(status: int, reconnect: bool) -> None:
    assert refused(status)[:3] == (status, f"refused: HTTP {status}", reconnect)


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_the_gateways_refusals_are_told_in_its_words(refusal: Refusal) -> None:
    status, _, detail, retry_after_s, _ = refusal
    headers = {} if retry_after_s is None else {"Retry_After": str(retry_after_s)}
    disconnect = refused(status, json.dumps({"detail": detail}).encode(), **headers)
    assert disconnect.explanation == f"refused: HTTP {status} {detail}"
    assert disconnect.retry_after_s == (retry_after_s or 0)
    assert retry_after_s is None or disconnect.reconnect


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"detail": 1}', b"\xff", b"[" * 100_000, b"{}"])
def test_what_is_not_the_gateways_own_page_is_not_shown(body: bytes) -> None:
    assert refused(502, body).explanation == "refused: HTTP 502"


@pytest.mark.parametrize(
    ("disconnect", "retry_after_s"),
    [
        (said(1001, "the gateway is stopping; reconnect in 5 s"), 5.0),
        (said(1001, "reconnect in 0.25 s"), 0.25),
        (said(1001, "reconnect in 3s"), 3.0),
        (said(1001, "reconnect"), 0.0),
        (said(1001, "reconnect in 999999 s"), LONGEST_RETRY_AFTER_S),
        (refused(503, Retry_After="2"), 2.0),
        (refused(503, Retry_After="999999999999"), LONGEST_RETRY_AFTER_S),
        (refused(503, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT"), 0.0),
        (refused(503, Retry_After="-1"), 0.0),
    ],
)
def test_the_gateway_may_say_how_long_to_wait(disconnect: Disconnect, retry_after_s: float) -> None:
    assert disconnect.retry_after_s == retry_after_s
    assert pause_s(0, disconnect, 0.0) == retry_after_s


def test_a_refusal_that_says_when_to_come_back_is_not_the_end() -> None:
    assert refused(403, Retry_After="1").reconnect


@pytest.mark.parametrize(
    ("failures", "longest_s"), [(0, 0.25), (1, 0.5), (5, 8.0), (6, LONGEST_PAUSE_S), (10_000, LONGEST_PAUSE_S)]
)
def test_pauses_jitter_over_their_whole_range_and_stop_growing(failures: int, longest_s: float) -> None:
    lost = Disconnect(1006, "connection lost", True)
    assert [pause_s(failures, lost, share) for share in (0.0, 0.5, 1.0)] == [0.0, longest_s / 2, longest_s]
