"""The parts of a request that admission needs, from any HTTP server."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote

BEARER: Final = "bearer"
MAX_TOKEN_CHARACTERS: Final = 8192  # a JWT with long claims has 2,000; a longer token is not checked


class ClientRequest(NamedTuple):
    """
    Attributes:
        address: of the other end of the socket.
        query: the part of the target after `?`.
        header: all values of the header of this name, in any case.
    """

    address: str
    query: str
    header: Callable[[str], Sequence[str]]


def offered_token(request: ClientRequest, query_counts: bool) -> str | None:
    """The token of the request, from the first place that has one; None where there is none.

    Args:
        request: see there.
        query_counts: whether `?token=` is such a place.
    """
    return (
        _in_authorization(request.header("Authorization"))
        or _beside_bearer(subprotocols(request))
        or (_in_query(request.query) if query_counts else None)
    )


def subprotocols(request: ClientRequest) -> list[str]:
    """The offered subprotocols, in their order."""
    return [name.strip() for value in request.header("Sec-WebSocket-Protocol") for name in value.split(",")]


def answered_subprotocol(offered: Sequence[str]) -> str | None:
    """The subprotocol of the response: a browser that offered some fails without one, and fails with another one.

    Never the token, which is offered beside it (RFC 6455 §4.2.2, the Fetch and WebSockets standards of WHATWG).
    """
    return BEARER if BEARER in offered else None


def _in_authorization(values: Sequence[str]) -> str | None:
    for value in values:
        scheme, _, token = value.strip().partition(" ")
        if scheme.lower() == BEARER:  # RFC 9110 §11.1: in any case
            return token.strip() or None
    return None  # a login of a proxy, for example Basic


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
