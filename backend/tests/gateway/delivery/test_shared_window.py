"""One compression window for all peers: each inflates every frame exactly, in whatever order things happen."""

import asyncio
import json
import random
import re
import zlib
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame as ReadFrame
from websockets.streams import StreamReader

from src.gateway.close_codes import CloseCode
from src.gateway.delivery.channel import KEPT_PAYLOADS, Channel
from src.gateway.delivery.frame import WINDOW_BYTES, Form, Frame, Last, deflated, deflated_after_last, plain
from src.gateway.delivery.hub import Hub
from src.gateway.delivery.outbox import Outbox

PEERS = 5
FORMS: list[Form] = [deflated_after_last, deflated_after_last, deflated_after_last, deflated, plain]


class Viewer:
    """A peer with the inflater of its viewer, which fails at a frame that refers to another window than its own."""

    def __init__(self, hub: Hub, form: Form) -> None:
        self.hub = hub
        self.form = form
        self.pongs = None
        self.room: int | None = None  # None takes all
        self.got: list[bytes] = []
        self._outbox = Outbox()
        takes_over = form is deflated_after_last
        self._extensions = [] if form is plain else [PerMessageDeflate(not takes_over, True, 15, 15)]

    def send(self, wire: bytes) -> int:
        self._receive(wire)
        if self.room is None:
            return len(wire)
        return min(self.room, len(wire) - 1)  # the transport gets the rest, and the frame arrives whole all the same

    def send_rest(self, wire: bytes, taken: int) -> None:
        self._outbox.pause(self.hub.blocked(self), 0.0)

    def resume(self) -> None:
        if not self._outbox.ready:
            self.room = None
            missed = self._outbox.resume(self.hub.newest_for(self))
            self.hub.ready(self, missed.frame, missed.last)

    def move(self, channel: Channel, *, has_newest: bool = False) -> None:
        if not self._outbox.ready:
            self._outbox.restart()
        self.hub.move(self, channel, ready=self._outbox.ready, has_newest=has_newest)

    def close(self, close_code: CloseCode) -> None:
        self.hub.leave(self)

    def check(self, now_s: float) -> None:
        return

    def _receive(self, wire: bytes) -> None:
        reader = StreamReader()
        reader.feed_data(wire)
        parser = ReadFrame.parse(reader.read_exact, mask=False, extensions=self._extensions)
        with pytest.raises(StopIteration) as parsed:
            next(parser)
        self.got.append(bytes(parsed.value.value.data))


NOISE = random.Random(7).randbytes(20_000).hex().encode()


def payload(number: int, size: int) -> bytes:
    """The same text each time, behind a number that changes: compressed alone it stays long."""
    return b'{"n":%d,"text":"%s"}' % (number, NOISE[:size])


peers = st.integers(0, PEERS - 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from([1, 50, 400, 3000, 40_000])),
        st.tuples(st.just("turn"), st.just(0)),
        st.tuples(st.just("block"), peers),
        st.tuples(st.just("resume"), peers),
        st.tuples(st.just("leave"), peers),
        st.tuples(st.just("join"), peers),
        st.tuples(st.just("move"), peers),
        st.tuples(st.just("tell"), st.just(0)),
        st.tuples(st.just("event"), st.just(0)),
    ),
    max_size=60,
)


PUBLISHED = [("publish", 400), ("turn", 0), ("turn", 0)]


@settings(deadline=None, max_examples=200)
@given(steps)
@example(
    [*PUBLISHED, ("block", 1), *PUBLISHED * 4, ("tell", 0), ("resume", 1), *PUBLISHED]
)  # skips states of the shape
@example([*PUBLISHED, ("block", 1), ("event", 0), *PUBLISHED * 2, ("event", 0), ("resume", 1), ("event", 0)])
def test_every_peer_inflates_every_frame_whatever_happens_between(script: list[tuple[str, int]]) -> None:
    asyncio.run(play(script))


async def play(script: list[tuple[str, int]]) -> None:
    hub = Hub()
    viewers = [Viewer(hub, form) for form in FORMS]
    all_viewers = list(viewers)
    moved: set[Viewer] = set()
    published: list[bytes] = []
    happened = 1  # events, counted from 1: position 1 is before the first

    def stamp(_messages: object, state: int, states: int, _why: str | None, told: int | None) -> bytes:
        events = b"" if told is None else b',"events":%s' % json.dumps(list(range(told + 1, happened + 1))).encode()
        return b'"status":[%d,%d,%d]' % (state, states, happened) + events

    # A shape with a stamp, whose payloads are like those of the whole.
    narrow = Channel(hub.counters, only_changes=True, stamp=stamp, position=lambda: happened)
    hub.join(Viewer(hub, plain), narrow)  # keeps it

    def publish(size: int) -> None:
        published.extend([payload(len(published), size), payload(len(published) + 1, size // 2)])
        hub.publish(published[-2])
        narrow.publish(published[-1])

    def event(_: int) -> None:
        nonlocal happened
        happened += 1
        narrow.publish_events()

    def move(n: int) -> None:
        if viewers[n] in hub.peers:
            moved.add(viewers[n])
            viewers[n].move(narrow if hub.peers[viewers[n]] is hub.channel else hub.channel)

    def block(n: int) -> None:
        viewers[n].room = 1

    def join(n: int) -> None:
        if viewers[n] not in hub.peers:
            viewers[n] = Viewer(hub, FORMS[n])
            all_viewers.append(viewers[n])
            hub.join(viewers[n], narrow if n % 2 else None)

    actions: dict[str, Callable[[int], Any]] = {
        "publish": publish,
        "block": block,
        "resume": lambda n: viewers[n].resume() if viewers[n] in hub.peers else None,
        "leave": lambda n: hub.leave(viewers[n]),
        "join": join,
        "move": move,
        "tell": lambda _: narrow.tell(),
        "event": event,
    }
    for n in range(PEERS):
        join(n)
    for action, argument in script:
        if action == "turn":
            await asyncio.sleep(0)
        else:
            actions[action](argument)
    for viewer in list(hub.peers):
        viewer.resume()  # type: ignore[attr-defined]
    await hub.settle()
    await narrow.idle.wait()
    order = {body: number for number, body in enumerate(published)}
    for viewer in all_viewers:
        got = [body for body in map(without_stamp, viewer.got) if body != b"{}"]
        numbers = [order[body] // 2 for body in got]  # a frame that was not published would be no key
        assert numbers == sorted(numbers), "none older"
        if viewer not in moved:
            frames = [body for body in viewer.got if without_stamp(body) != b"{}"]
            assert len(frames) == len(set(frames)), "none twice"
        if viewer in hub.peers and published:
            newest = published[-1 if hub.peers[viewer] is narrow else -2]
            assert got[-1] == newest, "the newest in the end"
        if viewer not in moved:
            stamps = [stamp for stamp in map(stamp_of, frames) if stamp is not None]
            for last, next_one in pairwise(stamps):
                assert next_one.skipped == max(next_one.state - last.state - 1, 0), "each skipped state is told"
                missed = list(range(last.position + 1, next_one.position + 1))
                assert next_one.events == missed, "each event is told once"
            if stamps and viewer in hub.peers:
                assert stamps[-1].position == happened, "the newest event in the end"


STAMP = re.compile(rb',?"status":\[(\d+),(\d+),(\d+)\](?:,"events":(\[.*\]))?}$')


class StampOf(NamedTuple):
    """What a stamp tells: the state, how many were skipped, the newest event, and those that are told."""

    state: int
    skipped: int
    position: int
    events: list[int]


def without_stamp(body: bytes) -> bytes:
    return STAMP.sub(b"}", body)


def stamp_of(body: bytes) -> StampOf | None:
    """None without a stamp."""
    found = STAMP.search(body)
    return None if found is None else StampOf(int(found[1]), int(found[2]), int(found[3]), json.loads(found[4] or "[]"))


# -- the bytes ---------------------------------------------------------------------------------------------------------


def test_a_frame_after_another_is_a_tenth_of_one_without_a_dictionary() -> None:
    first, second = Frame(payload(1, 3000), 1), Frame(payload(2, 3000), 2)
    assert len(second.deflated_after(Last(1, first.payload))) < len(second.deflated) / 10


def test_it_is_made_once_for_all_peers_with_the_same_last_frame() -> None:
    frame, last = Frame(payload(2, 400), 2), Last(1, payload(1, 400))
    assert frame.deflated_after(last) is frame.deflated_after(Last(1, payload(1, 400)))


def test_a_peer_without_a_frame_or_too_far_behind_gets_one_without_a_dictionary() -> None:
    frame = Frame(payload(2, 400), 2)
    assert frame.deflated_after(Last(0, None)) is frame.deflated
    assert frame.deflated_after(Last(1, None)) is frame.deflated


def test_a_dictionary_is_what_the_window_of_a_viewer_holds() -> None:
    """zlib takes the end of a longer dictionary too; here the receiver's window is checked against it."""
    long = payload(1, 40_000)
    assert len(long) > WINDOW_BYTES
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    for frame, last in ((Frame(long, 1), Last(0, None)), (Frame(payload(2, 40_000), 2), Last(1, long))):
        body = frame.deflated_after(last)[4:]  # header and a length of 16 bits
        assert inflate.decompress(body + b"\x00\x00\xff\xff") == frame.payload


async def test_payloads_of_a_bounded_number_of_frames_are_kept() -> None:
    hub = Hub()
    for number in range(3 * KEPT_PAYLOADS):
        hub.publish(b"%d" % number)
        await asyncio.sleep(0)
    assert len(hub.channel._payloads) == KEPT_PAYLOADS


async def test_groups_without_peers_are_not_kept() -> None:
    hub = Hub()
    hub.join(Viewer(hub, deflated_after_last))
    for number in range(20):
        hub.publish(b"%d" % number)
        await asyncio.sleep(0)
    assert len(hub.channel._ready) <= 2
