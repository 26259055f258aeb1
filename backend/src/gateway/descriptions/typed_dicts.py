"""The contract's TypedDicts as values that the descriptions are written from."""

from typing import Annotated, Any, Final, NamedTuple, NotRequired, get_args, get_origin, get_type_hints

from src.gateway.history.contract import EventPage, FlowHistory, History, LevelHistory, SpotHistory
from src.gateway.signals.contract import (
    Event,
    Events,
    FieldDescription,
    LevelSignal,
    LevelsPayload,
    MarketStatus,
    MlPredictions,
    Payload,
    ReplayStatus,
    Retrieval,
    SectionStatus,
    Skipped,
    SpotSnapshot,
    Status,
)

OF_A_FRAME: Final[tuple[Any, ...]] = (
    Payload,
    LevelsPayload,
    SpotSnapshot,
    LevelSignal,
    MlPredictions,
    Retrieval,
    Status,
    Skipped,
    SectionStatus,
    MarketStatus,
    ReplayStatus,
    Events,
    Event,
)
OF_THE_PAST: Final[tuple[Any, ...]] = (History, SpotHistory, LevelHistory, FlowHistory)
TYPED_DICTS: Final = (EventPage, *OF_A_FRAME, *OF_THE_PAST)  # each before those that it names


class Field(NamedTuple):
    """One field of a TypedDict. `kind` is its bare type."""

    name: str
    kind: Any
    description: FieldDescription
    required: bool


def fields(typed_dict: Any) -> list[Field]:
    """The fields of a TypedDict of the contract, in order."""
    return [_field(typed_dict, name, hint) for name, hint in get_type_hints(typed_dict, include_extras=True).items()]


def summary(typed_dict: Any) -> str:
    """What the TypedDict is, in a line."""
    return str(typed_dict.__doc__).strip()


def _field(typed_dict: Any, name: str, hint: Any) -> Field:
    required = name in typed_dict.__required_keys__
    if get_origin(hint) is NotRequired:
        (hint,) = get_args(hint)
    assert get_origin(hint) is Annotated, f"{typed_dict.__name__}.{name} has no FieldDescription"
    kind, description = get_args(hint)
    return Field(name, kind, description, required)
