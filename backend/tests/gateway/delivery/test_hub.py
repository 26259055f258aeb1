"""Fan-out and its order, with peers that only remember."""

import asyncio
import math
import time

import pytest

from src.gateway.close_codes import GOING_AWAY, CloseCode
from src.gateway.delivery.channel import Channel
from src.gateway.delivery.frame import Frame, Last, state_of
from src.gateway.delivery.hub import DRAIN_AT_ONCE, Hub
from src.gateway.delivery.pong_clock import PongClock
from src.gateway.delivery.ready_peers import SLICE_PEERS


def payload(frame: Frame, _last: Last) -> bytes:
    return frame.payload


class RememberingPeer:
    """Takes every frame, or the first `room` bytes of it; leaves the hub when it is closed, as a socket does."""

    def __init__(self, hub: Hub, *, deaf: bool = False, room: int = 1000) -> None:
        self.hub = hub
        self.deaf = deaf
        self.room = room
        self.form = payload
        self.pongs: PongClock | None = None
        self.frames: list[bytes] = []
        self.rests: list[bytes] = []
        self.closed: list[CloseCode] = []

    def send(self, wire: bytes) -> int:
        self.frames.append(wire)
        return min(len(wire), self.room)

    def send_rest(self, wire: bytes, taken: int) -> None:
        self.rests.append(wire[taken:])

    def close(self, close_code: CloseCode) -> None:
        self.closed.append(close_code)
        if not self.deaf:
            self.hub.leave(self)

    def move(self, channel: Channel, *, has_newest: bool = False) -> None:
        self.hub.move(self, channel, ready=True, has_newest=has_newest)

    def check(self, now_s: float) -> None:
        return


async def end_of_turn() -> None:
    await asyncio.sleep(0)


async def test_every_peer_is_offered_the_same_frame() -> None:
    hub = Hub()
    peers = [RememberingPeer(hub) for _ in range(3)]
    for peer in peers:
        hub.join(peer)
    hub.publish(b"1")
    await end_of_turn()
    hub.publish(b"2")
    await end_of_turn()
    assert [peer.frames for peer in peers] == [[b"1", b"2"]] * 3
    assert (hub.counters.sent.total(), hub.counters.sent_bytes.total(), sum(hub.counters.fan_out.counts)) == (6, 6, 2)


async def test_the_latency_of_each_message_is_counted_when_its_fan_out_ends() -> None:
    hub = Hub()
    now_s = time.time()
    hub.publish(b"1", published_s=now_s - 7.0)
    hub.publish(b"2", published_s=now_s + 3600.0)
    hub.publish(b"3")
    assert sum(hub.counters.latency.counts) == 0
    await end_of_turn()
    assert sum(hub.counters.latency.counts) == 2, "the third has no time of publication"
    assert 7.0 <= hub.counters.latency.total < 60.0, "what seems to be of the future counts as 0"
    hub.publish(b"4")
    await end_of_turn()
    assert sum(hub.counters.latency.counts) == 2


async def test_what_is_published_within_a_turn_is_one_frame() -> None:
    hub = Hub()
    hub.join(peer := RememberingPeer(hub))
    for payload in (b"1", b"2", b"3"):
        hub.publish(payload)
    await end_of_turn()
    assert peer.frames == [b"3"]


def peers_of(hub: Hub, number: int) -> list[RememberingPeer]:
    peers = [RememberingPeer(hub) for _ in range(number)]
    for peer in peers:
        hub.join(peer)
    return peers


async def end_of_round(hub: Hub) -> None:
    await hub.settle()


async def test_a_round_reaches_everybody_once_slice_by_slice() -> None:
    hub = Hub()
    peers = peers_of(hub, 2 * SLICE_PEERS + 1)
    hub.publish(b"1")
    await end_of_turn()
    assert sum(len(peer.frames) for peer in peers) == SLICE_PEERS
    await end_of_round(hub)
    assert [peer.frames for peer in peers] == [[b"1"]] * len(peers)


async def test_a_newer_frame_takes_over_first_for_whom_the_older_had_not_reached() -> None:
    hub = Hub()
    peers = peers_of(hub, 2 * SLICE_PEERS)
    first, second = peers[:SLICE_PEERS], peers[SLICE_PEERS:]
    hub.publish(b"1")
    await end_of_turn()
    hub.publish(b"2")
    await end_of_turn()
    assert [peer.frames for peer in first] == [[b"1"]] * SLICE_PEERS
    assert [peer.frames for peer in second] == [[b"2"]] * SLICE_PEERS
    await end_of_round(hub)
    assert [peer.frames for peer in first] == [[b"1", b"2"]] * SLICE_PEERS
    assert [peer.frames for peer in second] == [[b"2"]] * SLICE_PEERS


async def test_however_often_newer_frames_come_every_peer_has_its_turn() -> None:
    hub = Hub()
    peers = peers_of(hub, 3 * SLICE_PEERS)
    for number in range(6):
        hub.publish(b"%d" % number)
        await end_of_turn()
    assert {len(peer.frames) for peer in peers} == {2}


async def test_a_peer_that_joins_during_a_round_is_sent_its_frame_once() -> None:
    hub = Hub()
    peers_of(hub, 2 * SLICE_PEERS)
    hub.publish(b"1")
    await end_of_turn()
    hub.join(late := RememberingPeer(hub))
    await end_of_round(hub)
    assert late.frames == [b"1"]


async def test_a_peer_blocked_before_its_turn_learns_that_it_missed_the_frame() -> None:
    hub = Hub()
    peers = peers_of(hub, 2 * SLICE_PEERS)
    for number in (b"1", b"2"):
        hub.publish(number)
        await end_of_turn()
        if number == b"1":
            await end_of_round(hub)
    sent = [state_of(hub.blocked(peer)) for peer in (peers[0], peers[-1])]
    await end_of_round(hub)
    assert sent == [2, 1]
    assert peers[-1].frames == [b"1"]


async def test_a_peer_that_leaves_before_its_turn_is_sent_nothing_more() -> None:
    hub = Hub()
    peers = peers_of(hub, 2 * SLICE_PEERS)
    hub.publish(b"1")
    await end_of_turn()
    hub.leave(peers[-1])
    await end_of_round(hub)
    assert peers[-1].frames == []


async def test_a_joining_peer_gets_the_newest_frame_first_and_never_an_older_one() -> None:
    hub = Hub()
    hub.publish(b"1")
    await end_of_turn()
    hub.publish(b"2")
    hub.join(peer := RememberingPeer(hub))
    await end_of_turn()
    assert peer.frames == [b"1", b"2"]


async def test_before_the_first_frame_a_joining_peer_gets_nothing() -> None:
    hub = Hub()
    hub.join(peer := RememberingPeer(hub))
    assert peer.frames == []


async def test_a_blocked_peer_is_passed_over_until_it_is_ready() -> None:
    hub = Hub()
    hub.join(peer := RememberingPeer(hub))
    hub.blocked(peer)
    hub.publish(b"1")
    await end_of_turn()
    assert peer.frames == []
    hub.ready(peer, missed=hub.newest)
    hub.publish(b"2")
    await end_of_turn()
    assert peer.frames == [b"1", b"2"]


async def test_what_a_socket_does_not_take_is_handed_to_its_peer() -> None:
    hub = Hub()
    hub.join(peer := RememberingPeer(hub, room=4))
    hub.publish(b"123456")
    await end_of_turn()
    assert peer.rests == [b"56"]


async def test_a_socket_that_fails_harms_no_other() -> None:
    hub = Hub()

    class Broken(RememberingPeer):
        def send(self, wire: bytes) -> int:
            raise BrokenPipeError

    peers = [RememberingPeer(hub), Broken(hub), RememberingPeer(hub)]
    for peer in peers:
        hub.join(peer)
    hub.publish(b"1")
    await end_of_turn()
    assert [peer.frames for peer in peers] == [[b"1"], [], [b"1"]]
    assert peers[1].rests == [b"1"], "its transport finds out what is wrong"


async def test_a_peer_that_leaves_during_the_fan_out_harms_no_other() -> None:
    hub = Hub()

    class Quitter(RememberingPeer):
        def send(self, wire: bytes) -> int:
            hub.leave(self)
            return len(wire)

    peers = [RememberingPeer(hub), Quitter(hub), RememberingPeer(hub)]
    for peer in peers:
        hub.join(peer)
    for frame in (b"1", b"2"):
        hub.publish(frame)
        await end_of_turn()
    assert [peer.frames for peer in peers] == [[b"1", b"2"], [], [b"1", b"2"]]
    assert len(hub.peers) == 2


async def test_closing_closes_the_peers_that_are_here_and_those_that_still_join() -> None:
    hub = Hub()
    hub.open()
    hub.join(here := RememberingPeer(hub))
    await hub.close(GOING_AWAY, limit_s=5.0)
    hub.join(late := RememberingPeer(hub))
    assert (here.closed, late.closed) == ([GOING_AWAY], [GOING_AWAY])
    assert not hub.peers


async def test_a_peer_that_is_not_closed_yet_is_sent_what_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("src.gateway.delivery.hub.DRAIN_AT_ONCE", 0)
    hub = Hub()

    class Telling(RememberingPeer):
        def close(self, close_code: CloseCode) -> None:
            super().close(close_code)
            if hub.newest is None:
                hub.publish(b"1")

    peers = [Telling(hub) for _ in range(5)]
    for peer in peers:
        hub.join(peer)
    await hub.drain(GOING_AWAY, over_s=3600.0)
    assert all(peer.closed == [GOING_AWAY] for peer in peers)
    assert [] in [peer.frames for peer in peers], "the first had left"
    assert [b"1"] in [peer.frames for peer in peers]


async def test_few_peers_are_closed_at_once() -> None:
    hub = Hub()
    for peer in (peers := [RememberingPeer(hub) for _ in range(DRAIN_AT_ONCE)]):
        hub.join(peer)
    closing = asyncio.ensure_future(hub.drain(GOING_AWAY, over_s=3600.0))
    await asyncio.sleep(0)
    assert all(peer.closed for peer in peers)
    await closing


async def test_draining_takes_no_longer_than_its_peers_are_worth() -> None:
    hub = Hub()
    await hub.drain(GOING_AWAY, over_s=3600.0)
    assert hub.is_closing


async def test_a_peer_that_does_not_leave_is_aborted_and_waited_for_once() -> None:
    hub = Hub()

    class Stubborn(RememberingPeer):
        def check(self, now_s: float) -> None:
            if now_s == math.inf:
                hub.leave(self)

    for _ in range(2):
        hub.join(Stubborn(hub, deaf=True))
    await hub.close(GOING_AWAY, limit_s=0.01)
    assert not hub.peers


async def test_a_fault_of_one_peer_keeps_the_hub_from_no_other(caplog: pytest.LogCaptureFixture) -> None:
    hub = Hub()

    class Faulty(RememberingPeer):
        def check(self, now_s: float) -> None:
            self.hub.leave(self)
            raise ZeroDivisionError

    for _ in range(3):
        hub.join(Faulty(hub, deaf=True))
    await hub.close(GOING_AWAY, limit_s=0.01)
    assert not hub.peers
    assert [record.exc_info is not None for record in caplog.records] == [True] * 3


async def test_closing_does_not_wait_for_ever() -> None:
    hub = Hub()
    hub.join(RememberingPeer(hub, deaf=True))
    await hub.close(GOING_AWAY, limit_s=0.01)
    await hub.close(GOING_AWAY, limit_s=0.01)
