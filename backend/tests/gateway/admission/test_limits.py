"""How many."""

from src.gateway.admission.limits import Crowd, Pace
from src.gateway.goodbyes import FULL, TOO_MANY_OF_ADDRESS
from src.gateway.head_count import HeadCount


def test_a_full_house_refuses_until_somebody_leaves() -> None:
    crowd = Crowd(max_viewers=2, max_of_address=0, head_count=HeadCount())
    place = crowd.enter("a")
    assert isinstance(place, str)
    assert crowd.enter("b") == place
    assert crowd.enter("c") is FULL
    crowd.leave(place)
    assert crowd.enter("c") == place
    assert crowd.viewers == 2


def test_viewers_of_other_workers_count() -> None:
    head_count = HeadCount(2)
    crowd = Crowd(max_viewers=3, max_of_address=0, head_count=head_count)
    head_count.own = 2
    head_count.report(2)
    head_count.own = 1
    assert isinstance(crowd.enter("a"), str)
    assert head_count.viewers == 3, "the others know at once"
    assert crowd.enter("a") is FULL
    head_count.clear(2)
    assert isinstance(crowd.enter("a"), str)


def test_an_address_may_have_so_many_and_a_subscriber_of_ipv6_is_one() -> None:
    crowd = Crowd(max_viewers=0, max_of_address=2, head_count=HeadCount())
    places = [crowd.enter("2001:db8::1"), crowd.enter("2001:db8::2")]
    assert crowd.enter("2001:db8::3") is TOO_MANY_OF_ADDRESS
    assert isinstance(crowd.enter("2001:db8:0:1::1"), str)
    assert isinstance(places[0], str)
    crowd.leave(places[0])
    assert isinstance(crowd.enter("2001:db8::3"), str)


def test_nothing_is_kept_of_who_has_left() -> None:
    crowd = Crowd(max_viewers=0, max_of_address=5, head_count=HeadCount())
    places = [crowd.enter(f"10.0.{number // 250}.{number % 250}") for number in range(1000)]
    for place in places:
        assert isinstance(place, str)
        crowd.leave(place)
    assert not crowd._of_address
    assert crowd.viewers == 0


def test_zero_is_no_limit() -> None:
    crowd = Crowd(max_viewers=0, max_of_address=0, head_count=HeadCount())
    pace = Pace(0, 0.0)
    for _ in range(10_000):
        assert crowd.enter("a") == ""
        assert pace.allows(0.0)


def test_a_second_has_so_many_handshakes_and_an_idle_one_saves_no_more_than_them() -> None:
    pace = Pace(10, 0.0)
    assert sum(pace.allows(0.0) for _ in range(100)) == 10
    assert not pace.allows(0.05)
    assert pace.allows(0.15)
    assert sum(pace.allows(0.5) for _ in range(100)) in (3, 4)
    assert sum(pace.allows(60.0) for _ in range(100)) == 10


def test_a_steady_rate_below_the_limit_is_never_refused() -> None:
    pace = Pace(10, 0.0)
    assert all(pace.allows(number * 0.1) for number in range(1, 1000))
