"""The freshness of the stream, looked at regularly: the clock of the gateway is the test's."""

from datetime import UTC, datetime
from typing import Any

import pytest

from src.gateway import live_status
from src.gateway.delivery.hub import Hub
from src.gateway.live_status import LiveStatus
from tests.gateway.fake_bus import FakeBus
from tests.waiting import until


def ms(hour: int, minute: int) -> int:
    """A Tuesday, on which the market opens at 14:30 UTC."""
    return int(datetime(2026, 12, 1, hour, minute, tzinfo=UTC).timestamp() * 1000)


async def test_an_opening_is_noticed_when_it_comes_also_where_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a Core that has been silent since the opening would pass as live for a while when somebody asks."""
    monkeypatch.setattr(live_status, "LOOK_EVERY_S", 0.01)
    now_ms, looks = ms(13, 0), 0

    def clock() -> int:
        nonlocal looks
        looks += 1
        return now_ms

    async def until_looked() -> None:
        before = looks
        await until(lambda: looks >= before + 2, "it looks")

    bus: Any = FakeBus()
    status = LiveStatus(Hub(), bus, "XNYS", clock)
    status.add("levels", ts_ms=now_ms)
    now_ms = ms(14, 0)
    assert status.judge().verdicts == {"levels": "closed"}
    status.open()
    await until_looked()
    now_ms = ms(14, 31)
    await until_looked()
    await status.close()
    now_ms = ms(15, 0)
    assert status.judge().verdicts == {"levels": "stale"}
