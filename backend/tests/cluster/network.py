"""Networks of the test's own, from which a machine can be cut off: namespaces, bridges and iproute2 of Linux.

They exist only under `ALONE`, which gives a process a network that nobody else sees, and the rights to change it.
"""

import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from signal import SIGKILL
from types import TracebackType
from typing import Final, NamedTuple, Self

from src.demo.child_process import start_child

ALONE: Final = ("unshare", "--map-root-user", "--net")
OWN_NUMBER: Final = 254  # the last part of our own address in each network
LIMIT_S: Final = 60.0  # a net; on a busy machine one step takes seconds


class Link(NamedTuple):
    """A machine's cable to a network.

    Attributes:
        network: its name, which is also the machine's name for it.
        port: its other end, at the network's bridge.
    """

    network: str
    port: str


class Machine:
    """A network namespace, which lives as long as a process that sleeps in it.

    Attributes:
        links: by network.
    """

    def __init__(self, name: str, number: int) -> None:
        """
        Args:
            name: short, and its own.
            number: the last part of its address in each network, its own.
        """
        self.name = name
        self.links: dict[str, Link] = {}
        self._number = number
        self._sleeper = start_child(
            ["unshare", "--net", "sleep", "infinity"], death_signal=SIGKILL, output=subprocess.DEVNULL
        )

    @property
    def under(self) -> Sequence[str]:
        """The command that becomes the one behind it, on this machine."""
        return ("nsenter", f"--net=/proc/{self._sleeper.pid}/ns/net", "--")

    def address(self, network: str) -> str:
        return f"{_prefix(network)}.{self._number}"

    def join(self, network: str) -> None:
        """Get an address in a network, and a link to it."""
        link = Link(network, f"{self.name}-{network}")
        _ip("link", "add", link.port, "type", "veth", "peer", "name", network, "netns", str(self._sleeper.pid))
        _ip("link", "set", link.port, "master", network, "up")
        self.run("ip", "address", "add", f"{self.address(network)}/24", "dev", network)
        self.run("ip", "link", "set", network, "up")
        self.links[network] = link

    def run(self, *command: str) -> None:
        _run(*self.under, *command)

    def until_apart(self) -> None:
        """Wait until it is no longer in our own namespace."""
        own = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{self._sleeper.pid}/ns/net").readlink() == own:
            os.sched_yield()
            assert self._sleeper.poll() is None, f"{self.name} has no namespace of its own"
        self.run("ip", "link", "set", "lo", "up")

    def close(self) -> None:
        self._sleeper.kill()
        self._sleeper.wait()


NETWORKS: Final = ("nats", "routes", "open")
"""Of NATS and its clients; between the servers of NATS; and of viewers, balancer and monitoring, which stays whole."""


class Networks:
    """Three networks with machines, and we ourselves on all three. A part of the machines can be cut off from the rest.

    Attributes:
        machines: by name.
    """

    def __init__(self) -> None:
        self.machines: dict[str, Machine] = {}

    def __enter__(self) -> Self:
        _ip("link", "set", "lo", "up")
        for network in NETWORKS:
            for bridge in (network, _island(network)):
                _ip("link", "add", bridge, "type", "bridge")
                _ip("link", "set", bridge, "up")
            _ip("address", "add", f"{_prefix(network)}.{OWN_NUMBER}/24", "dev", network)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for machine in self.machines.values():
            machine.close()

    def add(self, name: str, networks: Iterable[str]) -> Machine:
        """A machine in these networks."""
        machine = self.machines[name] = Machine(name, len(self.machines) + 1)
        machine.until_apart()
        for network in networks:
            machine.join(network)
        return machine

    def cut(self, machines: Iterable[Machine], networks: Sequence[str] = ("nats", "routes")) -> None:
        """From now on these reach one another in these networks, and nobody else: what is sent is lost silently."""
        for link in _links(machines, networks):
            _ip("link", "set", link.port, "master", _island(link.network))

    def heal(self) -> None:
        """All reach all again."""
        for link in _links(self.machines.values(), NETWORKS):
            _ip("link", "set", link.port, "master", link.network)


def why_not() -> str | None:
    """Why there can be no such networks here; None where there can."""
    try:
        _run(*ALONE, "ip", "link", "add", "name", "probe", "type", "bridge")
    except FileNotFoundError as error:
        return f"{error.filename} is not installed (util-linux, iproute2)"
    except RuntimeError as error:
        return f"network namespaces may not be made here: {error}"
    return None


def _links(machines: Iterable[Machine], networks: Sequence[str]) -> list[Link]:
    return [link for machine in machines for link in machine.links.values() if link.network in networks]


def _island(network: str) -> str:
    """The bridge of those that are cut off."""
    return f"{network}-cut"


def _prefix(network: str) -> str:
    return f"10.77.{NETWORKS.index(network)}"


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    """
    Raises:
        RuntimeError: it failed; with its last words.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
