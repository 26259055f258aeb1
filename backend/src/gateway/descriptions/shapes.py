"""The contract's TypedDicts as values that the descriptions are written from."""

from typing import Annotated, Any, Final, NamedTuple, NotRequired, get_args, get_origin, get_type_hints

from src.gateway.signals.contract import (
    FieldDescription,
    LevelSignal,
    LevelsPayload,
    MlPredictions,
    Payload,
    Retrieval,
    SpotSnapshot,
)

SHAPES: Final[tuple[Any, ...]] = (Payload, LevelsPayload, SpotSnapshot, LevelSignal, MlPredictions, Retrieval)


class Field(NamedTuple):
    """One field of a shape. `kind` is its bare type."""

    name: str
    kind: Any
    description: FieldDescription
    required: bool


def fields(shape: Any) -> list[Field]:
    """The fields of a TypedDict of the contract, in order."""
    return [_field(shape, name, hint) for name, hint in get_type_hints(shape, include_extras=True).items()]


def summary(shape: Any) -> str:
    """What the shape is, in a line."""
    return str(shape.__doc__).strip()


def _field(shape: Any, name: str, hint: Any) -> Field:
    required = name in shape.__required_keys__
    if get_origin(hint) is NotRequired:
        (hint,) = get_args(hint)
    assert get_origin(hint) is Annotated, f"{shape.__name__}.{name} has no FieldDescription"
    kind, description = get_args(hint)
    return Field(name, kind, description, required)
