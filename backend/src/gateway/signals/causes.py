"""Why the data is not live: one table for `status`, `/health`, `/metrics`, the clients, the console and the docs.

The order is that of precedence: the first cause that is true is told.
"""

from typing import Final, NamedTuple


class Cause(NamedTuple):
    """One cause.

    Attributes:
        sentence: what is so, for people.
        what_to_do: by an operator; empty where there is nothing to do.
    """

    sentence: str
    what_to_do: str


CAUSES: Final[dict[str, Cause]] = {
    "gateway_draining": Cause("The gateway is stopping; clients reconnect to another.", ""),
    "nats_down": Cause(
        "The gateway is not connected to NATS.", "See `nats_trouble` in /health: is NATS up, and NATS_URL right?"
    ),
    "subscription_lost": Cause(
        "A subscription of the gateway does not work.", "See `trouble` of the subject in /health; it is retried."
    ),
    "past": Cause("This is the past, played again because the viewer asked for it.", ""),
    "replay": Cause("Core publishes a recorded day, not the present.", "Stop the replay, or connect to another NATS."),
    "no_message": Cause("No message has ever come.", "Start Core; it publishes levels.signals and market.flow."),
    "market_closed": Cause("The market is closed, and nothing new comes.", ""),
    "core_silent": Cause("Core publishes nothing, though the market is open.", "See whether Core runs, and publishes."),
    # Not "though flow comes": a Core whose flow is slow and that has just stopped looks the same.
    "levels_silent": Cause(
        "Core publishes no levels; flow is not overdue.", "See whether Core runs, and the part of it that makes levels."
    ),
    "flow_silent": Cause(
        "Core publishes no flow; levels are not overdue.", "See whether Core runs, and the part of it that makes flow."
    ),
    "core_behind": Cause("Core's own time is behind the present.", "See the load of Core, and its clock."),
    "spot_missing": Cause("Core sends no spot price, so the levels have no place.", "See Core's price feed."),
}
