"""Who may connect: every way of asking, over real sockets, against the gateway as a process."""

import asyncio
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from signal import SIGHUP, SIGKILL
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from src.demo.nats_server import NatsServer
from src.gateway.admission.jwts import LEEWAY_S
from tests.conftest import LaunchGateway
from tests.end_to_end.gateway_process import GatewayProcess
from tests.end_to_end.publisher import Publisher, fresh
from tests.end_to_end.test_workers import workers_of
from tests.end_to_end.viewer import Viewer
from tests.gateway.admission.issuer import EC_KEY, OTHER_EC_KEY, RSA_KEY, SECRET, Issuer, key_set, public_jwk
from tests.gateway.admission.issuer import token as jwt
from tests.waiting import until

TOKEN = "desk-token-0123456789abcdef"
OTHER = "other-token-0123456789abcde"
GONE = "gone-token-0123456789abcdef"
WRONG = "wrong-token-0123456789abcde"
PAGE = "https://app.example.com"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def refusal(gateway: GatewayProcess, **asking: Any) -> tuple[int, str]:
    """The status and the sentence that a viewer is refused with."""
    with pytest.raises(InvalidStatus) as refused:
        async with Viewer(gateway, **asking):
            pass
    response = refused.value.response
    assert response.headers["Content-Type"] == "application/json"
    if response.status_code == 401:
        assert response.headers["WWW-Authenticate"] == "Bearer"
    return response.status_code, json.loads(response.body or b"")["detail"]


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# who may connect\n{TOKEN} the desk\n{GONE}\n")
    return path


@pytest.fixture(scope="module")
def guarded(shared_nats: NatsServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with tokens, the query, and a list of origins, for tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "tokens").write_text(TOKEN)
    gateway = GatewayProcess(
        folder,
        shared_nats.url,
        GATEWAY_AUTH="token",
        GATEWAY_TOKENS_FILE=str(folder / "tokens"),
        GATEWAY_AUTH_QUERY="1",
        GATEWAY_ALLOWED_ORIGINS=f"{PAGE},https://*.example.org",
        GATEWAY_LOG_LEVEL="DEBUG",
    ).start()
    yield gateway
    gateway.kill()


# -- tokens ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asking", "answered"),
    [
        ({"additional_headers": bearer(TOKEN)}, None),
        ({"subprotocols": ["bearer", TOKEN]}, "bearer"),
        ({"subprotocols": ["v1", "bearer", TOKEN]}, "bearer"),
        ({"subprotocols": ["bearer", WRONG], "additional_headers": bearer(TOKEN)}, "bearer"),
        ({"path": f"/ws/stream?token={TOKEN}"}, None),
        ({"subprotocols": ["bearer", TOKEN], "origin": PAGE}, "bearer"),
    ],
    ids=["header", "subprotocol", "among others", "header before subprotocol", "query", "as a browser"],
)
async def test_a_token_lets_a_viewer_in_however_it_is_carried(
    guarded: GatewayProcess, shared_publisher: Publisher, asking: dict[str, Any], answered: str | None
) -> None:
    await shared_publisher.flow(n := fresh())
    async with Viewer(guarded, **asking) as viewer:
        await viewer.until_newest(flow=n)
        assert viewer.socket.subprotocol == answered
        assert TOKEN not in str(viewer.socket.response)


@pytest.mark.parametrize(
    ("asking", "said"),
    [
        ({}, "a token is needed"),
        ({"additional_headers": {"Authorization": f"Basic {TOKEN}"}}, "a token is needed"),
        ({"subprotocols": [TOKEN]}, "a token is needed"),
        ({"additional_headers": bearer(WRONG)}, "this token is not accepted"),
        ({"subprotocols": ["bearer", WRONG]}, "this token is not accepted"),
        ({"path": f"/ws/stream?token={WRONG}"}, "this token is not accepted"),
        ({"additional_headers": bearer(TOKEN + "x")}, "this token is not accepted"),
        ({"additional_headers": bearer("x" * 8000)}, "this token is not accepted"),
        ({"additional_headers": {"Sec-WebSocket-Protocol": f"bearer, {WRONG}=/"}}, "this token is not accepted"),
    ],
)
async def test_without_a_good_token_a_viewer_is_refused(
    guarded: GatewayProcess, asking: dict[str, Any], said: str
) -> None:
    status, detail = await refusal(guarded, **asking)
    assert status == 401
    assert detail.startswith(said)
    assert "wrong-token" not in detail


async def test_a_token_in_the_query_counts_nothing_by_default(make_gateway: LaunchGateway, tokens: Path) -> None:
    gateway = make_gateway(GATEWAY_AUTH="token", GATEWAY_TOKENS_FILE=str(tokens)).start()
    assert (await refusal(gateway, path=f"/ws/stream?token={TOKEN}"))[0] == 401
    assert gateway.get(f"/snapshot?token={TOKEN}").status == 401
    assert gateway.health()["refused"] == {"token_missing": 2}


async def test_the_snapshot_needs_the_token_and_what_tells_of_health_does_not(
    guarded: GatewayProcess, shared_publisher: Publisher
) -> None:
    await shared_publisher.flow(n := fresh())
    async with Viewer(guarded, additional_headers=bearer(TOKEN)) as viewer:
        await viewer.until_newest(flow=n)
    for headers, path in ((bearer(TOKEN), "/snapshot"), ({}, f"/snapshot?token={TOKEN}")):
        assert guarded.get(path, headers=headers).json["flow"]["n"] == n
    for headers in ({}, bearer(WRONG)):
        answer = guarded.get("/snapshot", headers=headers)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert b"flow" not in answer.body
    assert [guarded.get(path).status for path in ("/health", "/ready", "/docs", "/openapi.json")] == [200] * 4


async def test_bearer_is_answered_also_where_no_token_is_needed(shared_gateway: GatewayProcess) -> None:
    """A browser fails a handshake that answers none of the subprotocols that it has offered."""
    async with Viewer(shared_gateway, subprotocols=["bearer", TOKEN]) as viewer:
        assert viewer.socket.subprotocol == "bearer"
    async with Viewer(shared_gateway, subprotocols=["v1"]) as viewer:
        assert viewer.socket.subprotocol is None


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_sighup_reads_the_tokens_again_and_closes_viewers_whose_token_is_gone(
    make_gateway: LaunchGateway, publisher: Publisher, tokens: Path, workers: str
) -> None:
    gateway = make_gateway(GATEWAY_AUTH="token", GATEWAY_TOKENS_FILE=str(tokens), GATEWAY_WORKERS=workers).start()
    await publisher.flow(1)
    async with AsyncExitStack() as stack:
        staying, leaving = [
            [await stack.enter_async_context(Viewer(gateway, additional_headers=bearer(token))) for _ in range(8)]
            for token in (TOKEN, GONE)
        ]
        tokens.write_text(f"{TOKEN}\n{OTHER} new\n")
        gateway.signal(SIGHUP)
        assert {await viewer.close_code() for viewer in leaving} == {4004}
        assert (await refusal(gateway, additional_headers=bearer(GONE)))[0] == 401
        async with Viewer(gateway, additional_headers=bearer(OTHER)) as another:
            await another.until_newest(flow=1)
        await publisher.flow(2)
        for viewer in staying:
            await viewer.until_newest(flow=2)
    assert "reread: 2 tokens, 1 of them new; 1 are gone" in gateway.stderr


async def test_a_broken_tokens_file_changes_nothing_and_is_told(make_gateway: LaunchGateway, tokens: Path) -> None:
    gateway = make_gateway(GATEWAY_AUTH="token", GATEWAY_TOKENS_FILE=str(tokens)).start()
    async with Viewer(gateway, additional_headers=bearer(TOKEN)) as viewer:
        tokens.write_text(f"{OTHER}\nshort\n")
        gateway.signal(SIGHUP)
        await until(lambda: "not reread" in gateway.stderr, "a line that tells")
        async with Viewer(gateway, additional_headers=bearer(TOKEN)):
            assert (await refusal(gateway, additional_headers=bearer(OTHER)))[0] == 401
        await viewer.ping()
    (line,) = [line for line in gateway.stderr.splitlines() if "not reread" in line]
    assert " ERROR gateway: not reread, the old content still counts: GATEWAY_TOKENS_FILE, line 2: " in line
    assert "short" not in line


async def test_a_worker_that_is_started_later_has_the_files_as_read_at_sighup(
    make_gateway: LaunchGateway, tokens: Path
) -> None:
    gateway = make_gateway(GATEWAY_AUTH="token", GATEWAY_TOKENS_FILE=str(tokens), GATEWAY_WORKERS="2").start()
    tokens.write_text(OTHER)
    gateway.signal(SIGHUP)
    await until(lambda: gateway.stderr.count("1 tokens, 1 of them new") == 3, "all three have read it")
    tokens.write_text("broken")
    for pid in workers_of(gateway):
        os.kill(pid, SIGKILL)
    await until(lambda: gateway.stderr.count("starting another") == 2, "the loss is noticed")
    await until(lambda: len(workers_of(gateway)) == 2, "others are there")
    gateway.until_it_answers()
    await until(lambda: gateway.health()["workers"]["live"] == 2, "others serve")
    for _ in range(8):
        async with Viewer(gateway, additional_headers=bearer(OTHER)):
            pass
        assert (await refusal(gateway, additional_headers=bearer(TOKEN)))[0] == 401


async def test_sighup_without_anything_to_read_ends_nothing(shared_gateway: GatewayProcess) -> None:
    async with Viewer(shared_gateway) as viewer:
        shared_gateway.signal(SIGHUP)
        await until(lambda: "SIGHUP" in shared_gateway.stderr, "a line that tells")
        await viewer.ping()


# -- JSON Web Tokens ---------------------------------------------------------------------------------------------------


def jwt_settings(issuer: Issuer, **further: str) -> dict[str, str]:
    return {"GATEWAY_AUTH": "jwt", "GATEWAY_JWKS": issuer.url, "no_proxy": "127.0.0.1", **further}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


async def test_jwts_of_a_secret_are_accepted_for_audience_and_issuer(
    make_gateway: LaunchGateway, publisher: Publisher, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    settings = {"GATEWAY_AUTH": "jwt", "GATEWAY_JWT_SECRET_FILE": str(tmp_path / "secret")}
    gateway = make_gateway(**settings, GATEWAY_JWT_AUDIENCE="spymaster", GATEWAY_JWT_ISSUER="idp").start()
    await publisher.flow(1)
    good = jwt(aud="spymaster", iss="idp")
    async with Viewer(gateway, subprotocols=["bearer", good]) as viewer:
        await viewer.until_newest(flow=1)
    assert gateway.get("/snapshot", headers=bearer(good)).json == {"flow": viewer.newest["flow"]}
    refused: list[tuple[dict[str, Any], str]] = [
        ({"aud": "other"}, "token_wrong_claims"),
        ({"exp": 1}, "token_expired"),
        ({"nbf": 1 << 40}, "token_not_yet"),
        ({"key": SECRET + "x"}, "token_bad"),
    ]
    for claims, name in refused:
        bad = jwt(**{"aud": "spymaster", "iss": "idp"} | claims)
        assert (await refusal(gateway, additional_headers=bearer(bad)))[0] == 401
        assert gateway.health()["refused"][name] == 1
    assert good not in gateway.stderr


async def test_a_viewer_whose_token_expires_is_closed_and_the_others_stay(
    make_gateway: LaunchGateway, publisher: Publisher, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(SECRET)
    gateway = make_gateway(GATEWAY_AUTH="jwt", GATEWAY_JWT_SECRET_FILE=str(tmp_path / "secret")).start()
    await publisher.flow(1)
    almost_over = jwt(exp=int(time.time() - LEEWAY_S) + 4)
    async with (
        Viewer(gateway, additional_headers=bearer(almost_over)) as leaving,
        Viewer(gateway, additional_headers=bearer(jwt())) as staying,
    ):
        await leaving.until_newest(flow=1)
        assert await leaving.close_code() == 4003
        assert leaving.socket.close_reason == "the token has expired; reconnect with a new one"
        await publisher.flow(2)
        await staying.until_newest(flow=2)
    assert (await refusal(gateway, additional_headers=bearer(almost_over)))[1].startswith("this token has expired")


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_new_keys_are_fetched_when_a_token_names_one_and_old_ones_end_their_viewers(
    make_gateway: LaunchGateway, publisher: Publisher, issuer: Issuer, workers: str
) -> None:
    gateway = make_gateway(**jwt_settings(issuer), GATEWAY_WORKERS=workers).start()
    gateway.until_it_says("✅")
    await publisher.flow(1)
    before, after = jwt(EC_KEY, "ES256", "one"), jwt(RSA_KEY, "RS256", "two")
    async with AsyncExitStack() as stack:
        leaving = [await stack.enter_async_context(Viewer(gateway, additional_headers=bearer(before))) for _ in "123"]
        issuer.body = key_set(public_jwk(RSA_KEY, "two"))
        coming = [stack.enter_async_context(Viewer(gateway, additional_headers=bearer(after))) for _ in range(16)]
        for viewer in await asyncio.gather(*coming):
            await viewer.until_newest(flow=1)
        assert {await viewer.close_code() for viewer in leaving} == {4004}
    assert gateway.health()["refused"] == {}
    assert issuer.asked == 2 * int(workers)
    assert "s3cret" not in gateway.stderr
    assert "1 keys, 1 of them new; 1 are gone" in gateway.stderr


async def test_a_token_of_an_unknown_key_is_refused_after_the_keys_were_fetched_again(
    make_gateway: LaunchGateway, issuer: Issuer
) -> None:
    gateway = make_gateway(**jwt_settings(issuer)).start()
    status, detail = await refusal(gateway, additional_headers=bearer(jwt(OTHER_EC_KEY, "ES256", "unheard")))
    assert (status, "a key that is not in GATEWAY_JWKS" in detail, issuer.asked) == (401, True, 2)


async def test_a_snapshot_waits_for_the_keys_too(
    make_gateway: LaunchGateway, publisher: Publisher, issuer: Issuer
) -> None:
    gateway = make_gateway(**jwt_settings(issuer)).start()
    await publisher.flow(1)
    issuer.body = key_set(public_jwk(RSA_KEY, "two"))
    answer = await asyncio.to_thread(gateway.get, "/snapshot", "GET", bearer(jwt(RSA_KEY, "RS256", "two")))
    assert (answer.status, issuer.asked) == (200, 2)


async def test_a_gateway_without_keys_is_not_ready_and_says_that_it_cannot_tell(
    make_gateway: LaunchGateway, issuer: Issuer
) -> None:
    issuer.status = 500
    gateway = make_gateway(**jwt_settings(issuer)).start()
    ready = gateway.get("/ready")
    assert (ready.status, ready.json["reasons"]) == (503, ["no keys to check tokens with: it answers with status 500"])
    good = bearer(jwt(EC_KEY, "ES256", "one"))
    assert (await refusal(gateway, additional_headers=good))[0] == 503
    issuer.status = 200
    async with Viewer(gateway, additional_headers=good):
        assert gateway.ready


async def test_the_last_good_keys_stay_while_the_issuer_is_gone(make_gateway: LaunchGateway, issuer: Issuer) -> None:
    gateway = make_gateway(**jwt_settings(issuer)).start()
    issuer.status = 500
    assert (await refusal(gateway, additional_headers=bearer(jwt(RSA_KEY, "RS256", "two"))))[0] == 503
    async with Viewer(gateway, additional_headers=bearer(jwt(EC_KEY, "ES256", "one"))):
        assert gateway.ready
    (told,) = [line for line in gateway.stderr.splitlines() if " ERROR " in line]
    assert "no keys from http://127.0.0.1:" in told


async def test_a_viewer_that_leaves_while_it_waits_for_the_keys_takes_no_place(
    make_gateway: LaunchGateway, issuer: Issuer
) -> None:
    gateway = make_gateway(**jwt_settings(issuer), GATEWAY_MAX_VIEWERS="1").start()
    issuer.may_answer.clear()
    issuer.body = key_set(public_jwk(RSA_KEY, "two"))
    asking = {"additional_headers": bearer(jwt(RSA_KEY, "RS256", "two"))}
    waiting = asyncio.ensure_future(Viewer(gateway, None, "/ws/stream", **asking).__aenter__())
    await until(lambda: issuer.asked == 2, "the keys are asked for")
    waiting.cancel()
    await asyncio.wait({waiting})
    issuer.may_answer.set()
    await until(lambda: "1 are gone" in gateway.stderr, "the keys are there")
    await until(lambda: gateway.health()["connections"] == 0, "it has no place, or has given it back")
    async with Viewer(gateway, None, "/ws/stream", **asking):
        assert gateway.health()["connections"] == 1


async def test_it_stops_in_time_while_an_issuer_does_not_answer(make_gateway: LaunchGateway, issuer: Issuer) -> None:
    issuer.may_answer.clear()
    gateway = make_gateway(**jwt_settings(issuer)).launch()
    await until(lambda: issuer.asked == 1, "the keys are asked for")
    assert gateway.stop() == 0


# -- origins -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [PAGE, "https://a.b.example.org"])
async def test_a_listed_page_may_connect_and_read(guarded: GatewayProcess, origin: str) -> None:
    async with Viewer(guarded, origin=origin, additional_headers=bearer(TOKEN)):
        pass
    for path in ("/health", "/ready", "/snapshot"):
        answer = guarded.get(path, headers={"Origin": origin, **bearer(TOKEN)})
        assert answer.status in (200, 204)
        assert (answer.headers["Access-Control-Allow-Origin"], answer.headers["Vary"]) == (origin, "Origin")
    answer = guarded.get("/snapshot", headers={"Origin": origin})
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (401, origin)


@pytest.mark.parametrize("origin", ["https://evil.example.com", "http://localhost:4200", "null", PAGE + ".evil.com"])
async def test_another_page_may_not(guarded: GatewayProcess, origin: str) -> None:
    async with Viewer(guarded, origin=origin, subprotocols=["bearer", TOKEN]) as viewer:
        assert await viewer.close_code() == 4007
        assert "GATEWAY_ALLOWED_ORIGINS" in (viewer.socket.close_reason or "")
    assert viewer.payloads == []
    for method, headers in (("GET", bearer(TOKEN)), ("OPTIONS", {"Access-Control-Request-Method": "GET"})):
        answer = guarded.get("/snapshot", method, {"Origin": origin, **headers})
        assert answer.headers["Vary"] == "Origin"
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert method == "GET" or answer.status == 403


def test_a_page_may_ask_whether_it_may_send_a_token(guarded: GatewayProcess) -> None:
    asking = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    answer = guarded.get("/snapshot", "OPTIONS", {"Origin": PAGE, **asking})
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert answer.headers["Access-Control-Allow-Headers"] == "Authorization"
    assert "GET" in answer.headers["Access-Control-Allow-Methods"]


async def test_by_default_pages_of_the_own_address_and_of_this_machine_may_connect(
    shared_gateway: GatewayProcess,
) -> None:
    for origin in (f"http://127.0.0.1:{shared_gateway.port}", "http://localhost:4200", None):
        async with Viewer(shared_gateway, origin=origin):
            pass
    for _ in range(3):
        async with Viewer(shared_gateway, origin="https://evil.example.com") as viewer:
            assert await viewer.close_code() == 4007
    assert shared_gateway.stderr.count("a page of 'https://evil.example.com' may not connect") == 1
    assert shared_gateway.health()["refused"]["origin_refused"] >= 1


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_full_gateway_refuses_until_somebody_leaves(make_gateway: LaunchGateway, workers: str) -> None:
    gateway = make_gateway(GATEWAY_MAX_VIEWERS="3", GATEWAY_WORKERS=workers).start()
    async with Viewer(gateway), Viewer(gateway):
        async with Viewer(gateway):
            with pytest.raises(InvalidStatus) as refused:
                await Viewer(gateway).__aenter__()
            assert refused.value.response.status_code == 503
            assert refused.value.response.headers["Retry-After"] == "10"
        await until(lambda: gateway.health()["connections"] == 2, "one has left")
        async with Viewer(gateway):
            assert gateway.health()["connections"] == 3


async def test_an_address_may_have_so_many_viewers_and_those_that_left_do_not_count(
    make_gateway: LaunchGateway,
) -> None:
    gateway = make_gateway(GATEWAY_MAX_VIEWERS_PER_ADDRESS="2", GATEWAY_TRUSTED_PROXIES="127.0.0.0/8").start()
    of_client: dict[str, Any] = {"additional_headers": {"X-Forwarded-For": "1.2.3.4, 198.51.100.1"}}
    async with Viewer(gateway, **of_client), Viewer(gateway, **of_client):
        assert (await refusal(gateway, **of_client))[0] == 429
        forged: dict[str, Any] = {"additional_headers": {"X-Forwarded-For": "5.6.7.8, 198.51.100.1"}}
        assert (await refusal(gateway, **forged))[0] == 429
        async with Viewer(gateway), Viewer(gateway, additional_headers={"X-Forwarded-For": "198.51.100.2"}):
            pass
    await until(lambda: gateway.health()["connections"] == 0, "all have left")
    async with Viewer(gateway, **of_client):
        assert gateway.health()["refused"] == {"too_many_of_address": 2}


async def test_a_proxy_that_is_not_trusted_is_not_believed(make_gateway: LaunchGateway) -> None:
    gateway = make_gateway(GATEWAY_MAX_VIEWERS_PER_ADDRESS="1", GATEWAY_TRUSTED_PROXIES="10.0.0.0/8").start()
    async with Viewer(gateway, additional_headers={"X-Forwarded-For": "198.51.100.1"}):
        assert (await refusal(gateway, additional_headers={"X-Forwarded-For": "198.51.100.2"}))[0] == 429


async def test_more_handshakes_a_second_are_refused_and_told_to_come_later(make_gateway: LaunchGateway) -> None:
    gateway = make_gateway(GATEWAY_MAX_HANDSHAKES="1").start()

    async def ask() -> Any:
        try:
            async with Viewer(gateway) as viewer:
                return viewer.socket.response
        except InvalidStatus as refused:
            return refused.response

    answers = await asyncio.gather(*(ask() for _ in range(20)))
    later = [answer.headers["Retry-After"] for answer in answers if answer.status_code == 503]
    assert 0 < len(later) < 20
    assert set(later) == {"1"}
    assert gateway.health()["refused"]["too_fast"] == len(later)
    async with asyncio.timeout(20):
        while (await ask()).status_code != 101:
            await asyncio.sleep(0.1)


# -- what is told ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"GATEWAY_AUTH": "token"}, "GATEWAY_AUTH=token needs GATEWAY_TOKENS_FILE"),
        ({"GATEWAY_AUTH": "token", "GATEWAY_TOKENS_FILE": "/no/such"}, "GATEWAY_TOKENS_FILE names a file that does"),
        ({"GATEWAY_AUTH": "token", "GATEWAY_TOKENS_FILE": "."}, "GATEWAY_TOKENS_FILE names something that is not a"),
        ({"GATEWAY_AUTH": "token", "GATEWAY_TOKENS_FILE": "EMPTY"}, "GATEWAY_TOKENS_FILE names a file that is empty"),
        ({"GATEWAY_AUTH": "jwt", "GATEWAY_JWT_SECRET_FILE": "SHORT"}, "the secret has 5 bytes, and 32 are the least"),
        ({"GATEWAY_AUTH": "jwt", "GATEWAY_JWT_SECRET_FILE": "PUBLIC"}, "names a key file, not a secret"),
        ({"GATEWAY_AUTH": "jwt", "GATEWAY_JWKS": "SHORT"}, "GATEWAY_JWKS: not a JWK set"),
        ({"GATEWAY_TOKENS_FILE": "SHORT"}, "GATEWAY_TOKENS_FILE is set and GATEWAY_AUTH is not"),
    ],
)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_login_that_cannot_work_ends_the_start_with_one_line(
    tmp_path: Path, settings: dict[str, str], said: str, workers: str
) -> None:
    contents = {"EMPTY": "\n", "SHORT": "s3cre\n", "PUBLIC": "-----BEGIN PUBLIC KEY-----\n" + "x" * 99}
    for name, text in contents.items():
        (tmp_path / name).write_text(text)
    placed = {name: str(tmp_path / value) if value in contents else value for name, value in settings.items()}
    gateway = GatewayProcess(tmp_path, "nats://127.0.0.1:1", GATEWAY_WORKERS=workers, **placed).launch()
    assert gateway.wait() == 2
    (line,) = gateway.stderr.splitlines()
    assert said in line
    assert "s3cre" not in line
    assert gateway.stdout == ""


@pytest.mark.parametrize(
    ("host", "auth", "warned"),
    [("0.0.0.0", "none", True), ("127.0.0.1", "none", False), ("0.0.0.0", "token", False)],
)
def test_a_port_that_is_open_to_everybody_is_warned_about_in_one_line(
    make_gateway: LaunchGateway, tokens: Path, host: str, auth: str, warned: bool
) -> None:
    files = {"GATEWAY_TOKENS_FILE": str(tokens)} if auth == "token" else {}
    gateway = make_gateway(GATEWAY_HOST=host, GATEWAY_AUTH=auth, **files).start()
    warnings = [line for line in gateway.stderr.splitlines() if " WARNING " in line]
    assert len(warnings) == warned
    assert all("anybody who reaches 0.0.0.0 may connect: set GATEWAY_AUTH" in line for line in warnings)


async def test_no_token_is_ever_shown(guarded: GatewayProcess) -> None:
    """With lines of every level, after all of what is done above and some more."""
    for token in (TOKEN, WRONG):
        for path in (f"/ws/stream?token={token}", f"/nothing?token={token}", f"/snapshot?token={token}"):
            answers = [
                guarded.get(path, headers=bearer(token)),
                guarded.get(path, headers={**bearer(token), "Connection": "Upgrade", "Upgrade": "websocket"}),
                guarded.get(path, "POST", headers={"Sec-WebSocket-Protocol": f"bearer, {token}"}),
            ]
            assert not any(token in str(answer.headers) + answer.body.decode() for answer in answers)
        with pytest.raises(InvalidStatus) as refused:
            await Viewer(guarded, path=f"/elsewhere?token={token}", subprotocols=["bearer", token]).__aenter__()
        assert token.encode() not in refused.value.response.serialize()
    shown = guarded.stdout + guarded.stderr + guarded.get("/health").body.decode() + guarded.get("/docs").body.decode()
    assert not re.search("(desk|wrong)-token", shown)
