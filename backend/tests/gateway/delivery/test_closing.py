"""The table of goodbyes."""

from src.gateway.delivery.closing import CLOSINGS


def test_codes_are_distinct_and_may_be_sent() -> None:
    codes = [closing.code for closing in CLOSINGS]
    assert len(set(codes)) == len(codes)
    assert all(code == 1001 or 4000 <= code <= 4999 for code in codes)


def test_reasons_fit_into_a_close_frame() -> None:
    assert all(0 < len(closing.reason.encode()) <= 123 for closing in CLOSINGS)
