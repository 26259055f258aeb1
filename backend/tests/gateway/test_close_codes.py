"""The tables of close codes and refusals."""

from http import HTTPStatus

from src.gateway.close_codes import ORIGIN_NOT_ALLOWED, OWN_CLOSE_CODES
from src.gateway.refusals import REFUSALS


def test_codes_are_distinct_and_may_be_sent() -> None:
    codes = [close_code.code for close_code in OWN_CLOSE_CODES]
    assert len(set(codes)) == len(codes)
    assert all(code in (1001, 1008) or 4000 <= code <= 4999 for code in codes)


def test_reasons_fit_into_a_close_frame() -> None:
    assert all(0 < len(close_code.reason.encode()) <= 123 for close_code in OWN_CLOSE_CODES)


def test_refusals_are_http_errors_with_names_of_their_own() -> None:
    assert all(400 <= HTTPStatus(refusal.status) < 600 for refusal in REFUSALS)
    assert len({refusal.name for refusal in REFUSALS}) == len(REFUSALS)


def test_a_refusal_that_is_told_by_a_close_code_gives_the_same_reason() -> None:
    closed = [(refusal.detail, refusal.close_code) for refusal in REFUSALS if refusal.close_code is not None]
    assert closed == [(ORIGIN_NOT_ALLOWED.reason, ORIGIN_NOT_ALLOWED)]
