"""StreamPeer as an echo server, for the Autobahn suite: `python -m tests.conformance.echo_server PORT`.

What is tested is the gateway's own peer: its handshake, its reading and checking, its pings and closes. Only what the
gateway drops, the messages that a viewer sends, is sent back here.
"""

import asyncio
import sys

import uvloop
from websockets.frames import CTRL_OPCODES, Frame, Opcode
from websockets.protocol import OPEN

from src.gateway.delivery.hub import Hub
from src.gateway.delivery.stream_peer import PeerLimits, StreamPeer

LIMITS = PeerLimits(max_incoming_bytes=64 << 20, max_incoming_rate=1 << 30)  # the largest message has 16 MiB


class EchoPeer(StreamPeer):
    """Sends each message back as it came, text as text, fragments joined."""

    def receive(self, frame: Frame) -> None:
        if frame.opcode in CTRL_OPCODES:
            return
        if frame.opcode is not Opcode.CONT:
            self._opcode, self._parts = frame.opcode, [b""]
        self._parts.append(bytes(frame.data))
        if frame.fin:
            self._echo(Frame(self._opcode, b"".join(self._parts)))

    def _echo(self, message: Frame) -> None:
        if self._websocket.state is OPEN:
            self._websocket.send_frame(message)
        else:  # what came before a violation is still answered, as the strict cases demand
            self._transport.write(message.serialize(mask=False, extensions=self._websocket.extensions))


async def main(port: int) -> None:
    hub = Hub()
    server = await asyncio.get_running_loop().create_server(lambda: EchoPeer(hub, LIMITS), "127.0.0.1", port)
    print(f"echoing on ws://127.0.0.1:{port}/ws/stream", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(main(int(sys.argv[1])))
