"""The bus as the gateway needs it: relayed sections are read as bytes, not rebuilt."""

from typing import Final

from src.common.bus import NATSBus
from src.common.connection import PING_INTERVAL_S
from src.common.subjects import LEVELS_SIGNALS, MARKET_FLOW
from src.gateway.settings import Settings, jetstream_options, nats_access
from src.gateway.signals.intake import read_flow, read_levels

DECODERS: Final = {LEVELS_SIGNALS: read_levels, MARKET_FLOW: read_flow}


def make_bus(settings: Settings, name: str = "gateway", ping_interval_s: float = PING_INTERVAL_S) -> NATSBus:
    """A bus that is not connected yet; `name` is how the connection shows in the server's own monitoring."""
    return NATSBus(
        settings.nats_url,
        name=name,
        connect_timeout_s=settings.connect_timeout_s,
        max_message_bytes=settings.max_message_bytes,
        access=nats_access(settings),
        jetstream=jetstream_options(settings),
        decoders=DECODERS | {section.subject: read_flow for section in settings.sections},
        keeps_last=settings.last_state == "on",
        ping_interval_s=ping_interval_s,
    )
