"""Keys behind an address: fetched from a real HTTP server, which a test makes fail, change and hang."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from src.gateway.admission import key_set_url
from src.gateway.admission.files import MAX_FILE_BYTES
from src.gateway.admission.key_set_url import FetchFailed, KeySetUrl, fetched, shown
from tests.gateway.admission.issuer import OTHER_EC_KEY, Issuer, key_set, public_jwk
from tests.waiting import until

TWO = key_set(public_jwk(OTHER_EC_KEY, "two"))


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Issuer() as issuer:
        yield issuer


@pytest.fixture
async def keys(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KeySetUrl]:
    """Not open yet; it pauses hardly between two fetches, and never fetches by itself."""
    monkeypatch.setattr(key_set_url, "PAUSE_S", 0.01)
    monkeypatch.setattr(key_set_url, "RETRY_S", 3600.0)
    keys = KeySetUrl(issuer.url)
    yield keys
    await keys.close()


async def newer(keys: KeySetUrl) -> None:
    fetched_anew = asyncio.Event()
    assert keys.refresh(fetched_anew.set)
    async with asyncio.timeout(20):
        await fetched_anew.wait()


def kids(keys: KeySetUrl) -> set[str | None]:
    return {key.kid for key in keys.candidates("ES256", None)}


async def test_open_returns_with_the_keys(keys: KeySetUrl) -> None:
    await keys.open()
    assert (kids(keys), keys.trouble) == ({"one"}, None)


async def test_a_request_is_called_back_after_the_next_fetch(keys: KeySetUrl, issuer: Issuer) -> None:
    await keys.open()
    before = keys.candidates("ES256", "one")
    issuer.body = TWO
    await newer(keys)
    assert kids(keys) == {"two"}
    assert [key.withdrawn for key in before] == [True]


async def test_a_request_during_a_fetch_waits_for_the_next_one(keys: KeySetUrl, issuer: Issuer) -> None:
    await keys.open()
    issuer.may_answer.clear()
    called = []
    keys.refresh(lambda: called.append("first"))
    await until(lambda: issuer.asked == 2, "a fetch is under way")
    keys.refresh(lambda: called.append("second"))
    issuer.may_answer.set()
    await until(lambda: called == ["first", "second"], "both are called")
    assert issuer.asked == 3


async def test_many_requests_cost_one_fetch(keys: KeySetUrl, issuer: Issuer) -> None:
    await keys.open()
    called: list[int] = []
    for number in range(key_set_url.MAX_WAITING):
        assert keys.refresh(lambda number=number: called.append(number))  # type: ignore[misc]
    assert not keys.refresh(lambda: called.append(-1)), "no more may wait"
    await until(lambda: len(called) == key_set_url.MAX_WAITING, "all are called")
    assert issuer.asked == 2


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ({"status": 500}, "it answers with status 500"),
        ({"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}}, "it answers with status 302"),
        ({"body": b"<html>"}, "not a JWK set"),
        ({"body": key_set()}, "no key in it"),
        ({"body": b"x" * (MAX_FILE_BYTES + 1)}, f"more than {MAX_FILE_BYTES} bytes"),
    ],
)
async def test_the_last_good_keys_stay_while_fetching_fails(
    keys: KeySetUrl, issuer: Issuer, caplog: pytest.LogCaptureFixture, failure: dict[str, Any], said: str
) -> None:
    caplog.set_level(logging.INFO)
    await keys.open()
    for name, value in failure.items():
        setattr(issuer, name, value)
    for _ in range(3):
        await newer(keys)
    assert kids(keys) == {"one"}
    assert said in (keys.trouble or "")
    issuer.status, issuer.body, issuer.headers = 200, TWO, {}
    await newer(keys)
    assert (kids(keys), keys.trouble) == ({"two"}, None)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3, "once when it fails, not each time"
    assert said in told[1]
    assert "those from before stay" in told[1]
    assert "s3cret" not in "".join(told)


async def test_without_an_answer_at_the_start_there_are_no_keys_until_there_are(
    keys: KeySetUrl, issuer: Issuer
) -> None:
    issuer.status = 503
    await keys.open()
    assert (bool(keys), keys.trouble) == (False, "it answers with status 503")
    issuer.status = 200
    await newer(keys)
    assert kids(keys) == {"one"}


async def test_an_answer_that_does_not_come_is_given_up(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_set_url, "FETCH_LIMIT_S", 0.2)
    issuer.may_answer.clear()
    with pytest.raises(FetchFailed, match=r"within 0.2 s|timed out"):
        await fetched(issuer.url)


async def test_an_address_without_a_server_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(FetchFailed, match="refused"):
        await fetched("http://127.0.0.1:1/")


async def test_after_the_close_no_request_is_taken_and_closing_again_does_nothing(keys: KeySetUrl) -> None:
    await keys.open()
    await keys.close()
    await keys.close()
    assert not keys.refresh(lambda: None)


def test_an_address_is_shown_without_what_may_be_a_secret() -> None:
    assert shown("https://ann:s3cret@idp:8443/keys?k=s3cret#s3cret") == "https://idp:8443/keys"
