"""The stream as an AsyncAPI 3 document."""

from typing import Any

from src.gateway import __version__
from src.gateway.close_codes import OWN_CLOSE_CODES
from src.gateway.delivery.stream_peer import STREAM_PATH
from src.gateway.descriptions.json_schema import SCHEMAS, definitions
from src.gateway.descriptions.shape_schema import shape_schema
from src.gateway.signals.contract import Payload


def asyncapi() -> dict[str, Any]:
    """The document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Spymaster Gateway",
            "version": __version__,
            "description": "Live market state. The first frame is the current state, which may be old; one follows "
            "after each message of Core. Each is complete and replaces the one before it.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                "host": "{host}",
                "protocol": "ws",
                "description": "Where GATEWAY_AUTH asks for a token: in the header `Authorization: Bearer TOKEN`, "
                "or as the subprotocols `bearer, TOKEN`.",
                "variables": {"host": {"default": "localhost:8000", "description": "host and port of the gateway"}},
            }
        },
        "channels": {
            "stream": {
                "address": STREAM_PATH,
                "servers": [{"$ref": "#/servers/gateway"}],
                "messages": {
                    "payload": {"$ref": "#/components/messages/payload"},
                    "subscribe": {"$ref": "#/components/messages/subscribe"},
                },
                "bindings": {"ws": {"method": "GET", "query": shape_schema(in_query=True), "bindingVersion": "0.1.0"}},
                "x-close-codes": {
                    str(close_code.code): {"reason": close_code.reason, "reconnect": close_code.reconnect}
                    for close_code in OWN_CLOSE_CODES
                },
            }
        },
        "operations": {
            "sendPayload": {
                "action": "send",
                "channel": {"$ref": "#/channels/stream"},
                "messages": [{"$ref": "#/channels/stream/messages/payload"}],
            },
            "receiveSubscribe": {
                "action": "receive",
                "channel": {"$ref": "#/channels/stream"},
                "summary": "Asks for another shape. All else that viewers send is read and dropped.",
                "messages": [{"$ref": "#/channels/stream/messages/subscribe"}],
            },
        },
        "components": {
            "messages": {
                "payload": {
                    "name": "payload",
                    "title": "A frame",
                    "contentType": "application/json",
                    "payload": {"$ref": f"{SCHEMAS}/{Payload.__name__}"},
                },
                "subscribe": {
                    "name": "subscribe",
                    "title": "What the viewer asks for from now on, in place of all before",
                    "contentType": "application/json",
                    "payload": {
                        "type": "object",
                        "required": ["subscribe"],
                        "properties": {"subscribe": shape_schema(in_query=False)},
                    },
                },
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": definitions(SCHEMAS),
        },
    }
