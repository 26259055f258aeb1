"""The types of settings: how the text of a variable is read, and what it accepts in words."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Final, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from annotated_types import Ge
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from src.common.subjects import DURABLES

# An origin as browsers write it (RFC 6454 §6.2), or with `*.` before its host name.
ORIGIN: Final = re.compile(r"([a-z][a-z0-9+.-]*)://((?:\*\.)?[a-z0-9_-][a-z0-9_.-]*|\[[0-9a-f:.]+\])(?::(\d{1,5}))?")
SECTION_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
NAME: Final = re.compile(r"[^\s.*>/\\]{0,255}")  # of a stream or domain: part of a subject and of a path; may be none
SUBJECT: Final = re.compile(r"[^\s.*>]+(?:\.[^\s.*>]+)*")  # of NATS, without wildcards
RESERVED_SECTIONS: Final = {"flow", "levels", "viewport", "status", "events"}
DEFAULT_PORTS: Final = (("http", "80"), ("https", "443"))


MarketName = Literal["XNYS", "CMES", "24x7"]


class Accepted(NamedTuple):
    """What a variable accepts, in words, where its type does not say it."""

    words: str


class Unit(NamedTuple):
    """Of a number."""

    words: str


class FurtherSection(NamedTuple):
    """A section beside the contract's, and the subject that it is relayed from."""

    name: str
    subject: str


def _name(text: str) -> str:
    if NAME.fullmatch(text) is None:
        raise ValueError(text)
    return text


def _port(url_port: int | None) -> None:
    if url_port is not None and not 1 <= url_port <= 65535:
        raise ValueError(url_port)


def _servers(text: str) -> str:
    for server in text.split(","):
        url = urlsplit(server.strip() if "://" in server else f"nats://{server.strip()}")
        if url.scheme not in ("nats", "tls") or not url.hostname or url.path.strip("/") or url.query or url.fragment:
            raise ValueError(server)
        _port(url.port)
    return text


def _host(text: str) -> str:
    if any(character.isspace() or character in "/@?#" for character in text):
        raise ValueError(text)
    return text


def _key_set(text: str) -> str:
    """A path, or a URL without a login: it is shown where it is logged."""
    if "://" in text:
        url = urlsplit(text)
        if url.scheme not in ("http", "https") or not url.hostname or "@" in url.netloc:
            raise ValueError(text)
        _port(url.port)
    return text


def _origin(text: str) -> str:
    if text in ("*", "null"):
        return text
    origin = ORIGIN.fullmatch(text)
    if origin is None:
        raise ValueError(text)
    scheme, host, port = origin.groups()
    if port is None or (scheme, port) in DEFAULT_PORTS:
        return f"{scheme}://{host}"
    _port(int(port))
    return f"{scheme}://{host}:{int(port)}"


def _origins(value: object) -> object:
    return tuple(_origin(one.strip().lower()) for one in value.split(",")) if isinstance(value, str) else value


def _sections(value: object) -> object:
    """Each name and each subject once, beside the contract's."""
    if not isinstance(value, str):
        return value
    pairs = [
        FurtherSection(name.strip(), subject.strip())
        for name, _, subject in (one.partition("=") for one in value.split(","))
    ]
    names, subjects = ({pair[side] for pair in pairs} for side in (0, 1))
    well_formed = all(SECTION_NAME.fullmatch(name) and SUBJECT.fullmatch(subject) for name, subject in pairs)
    unique = len(names) == len(subjects) == len(pairs)
    if not well_formed or not unique or names & RESERVED_SECTIONS or subjects & DURABLES.keys():
        raise ValueError(value)
    return tuple(pairs)


def _market(text: str) -> str:
    """In any case of its letters."""
    return next((name for name in get_args(MarketName) if name.lower() == text.lower()), text)


def _networks(value: object) -> object:
    return tuple(ip_network(one.strip()) for one in value.split(",")) if isinstance(value, str) else value


def _whole(value: object) -> object:
    return int(value) if isinstance(value, str) else value  # pydantic would take "1.0" too


def _flag(value: object) -> object:
    return {"0": False, "1": True}.get(value, value) if isinstance(value, str) else value


Host = Annotated[str, AfterValidator(_host), Accepted("an address or host name")]
Whole = Annotated[int, BeforeValidator(_whole)]
Limit = Annotated[Whole, Ge(0)]
"""0 is no limit."""
Seconds = Annotated[float, Unit("of seconds"), Field(allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True), BeforeValidator(_flag), Accepted("0 or 1")]
Switch = Annotated[Literal["on", "off"], BeforeValidator(str.lower)]
File = Annotated[str, Accepted("the path of a file")]
LineFile = Annotated[str, Accepted("the path of a file of one line")]
Pem = Annotated[str, Accepted("the path of a PEM file")]
Name = Annotated[str, AfterValidator(_name), Accepted("a name without spaces, dots, slashes, * and >")]
Text = Annotated[str, Accepted("a text")]
Servers = Annotated[
    str, AfterValidator(_servers), Accepted("nats://host:port or tls://host:port, or several separated by commas")
]
Origins = Annotated[
    tuple[str, ...],
    NoDecode,
    BeforeValidator(_origins),
    Accepted("https://host, https://host:port, https://*.host, null or *, or several separated by commas"),
]
Sections = Annotated[
    tuple[FurtherSection, ...],
    NoDecode,
    BeforeValidator(_sections),
    Accepted("name=subject, or several separated by commas; a name of a-z, 0-9 and _, not that of another section"),
]
Market = Annotated[MarketName, BeforeValidator(_market)]
Networks = Annotated[
    tuple[IPv4Network | IPv6Network, ...],
    NoDecode,
    BeforeValidator(_networks),
    Accepted("an address or network such as 10.0.0.0/8, or several separated by commas"),
]
KeySet = Annotated[
    str,
    AfterValidator(_key_set),
    Accepted("the path of a file, or http://host/path or https://host/path without a user"),
]
