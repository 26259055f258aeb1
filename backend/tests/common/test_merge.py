"""Two subjects in one order."""

from dataclasses import dataclass
from typing import cast

import pytest

from src.common.merge import SETTLE_S, Track, next_of
from src.common.ordered_consumer import StoredMessage

NOW_S = 100.0


@dataclass
class Standing:
    """A track at one moment: when its next message was stored, whether more is to come, how long it has waited."""

    stored_us: int | None
    behind: bool = False
    waited_s: float = SETTLE_S
    is_full: bool = False

    @property
    def consumer(self) -> "Standing":
        return self

    def head(self) -> tuple[float, StoredMessage] | None:
        if self.stored_us is None:
            return None
        return NOW_S - self.waited_s, StoredMessage("a", 1, self.stored_us, b"")


NOTHING, BEHIND = Standing(None), Standing(None, behind=True)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (NOTHING, NOTHING, None),
        (Standing(1), Standing(2), 0),
        (Standing(2), Standing(1), 1),
        (Standing(1), Standing(1), 0),
        (Standing(2, behind=True), Standing(1, behind=True), 1),
        (Standing(1, waited_s=0), Standing(2, waited_s=0), 0),
        (Standing(1), NOTHING, 0),
        (Standing(1, waited_s=SETTLE_S / 2), NOTHING, None),
        (Standing(1, waited_s=0, is_full=True), NOTHING, 0),
        (Standing(1), BEHIND, None),
        (Standing(1, is_full=True), BEHIND, None),
        (BEHIND, Standing(1), None),
    ],
)
def test_the_oldest_is_next_unless_an_older_one_may_come(
    first: Standing, second: Standing, expected: int | None
) -> None:
    tracks = cast(list[Track], [first, second])
    chosen = next_of(tracks, NOW_S)
    assert chosen is (None if expected is None else tracks[expected])


def test_at_the_end_nothing_is_waited_for() -> None:
    tracks = cast(list[Track], [Standing(1, waited_s=0), BEHIND])
    assert next_of(tracks, NOW_S, last=True) is tracks[0]
