"""The slices of ready peers, against a plain table."""

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from src.gateway.delivery.frame import deflated_after_last, number_of, plain, shown_of
from src.gateway.delivery.ready_peers import SLICE_PEERS, ReadyPeers

FORMS = (plain, deflated_after_last)


def a_peer(number: int) -> Any:
    """The parts of a peer that are asked here; even ones take plain frames."""
    return SimpleNamespace(form=FORMS[number % 2], send=number)


PEERS = [a_peer(number) for number in range(4 * SLICE_PEERS)]
STEPS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(PEERS), st.booleans()),
    st.tuples(st.just("add many"), st.integers(1, len(PEERS)), st.booleans()),
    st.tuples(st.just("remove"), st.sampled_from(PEERS)),
    st.tuples(st.just("remove many"), st.integers(1, len(PEERS))),
    st.tuples(st.just("round"), st.integers(0, 8)),
)


@given(st.lists(STEPS, max_size=40))
def test_slices_are_a_table_of_what_each_peer_was_sent_last(steps: list[Any]) -> None:
    ready: Any = ReadyPeers()
    table, state = dict[int, int](), 1

    def add(peer: Any, *, has_newest: bool) -> None:
        if peer.send not in table:
            table[peer.send] = number_of(state) if has_newest else 0
            ready.add(peer, table[peer.send])

    def remove(peer: Any) -> None:
        assert ready.remove(peer) == table.pop(peer.send, 0)

    for step in steps:
        match step:
            case ("add", peer, has_newest):
                add(peer, has_newest=has_newest)
            case ("add many", count, has_newest):
                for peer in PEERS[:count]:
                    add(peer, has_newest=has_newest)
            case ("remove", peer):
                remove(peer)
            case ("remove many", count):
                for peer in PEERS[-count:]:
                    remove(peer)
            case ("round", reached):
                state += 1
                due = ready.due(number_of(state))
                sends = [send for part in due for send in part.peers]
                assert sorted(sends) == sorted(table), "every peer once"
                assert [part.last for part in due] == sorted(part.last for part in due)
                for part in due[:reached]:  # a newer frame takes over after so many slices
                    assert 0 < len(part.peers) <= SLICE_PEERS
                    assert {table[send] for send in part.peers} == {part.last}
                    assert {peer.form for peer in part.peers.values()} == {part.form}
                    part.last = number_of(state)
                    table |= dict.fromkeys(part.peers, part.last)
        assert len(ready) == len(table)
        for peer in PEERS:
            assert ready.shows(peer, state) == (shown_of(table.get(peer.send, 0)) == shown_of(number_of(state)))
        assert sorted(peer.send for peer in ready.that_show(state)) == sorted(
            send for send, last in table.items() if last == number_of(state)
        )


def test_slices_that_emptied_are_poured_together() -> None:
    ready = ReadyPeers()
    for peer in PEERS:
        ready.add(peer, 0)
    stay = PEERS[::8]  # of both slices of one form a quarter, of the others none
    for peer in PEERS:
        if peer not in stay:
            ready.remove(peer)
    (part,) = ready.due(number_of(1))
    assert list(part.peers.values()) == stay
    assert [ready.remove(peer) for peer in stay] == [part.last] * len(stay)
    assert ready.due(number_of(1)) == []


def test_peers_that_come_one_by_one_share_a_slice() -> None:
    ready = ReadyPeers()
    for peer in PEERS[::2][:SLICE_PEERS]:
        ready.add(peer, number_of(1))
    assert len(ready.due(number_of(2))) == 1
