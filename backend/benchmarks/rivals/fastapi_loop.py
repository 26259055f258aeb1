"""The usual way: FastAPI, a list of connections, `await websocket.send_text(…)` for each.

uvicorn with its defaults: WebSockets by the websockets library, permessage-deflate for each connection that offers it.

Run as `python -m benchmarks.rivals.fastapi_loop PORT NATS_URL`.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from benchmarks.rivals.feed import feed


def make_app(nats_url: str) -> FastAPI:
    connections: list[WebSocket] = []

    async def send_to_all(text: str) -> None:
        for websocket in tuple(connections):
            await websocket.send_text(text)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await feed(nats_url, send_to_all)
        yield

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/ws/stream")
    async def stream(websocket: WebSocket) -> None:
        await websocket.accept()
        connections.append(websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            connections.remove(websocket)

    return app


if __name__ == "__main__":
    uvicorn.run(make_app(sys.argv[2]), port=int(sys.argv[1]), loop="uvloop", log_level="warning")
