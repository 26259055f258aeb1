"""When a payload was published, carried inside the payload: the first fields of its section `flow`."""

from typing import Final

STAMP: Final = b'"t_ns":'
SEARCHED_BYTES: Final = 96  # of a payload; a stamp stands within


def stamp(t_ns: int, number: int) -> bytes:
    """The start of a JSON object.

    Args:
        t_ns: nanoseconds since 1970 UTC.
        number: its place among all that are stamped.
    """
    return b'{"t_ns":%d,"number":%d,' % (t_ns, number)


def stamp_in(payload_start: bytes) -> int | None:
    """When the payload was stamped, ns since 1970 UTC; None when it was not."""
    _, found, rest = payload_start[:SEARCHED_BYTES].partition(STAMP)
    digits, ended, _ = rest.partition(b",")
    return int(digits) if found and ended else None
