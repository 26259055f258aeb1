"""HTTP errors that a request is answered with before it becomes a viewer, and sockets dropped without an answer.

`INTERFACES.md` lists the same rows; a test compares the two.
"""

from typing import Final, NamedTuple

from src.gateway.close_codes import ORIGIN_NOT_ALLOWED, CloseCode


class Refusal(NamedTuple):
    """Why a request is answered with an HTTP error.

    Attributes:
        status: the HTTP status.
        name: its name in counters.
        detail: sent to the client: what is wrong and what to do about it.
        retry_after_s: after how many whole seconds the same request may succeed; None where waiting does not help.
        close_code: of a WebSocket that is accepted and closed in place of the HTTP error, because browsers show a page
            the close code and nothing of an HTTP response. None where the handshake is answered with the error.
    """

    status: int
    name: str
    detail: str
    retry_after_s: int | None = None
    close_code: CloseCode | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Further headers of the response."""
        headers = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})  # RFC 9110 §11.6.1


BAD_REQUEST: Final = Refusal(400, "bad_request", "this is no HTTP request")
WRONG_PARAMETER: Final = Refusal(
    400, "wrong_parameter", "a query parameter has a value that is not accepted; this sentence names it"
)
NOT_TLS: Final = Refusal(400, "not_tls", "this port speaks TLS; use https:// or wss://")
BAD_UPGRADE: Final = Refusal(
    400, "bad_upgrade", "upgrade by a GET of HTTP/1.1, without a body, when all before is answered"
)
NO_STREAM: Final = Refusal(404, "no_stream", "no stream here; connect to /ws/stream")
NO_HISTORY: Final = Refusal(404, "no_history", "the past is not kept here: GATEWAY_HISTORY is off")
TOO_SLOW: Final = Refusal(408, "too_slow", "the request did not arrive in time; send it at once")
WITH_BODY: Final = Refusal(413, "with_body", "nothing here takes a body")
ADDRESS_TOO_LONG: Final = Refusal(414, "address_too_long", "the address is too long; shorten its query")
NOT_UPGRADED: Final = Refusal(426, "not_upgraded", "this is a WebSocket; connect to it with ws://")
TOO_MANY_WAITING: Final = Refusal(429, "too_many_waiting", "wait for the answers before you ask for more")
HEAD_TOO_LARGE: Final = Refusal(431, "head_too_large", "the headers are too large or too many; leave some out")

ORIGIN_REFUSED: Final = Refusal(403, "origin_refused", ORIGIN_NOT_ALLOWED.reason, close_code=ORIGIN_NOT_ALLOWED)
TOKEN_MISSING: Final = Refusal(
    401, "token_missing", "a token is needed: Authorization: Bearer TOKEN, or the subprotocols bearer, TOKEN"
)
TOKEN_BAD: Final = Refusal(401, "token_bad", "this token is not accepted; get another")
TOKEN_EXPIRED_BEFORE: Final = Refusal(401, "token_expired", "this token has expired; get a new one")
TOKEN_NOT_YET: Final = Refusal(401, "token_not_yet", "this token is not valid yet; compare the clocks")
TOKEN_WRONG_CLAIMS: Final = Refusal(
    401, "token_wrong_claims", "this token has no exp, or is of another audience or issuer; get one for this gateway"
)
TOKEN_KEY_UNKNOWN: Final = Refusal(
    401, "token_key_unknown", "this token is signed with a key that is not in GATEWAY_JWKS; get a new one"
)
NO_KEYS: Final = Refusal(503, "no_keys", "tokens cannot be checked at present; try again", 5)
FULL: Final = Refusal(503, "full", "as many viewers as GATEWAY_MAX_VIEWERS allows are connected; try again", 10)
TOO_MANY_OF_ADDRESS: Final = Refusal(
    429, "too_many_of_address", "too many viewers of this address; close one, or raise GATEWAY_MAX_VIEWERS_PER_ADDRESS"
)
TOO_MANY_REPLAYS: Final = Refusal(
    503, "too_many_replays", "as many replays as GATEWAY_MAX_REPLAYS allows are in use; try again later", 10
)
TOO_MANY_OF_THE_PAST: Final = Refusal(
    503, "too_many_of_the_past", "too many answers of the past are under way; read yours, and try again in a second", 1
)
TOO_MANY_SHAPES: Final = Refusal(
    503,
    "too_many_shapes",
    "as many shapes as GATEWAY_MAX_SHAPES allows are in use; try again, or ask for none",
    10,
)
TOO_FAST: Final = Refusal(503, "too_fast", "more handshakes than GATEWAY_MAX_HANDSHAKES a second; try again", 1)

REFUSALS: Final = (
    BAD_REQUEST,
    WRONG_PARAMETER,
    NOT_TLS,
    BAD_UPGRADE,
    NO_STREAM,
    NO_HISTORY,
    TOO_SLOW,
    WITH_BODY,
    ADDRESS_TOO_LONG,
    NOT_UPGRADED,
    TOO_MANY_WAITING,
    HEAD_TOO_LARGE,
    ORIGIN_REFUSED,
    TOKEN_MISSING,
    TOKEN_BAD,
    TOKEN_EXPIRED_BEFORE,
    TOKEN_NOT_YET,
    TOKEN_WRONG_CLAIMS,
    TOKEN_KEY_UNKNOWN,
    NO_KEYS,
    FULL,
    TOO_MANY_OF_ADDRESS,
    TOO_MANY_SHAPES,
    TOO_MANY_REPLAYS,
    TOO_MANY_OF_THE_PAST,
    TOO_FAST,
)

# Sockets that are dropped without a response, counted beside the refusals.
SILENT: Final = "silent"  # sent nothing in time
BAD_TLS: Final = "bad_tls"  # no common version or cipher, an untrusted certificate, or no TLS
UNTAKEN: Final = "untaken"  # read nothing of its response in time
SLOW_READER: Final = "slow_reader"  # read some of its response, and not all of it in time

REFUSAL_NAMES: Final = (*(refusal.name for refusal in REFUSALS), SILENT, BAD_TLS, UNTAKEN, SLOW_READER)
