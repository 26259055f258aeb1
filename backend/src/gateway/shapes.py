"""The channels of the shapes that viewers asked for, each prepared once for all its viewers."""

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from src.gateway.delivery.channel import Channel, Stamp
from src.gateway.delivery.frame import number_of
from src.gateway.delivery.hub import Hub
from src.gateway.history.event_log import cursor_of
from src.gateway.history.event_ring import UNKNOWN_POSITION, EventRing
from src.gateway.history.replay_query import PRESENT, ReplayAsked, replay_of_message, replay_of_query
from src.gateway.live_status import LiveStatus
from src.gateway.refusals import NO_HISTORY, TOO_MANY_SHAPES, WRONG_PARAMETER, Refusal
from src.gateway.replays import Replays
from src.gateway.signals.freshness import Message
from src.gateway.signals.shape import (
    WHOLE,
    Contracts,
    Shape,
    WrongParameter,
    events_since_of_query,
    judged_sections,
    shape_of_message,
    shape_of_query,
    shaped,
    since_of_query,
)

Asked = TypeVar("Asked")
Read = TypeVar("Read")


class Shapes:
    """Chooses the channel of a viewer, and publishes on each channel what its viewers asked for."""

    def __init__(
        self,
        hub: Hub,
        max_shapes: int,
        further: Sequence[str] = (),
        status: LiveStatus | None = None,
        ring: EventRing | None = None,
        replays: Replays | None = None,
    ) -> None:
        """
        Args:
            hub: keeps the channels while they have viewers.
            max_shapes: how many channels there may be beside the contract's; 0 is no limit.
            further: names of sections beside the contract's, which only viewers that name them get.
            status: makes the section `status`; by default nobody gets that.
            ring: has the newest events for the section `events`; likewise.
            replays: for viewers that ask for the past; by default nobody gets that.
        """
        self._hub = hub
        self._max_shapes = max_shapes
        self._further = further
        self._status = status
        self._ring = ring
        self._replays = replays
        if replays is not None:
            replays.live_channel = self._channel
        self._life = f"{time.time_ns():x}"
        self._lives = itertools.count(1)
        self._payload: Mapping[str, Any] = {}
        self._messages: Mapping[str, Message] | None = None
        self._contracts: Contracts | None = None

    def publish(self, payload: Mapping[str, Any], published_s: float | None, linger_s: float = 0.0) -> None:
        """Publish a new state on every channel beside the contract's.

        Args:
            payload: the sections that are known.
            published_s, linger_s: as for `Channel.publish`.
        """
        self._payload = payload
        self._messages = None if self._status is None else self._status.stream.messages
        flow = payload.get("flow")
        if self._contracts is None or self._contracts.whole is not flow:
            self._contracts = None if flow is None else Contracts(flow)
        for shape, channel in self._hub.channels.items():
            if isinstance(shape, Shape):
                self._publish_on(channel, shape, published_s if shape.rate is None else None, linger_s)

    def publish_events(self) -> None:
        """The ring has new events: send them to the viewers that ask for them."""
        for shape, channel in self._hub.channels.items():
            if isinstance(shape, Shape) and shape.events:
                channel.publish_events()

    def of_query(self, query: str) -> Channel | Refusal:
        """The channel that a request asks for; made where it is the first. It is dropped when its last peer leaves."""
        shape, asked = self._read(shape_of_query, query), self._read(_replay_of_query, query)
        if isinstance(shape, Refusal):
            return shape
        if isinstance(asked, Refusal):
            return asked
        if asked is None or asked.at == PRESENT:
            return self._channel(shape)
        return NO_HISTORY if self._replays is None else self._replays.open(shape, asked)

    def since(self, query: str, channel: Channel) -> int:
        """The number of the frame that the viewer of this handshake had last, on a connection before; 0 for none."""
        since = since_of_query(query)
        is_known = since is not None and channel.epoch and since.epoch == channel.epoch
        return number_of(since.seq if is_known and since is not None else 0, 0, self._told(query, channel))

    def _told(self, query: str, channel: Channel) -> int:
        """Up to which position the viewer of this handshake was told events, on a connection before."""
        text = events_since_of_query(query)
        if self._ring is None or text is None or not channel.tells_events:
            return 0
        cursor = cursor_of(text)
        return UNKNOWN_POSITION if cursor is None else self._ring.position_of(cursor)

    def of_message(self, text: bytes, channel: Channel) -> Channel | Refusal | None:
        """The same for a message of a viewer of `channel`; None where it asks for no other channel."""
        shape = self._read(shape_of_message, text)
        if isinstance(shape, Shape):
            past = None if self._replays is None else self._replays.with_shape(channel, shape)
            return self._channel(shape) if past is None else past
        asked = self._read(_replay_of_message, text) if shape is None else shape
        if asked is None or isinstance(asked, Refusal):
            return asked
        if self._replays is None:
            return NO_HISTORY
        if self._replays.of(channel) is not None or asked.at in (None, PRESENT):
            return self._replays.change(channel, asked)
        return self._replays.open(self._shape_of(channel), asked)

    def _shape_of(self, channel: Channel) -> Shape:
        """What the viewers of a live channel asked for."""
        shapes = (shape for shape, other in self._hub.channels.items() if other is channel and isinstance(shape, Shape))
        return next(shapes, WHOLE)

    def payload_of(self, query: str) -> bytes | Refusal | None:
        """The newest payload as a request asks for it, whatever its rate; None while nothing of it is known."""
        shape = self._read(shape_of_query, query)
        if isinstance(shape, Refusal):
            return shape
        sections = shaped(self._payload, self._contracts, shape)
        if shape.status and self._status is not None:
            status = self._status.stamp(judged_sections(shape), self._life)
            sections["status"] = msgspec.Raw(status(self._messages, 0, 0, None))
        return msgspec.json.encode(sections) if sections else None

    def _channel(self, shape: Shape) -> Channel | Refusal:
        if shape == WHOLE:
            return self._hub.channel
        channel = self._hub.channels.get(shape)
        if channel is not None:
            return channel
        if 0 < self._max_shapes <= sum(isinstance(each, Shape) for each in self._hub.channels):
            return TOO_MANY_SHAPES
        epoch = f"{self._life}-{next(self._lives)}"
        stamp = self._stamp(shape, epoch)
        ring = self._ring if shape.events else None
        channel = Channel(
            self._hub.counters,
            only_changes=True,
            rate=shape.rate or math.inf,
            stamp=stamp,
            epoch=epoch if shape.status and stamp is not None else "",
            position=None if ring is None else lambda: ring.position,
        )
        self._hub.channels[shape] = channel
        self._publish_on(channel, shape, None)
        return channel

    def _stamp(self, shape: Shape, epoch: str) -> Stamp | None:
        """None where the shape has neither status nor events."""
        status = self._status.stamp(judged_sections(shape), epoch) if shape.status and self._status else None
        ring = self._ring if shape.events else None
        if status is None and ring is None:
            return None

        def stamp(messages: Any, state: int, states: int, why: str | None, told: int | None) -> bytes:
            members = [] if status is None else [b'"status":' + status(messages, state, states, why)]
            if ring is not None and told is not None:
                members.append(b'"events":' + ring.section(told))
            return b",".join(members)

        return stamp

    def _publish_on(self, channel: Channel, shape: Shape, published_s: float | None, linger_s: float = 0.0) -> None:
        """Nothing is sent until something of the shape is known; when that is gone again, an empty object says so."""
        sections = shaped(self._payload, self._contracts, shape)
        if sections or channel.has_frame:
            channel.publish(msgspec.json.encode(sections), published_s, self._messages, linger_s)

    def _read(self, read: Callable[[Asked, Sequence[str]], Read], asked: Asked) -> Read | Refusal:
        try:
            return read(asked, self._further)
        except WrongParameter as wrong:
            return WRONG_PARAMETER._replace(detail=str(wrong))


def _replay_of_query(query: str, _further: Sequence[str]) -> ReplayAsked | None:
    return replay_of_query(query)


def _replay_of_message(text: bytes, _further: Sequence[str]) -> ReplayAsked | None:
    return replay_of_message(text)
