"""The stream's path in the ASGI application, for servers other than the gateway's own; and its description.

The gateway's own port serves the stream by `delivery/stream_peer.py`, and only a request without an upgrade comes here.
"""

from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse

from src.gateway.admission.client_request import answered_subprotocol, subprotocols
from src.gateway.delivery.stream_peer import STREAM_PATH
from src.gateway.descriptions.asyncapi import asyncapi
from src.gateway.http.client_request import client_request
from src.gateway.refusals import NOT_UPGRADED, Refusal
from src.gateway.socket_broadcaster import SocketBroadcaster


def stream_router(broadcaster: SocketBroadcaster) -> APIRouter:
    """The WebSocket, the answer to a request that is none, and `/asyncapi.json`."""
    router = APIRouter()
    admission_control = broadcaster.admission_control

    @router.get(STREAM_PATH, status_code=426, include_in_schema=False)
    async def not_upgraded() -> JSONResponse:
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}  # RFC 9110 §15.5.22
        admission_control.count(NOT_UPGRADED)
        return JSONResponse({"detail": NOT_UPGRADED.detail}, NOT_UPGRADED.status, headers)

    @router.websocket(STREAM_PATH)
    async def stream(websocket: WebSocket) -> None:
        admission = await admission_control.admit_async(client_request(websocket))
        if isinstance(admission, Refusal):
            await _refuse(websocket, admission)
            return
        channel = broadcaster.shapes.of_query(client_request(websocket).query)
        if isinstance(channel, Refusal):
            admission.release()
            await _refuse(websocket, admission_control.count(channel))
            return
        try:
            await broadcaster.connect(websocket, admission, channel)
            while True:
                await websocket.receive()
        except (WebSocketDisconnect, RuntimeError):  # RuntimeError: received again after the disconnect message
            pass
        finally:
            await broadcaster.disconnect(websocket)
            broadcaster.hub.release(channel)
            admission.release()

    @router.get("/asyncapi.json", include_in_schema=False)
    async def stream_description() -> JSONResponse:
        return JSONResponse(asyncapi())

    return router


async def _refuse(websocket: WebSocket, refusal: Refusal) -> None:
    if refusal.close_code is not None:
        await websocket.accept(subprotocol=answered_subprotocol(subprotocols(client_request(websocket))))
        await websocket.close(refusal.close_code.code, refusal.close_code.reason)
    elif "websocket.http.response" in websocket.scope.get("extensions", {}):
        answer = JSONResponse({"detail": refusal.detail}, refusal.status, refusal.headers)
        await websocket.send_denial_response(answer)
    else:
        await websocket.close()  # before it is accepted, that is a 403 (ASGI specification)
