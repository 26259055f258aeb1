"""The payload as a JSON Schema, draft 7: the newest that AsyncAPI takes as it is."""

import types
from typing import Any, Final, Union, get_args, get_origin, is_typeddict

from src.gateway.descriptions.typed_dicts import TYPED_DICTS, Field, fields, summary
from src.gateway.signals.contract import EXACT, Payload

DRAFT: Final = "http://json-schema.org/draft-07/schema#"
SCHEMAS: Final = "#/components/schemas"  # where AsyncAPI and OpenAPI have them
PLAIN: Final = {str: "string", float: "number", int: "integer", bool: "boolean", types.NoneType: "null"}

Schema = dict[str, Any]


def json_schema() -> Schema:
    """A schema of its own for one frame."""
    return {
        "$schema": DRAFT,
        "title": "A frame of the gateway",
        "description": "The gateway guarantees the types. Ranges are those that Core keeps; `x-known` lists the names "
        "that Core uses today. `History` is the answer of `/history`, and `EventPage` that of `/events`.",
        "allOf": [{"$ref": f"#/definitions/{Payload.__name__}"}],
        "definitions": definitions("#/definitions"),
    }


def definitions(home: str) -> dict[str, Schema]:
    """Each TypedDict by its name; they refer to each other under `home`."""
    return {typed_dict.__name__: _typed_dict(typed_dict, home) for typed_dict in TYPED_DICTS}


def _typed_dict(typed_dict: Any, home: str) -> Schema:
    members = fields(typed_dict)
    schema = {
        "type": "object",
        "description": summary(typed_dict),
        "properties": {field.name: _property(field, home) for field in members},
    }
    required = [field.name for field in members if field.required]
    return schema | ({"required": required} if required else {})


def _property(field: Field, home: str) -> Schema:
    """A field with its whole description: what it is, unit, range, known names."""
    description = field.description
    known = {
        "x-unit": description.unit,
        "minimum": description.least,
        "maximum": description.most,
        "x-known": list(description.known),
    }
    given = {key: value for key, value in known.items() if value not in ("", None, [])}
    kind = _kind(field.kind, home)
    (kind["items"] if kind.get("type") == "array" else kind).update(given)
    return kind | {"description": str(description)}


def _kind(kind: Any, home: str) -> Schema:
    if is_typeddict(kind):
        return {"allOf": [{"$ref": f"{home}/{kind.__name__}"}]}  # beside a bare $ref, draft 7 ignores everything
    if get_origin(kind) is list:
        return {"type": "array", "items": _kind(get_args(kind)[0], home)}
    if get_origin(kind) is dict:
        return {"type": "object"}
    if get_origin(kind) in (Union, types.UnionType):
        return {"type": [PLAIN[one] for one in get_args(kind)]}
    bounds = {"minimum": -EXACT, "maximum": EXACT} if kind is int else {}
    return {"type": PLAIN[kind], **bounds}
