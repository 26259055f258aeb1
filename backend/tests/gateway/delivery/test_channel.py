"""Channels: what is paced, what is left out, and how peers move between them."""

import asyncio
import itertools
import json
import math
from collections.abc import AsyncIterator

import pytest

from src.gateway.delivery.channel import KEPT_STAMPED, Channel, Stamp, _rounded
from src.gateway.delivery.frame import Frame, Last, number_of, plain
from src.gateway.delivery.hub import Hub
from src.gateway.delivery.ready_peers import SLICE_PEERS
from tests.gateway.delivery.test_hub import RememberingPeer, end_of_turn
from tests.waiting import until

SOON = 50.0  # rounds a second


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = Hub()
    yield hub
    for channel in hub.channels.values():
        channel.close()


def opened(hub: Hub, *, only_changes: bool = True, rate: float = math.inf, stamp: Stamp | None = None) -> Channel:
    channel = Channel(hub.counters, only_changes=only_changes, rate=rate, stamp=stamp)
    hub.channels[f"shape {len(hub.channels)}"] = channel
    return channel


async def test_peers_get_the_payloads_of_their_channel_alone(hub: Hub) -> None:
    channel, whole, narrow = opened(hub), RememberingPeer(hub), RememberingPeer(hub)
    hub.join(whole)
    hub.join(narrow, channel)
    hub.publish(b"whole")
    channel.publish(b"narrow")
    await end_of_turn()
    assert (whole.frames, narrow.frames) == ([b"whole"], [b"narrow"])


async def test_a_payload_that_did_not_change_is_not_sent(hub: Hub) -> None:
    channel, peer = opened(hub), RememberingPeer(hub)
    hub.join(peer, channel)
    for body in (b"1", b"1", b"2", b"2", b"1"):
        channel.publish(body)
        await end_of_turn()
    assert peer.frames == [b"1", b"2", b"1"]


async def test_the_channel_of_the_contract_sends_each_message(hub: Hub) -> None:
    peer = RememberingPeer(hub)
    hub.join(peer)
    for body in (b"1", b"1"):
        hub.publish(body)
        await end_of_turn()
    assert peer.frames == [b"1", b"1"]


async def test_a_paced_channel_sends_the_newest_of_each_moment(hub: Hub) -> None:
    channel, peers = opened(hub, rate=SOON), [RememberingPeer(hub), RememberingPeer(hub)]
    for peer in peers:
        hub.join(peer, channel)
    for body in (b"1", b"2", b"3"):
        channel.publish(body)
        await end_of_turn()
    assert not peers[0].frames, "the moment is not yet"
    await until(lambda: peers[0].frames, "the moment")
    assert [peer.frames for peer in peers] == [[b"3"], [b"3"]]


async def test_a_payload_that_lingers_gives_way_to_the_next_one(hub: Hub) -> None:
    peer = RememberingPeer(hub)
    hub.join(peer)
    hub.publish(b"levels", linger_s=60.0)
    await end_of_turn()
    assert not peer.frames
    hub.publish(b"levels and flow")
    await end_of_turn()
    assert peer.frames == [b"levels and flow"]


async def test_a_payload_that_lingers_is_sent_when_no_other_comes(hub: Hub) -> None:
    peer = RememberingPeer(hub)
    hub.join(peer)
    hub.publish(b"levels", linger_s=0.001)
    await until(lambda: peer.frames, "the end of the wait")
    hub.publish(b"levels again", linger_s=60.0)
    hub.publish(b"and again", linger_s=0.001)
    await until(lambda: len(peer.frames) == 2, "the end of the shorter wait")
    assert peer.frames == [b"levels", b"and again"]


async def test_a_round_under_way_goes_on_while_the_next_payload_lingers(hub: Hub) -> None:
    peers = [RememberingPeer(hub) for _ in range(3 * SLICE_PEERS)]
    for peer in peers:
        hub.join(peer)
    hub.publish(b"1")
    await end_of_turn()
    hub.publish(b"2", linger_s=60.0)
    await hub.settle()
    assert all(peer.frames == [b"1"] for peer in peers)
    hub.channel.close()


async def test_a_channel_that_is_closed_sends_no_payload_that_lingers(hub: Hub) -> None:
    channel, peer = opened(hub), RememberingPeer(hub)
    hub.join(peer, channel)
    channel.publish(b"1", linger_s=0.001)
    channel.close()
    await asyncio.sleep(0.01)
    assert not peer.frames


async def test_two_paced_rounds_are_a_period_apart(hub: Hub) -> None:
    channel, peer = opened(hub, rate=SOON), RememberingPeer(hub)
    hub.join(peer, channel)
    loop = asyncio.get_running_loop()
    moments = []
    for number in range(4):
        channel.publish(b"%d" % number)
        await until(lambda: len(peer.frames) == number + 1, "the next round")  # noqa: B023 - awaited here
        moments.append(channel._last_moment)
        assert loop.time() >= channel._last_moment / SOON
    assert moments == sorted(set(moments)), "one round at a moment"


async def test_a_peer_that_joins_between_two_moments_gets_the_newest_payload_at_once(hub: Hub) -> None:
    channel, early, late = opened(hub, rate=0.1), RememberingPeer(hub), RememberingPeer(hub)
    hub.join(early, channel)
    channel.publish(b"1")
    hub.join(late, channel)
    assert (early.frames, late.frames) == ([], [b"1"])
    channel._at_moment()
    await hub.settle()
    assert (early.frames, late.frames) == ([b"1"], [b"1"]), "the late one has it"


async def test_what_changed_and_changed_back_between_two_moments_is_not_sent(hub: Hub) -> None:
    channel, peer = opened(hub, rate=0.1), RememberingPeer(hub)
    channel.publish(b"1")
    hub.join(peer, channel)
    channel._at_moment()
    await hub.settle()
    channel.publish(b"2")
    channel.publish(b"1")
    channel._at_moment()
    await hub.settle()
    assert peer.frames == [b"1"]


async def test_a_peer_that_joined_on_a_change_that_was_undone_gets_both(hub: Hub) -> None:
    channel, early, late = opened(hub, rate=0.1), RememberingPeer(hub), RememberingPeer(hub)
    channel.publish(b"1")
    hub.join(early, channel)
    channel._at_moment()
    await hub.settle()
    channel.publish(b"2")
    hub.join(late, channel)
    channel.publish(b"1")
    channel._at_moment()
    await hub.settle()
    assert late.frames == [b"2", b"1"]
    assert early.frames[-1] == b"1"


async def test_a_peer_that_moves_gets_the_newest_of_its_new_channel(hub: Hub) -> None:
    channel, peer = opened(hub), RememberingPeer(hub)
    hub.join(peer)
    hub.publish(b"whole")
    await end_of_turn()
    channel.publish(b"narrow")
    await end_of_turn()
    hub.move(peer, channel, ready=True)
    hub.publish(b"whole again")
    channel.publish(b"narrow again")
    await end_of_turn()
    assert peer.frames == [b"whole", b"narrow", b"narrow again"]
    assert hub.behind == 0


async def test_a_channel_ends_with_its_last_peer(hub: Hub) -> None:
    channel, peers = opened(hub, rate=0.1), [RememberingPeer(hub), RememberingPeer(hub)]
    for peer in peers:
        hub.join(peer, channel)
    channel.publish(b"1")
    hub.leave(peers[0])
    assert channel in hub.channels.values()
    hub.move(peers[1], hub.channel, ready=True)
    assert not hub.channels
    assert channel._moment is None, "nothing is left to happen"


async def test_the_channel_of_the_contract_stays_without_peers(hub: Hub) -> None:
    peer = RememberingPeer(hub)
    hub.join(peer)
    hub.leave(peer)
    hub.release(hub.channel)
    hub.publish(b"1")
    await end_of_turn()
    assert hub.newest is not None


# -- a stamp -----------------------------------------------------------------------------------------------------------


def numbers(_messages: object, state: int, states: int, why: str | None, _told: int | None = None) -> bytes:
    return b'"status":{"seq":%d,"skipped":%d,"why":"%s"}' % (state, states, (why or "").encode())


def stamped(payload: bytes, state: int, states: int = 0, why: str | None = None) -> bytes:
    return payload[:-1] + (b"" if payload == b"{}" else b",") + numbers(None, state, states, why) + b"}"


async def test_each_frame_is_stamped_with_its_state_and_what_the_peer_skipped(hub: Hub) -> None:
    channel, quick, slow = opened(hub, stamp=numbers), RememberingPeer(hub), RememberingPeer(hub)
    hub.join(quick, channel)
    hub.join(slow, channel)
    channel.publish(b'{"n":1}')
    await end_of_turn()
    last = hub.blocked(slow)
    for n in (2, 3, 4):
        channel.publish(b'{"n":%d}' % n)
        await end_of_turn()
    hub.ready(slow, hub.newest_for(slow), last)
    channel.publish(b'{"n":5}')
    await channel.idle.wait()
    assert quick.frames == [stamped(b'{"n":%d}' % n, n) for n in (1, 2, 3, 4, 5)]
    assert slow.frames == [stamped(b'{"n":1}', 1), stamped(b'{"n":4}', 4, 2, "slow"), stamped(b'{"n":5}', 5)]


async def test_a_rate_spares_states_and_says_so(hub: Hub) -> None:
    channel, peer = opened(hub, rate=SOON, stamp=numbers), RememberingPeer(hub)
    hub.join(peer, channel)
    channel.publish(b"{}")
    await until(lambda: peer.frames, "a first round")
    for n in (2, 3, 4):
        channel.publish(b'{"n":%d}' % n)
    await until(lambda: len(peer.frames) == 2, "the next round")
    assert peer.frames == [stamped(b"{}", 1), stamped(b'{"n":4}', 4, 2, "rate")]


async def test_a_joining_peer_is_told_what_is_so_when_it_joins(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("src.gateway.delivery.channel.time.monotonic", lambda: now_s)
    said = iter((b'"status":"before"', b'"status":"now"'))
    channel = opened(hub, stamp=lambda *_: next(said))
    peers = [RememberingPeer(hub) for _ in range(3)]
    channel.publish(b'{"n":1}')
    await end_of_turn()
    hub.join(peers[0], channel)
    hub.join(peers[1], channel)
    now_s += 150.0
    hub.join(peers[2], channel)
    assert [peer.frames for peer in peers] == [[b'{"n":1,"status":"before"}']] * 2 + [[b'{"n":1,"status":"now"}']]


async def test_a_channel_tells_its_stamp_alone_to_all_that_are_ready(hub: Hub) -> None:
    channel, peers = opened(hub, stamp=numbers), [RememberingPeer(hub) for _ in range(2 * SLICE_PEERS)]
    for peer in peers:
        hub.join(peer, channel)
    channel.tell()
    hub.blocked(peers[-1])
    hub.leave(peers[-2])
    while not peers[-3].frames:
        await end_of_turn()
    expected = plain(Frame(stamped(b"{}", 0)), Last(0, None))
    assert [peer.frames for peer in peers] == [[expected]] * (len(peers) - 2) + [[], []]
    channel.publish(b'{"n":1}')
    await channel.idle.wait()
    assert peers[0].frames[1:] == [stamped(b'{"n":1}', 1)]


async def test_the_stamp_alone_is_not_told_to_a_peer_that_the_newest_state_has_not_reached(hub: Hub) -> None:
    channel, peers = opened(hub, stamp=numbers), [RememberingPeer(hub) for _ in range(2 * SLICE_PEERS)]
    for peer in peers:
        hub.join(peer, channel)
    channel.publish(b'{"n":1}')
    await end_of_turn()
    assert [len(peer.frames) for peer in peers] == [1] * SLICE_PEERS + [0] * SLICE_PEERS, "the round is under way"
    channel.tell()
    await channel.idle.wait()
    expected = [stamped(b'{"n":1}', 1), plain(Frame(stamped(b"{}", 1)), Last(0, None))]
    assert [peer.frames for peer in peers] == [expected] * SLICE_PEERS + [expected[:1]] * SLICE_PEERS


async def test_two_frames_never_have_one_number_also_where_events_come_between_them(hub: Hub) -> None:
    """Peers with the same number share a compression window."""
    calls, position = itertools.count(), 1
    channel = Channel(hub.counters, stamp=lambda *_: b'"call":%d' % next(calls), position=lambda: position)
    hub.channels["events"] = channel
    peers = [RememberingPeer(hub) for _ in range(3)]
    for peer in peers:
        peer.form = lambda frame, _last: b"%d %s" % (frame.number, frame.payload)
    hub.join(peers[0], channel)
    channel.publish(b'{"n":1}')
    await end_of_turn()
    position = 2
    channel.publish_events()
    hub.join(peers[1], channel)  # before its round
    await end_of_turn()
    hub.join(peers[2], channel)
    sent = [frame.split(b" ", 1) for peer in peers for frame in peer.frames]
    assert len({number for number, _ in sent}) == len({payload for _, payload in sent}) == 4


async def test_between_two_moments_the_stamp_is_about_the_messages_that_were_sent(hub: Hub) -> None:
    channel, peer = opened(hub, rate=SOON, stamp=lambda messages, *_: b'"status":' + messages), RememberingPeer(hub)
    hub.join(peer, channel)
    channel.publish(b'{"n":1}', messages=b"1")
    await until(lambda: peer.frames, "a first round")
    channel.publish(b'{"n":2}', messages=b"2")
    channel.tell()
    assert b'{"status":1}' in peer.frames[-1]
    await until(lambda: len(peer.frames) == 3, "the next round")
    channel.publish(b'{"n":2}', messages=b"3")
    channel.tell()
    assert b'{"status":3}' in peer.frames[-1], "a message that changes nothing is shown too"


async def test_a_viewer_that_reconnects_is_told_what_it_missed(hub: Hub) -> None:
    channel = opened(hub, stamp=numbers)
    for n in (1, 2, 3, 4):
        channel.publish(b'{"n":%d}' % n)
        await end_of_turn()
    peers = [RememberingPeer(hub) for _ in range(4)]
    for peer, since in zip(peers, (0, 1, 3, 9), strict=True):
        hub.join(peer, channel, number_of(since))
    frames = [peer.frames[0] for peer in peers]
    assert frames == [stamped(b'{"n":4}', 4, *skipped) for skipped in ((), (2, "reconnect"), (), ())]


def test_many_skipped_states_are_rounded_so_that_few_frames_tell_them() -> None:
    assert [_rounded(states) for states in (0, 7, 99, 100, 129, 1_999, 345_678)] == [0, 7, 99, 100, 120, 1_900, 340_000]


async def test_the_frames_of_one_state_that_are_kept_are_bounded(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 1.0)
    monkeypatch.setattr("src.gateway.delivery.channel.time.monotonic", lambda: next(clock))
    channel = opened(hub, stamp=numbers)
    channel.publish(b'{"n":1}')
    await end_of_turn()
    for _ in range(100):
        hub.join(RememberingPeer(hub), channel)
    assert len(channel._payloads) == KEPT_STAMPED


# -- events ------------------------------------------------------------------------------------------------------------


class Happenings:
    """A channel with events, which are numbers from 11 on; position 10 is before the first."""

    def __init__(self, hub: Hub, rate: float = math.inf) -> None:
        self.position = 10
        self.channel = Channel(
            hub.counters, only_changes=True, rate=rate, stamp=self._stamp, position=lambda: self.position
        )
        hub.channels["events"] = self.channel

    def happen(self) -> None:
        self.position += 1
        self.channel.publish_events()

    def _stamp(self, _messages: object, _state: int, _states: int, _why: str | None, told: int | None) -> bytes:
        events = [] if told is None else range(told + 1, self.position + 1)
        return b'"events":[%s]' % b",".join(b"%d" % event for event in events)


def told(peer: RememberingPeer) -> list[int]:
    """All events that it was told, in order."""
    return [event for frame in peer.frames for event in json.loads(frame)["events"]]


async def test_each_peer_is_told_each_event_from_its_first_frame_on_whatever_frames_it_skips(hub: Hub) -> None:
    happenings = Happenings(hub)
    channel, quick, slow = happenings.channel, RememberingPeer(hub), RememberingPeer(hub)
    hub.join(quick, channel)
    hub.join(slow, channel)
    channel.publish(b'{"n":1}')
    await end_of_turn()
    last = hub.blocked(slow)
    for n in (2, 3):
        happenings.happen()
        channel.publish(b'{"n":%d}' % n)
        happenings.happen()
        await channel.idle.wait()
    hub.ready(slow, hub.newest_for(slow), last)
    happenings.happen()
    await channel.idle.wait()
    assert (told(quick), told(slow)) == ([11, 12, 13, 14, 15], [11, 12, 13, 14, 15])
    assert (len(quick.frames), len(slow.frames)) == (4, 3)


async def test_an_event_alone_is_a_frame_with_the_payload_as_it_was(hub: Hub) -> None:
    happenings, peer = Happenings(hub), RememberingPeer(hub)
    hub.join(peer, happenings.channel)
    happenings.channel.publish(b'{"n":1}')
    await end_of_turn()
    happenings.happen()
    await end_of_turn()
    assert peer.frames == [b'{"n":1,"events":[]}', b'{"n":1,"events":[11]}']


async def test_a_peer_that_joined_between_two_moments_is_told_what_happened_after_it(hub: Hub) -> None:
    happenings = Happenings(hub, rate=SOON)
    before, between = RememberingPeer(hub), RememberingPeer(hub)
    hub.join(before, happenings.channel)
    happenings.channel.publish(b'{"n":1}')
    await until(lambda: before.frames, "a first round")
    happenings.happen()
    hub.join(between, happenings.channel)
    happenings.happen()
    await until(lambda: told(before) == [11, 12], "both at the next moment")
    await until(lambda: told(between) == [12], "what happened after it joined")


async def test_a_viewer_that_reconnects_is_told_the_events_that_it_missed(hub: Hub) -> None:
    happenings = Happenings(hub)
    happenings.channel.publish(b'{"n":1}')
    await end_of_turn()
    known, new = RememberingPeer(hub), RememberingPeer(hub)
    hub.join(known, happenings.channel, since=number_of(0, 0, 7))
    hub.join(new, happenings.channel)
    assert (told(known), told(new)) == ([8, 9, 10], [])
