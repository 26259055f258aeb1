"""The README is true: its clients run as printed, its tables are those of the code, its links lead somewhere."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from starlette.routing import WebSocketRoute

from src.demo.nats_server import NatsServer
from src.gateway.http.app import make_app
from src.gateway.settings import Settings, variables
from src.gateway.socket_broadcaster import SocketBroadcaster
from tests.documents import CHANGELOG, INTERFACES, README, ROOT, Document, code_words, routes
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher
from tests.test_repository import pyproject
from tests.typescript.package import CLIENT, built_package, websocket_flags
from tests.waiting import until

DOCUMENT = Document(README)
PRINTED_ADDRESS = "localhost:8000"


# -- the clients, as printed -------------------------------------------------------------------------------------------


class Client:
    """A printed client as a process of its own; only host and port are replaced."""

    def __init__(self, command: list[str], folder: Path) -> None:
        self._output = folder / "output"
        self._heard = 0
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "no_proxy": "localhost,127.0.0.1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def lines(self) -> list[str]:
        return self._output.read_text().splitlines()

    async def until_it_says(self, *beginnings: str) -> None:
        """Wait for lines, one after another, that begin so; those it said before are looked at once."""

        def said() -> int | None:
            assert self._process.poll() is None, f"the client ended:\n{self._output.read_text()}"
            lines = self.lines
            for last in range(self._heard + len(beginnings), len(lines) + 1):
                if all(map(str.startswith, lines[last - len(beginnings) : last], beginnings)):
                    return last
            return None

        await until(said, f"{beginnings} from the client")
        self._heard = said() or 0

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def printed(language: str, gateway: GatewayProcess) -> str:
    (client,) = (
        block for block in DOCUMENT.code(language) if "/ws/stream" in block and "spymaster_client" not in block
    )
    assert client.count(PRINTED_ADDRESS) == 1
    return client.replace(PRINTED_ADDRESS, f"localhost:{gateway.port}")


@pytest.fixture
def gateway(nats_server: NatsServer, tmp_path: Path) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(tmp_path, nats_server.url).start()
    yield gateway
    gateway.kill()


@pytest.fixture
async def publisher(nats_server: NatsServer) -> AsyncIterator[Publisher]:
    async with Publisher(nats_server) as publisher:
        yield publisher


def node_command(folder: Path) -> list[str]:
    """What runs `client.mjs` there, with the package installed beside it."""
    installed = folder / "node_modules" / "@spymaster"
    installed.mkdir(parents=True)
    (installed / "client").symlink_to(built_package())
    return ["node", *websocket_flags(), "client.mjs"]


NO_CONNECTION = {"js": "CONNECTING", "python": "OFFLINE"}


@pytest.fixture(params=NO_CONNECTION)
def client(request: pytest.FixtureRequest, gateway: GatewayProcess, tmp_path: Path) -> Iterator[Client]:
    source, folder = printed(request.param, gateway), tmp_path / "client"
    folder.mkdir()
    if request.param == "js":
        (folder / "client.mjs").write_text(source)
        command = node_command(folder)
    else:
        (folder / "client.py").write_text(source)
        command = [sys.executable, "client.py"]
    client = Client(command, folder)
    yield client
    client.end()


async def test_the_printed_client_shows_signals_and_freshness_and_comes_back(
    client: Client,
    request: pytest.FixtureRequest,
    gateway: GatewayProcess,
    publisher: Publisher,
    nats_server: NatsServer,
    tmp_path: Path,
) -> None:
    no_connection = NO_CONNECTION[request.node.callspec.params["client"]]
    vwap = {"id": "VWAP", "kind": "VWAP", "price": 687.25, "signal": "REJECT"}
    await publisher.levels(1, spy={"spot": 687.5}, levels=[vwap, {"id": "calm"}])
    await client.until_it_says("LATE", "spot 687.5, 2 levels: BOUNCE VWAP 687.25")
    await publisher.levels(2, spy={"spot": 687.75}, levels=[])
    await client.until_it_says("LIVE", "spot 687.75, 0 levels: no trade")
    await client.until_it_says("LATE")
    assert gateway.stop() == 0
    await client.until_it_says(no_connection)
    back = GatewayProcess(tmp_path, nats_server.url, GATEWAY_PORT=str(gateway.port)).start()
    try:
        await until(lambda: back.health()["connections"] == 1, "the client is back")
        await publisher.levels(3, spy={"spot": 688}, levels=[])
        await client.until_it_says("LIVE", "spot 688")
    finally:
        back.kill()


def test_the_printed_client_is_the_one_whose_types_are_checked() -> None:
    (printed_client,) = DOCUMENT.code("js")
    assert printed_client.removeprefix("// client.mjs\n") == (CLIENT / "examples" / "terminal.js").read_text()


@pytest.mark.parametrize("path", [README, INTERFACES], ids=lambda path: path.name)
def test_the_printed_start_is_what_the_gateway_says(
    path: Path, gateway: GatewayProcess, nats_server: NatsServer
) -> None:
    (start,) = (block for block in Document(path).code() if "GATEWAY SERVICE" in block)
    printed_nats = re.findall(r"nats://\S+", start)[0]
    assert gateway.stdout == start.replace(printed_nats, nats_server.url).replace(":8000/", f":{gateway.port}/")


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [README, CHANGELOG, INTERFACES], ids=lambda path: path.name)
def test_a_variable_that_is_told_of_is_a_setting(path: Path) -> None:
    told = set(re.findall(r"\bGATEWAY_[A-Z_]+|\bNATS_URL\b", Document(path).text))
    assert told <= {name for variable in variables() for name in variable.names}


@pytest.mark.parametrize(
    ("path", "heading", "column"), [(README, "Endpoints", "address"), (INTERFACES, "HTTP", "route")]
)
def test_the_routes_are_those_of_the_app(path: Path, heading: str, column: str) -> None:
    words = [word for row in Document(path).table(heading) for cell in row.values() for word in code_words(cell)]
    told = {word.removeprefix("GET ") for word in words if word.startswith("GET /")}
    streams = {word.partition(PRINTED_ADDRESS)[2] for word in words if word.startswith("ws://")}
    served = routes(make_app(SocketBroadcaster(settings=Settings())))
    websockets = {path for path, each in served.items() if isinstance(each, WebSocketRoute)}
    assert told == served.keys() - {"/docs/oauth2-redirect"} - websockets
    assert streams <= websockets
    assert column in Document(path).table(heading)[0]


def test_the_make_targets_are_there() -> None:
    told = set(re.findall(r"(?:^|`|make )make (\w+)|`make (\w+)`", DOCUMENT.text, re.MULTILINE))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {first or second for first, second in told} <= targets


# -- links and versions ------------------------------------------------------------------------------------------------

DOCUMENTS = [*sorted(ROOT.glob("*.md")), INTERFACES]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in Document(path).links:
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in Document(target).anchors, link


def test_the_changelog_tells_of_the_version_that_is_built() -> None:
    headings = re.findall(r"^## \[(.+?)\]", CHANGELOG.read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert pyproject()["project"]["version"] in CHANGELOG.read_text()
