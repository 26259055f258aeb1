"""The rule of one slot: newest wins."""

from src.gateway.delivery.frame import Frame
from src.gateway.delivery.outbox import Outbox

OLD, NEWER, NEWEST = Frame(b"1"), Frame(b"2"), Frame(b"3")


def test_a_ready_peer_is_sent_each_frame_at_once() -> None:
    outbox = Outbox()
    assert [outbox.offer(frame) for frame in (OLD, NEWER)] == [OLD, NEWER]
    assert outbox.skipped == 0


def test_a_slow_peer_skips_to_the_newest_frame() -> None:
    outbox = Outbox()
    outbox.pause(now_s=0.0)
    assert [outbox.offer(frame) for frame in (OLD, NEWER, NEWEST)] == [None, None, None]
    assert outbox.resume() is NEWEST
    assert outbox.skipped == 2
    assert outbox.resume() is None, "nothing is sent twice"


def test_a_peer_that_missed_nothing_is_sent_nothing_when_it_drains() -> None:
    outbox = Outbox()
    outbox.pause(now_s=0.0)
    assert outbox.resume() is None


def test_a_peer_stalls_from_its_pause_or_its_last_progress() -> None:
    outbox = Outbox()
    assert outbox.stalled_s(now_s=100.0) == 0.0
    outbox.pause(now_s=100.0)
    outbox.pause(now_s=105.0)
    assert outbox.stalled_s(now_s=110.0) == 10.0
    outbox.progressed(now_s=108.0)
    assert outbox.stalled_s(now_s=110.0) == 2.0
    outbox.resume()
    assert outbox.stalled_s(now_s=200.0) == 0.0


def test_clear_lets_go_of_what_waits() -> None:
    outbox = Outbox()
    outbox.pause(now_s=0.0)
    outbox.offer(OLD)
    outbox.clear()
    assert outbox.resume() is None
