"""What a viewer may ask for, as JSON Schema."""

from typing import Any, Final

from src.gateway.signals.shape import (
    CONFIDENCES,
    LARGEST_DISTANCE,
    LARGEST_RATE,
    MAX_NAME_CHARACTERS,
    MAX_NAMES,
    SIGNALS,
    SMALLEST_RATE,
)

NAMES: Final = {
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_NAMES,
    "items": {"type": "string", "minLength": 1, "maxLength": MAX_NAME_CHARACTERS},
}


def shape_schema(*, in_query: bool) -> dict[str, Any]:
    """The parameters of a shape: as a query has them, where several names are one text, or as a `subscribe` message."""
    names = {"type": "string"} if in_query else NAMES
    separated = " Separated by commas." if in_query else ""
    return {
        "type": "object",
        "properties": {
            "sections": {**names, "description": f"Only these sections.{separated}"},
            "near": {
                "type": "number",
                "minimum": 0,
                "maximum": LARGEST_DISTANCE,
                "description": "Only levels and strikes at most so many points from spot.",
            },
            "kinds": {**names, "description": f"Only levels of these `level_kind_name`.{separated}"},
            "levels": {**names, "description": f"Only levels of these `id`.{separated}"},
            "confidence": {**names, "description": f"Only levels of these: {', '.join(CONFIDENCES)}.{separated}"},
            "signals": {**names, "description": f"Only levels with these: {', '.join(SIGNALS)}.{separated}"},
            "rate": {
                "type": "number",
                "minimum": SMALLEST_RATE,
                "maximum": LARGEST_RATE,
                "description": "At most so many frames a second.",
            },
            "status": {
                **({"type": "string", "enum": ["1", "0"]} if in_query else {"type": "boolean"}),
                "description": "Also the section `status`, and a heartbeat each second in silence.",
            },
            "events": {
                **({"type": "string", "enum": ["1", "0"]} if in_query else {"type": "boolean"}),
                "description": "Also the section `events`: what happened since the frame before.",
            },
        },
    }
