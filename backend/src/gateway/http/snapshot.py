"""`GET /snapshot`: the current payload by a plain HTTP request."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Depends, HTTPException, Request, Response

from src.gateway.descriptions.shape_schema import shape_schema
from src.gateway.http.client_request import client_request
from src.gateway.refusals import Refusal
from src.gateway.socket_broadcaster import SocketBroadcaster


def may_read(broadcaster: SocketBroadcaster) -> Callable[[Request], Awaitable[None]]:
    """A dependency that asks for the same token as the stream."""

    async def check(request: Request) -> None:
        refusal = await broadcaster.admission_control.check_read(client_request(request))
        if refusal is not None:
            raise HTTPException(refusal.status, refusal.detail, refusal.headers)

    return check


def snapshot_router(broadcaster: SocketBroadcaster) -> APIRouter:
    """`/snapshot` asks for the same token as the stream."""
    router = APIRouter()

    @router.get(
        "/snapshot",
        response_class=Response,
        responses={200: {"content": {"application/json": {}}}, 204: {}, 400: {}, 401: {}},
        dependencies=[Depends(may_read(broadcaster))],
        openapi_extra={
            "parameters": [
                {"name": name, "in": "query", "schema": schema}
                for name, schema in shape_schema(in_query=True)["properties"].items()
            ]
        },
    )
    async def snapshot(request: Request) -> Response:
        """The current payload, as the stream would send it first; 204 while there is none.

        Takes the query parameters of the stream.
        """
        payload = broadcaster.shapes.payload_of(client_request(request).query)
        if isinstance(payload, Refusal):
            raise HTTPException(payload.status, payload.detail)
        if payload is None:
            return Response(status_code=204)
        return Response(payload, media_type="application/json", headers={"Cache-Control": "no-store"})

    return router
