"""How many."""

from src.gateway.admission.limits import HandshakeRate, ViewerLimits
from src.gateway.processes.viewer_count import ViewerCount
from src.gateway.refusals import FULL, TOO_MANY_OF_ADDRESS


def test_a_full_gateway_refuses_until_a_viewer_leaves() -> None:
    limits = ViewerLimits(max_viewers=2, max_of_address=0, viewer_count=ViewerCount())
    counted = limits.acquire("a")
    assert isinstance(counted, str)
    assert limits.acquire("b") == counted
    assert limits.acquire("c") is FULL
    limits.release(counted)
    assert limits.acquire("c") == counted
    assert limits.viewers == 2


def test_viewers_of_other_workers_count() -> None:
    viewer_count = ViewerCount(2)
    limits = ViewerLimits(max_viewers=3, max_of_address=0, viewer_count=viewer_count)
    viewer_count.own = 2
    viewer_count.report(2)
    viewer_count.own = 1
    assert isinstance(limits.acquire("a"), str)
    assert viewer_count.viewers == 3, "the others know at once"
    assert limits.acquire("a") is FULL
    viewer_count.clear(2)
    assert isinstance(limits.acquire("a"), str)


def test_an_address_may_have_so_many_and_a_subscriber_of_ipv6_is_one() -> None:
    limits = ViewerLimits(max_viewers=0, max_of_address=2, viewer_count=ViewerCount())
    places = [limits.acquire("2001:db8::1"), limits.acquire("2001:db8::2")]
    assert limits.acquire("2001:db8::3") is TOO_MANY_OF_ADDRESS
    assert isinstance(limits.acquire("2001:db8:0:1::1"), str)
    assert isinstance(places[0], str)
    limits.release(places[0])
    assert isinstance(limits.acquire("2001:db8::3"), str)


def test_nothing_is_kept_of_a_viewer_that_left() -> None:
    limits = ViewerLimits(max_viewers=0, max_of_address=5, viewer_count=ViewerCount())
    places = [limits.acquire(f"10.0.{number // 250}.{number % 250}") for number in range(1000)]
    for counted in places:
        assert isinstance(counted, str)
        limits.release(counted)
    assert not limits._of_address
    assert limits.viewers == 0


def test_zero_is_no_limit() -> None:
    limits = ViewerLimits(max_viewers=0, max_of_address=0, viewer_count=ViewerCount())
    rate = HandshakeRate(0, 0.0)
    for _ in range(10_000):
        assert limits.acquire("a") == ""
        assert rate.allows(0.0)


def test_a_second_has_so_many_handshakes_and_an_idle_one_saves_no_more_than_them() -> None:
    rate = HandshakeRate(10, 0.0)
    assert sum(rate.allows(0.0) for _ in range(100)) == 10
    assert not rate.allows(0.05)
    assert rate.allows(0.15)
    assert sum(rate.allows(0.5) for _ in range(100)) in (3, 4)
    assert sum(rate.allows(60.0) for _ in range(100)) == 10


def test_a_steady_rate_below_the_limit_is_never_refused() -> None:
    rate = HandshakeRate(10, 0.0)
    assert all(rate.allows(number * 0.1) for number in range(1, 1000))
