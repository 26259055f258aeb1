"""nginx and HAProxy as users have them between a viewer and the gateway: the buffers are their defaults."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Final

from benchmarks.processes import until_listening
from src.demo.child_process import start_child
from src.demo.nats_server import HOST, free_port

# What Debian's nginx has around the files of its conf.d, without what needs root.
NGINX: Final = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/errors;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    types {{}}
    {included}
}}
"""
NGINX_SERVER: Final = """
server {{
    listen {host}:{port};
    location / {{
        proxy_pass http://{host}:{to};
        proxy_http_version 1.1;
        proxy_set_header Host {host_header};
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection upgrade;
    }}
}}
"""
HAPROXY: Final = """
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
listen proxy
    bind {host}:{port}
    server gateway {host}:{to}
"""
COMMANDS: Final = {  # with the configuration, and how the program is told about it
    "nginx": (NGINX.replace("{included}", NGINX_SERVER), ("-c",)),
    "haproxy": (HAPROXY, ("-db", "-f")),
}
CHAINS: Final = {"direct": (), "nginx": ("nginx",), "haproxy": ("haproxy",), "nginx, haproxy": ("nginx", "haproxy")}
"""What a viewer's line passes, from the viewer to the gateway."""


def available() -> bool:
    """Whether both programs are on this machine."""
    return all(map(shutil.which, COMMANDS))


@contextmanager
def behind(chain: tuple[str, ...], port: int, folder: Path, host_header: str = "$http_host") -> Iterator[int]:
    """The port of the first proxy of a chain to `port`; that itself where the chain is empty.

    Args:
        chain: keys of `COMMANDS`.
        port: of the gateway.
        folder: for their files; it must not exist.
        host_header: what nginx sends as `Host`, by default that of the viewer; nginx's own default is `$proxy_host`.
    """
    with ExitStack() as stack:
        for number, name in enumerate(reversed(chain)):
            port = stack.enter_context(_proxy(name, port, folder / f"{number}-{name}", host_header))
        yield port


@contextmanager
def _proxy(name: str, to: int, folder: Path, host_header: str) -> Iterator[int]:
    folder.mkdir(parents=True)
    port = free_port()
    configuration, options = COMMANDS[name]
    file = folder / "configuration"
    file.write_text(configuration.format(folder=folder, host=HOST, port=port, to=to, host_header=host_header))
    with running([name, *options, str(file)], port, folder):
        yield port


@contextmanager
def running(command: Sequence[str], port: int, folder: Path) -> Iterator[None]:
    """Runs a program until the end of the block, from when it listens on `port`; its log goes into `folder`."""
    with (folder / "log").open("wb") as log:
        process = start_child(list(command), death_signal=SIGKILL, output=log)
    try:
        until_listening(process, port, folder / "log")
        yield
    finally:
        process.kill()
        process.wait()
