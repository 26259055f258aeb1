"""Copies and order of messages that come by two paths, in values."""

import pytest

from src.common.arrivals import (
    CORE,
    DEAF_AFTER,
    JETSTREAM,
    KEPT_ARRIVALS,
    KEPT_S,
    LATE_S,
    OUTAGE_S,
    PUBLICATION,
    Arrival,
    Copies,
    Order,
    Publication,
    Stamps,
    StreamOrder,
    publication_of,
)


def core(body: bytes = b"a", at_s: float = 0.0) -> Arrival:
    return Arrival(CORE, body, at_s)


def stored(body: bytes = b"a", at_s: float = 0.0, seq: int = 1) -> Arrival:
    return Arrival(JETSTREAM, body, at_s, seq=seq)


def first_of(copies: Copies, arrival: Arrival) -> Arrival | None:
    """Whose copy it is; it is noted where it is none."""
    first = copies.match(arrival)
    if first is None:
        copies.note(arrival)
    return first


# -- copies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "second"), [(core, stored), (stored, core)])
def test_the_second_arrival_is_the_copy_whichever_path_is_quicker(first: object, second: object) -> None:
    assert callable(first)
    assert callable(second)
    copies = Copies()
    assert first_of(copies, first()) is None
    assert first_of(copies, second()) is not None
    assert first_of(copies, second()) is None  # an equal body once more is another message


def test_equal_messages_have_a_copy_each() -> None:
    copies = Copies()
    assert [first_of(copies, core(at_s=at_s)) for at_s in (1.0, 2.0)] == [None, None]
    matched = [first_of(copies, stored(at_s=3.0)) for _ in range(3)]
    assert [None if one is None else one.arrived_s for one in matched] == [1.0, 2.0, None]


def test_what_comes_again_after_a_long_time_is_no_copy() -> None:
    copies = Copies()
    assert first_of(copies, core(at_s=0.0)) is None
    assert first_of(copies, stored(at_s=KEPT_S + 1)) is None


def test_only_so_many_arrivals_are_kept() -> None:
    copies = Copies()
    for number in range(KEPT_ARRIVALS + 1):
        first_of(copies, core(b"%d" % number))
    assert first_of(copies, stored(b"0")) is None
    assert first_of(copies, stored(b"1")) is not None


def test_an_arrival_that_is_not_noted_leaves_its_copy_to_be_the_first() -> None:
    copies = Copies()
    copies.match(core())
    assert copies.match(stored()) is None


def test_core_nats_is_deaf_when_jetstream_alone_brings_messages() -> None:
    copies, deaf = Copies(), []
    for number in range(DEAF_AFTER + 1):
        first_of(copies, stored(b"%d" % number))
        deaf.append(copies.core_is_deaf)
    first_of(copies, core(b"one more"))
    assert [*deaf, copies.core_is_deaf] == [*[False] * DEAF_AFTER, True, False]


# -- order -------------------------------------------------------------------------------------------------------------

NOTHING = Stamps()


def published(number: int, at_ms: int = 0, publisher: str = "core", content_ms: int | None = None) -> Stamps:
    return Stamps(content_ms, Publication(publisher, number, at_ms))


PLACES: dict[str, tuple[Arrival, Stamps, Arrival, Stamps, str]] = {
    "no stamps, both by core NATS": (core(), NOTHING, core(b"b"), NOTHING, "newer"),
    "no stamps, both by JetStream": (stored(), NOTHING, stored(b"b"), NOTHING, "newer"),
    "core NATS is ahead of JetStream": (core(), NOTHING, stored(b"b"), NOTHING, "doubtful"),
    "core NATS is ahead, and a stamp says newer": (core(), Stamps(5), stored(b"b"), Stamps(6), "newer"),
    "core NATS is ahead, and the stamps are equal": (core(), Stamps(5), stored(b"b"), Stamps(5), "doubtful"),
    "core NATS is ahead, and the number says newer": (core(), published(1), stored(b"b"), published(2), "newer"),
    "its own time lies before": (core(), Stamps(5), core(b"b"), Stamps(4), "doubtful"),
    "its own time repeats": (core(), Stamps(5), core(b"b"), Stamps(5), "newer"),
    "only one has a time": (stored(), Stamps(5), core(b"b"), NOTHING, "newer"),
    "one publisher sent it before": (core(), published(5), core(b"b"), published(4, at_ms=9), "older"),
    "one publisher sent it later, its clock was set back": (core(), published(5, 9), core(b"b"), published(6), "newer"),
    "one publisher sent it later, with an older time": (
        core(),
        published(5, content_ms=5),
        core(b"b"),
        published(6, content_ms=4),
        "doubtful",
    ),
    "another publisher sent it before": (core(), published(5, 9), core(b"b"), published(9, 8, "other"), "doubtful"),
    "another publisher sent it later": (core(), published(5, 8), core(b"b"), published(1, 9, "other"), "newer"),
}


@pytest.mark.parametrize(("newest", "its_stamps", "next_one", "stamps", "place"), PLACES.values(), ids=PLACES)
def test_the_place_of_a_message(
    newest: Arrival, its_stamps: Stamps, next_one: Arrival, stamps: Stamps, place: str
) -> None:
    order = Order()
    order.take(newest, its_stamps)
    assert order.place(next_one, stamps) == place


def traded(at_ms: int) -> Stamps:
    return Stamps(traded_ms=at_ms)


def test_trades_may_go_back_from_message_to_message() -> None:
    order = Order()
    for at_s in range(60):
        message = core(at_s=float(at_s))
        assert order.place(message, traded(-at_s)) == "newer"
        order.take(message, traded(-at_s))


def test_after_an_outage_older_trades_are_a_doubt_for_some_minutes() -> None:
    order = Order()
    order.take(core(at_s=0.0), traded(5))
    order.take(core(at_s=OUTAGE_S), traded(9))
    assert order.place(core(at_s=OUTAGE_S + 1), traded(8)) == "doubtful"
    assert order.place(core(at_s=OUTAGE_S + 1), traded(9)) == "newer"
    assert order.place(core(at_s=OUTAGE_S + LATE_S), traded(8)) == "newer"


def test_newer_trades_lift_the_doubt_about_what_only_jetstream_has_brought() -> None:
    order = Order()
    order.take(core(), traded(5))
    assert [order.place(stored(b"b"), traded(at_ms)) for at_ms in (5, 6)] == ["doubtful", "newer"]


def test_the_number_tells_more_than_trades() -> None:
    order = Order()
    order.take(core(at_s=0.0), NOTHING)
    order.take(core(at_s=OUTAGE_S), published(5)._replace(traded_ms=9))
    assert order.place(core(at_s=OUTAGE_S + 1), published(6)._replace(traded_ms=8)) == "newer"


def test_the_first_message_is_in_no_doubt() -> None:
    assert Order().place(stored(), published(1, content_ms=1)) == "newer"


def test_once_jetstream_has_brought_the_copy_of_the_newest_its_next_one_is_newer() -> None:
    order = Order()
    older, newest = core(b"a", 1.0), core(b"b", 2.0)
    order.take(older, NOTHING)
    order.take(newest, NOTHING)
    assert not order.note_copy(older)
    assert order.place(stored(b"c"), NOTHING) == "doubtful"
    assert order.note_copy(newest)
    assert order.place(stored(b"c"), NOTHING) == "newer"


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
        ({"Publication": "Rk3 7 1765896246587"}, Publication("Rk3", 7, 1765896246587)),
        ({"Publication": "Rk3 7"}, None),
        ({"Publication": "Rk3 seven 1765896246587"}, None),
        ({"Publication": "Rk3 -7 1765896246587"}, None),
        ({"Publication": "Rk3 7 " + "9" * 30}, None),
    ],
)
def test_a_publisher_numbers_its_messages_in_a_header(headers: dict[str, str] | None, read: Publication | None) -> None:
    assert publication_of(headers) == read
    assert read is None or headers == {PUBLICATION: str(read)}
