"""The websockets library's own server and its `broadcast`, with its defaults, on uvloop.

Run as `python -m benchmarks.rivals.broadcast PORT NATS_URL`.
"""

import asyncio
import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.rivals.feed import feed

BACKLOG = 2048  # as uvicorn's, not asyncio's 100: all viewers come at once


async def main(port: int, nats_url: str) -> None:
    connections: set[ServerConnection] = set()

    async def stream(connection: ServerConnection) -> None:
        connections.add(connection)
        try:
            await connection.wait_closed()
        finally:
            connections.remove(connection)

    async def send_to_all(text: str) -> None:
        broadcast(connections, text)

    await feed(nats_url, send_to_all)
    async with serve(stream, "127.0.0.1", port, backlog=BACKLOG) as server:
        await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), sys.argv[2]))
