"""What admission needs to know of a request, from Starlette's."""

from starlette.requests import HTTPConnection

from src.gateway.admission.client_request import ClientRequest


def client_request(request: HTTPConnection) -> ClientRequest:
    """The request's address, query and headers."""
    address = request.client.host if request.client is not None else ""
    return ClientRequest(address, request.scope["query_string"].decode("latin-1"), request.headers.getlist)
