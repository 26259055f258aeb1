"""`python -m tests.typescript.gateway_processes`: NATS, a gateway and a publisher, controlled by tests in Node.

Each line on stdin is a command, a JSON object with `do`; a line on stdout answers it when it is done. The first line
has the URL of the stream. All ends with stdin. Words after the command are tokens: the gateway accepts these.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from signal import SIGHUP
from typing import Any, Final

from src.demo.nats_server import NatsServer
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher

SETTINGS: Final = {"GATEWAY_MARKET": "24x7", "GATEWAY_HISTORY": "on"}


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="spymaster-") as folder, NatsServer() as nats_server:
        settings = {**SETTINGS, **login(Path(folder), sys.argv[1:])}
        gateway = GatewayProcess(Path(folder), nats_server.url, **settings).start()
        try:
            async with Publisher(nats_server) as publisher:
                await follow(Path(folder), nats_server, gateway, publisher)
        finally:
            gateway.kill()


def login(folder: Path, tokens: list[str]) -> dict[str, str]:
    """The settings with which a gateway wants one of these; without any, none."""
    if not tokens:
        return {}
    allow(folder, *tokens)
    return {"GATEWAY_AUTH": "token", "GATEWAY_TOKENS_FILE": str(folder / "tokens")}


def allow(folder: Path, *tokens: str) -> None:
    """From the next reading on, these tokens and no other are good."""
    (folder / "tokens").write_text("".join(f"{token} a viewer\n" for token in tokens))
    (folder / "tokens").chmod(0o600)


async def follow(folder: Path, nats_server: NatsServer, gateway: GatewayProcess, publisher: Publisher) -> None:
    """Do what stdin says."""
    at_once: dict[str, Callable[[], Any]] = {
        "stop the gateway": gateway.stop,
        "kill the gateway": gateway.kill,
        "start the gateway": gateway.start,
        "freeze the gateway": gateway.freeze,
        "thaw the gateway": gateway.thaw,
        "kill NATS": nats_server.kill,
        "start NATS": nats_server.start,
    }
    answer({"url": gateway.url()})
    while line := await asyncio.to_thread(sys.stdin.readline):
        command = json.loads(line)
        if command["do"] == "publish":
            body = command["body"]
            await publisher.publish(command["subject"], body.encode() if isinstance(body, str) else body)
        elif command["do"] == "allow":
            allow(folder, *command["tokens"])
            gateway.signal(SIGHUP)
        else:
            await asyncio.to_thread(at_once[command["do"]])
        answer({})


def answer(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
