"""Who asks: what of a request decides whether it is let in, from whichever server has read it."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote

BEARER: Final = "bearer"
MAX_TOKEN_CHARACTERS: Final = 8192  # a JWT with long claims has 2,000; a longer one is not even looked at


class ClientRequest(NamedTuple):
    """
    Attributes:
        address: of the socket's other end.
        query: what follows the `?` of the request's target.
        header: every value of the header of this name, in any case.
    """

    address: str
    query: str
    header: Callable[[str], Sequence[str]]


def offered_token(request: ClientRequest, query_counts: bool) -> str | None:
    """The token that the request carries, by the first way that it takes; None where it has none.

    Args:
        request: see there.
        query_counts: whether `?token=` is a way.
    """
    return (
        _in_authorization(request.header("Authorization"))
        or _beside_bearer(subprotocols(request))
        or (_in_query(request.query) if query_counts else None)
    )


def subprotocols(request: ClientRequest) -> list[str]:
    """What the request offers, in its order."""
    return [name.strip() for value in request.header("Sec-WebSocket-Protocol") for name in value.split(",")]


def answered_subprotocol(offered: Sequence[str]) -> str | None:
    """What the handshake answers: a browser that offered any fails without one, and one that was not offered fails all.

    Never the token, which stands beside it (RFC 6455 §4.2.2, the Fetch and WebSockets standards of WHATWG).
    """
    return BEARER if BEARER in offered else None


def _in_authorization(values: Sequence[str]) -> str | None:
    for value in values:
        scheme, _, token = value.strip().partition(" ")
        if scheme.lower() == BEARER:  # RFC 9110 §11.1: in any case
            return token.strip() or None
    return None  # a proxy's own login, Basic for example, is not ours


def _beside_bearer(offered: Sequence[str]) -> str | None:
    if BEARER not in offered:
        return None
    beside = offered.index(BEARER) + 1
    return offered[beside] or None if beside < len(offered) else None


def _in_query(query: str) -> str | None:
    for part in query.split("&"):
        name, _, token = part.partition("=")
        if name == "token":
            return unquote(token) or None
    return None
