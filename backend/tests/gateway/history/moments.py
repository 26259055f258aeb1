"""Messages as far as they make events, in one call."""

from src.gateway.signals.events import LevelState, Moment


def moment(signal: str = "NO_TRADE", level: str = "VWAP", ts_ms: int = 0) -> Moment:
    """Of one level."""
    state = LevelState(
        kind="VWAP",
        price=687.25,
        signal=signal,
        confidence="LOW",
        sweep_detected=False,
        barrier_state="NEUTRAL",
        score=0.0,
        side=None,
        spot=687.5,
    )
    return Moment(ts_ms, 687.5, {level: state})
