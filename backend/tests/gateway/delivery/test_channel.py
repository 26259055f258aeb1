"""Channels: what is paced, what is left out, and how peers move between them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from src.gateway.delivery.channel import Channel
from src.gateway.delivery.hub import Hub
from tests.gateway.delivery.test_hub import RememberingPeer, end_of_turn
from tests.waiting import until

SOON = 50.0  # rounds a second


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = Hub()
    yield hub
    for channel in hub.channels.values():
        channel.close()


def opened(hub: Hub, *, only_changes: bool = True, rate: float | None = None) -> Channel:
    channel = Channel(hub.counters, only_changes=only_changes, **({} if rate is None else {"rate": rate}))
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
