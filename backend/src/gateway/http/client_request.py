"""What admission needs to know of a request, from Starlette's, and its decision about one that reads."""

from collections.abc import Awaitable, Callable

from fastapi import HTTPException
from starlette.requests import HTTPConnection, Request

from src.gateway.admission.client_request import ClientRequest
from src.gateway.socket_broadcaster import SocketBroadcaster


def client_request(request: HTTPConnection) -> ClientRequest:
    """The request's address, query and headers."""
    address = request.client.host if request.client is not None else ""
    return ClientRequest(address, request.scope["query_string"].decode("latin-1"), request.headers.getlist)


def may_read(broadcaster: SocketBroadcaster) -> Callable[[Request], Awaitable[None]]:
    """A dependency that asks for the same token as the stream."""

    async def check(request: Request) -> None:
        refusal = await broadcaster.admission_control.check_read(client_request(request))
        if refusal is not None:
            raise HTTPException(refusal.status, refusal.detail, refusal.headers)

    return check
