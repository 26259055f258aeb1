"""nginx and HAProxy before any number of gateways, with the configuration of `deploy`; only addresses differ."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from src.demo.nats_server import HOST, free_port
from tests.documents import ROOT
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.proxy_process import haproxy, nginx

DEPLOY: Final = ROOT / "deploy"
FILES: Final = {"nginx": ("upstream.conf", "plain.conf"), "haproxy": ("common.cfg", "plain.cfg")}
PROGRAMS: Final = tuple(FILES)
A_SERVER: Final = re.compile(r"^ *server (?:gateway1 )?127\.0\.0\.1:8001.*\n", re.MULTILINE)
ANOTHER_SERVER: Final = re.compile(r"^ *server (?:gateway2 )?127\.0\.0\.1:8002.*\n", re.MULTILINE)


@contextmanager
def balancer(program: str, gateways: Sequence[GatewayProcess], folder: Path) -> Iterator[str]:
    """It runs until the end of the block; the address of the stream behind it."""
    port = free_port()
    addresses = {
        "listen 80;": f"listen {HOST}:{port};",
        "bind :80\n": f"bind {HOST}:{port}\n",
        "/etc/nginx/spymaster/proxy.conf": str(DEPLOY / "nginx" / "proxy.conf"),
        "maxconn 20000 ": "maxconn 400 ",  # the tests may not open so many files
    }
    texts = [_with_servers((DEPLOY / program / name).read_text(), gateways) for name in FILES[program]]
    for before, after in addresses.items():
        texts = [text.replace(before, after) for text in texts]
    with nginx("\n".join(texts), port, folder) if program == "nginx" else haproxy(texts, port, folder):
        yield f"ws://{HOST}:{port}/ws/stream"


def _with_servers(text: str, gateways: Sequence[GatewayProcess]) -> str:
    def lines(found: re.Match[str]) -> str:
        return "".join(
            found[0].replace("127.0.0.1:8001", f"{gateway.host}:{gateway.port}").replace("gateway1", f"gateway{number}")
            for number, gateway in enumerate(gateways, start=1)
        )

    return ANOTHER_SERVER.sub("", A_SERVER.sub(lines, text))
