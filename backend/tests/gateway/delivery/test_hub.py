"""Fan-out and its order, with peers that only remember."""

import asyncio
import time

import pytest

from src.gateway.delivery.frame import Frame
from src.gateway.delivery.hub import LONGEST_GATHERING_S, Hub, gathering_s
from src.gateway.goodbyes import GOING_AWAY, Closing
from tests.waiting import until


def payload(frame: Frame) -> bytes:
    return frame.payload


class RememberingPeer:
    """Takes every frame, or the first `room` bytes of it; leaves the hub when it is closed, as a socket does."""

    def __init__(self, hub: Hub, *, deaf: bool = False, room: int = 1000) -> None:
        self.hub = hub
        self.deaf = deaf
        self.room = room
        self.form = payload
        self.frames: list[bytes] = []
        self.rests: list[bytes] = []
        self.closings: list[Closing] = []

    def send(self, wire: bytes) -> int:
        self.frames.append(wire)
        return min(len(wire), self.room)

    def send_rest(self, wire: bytes, taken: int) -> None:
        self.rests.append(wire[taken:])

    def close(self, closing: Closing) -> None:
        self.closings.append(closing)
        if not self.deaf:
            self.hub.leave(self)

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
    assert (hub.sent, hub.sent_bytes, sum(hub.fan_out.counts)) == (6, 6, 2)


async def test_the_latency_of_each_message_is_counted_when_its_fan_out_ends() -> None:
    hub = Hub()
    now_s = time.time()
    hub.publish(b"1", published_s=now_s - 7.0)
    hub.publish(b"2", published_s=now_s + 3600.0)
    hub.publish(b"3")
    assert sum(hub.latency.counts) == 0
    await end_of_turn()
    assert sum(hub.latency.counts) == 2, "the third has no time of publication"
    assert 7.0 <= hub.latency.total < 60.0, "what seems to be of the future counts as 0"
    hub.publish(b"4")
    await end_of_turn()
    assert sum(hub.latency.counts) == 2


async def test_what_is_published_within_a_turn_is_one_frame() -> None:
    hub = Hub()
    hub.join(peer := RememberingPeer(hub))
    for payload in (b"1", b"2", b"3"):
        hub.publish(payload)
    await end_of_turn()
    assert peer.frames == [b"3"]


@pytest.mark.parametrize(
    ("cost_s", "idle_s", "waits_s"),
    [
        (0.0, float("inf"), 0.0),  # the first
        (0.000_040, 1.0, 0.000_010),  # one viewer: nothing that a clock could tell
        (0.012, 1.0, 0.003),  # a thousand viewers
        (0.100, 1.0, LONGEST_GATHERING_S),
        (0.012, 0.001, 0.0),  # hard on the heels of the one before
    ],
)
def test_a_fan_out_waits_for_a_quarter_of_its_cost_and_never_long(cost_s: float, idle_s: float, waits_s: float) -> None:
    assert gathering_s(cost_s, idle_s) == pytest.approx(waits_s)


async def test_what_belongs_together_is_one_frame_where_frames_cost_much() -> None:
    hub = Hub()
    hub.join(peer := RememberingPeer(hub))
    hub._cost_s = 1.0
    hub.publish(b"levels")
    await end_of_turn()
    assert peer.frames == []
    hub.publish(b"levels and flow")
    await until(lambda: peer.frames, "the frame")
    assert peer.frames == [b"levels and flow"]


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


async def test_a_socket_that_fails_harms_nobody() -> None:
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


async def test_a_peer_that_leaves_during_the_fan_out_harms_nobody() -> None:
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


async def test_closing_says_goodbye_to_those_here_and_those_who_still_come() -> None:
    hub = Hub()
    hub.open()
    hub.join(here := RememberingPeer(hub))
    await hub.close(GOING_AWAY, limit_s=5.0)
    hub.join(late := RememberingPeer(hub))
    assert (here.closings, late.closings) == ([GOING_AWAY], [GOING_AWAY])
    assert not hub.peers


async def test_closing_does_not_wait_for_ever() -> None:
    hub = Hub()
    hub.join(RememberingPeer(hub, deaf=True))
    await hub.close(GOING_AWAY, limit_s=0.01)
    await hub.close(GOING_AWAY, limit_s=0.01)
