"""How a token is carried."""

import pytest
from websockets.datastructures import Headers

from src.gateway.admission.client_request import ClientRequest, answered_subprotocol, offered_token, subprotocols

Pairs = list[tuple[str, str]]


def request(headers: Pairs, query: str = "") -> ClientRequest:
    return ClientRequest("", query, Headers(headers).get_all)


@pytest.mark.parametrize(
    ("headers", "query", "token"),
    [
        ([("Authorization", "Bearer abc")], "", "abc"),
        ([("authorization", "bEARER  abc ")], "", "abc"),
        ([("Authorization", "Bearer")], "", None),
        ([("Authorization", "Bearerabc")], "", None),
        ([("Authorization", "Basic abc")], "", None),
        ([("Authorization", "Basic abc"), ("Authorization", "Bearer def")], "", "def"),
        ([("Authorization", "Basic abc"), ("Sec-WebSocket-Protocol", "bearer, def")], "", "def"),
        ([("Sec-WebSocket-Protocol", "bearer, abc")], "", "abc"),
        ([("Sec-WebSocket-Protocol", "bearer,abc")], "", "abc"),
        ([("Sec-WebSocket-Protocol", "bearer"), ("Sec-WebSocket-Protocol", "abc")], "", "abc"),
        ([("Sec-WebSocket-Protocol", "v1, bearer, abc, v2")], "", "abc"),
        ([("Sec-WebSocket-Protocol", "abc, bearer")], "", None),
        ([("Sec-WebSocket-Protocol", "bearer, ")], "", None),
        ([("Sec-WebSocket-Protocol", "abc")], "", None),
        ([("Authorization", "Bearer abc"), ("Sec-WebSocket-Protocol", "bearer, def")], "token=ghi", "abc"),
        ([("Sec-WebSocket-Protocol", "bearer, def")], "token=ghi", "def"),
        ([], "token=abc", "abc"),
        ([], "x=1&token=a%2Bb%2e&token=c", "a+b."),
        ([], "token=a+b", "a+b"),
        ([], "token=", None),
        ([], "token", None),
        ([], "tokens=abc", None),
        ([], "", None),
    ],
)
def test_a_token_is_found_where_it_may_be_carried(headers: Pairs, query: str, token: str | None) -> None:
    assert offered_token(request(headers, query), query_counts=True) == token


def test_a_token_in_the_query_is_not_looked_at_unless_it_counts() -> None:
    assert offered_token(request([], "token=abc"), query_counts=False) is None


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        ([], None),
        (["bearer, abc"], "bearer"),
        (["v1, bearer, abc"], "bearer"),
        (["abc", "bearer"], "bearer"),
        (["v1"], None),
        (["Bearer, abc"], None),
        (["bearers"], None),
    ],
)
def test_bearer_is_answered_and_never_the_token(offered: list[str], answered: str | None) -> None:
    names = subprotocols(request([("Sec-WebSocket-Protocol", value) for value in offered]))
    assert answered_subprotocol(names) == answered
