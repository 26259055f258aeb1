"""The rule of one slot: newest wins."""

from src.gateway.delivery.frame import Frame
from src.gateway.delivery.outbox import Outbox

FIRST, SECOND, FIFTH = (Frame(b"{}", number) for number in (1, 2, 5))


def test_a_slow_peer_skips_to_the_newest_frame() -> None:
    outbox = Outbox()
    outbox.pause(sent=SECOND.number, now_s=0.0)
    assert outbox.resume(newest=FIFTH) == (FIFTH, SECOND.number, 2), "without the third and the fourth"


def test_a_peer_that_missed_nothing_is_sent_nothing_when_it_is_ready_again() -> None:
    outbox = Outbox()
    outbox.pause(sent=FIRST.number, now_s=0.0)
    assert outbox.resume(newest=FIRST) == (None, FIRST.number, 0)


def test_another_frame_of_the_same_state_is_nothing_missed() -> None:
    outbox = Outbox()
    outbox.pause(sent=Frame(b"{}", 5, variant=7).number, now_s=0.0)
    assert outbox.resume(newest=FIFTH).frame is None


def test_a_peer_that_was_busy_before_the_first_frame_is_sent_the_newest() -> None:
    outbox = Outbox()
    outbox.pause(sent=0, now_s=0.0)
    assert outbox.resume(newest=None) == (None, 0, 0)
    outbox.pause(sent=0, now_s=0.0)
    assert outbox.resume(newest=SECOND) == (SECOND, 0, 1)


def test_a_peer_is_ready_until_it_pauses_and_when_it_resumes() -> None:
    outbox = Outbox()
    ready = [outbox.ready]
    outbox.pause(sent=FIRST.number, now_s=0.0)
    ready.append(outbox.ready)
    outbox.resume(newest=FIRST)
    ready.append(outbox.ready)
    assert ready == [True, False, True]


def test_a_peer_stalls_from_its_pause_or_its_last_progress() -> None:
    outbox = Outbox()
    assert outbox.stalled_s(now_s=100.0) == 0.0
    outbox.pause(sent=1, now_s=100.0)
    outbox.pause(sent=2, now_s=105.0)
    assert outbox.stalled_s(now_s=110.0) == 10.0, "the second pause changes nothing"
    outbox.progressed(now_s=108.0)
    assert outbox.stalled_s(now_s=110.0) == 2.0
    outbox.resume(newest=SECOND)
    assert outbox.stalled_s(now_s=200.0) == 0.0
