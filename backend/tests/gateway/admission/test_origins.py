"""Which pages may connect."""

import pytest

from src.gateway.admission.origins import Origins, asked_hosts

GATEWAY = "gateway.example.com:8000"


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://gateway.example.com:8000", GATEWAY, True),
        ("https://gateway.example.com:8000", GATEWAY, True),  # TLS ends at a proxy
        ("http://GATEWAY.example.com:8000", "gateway.EXAMPLE.com:8000", True),
        ("https://gateway.example.com", "gateway.example.com", True),
        ("https://gateway.example.com", "gateway.example.com:443", True),
        ("http://gateway.example.com", "gateway.example.com:80", True),
        ("http://[2001:db8::1]:8000", "[2001:db8::1]:8000", True),
        ("https://gateway.example.com", "gateway.example.com:80", False),
        ("http://gateway.example.com", GATEWAY, False),
        ("http://example.com:8000", GATEWAY, False),
        ("http://gateway.example.com:8000.evil.com", GATEWAY, False),
        ("http://gateway.example.com:8000/", GATEWAY, False),
        ("http://evil@gateway.example.com:8000", GATEWAY, False),
        ("http://localhost", GATEWAY, True),
        ("http://localhost:4200", GATEWAY, True),
        ("https://127.0.0.1:4200", GATEWAY, True),
        ("http://[::1]:4200", GATEWAY, True),
        ("http://localhost.evil.com", GATEWAY, False),
        ("http://127.0.0.1.evil.com", GATEWAY, False),
        ("http://127.0.0.2", GATEWAY, False),
        ("capacitor://localhost", GATEWAY, False),
        ("null", GATEWAY, False),
        ("null", "null", False),
        ("", "", False),
        ("http://", "", False),
        ("file://", "", False),
    ],
)
def test_without_a_list_the_own_origin_and_this_machine_are_allowed(origin: str, host: str, allowed: bool) -> None:
    assert Origins(()).allow(origin, [host]) is allowed


LISTED = ("https://app.example.com", "https://*.example.org", "http://*.example.net:8080", "capacitor://localhost")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.example.com", True),
        ("https://APP.example.com", True),
        ("http://app.example.com", False),
        ("https://app.example.com:8443", False),
        ("https://other.example.com", False),
        ("https://app.example.com.evil.com", False),
        ("https://a.example.org", True),
        ("https://a.b.example.org", True),
        ("https://example.org", False),
        ("https://.example.org", False),
        ("https://evilexample.org", False),
        ("https://a.example.org:8443", False),
        ("http://a.example.org", False),
        ("https://evil.com/.example.org", False),
        ("https://evil.com?.example.org", False),
        ("https://evil.com#.example.org", False),
        ("https://evil.com:1@x.example.org", False),
        ("https://evil.com\\.example.org", False),
        ("http://a.example.net:8080", True),
        ("http://a.example.net", False),
        ("capacitor://localhost", True),
        ("https://*.example.org", False),
        ("null", False),
        ("", False),
        ("http://localhost:4200", False),
        ("http://gateway.example.com:8001", False),
        ("http://gateway.example.com:8000", True),
    ],
)
def test_a_list_is_all_that_is_allowed_beside_the_gateways_own_origin(origin: str, allowed: bool) -> None:
    assert Origins(LISTED).allow(origin, [GATEWAY]) is allowed


def test_null_and_any_page_are_allowed_by_name() -> None:
    assert [Origins(("null",)).allow(origin, [GATEWAY]) for origin in ("null", "https://a.b")] == [True, False]
    assert [Origins(("*",)).allow(origin, [GATEWAY]) for origin in ("null", "https://a.b")] == [True, True]


@pytest.mark.parametrize(
    ("host", "forwarded", "hosts"),
    [
        ([GATEWAY], [], (GATEWAY,)),
        (["10.0.0.7"], ["desk.example.com:8443"], ("10.0.0.7", "desk.example.com:8443")),
        (["10.0.0.7"], ["desk.example.com, inner"], ("10.0.0.7", "desk.example.com")),
        (["10.0.0.7"], ["desk.example.com", "inner"], ("10.0.0.7", "desk.example.com")),
        ([GATEWAY, GATEWAY], [], ("",)),
        ([], [""], ("", "")),
    ],
)
def test_the_page_may_have_asked_the_host_that_the_outermost_proxy_names(
    host: list[str], forwarded: list[str], hosts: tuple[str, ...]
) -> None:
    assert asked_hosts(host, forwarded) == hosts


def test_a_page_is_of_the_gateway_when_one_of_the_hosts_is_its_own() -> None:
    hosts = ("10.0.0.7", "desk.example.com:8443")
    origins = ("https://desk.example.com:8443", "http://10.0.0.7", "https://desk.example.com", "https://evil.com")
    assert [Origins(()).allow(origin, hosts) for origin in origins] == [True, True, False, False]
    assert not Origins(()).allow("", ("", ""))
