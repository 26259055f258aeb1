"""The data path, on one page.

A message arrives on the bus, is mapped to the frontend's signals, updates the latest state and is serialized once; the
hub sends it as a frame to every peer.

The class, its methods and its state have the names of the interface document. Its private methods call the pure
functions of `signals/`.
"""

import asyncio
import contextlib
import functools
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from fastapi import WebSocket

from src.common.bus import NATSBus
from src.common.messages import decode_value
from src.common.subjects import DURABLES, LEVELS_SIGNALS, MARKET_FLOW
from src.common.subscription import Callback, Subscription, message_in_hand
from src.gateway.admission.admission_control import Admission, AdmissionControl
from src.gateway.close_codes import GOING_AWAY
from src.gateway.delivery.asgi_peer import AsgiPeer
from src.gateway.delivery.channel import Channel
from src.gateway.delivery.coalescing import Coalescing
from src.gateway.delivery.hub import Hub
from src.gateway.history.client import HistoryClient
from src.gateway.live_status import LiveStatus
from src.gateway.market_bus import make_bus
from src.gateway.metrics import Metrics
from src.gateway.replays import Replays
from src.gateway.setting_types import FurtherSection
from src.gateway.settings import Settings
from src.gateway.shapes import Shapes
from src.gateway.signals.contract import LevelSignal, LevelsPayload
from src.gateway.signals.core_message import Faults, LevelsMessage
from src.gateway.signals.intake import levels_message, read_level, read_target
from src.gateway.signals.latest_state import LatestState
from src.gateway.signals.normalize import normalize_level, normalize_levels
from src.gateway.signals.session_clock import SessionContext, session_context

logger = logging.getLogger("gateway")

SETTLE_LIMIT_S: Final = 0.05  # how long `broadcast` waits for the WebSockets of other ASGI servers
CLOSE_TIMEOUT_S: Final = 1.5  # for viewers to answer the close frame


class SocketBroadcaster:
    """Relays the newest state from the bus to every connected viewer."""

    def __init__(
        self,
        bus: NATSBus | None = None,
        *,
        settings: Settings | None = None,
        hub: Hub | None = None,
        admission_control: AdmissionControl | None = None,
        history: HistoryClient | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """
        Args:
            bus: the source of messages; by default one made from `settings`.
            settings: by default those of the environment.
            hub: joined by the viewers of the gateway's own port.
            admission_control: decides about their handshakes; by default that of `settings`.
            history: the past; by default nobody is told of it.
            now_ms: the gateway's clock, ms UTC, for messages without a time of their own.
        """
        self.settings = settings or Settings.from_environment(os.environ)
        self.bus = bus or make_bus(self.settings)
        self.hub = hub or Hub()
        self.live_status = LiveStatus(self.hub, self.bus, self.settings.market, now_ms)
        self.replays = Replays(
            self.hub, self.live_status, None if history is None else history.path, self.settings.max_replays, now_ms
        )
        self.shapes = Shapes(
            self.hub,
            self.settings.max_shapes,
            tuple(section.name for section in self.settings.sections),
            self.live_status,
            None if history is None else history.ring,
            self.replays,
        )
        self.history = history
        if history is not None:
            history.on_events = self.shapes.publish_events
            self.live_status.on_verdict = history.note_verdict
        self.admission_control = admission_control or AdmissionControl(self.settings)
        self.metrics = Metrics()
        self._now_ms = now_ms
        self._state = LatestState()
        self._coalescing = Coalescing(self.settings.coalesce_s)
        self._asgi_peers: list[AsgiPeer] = []
        self._subscriptions: list[Subscription] = []
        self._stop_begun = False
        self._lock = asyncio.Lock()  # separates a start() that still waits for NATS from the close() that ends it

    # -- lifecycle -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect to NATS and subscribe; returns when the newest message of each subject is in the state.

        Raises:
            BusError: NATS or JetStream cannot be reached in time; the text says what to check.
        """
        async with self._lock:
            self.hub.open()
            self.live_status.open()
            if self.history is not None:
                self.history.open()
            await self.admission_control.open()
            await self.bus.connect()
            self.bus.on_copy = self.live_status.place
            subscribing = [
                self._subscribe(LEVELS_SIGNALS, self._on_level_signals, DURABLES[LEVELS_SIGNALS]),
                self._subscribe(MARKET_FLOW, self._on_flow_snapshot, DURABLES[MARKET_FLOW]),
            ]
            for section in self.settings.sections:
                on_message = functools.partial(self._on_section, section)
                subscribing.append(self._subscribe(section.subject, on_message, f"gateway_{section.name}"))
            await asyncio.gather(*subscribing)  # each may wait for an election

    async def _subscribe(self, subject: str, callback: Callback, durable_name: str) -> None:
        named = durable_name if self.settings.consumers == "durable" else None
        self._subscriptions.append(await self.bus.subscribe(subject=subject, callback=callback, durable_name=named))

    @property
    def is_stopping(self) -> bool:
        """Whether the gateway stops: viewers are being closed, or will be after `GATEWAY_PRE_STOP`."""
        return self._stop_begun or self.hub.is_closing

    def begin_stop(self) -> None:
        """From now on the gateway is not ready; viewers are served and accepted as before."""
        self._stop_begun = True

    def begin_drain(self) -> None:
        """From now on the gateway is not ready, and a viewer that still connects is closed."""
        self.hub.begin_drain(GOING_AWAY)

    async def drain(self, over_s: float = 0.0) -> None:
        """Close every viewer, one after the other over `over_s` seconds at most, and each that still connects."""
        await self.hub.drain(GOING_AWAY, over_s)

    async def close_viewers(self) -> None:
        """Wait until all viewers are gone, for `CLOSE_TIMEOUT_S` at most, then abort the rest."""
        await self.hub.close(GOING_AWAY, CLOSE_TIMEOUT_S)

    async def close(self) -> None:
        """Close every viewer, then the connection to NATS; idempotent, bounded in time."""
        async with self._lock:
            await self.close_viewers()
            await self.replays.close()
            await self.live_status.close()
            if self.history is not None:
                await self.history.close()
            self._subscriptions.clear()
            await self.bus.close()
            await self.admission_control.close()

    # -- the data path ---------------------------------------------------------------------------------------------

    async def _on_level_signals(self, data: LevelsMessage | Mapping[str, Any]) -> None:
        arrived_s = time.monotonic()
        message = _read(data)
        levels = self._normalize(message)
        self.metrics.normalization.observe(time.monotonic() - arrived_s)
        self.metrics.faults.update(message.faults)
        self.live_status.add("levels", levels, message.ts_ms)
        self._state.levels, self._state.viewport = levels, message.viewport
        self._note_arrival(arrived_s, levels=levels, viewport=message.viewport)
        linger_s = self._coalescing.linger_s("levels", arrived_s)
        await self.broadcast(self._build_payload(), published_s=_published_s(), linger_s=linger_s)

    async def _on_flow_snapshot(self, data: Any) -> None:
        self.live_status.add("flow")
        self._state.flow = data
        arrived_s = time.monotonic()
        self._note_arrival(arrived_s, flow=data)
        linger_s = self._coalescing.linger_s("flow", arrived_s)
        await self.broadcast(self._build_payload(), published_s=_published_s(), linger_s=linger_s)

    async def _on_section(self, section: FurtherSection, data: Any) -> None:
        """A further section: the payload of the contract does not have it."""
        self._state.further[section.name] = data
        arrived_s = time.monotonic()
        self._note_arrival(arrived_s, **{section.name: data})
        linger_s = self._coalescing.linger_s(section.name, arrived_s)
        self.shapes.publish(self._state.with_further(), _published_s(), linger_s)

    def _build_payload(self) -> dict[str, Any]:
        return self._state.payload()

    async def broadcast(
        self, message: dict[str, Any], *, published_s: float | None = None, linger_s: float = 0.0
    ) -> None:
        """Serialize once for each shape, send the frame to every viewer of it, and drop those that fail.

        Args:
            message: what JSON can express; a relayed section may be its bytes (`msgspec.Raw`).
            published_s: when the new message in it was published, seconds since the epoch; None: not measured.
            linger_s: wait for so many seconds for a newer state, which takes its place.
        """
        try:
            payload = msgspec.json.encode(message)
        except (TypeError, ValueError, OverflowError, RecursionError):
            self.metrics.unserializable += 1
            logger.exception("a payload cannot be written as JSON; skipped")
            return
        self.hub.publish(payload, published_s, linger_s)
        self.shapes.publish({**message, **self._state.further}, published_s, linger_s)
        await self._settle()

    def _note_arrival(self, arrived_s: float, **sections: Any) -> None:
        for section, content in sections.items():
            if content is None:
                self.metrics.arrived_s.pop(section, None)
            else:
                self.metrics.arrived_s[section] = arrived_s

    # -- viewers of any ASGI server --------------------------------------------------------------------------------

    @property
    def active_connections(self) -> list[Any]:
        """Every viewer: the WebSocket that `connect` was given, or the gateway's own peer."""
        return [peer.websocket if isinstance(peer, AsgiPeer) else peer for peer in self.hub.peers]

    async def connect(
        self, websocket: WebSocket, admission: Admission | None = None, channel: Channel | None = None
    ) -> None:
        """Accept the viewer and send it the current payload, if there is one, before any later one.

        Args:
            websocket: not accepted yet.
            admission: its admission, which the caller releases in the end; None where no token can end.
            channel: what it asked for; by default the whole payload.
        """
        if admission is not None and admission.subprotocol is not None:
            await websocket.accept(subprotocol=admission.subprotocol)
        else:
            await websocket.accept()
        await asyncio.sleep(0)  # a payload published in this turn of the event loop is fanned out first
        peer = AsgiPeer(websocket, self.hub, self.settings.stall_limit_s, admission)
        self._asgi_peers.append(peer)
        self.hub.join(peer, channel)
        await peer.settle(SETTLE_LIMIT_S)

    async def disconnect(self, websocket: WebSocket) -> None:
        """Forget the viewer; idempotent."""
        for peer in self._asgi_peers:
            if peer.websocket is websocket:
                peer.drop()
        self._forget_gone_peers()

    async def _settle(self) -> None:
        """Wait a moment for the WebSockets of other ASGI servers; never for the gateway's own peers."""
        if self._asgi_peers:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_LIMIT_S):
                    await self.hub.settle()
            await asyncio.gather(*(peer.settle(SETTLE_LIMIT_S) for peer in self._asgi_peers))
            self._forget_gone_peers()

    def _forget_gone_peers(self) -> None:
        self._asgi_peers = [peer for peer in self._asgi_peers if peer in self.hub.peers]

    # -- names of the interface document ---------------------------------------------------------------------------

    def _normalize(self, message: LevelsMessage) -> LevelsPayload:
        return normalize_levels(message, now_ms=self._now_ms(), wall_baseline=self.settings.wall_baseline)

    def _normalize_levels_payload(self, payload: Mapping[str, Any]) -> LevelsPayload:
        return self._normalize(levels_message(payload))

    def _normalize_level_signal(
        self,
        level: Mapping[str, Any],
        is_first_15m: bool,
        bars_since_open: int,
        viewport_pred: Mapping[str, Any] | None = None,
    ) -> LevelSignal:
        faults: Faults = Counter()  # of one level by itself, counted nowhere
        return normalize_level(
            read_level(level, faults),
            read_target(viewport_pred, faults),
            SessionContext(is_first_15m, bars_since_open),
            wall_baseline=self.settings.wall_baseline,
        )

    def _compute_session_context(self, ts_ms: int) -> SessionContext:
        return session_context(ts_ms)

    @property
    def _latest_levels(self) -> LevelsPayload | None:
        return self._state.levels

    @property
    def _latest_flow(self) -> dict[str, Any] | None:
        return _as_dict(self._state.flow)

    @property
    def _latest_viewport(self) -> dict[str, Any] | None:
        return _as_dict(self._state.viewport)


def _read(data: LevelsMessage | Mapping[str, Any]) -> LevelsMessage:
    """The bus hands over what `read_levels` has read; the interface document allows JSON's Python types too."""
    return data if isinstance(data, LevelsMessage) else levels_message(data)


def _published_s() -> float | None:
    """When the message in hand was published; None for the first of a subscription, which may be of last week."""
    stored = message_in_hand()
    return None if stored is None or stored.is_first else stored.stored_s


def _as_dict(section: Any) -> dict[str, Any] | None:
    """A relayed section as a dict, read from its bytes only here."""
    whole: dict[str, Any] | None = decode_value(section).value if isinstance(section, msgspec.Raw) else section
    return whole
