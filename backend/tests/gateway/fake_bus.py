"""A bus without NATS: what tests deliver on a subject goes to whoever subscribed."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from src.common.subscription import Callback, Stored, in_hand

OF_LAST_WEEK: Final = Stored(1, 1.0, is_first=True)


@dataclass
class FakeSubscription:
    """What `/health` and `/ready` look at."""

    subject: str
    durable_name: str | None
    callback: Callback
    trouble: str | None = None
    received: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    non_finite: int = 0
    lag: int = 0
    last_message_s: float | None = None
    rebinds: int = 0
    delivered: int = 0
    repeated: int = 0
    copies: int = 0
    stragglers: int = 0
    path: str | None = None
    core_trouble: str | None = "none here"
    mirror_trouble: str | None = None

    @property
    def is_live(self) -> bool:
        return self.trouble is None or self.core_trouble is None


class FakeBus:
    """Has what `SocketBroadcaster` and the HTTP routes use of `NATSBus`."""

    def __init__(self) -> None:
        self.url = "nats://***@fake:4222"
        self.is_connected = False
        self.reconnects = 0
        self.server: str | None = None
        self.subscriptions: list[FakeSubscription] = []
        self.calls: list[str] = []

    @property
    def outage_s(self) -> float:
        return 0.0 if self.is_connected else 60.0

    @property
    def trouble(self) -> str | None:
        return None if self.is_connected else "no answer"

    async def connect(self) -> None:
        self.calls.append("connect")
        self.is_connected = True

    async def subscribe(self, subject: str, callback: Callback, durable_name: str | None = None) -> FakeSubscription:
        self.calls.append(f"subscribe {subject}")
        self.subscriptions.append(FakeSubscription(subject, durable_name, callback))
        return self.subscriptions[-1]

    async def close(self) -> None:
        self.calls.append("close")
        self.is_connected = False
        self.subscriptions.clear()

    async def deliver(self, subject: str, message: Any, stored: Stored = OF_LAST_WEEK) -> None:
        for subscription in self.subscriptions:
            if subscription.subject == subject:
                with in_hand(stored):
                    await subscription.callback(message)
