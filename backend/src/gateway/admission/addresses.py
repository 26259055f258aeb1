"""Whose request it is, where proxies stand between."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SUBSCRIBER_PREFIX: Final = 64  # bits of IPv6 that a provider gives to one subscriber: the rest is theirs to vary


def client_address(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The nearest address that is not a trusted proxy.

    Each trusted proxy has appended the address of its client to X-Forwarded-For, so the list is read from its
    end. Entries before the first address that is not trusted are that client's own claim.

    Args:
        peer: the address of the other end of the socket.
        forwarded: the values of X-Forwarded-For.
        trusted: the networks of our own proxies.
    """
    nearest = _parsed(peer)
    if nearest is None:
        return peer
    hops = [hop for value in forwarded for hop in value.split(",")] if trusted else []
    for hop in reversed(hops):
        if not _is_in(nearest, trusted):
            break
        before = _parsed(hop)
        if before is None:  # "unknown", or no address: only the proxy itself is known
            break
        nearest = before
    return str(nearest)


def counted_as(address: str) -> str:
    """The address for which viewers are counted: for IPv6 its network of 64 bits."""
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, SUBSCRIBER_PREFIX), strict=False))
    return address if parsed is None else str(parsed)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _parsed(text: str) -> Address | None:
    """An address, also as proxies write it: with a port, in brackets, as IPv4 within IPv6; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
