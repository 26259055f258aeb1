"""Which pages may connect: a browser names the page's origin, and nothing but a browser does."""

import re
from collections.abc import Sequence
from typing import Final

WEB_ORIGIN: Final = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?", re.ASCII)
HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?", re.ASCII)
SUBDOMAIN: Final = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)
DEFAULT_PORT: Final = {"http": "80", "https": "443"}
LOCAL: Final = ("localhost", "127.0.0.1", "[::1]")


class Origins:
    """The rule of one gateway. Its own origin is always allowed; where none is listed, so are those of this machine."""

    def __init__(self, listed: Sequence[str]) -> None:
        """
        Args:
            listed: in lower case, without default ports; `*.` before a host name is any subdomain of it, `null` a page
                without an origin, and `*` any page.
        """
        self._any = "*" in listed
        self._exact = {origin for origin in listed if "*" not in origin}
        self._wildcards = [origin.split("*") for origin in listed if "*." in origin]
        self._any_listed = bool(listed)

    def allow(self, origin: str, hosts: Sequence[str]) -> bool:
        """
        Args:
            origin: the header of that name; browsers write it without path and default port.
            hosts: see `asked_hosts`.
        """
        origin = origin.lower()
        if self._any or any(_is_same(origin, host.lower()) for host in hosts):
            return True
        if self._any_listed:
            return origin in self._exact or any(_matches(origin, *wildcard) for wildcard in self._wildcards)
        return _is_local(origin)


def asked_hosts(host: Sequence[str], forwarded: Sequence[str]) -> tuple[str, ...]:
    """The hosts that the page may have asked: that of the request, and that which the first proxy was asked for.

    No page can set either header: a WebSocket of a browser has no headers of the page's own, and a `fetch` with
    X-Forwarded-Host is preflighted, which is refused (Fetch standard, "CORS-preflight fetch").

    Args:
        host: the values of the header of that name.
        forwarded: the values of X-Forwarded-Host; each proxy appends, so the first is of the outermost one.
    """
    named = host[0] if len(host) == 1 else ""
    return (named, forwarded[0].partition(",")[0].strip()) if forwarded else (named,)


def _matches(origin: str, scheme: str, domain: str) -> bool:
    """`scheme` ends with `://`, and `domain` begins with a dot."""
    if not (origin.startswith(scheme) and origin.endswith(domain)):
        return False
    return SUBDOMAIN.fullmatch(origin[len(scheme) : -len(domain)]) is not None


def _is_local(origin: str) -> bool:
    web = WEB_ORIGIN.fullmatch(origin)
    return web is not None and web[2] in LOCAL


def _is_same(origin: str, host: str) -> bool:
    """Whether the page is of the very host and port that it asks; the scheme may end at a proxy and is not compared."""
    web, asked = WEB_ORIGIN.fullmatch(origin), HOST.fullmatch(host)
    if web is None or asked is None:
        return False
    default = DEFAULT_PORT[web[1]]
    return (web[2], web[3] or default) == (asked[1], asked[2] or default)
