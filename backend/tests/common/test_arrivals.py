"""Copies and order of messages that come by two paths, in values."""

import pytest

from src.common.arrivals import (
    CORE,
    DEAF_AFTER,
    JETSTREAM,
    KEPT_ARRIVALS,
    KEPT_S,
    Arrival,
    Copies,
    Order,
    Stamps,
    StreamOrder,
    published_ms,
)


def core(body: bytes = b"a", at_s: float = 0.0) -> Arrival:
    return Arrival(CORE, body, at_s)


def stored(body: bytes = b"a", at_s: float = 0.0, seq: int = 1) -> Arrival:
    return Arrival(JETSTREAM, body, at_s, seq=seq)


# -- copies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [(core, stored), (stored, core)])
def test_the_second_arrival_is_the_copy_whichever_path_is_quicker(first: object, second: object) -> None:
    assert callable(first)
    assert callable(second)
    copies = Copies()
    assert copies.match(first()) is None
    assert copies.match(second()) is not None
    assert copies.match(second()) is None  # an equal body once more is another message


def test_equal_messages_have_a_copy_each() -> None:
    copies = Copies()
    assert [copies.match(core(at_s=at_s)) for at_s in (1.0, 2.0)] == [None, None]
    matched = [copies.match(stored(at_s=3.0)) for _ in range(3)]
    assert [None if one is None else one.arrived_s for one in matched] == [1.0, 2.0, None]


def test_what_comes_again_after_a_long_time_is_no_copy() -> None:
    copies = Copies()
    assert copies.match(core(at_s=0.0)) is None
    assert copies.match(stored(at_s=KEPT_S + 1)) is None


def test_only_so_many_arrivals_are_kept() -> None:
    copies = Copies()
    for number in range(KEPT_ARRIVALS + 1):
        copies.match(core(b"%d" % number))
    assert copies.match(stored(b"0")) is None
    assert copies.match(stored(b"1")) is not None


def test_an_arrival_that_is_forgotten_leaves_its_copy_to_be_the_first() -> None:
    copies = Copies()
    copies.match(core())
    copies.forget(core())
    assert copies.match(stored()) is None


def test_core_nats_is_deaf_when_jetstream_alone_brings_messages() -> None:
    copies = Copies()
    for number in range(DEAF_AFTER):
        copies.match(stored(b"%d" % number))
    assert not copies.core_is_deaf
    copies.match(stored(b"one more"))
    assert copies.core_is_deaf
    copies.match(core(b"one more"))
    assert not copies.core_is_deaf


# -- order -------------------------------------------------------------------------------------------------------------

NOTHING = Stamps()
DOUBTS = {
    "no stamps, both by core NATS": (core(), NOTHING, core(b"b"), NOTHING, False),
    "no stamps, both by JetStream": (stored(), NOTHING, stored(b"b"), NOTHING, False),
    "core NATS is ahead of JetStream": (core(), NOTHING, stored(b"b"), NOTHING, True),
    "core NATS is ahead, and a stamp says newer": (core(), Stamps(5), stored(b"b"), Stamps(6), False),
    "core NATS is ahead, and the stamps are equal": (core(), Stamps(5), stored(b"b"), Stamps(5), True),
    "its own time lies before": (core(), Stamps(5), core(b"b"), Stamps(4), True),
    "its own time repeats": (core(), Stamps(5), core(b"b"), Stamps(5), False),
    "it was published before": (stored(), Stamps(None, 5), core(b"b"), Stamps(None, 4), True),
    "published later with an older time": (stored(), Stamps(5, 5), core(b"b"), Stamps(4, 6), True),
    "only one has a time": (stored(), Stamps(5), core(b"b"), NOTHING, False),
}


@pytest.mark.parametrize(("newest", "its_stamps", "next_one", "stamps", "doubtful"), DOUBTS.values(), ids=DOUBTS)
def test_what_may_be_older_than_the_newest(
    newest: Arrival, its_stamps: Stamps, next_one: Arrival, stamps: Stamps, doubtful: bool
) -> None:
    order = Order()
    order.take(newest, its_stamps)
    assert order.is_doubtful(next_one, stamps) is doubtful


def test_the_first_message_is_in_no_doubt() -> None:
    assert not Order().is_doubtful(stored(), Stamps(5, 5))


def test_once_jetstream_has_brought_the_copy_of_the_newest_its_next_one_is_newer() -> None:
    order = Order()
    older, newest = core(b"a", 1.0), core(b"b", 2.0)
    order.take(older, NOTHING)
    order.take(newest, NOTHING)
    assert not order.note_copy(older)
    assert order.is_doubtful(stored(b"c"), NOTHING)
    assert order.note_copy(newest)
    assert not order.is_doubtful(stored(b"c"), NOTHING)


# -- one stream --------------------------------------------------------------------------------------------------------


def test_a_lower_sequence_never_takes_the_order_back() -> None:
    order = StreamOrder()
    taken = [order.advances(seq, float(seq)) for seq in (7, 8, 8, 3, 9)]
    assert taken == [True, True, False, False, True]


def test_a_stream_that_was_cut_back_gives_a_sequence_out_again_at_a_later_time() -> None:
    order = StreamOrder()
    order.advances(8, 100.0)
    assert not order.advances(6, 98.0)
    assert order.advances(6, 101.0)
    assert (order.newest_seq, order.advances(7, 101.2)) == (6, True)


def test_another_life_begins_anew() -> None:
    order = StreamOrder()
    order.advances(8, 100.0)
    order.forget()
    assert order.advances(1, 1.0)


@pytest.mark.parametrize(
    ("headers", "read"),
    [
        (None, None),
        ({}, None),
        ({"Published-Ms": "1765896246587"}, 1765896246587),
        ({"Published-Ms": "soon"}, None),
        ({"Published-Ms": "-1"}, None),
        ({"Published-Ms": "9" * 30}, None),
    ],
)
def test_the_time_of_publication_stands_in_a_header(headers: dict[str, str] | None, read: int | None) -> None:
    assert published_ms(headers) == read
