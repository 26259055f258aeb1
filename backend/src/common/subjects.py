"""The names on the bus: subjects, the streams that hold them, the durables that read them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

LEVELS_SIGNALS: Final = "levels.signals"
MARKET_FLOW: Final = "market.flow"

DURABLES: Final = {LEVELS_SIGNALS: "gateway_levels", MARKET_FLOW: "gateway_flow"}
STREAM_SETTINGS: Final = {LEVELS_SIGNALS: "GATEWAY_LEVELS_STREAM", MARKET_FLOW: "GATEWAY_FLOW_STREAM"}


class StreamSpec(NamedTuple):
    """A stream that the bus creates where there is none: file storage, limits retention, `RETENTION_S`."""

    name: str
    subjects: tuple[str, ...]


class StreamLimits(NamedTuple):
    """What a new stream has beside its spec.

    Attributes:
        replicas: on how many servers of a cluster it is.
        max_bytes: how large it may become; the oldest messages go then. None: without a bound.
    """

    replicas: int = 1
    max_bytes: int | None = None


class JetStreamOptions(NamedTuple):
    """How JetStream is deployed, as far as the bus has to know.

    Attributes:
        domain: of the servers whose JetStream it uses; empty for that of the server that it connects to.
        streams: names of streams by subject, where the subject does not find them: such a stream is never made.
        new_streams: what the streams that it makes have beside `STREAMS`.
    """

    domain: str = ""
    streams: Mapping[str, str] = MappingProxyType({})
    new_streams: StreamLimits = StreamLimits()


USUAL_JETSTREAM: Final = JetStreamOptions()

STREAMS: Final = {
    LEVELS_SIGNALS: StreamSpec("LEVEL_SIGNALS", ("levels.*",)),
    MARKET_FLOW: StreamSpec("MARKET_DATA", ("market.*", "market.*.*")),
}
RETENTION_S: Final = 24 * 60 * 60
