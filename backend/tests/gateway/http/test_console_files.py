"""The console's files over HTTP: kept by browsers as long as they may be, and nothing from elsewhere."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from src.gateway.http.console_files import ConsoleFile, ConsoleFiles, console_router

SCRIPT = b"const answer = 42;\n" * 100


@pytest.fixture
def files(tmp_path: Path) -> ConsoleFiles:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_bytes(b"<!doctype html>")
    (tmp_path / "assets" / "index-ab12.js").write_bytes(SCRIPT)
    (tmp_path / "client.js").write_bytes(SCRIPT)
    return ConsoleFiles(tmp_path)


def answer(file: ConsoleFile, **headers: str) -> Response:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return file.answer(Request({"type": "http", "headers": raw}))


def test_the_page_is_asked_for_again_and_an_asset_is_kept(files: ConsoleFiles) -> None:
    page, script = answer(files.page), answer(files.assets["index-ab12.js"])
    assert (page.body, page.headers["content-type"]) == (b"<!doctype html>", "text/html; charset=utf-8")
    assert page.headers["cache-control"] == "no-cache"
    assert script.headers["content-type"].startswith("text/javascript")
    assert "immutable" in script.headers["cache-control"]


def test_the_client_is_a_script_that_is_asked_for_again(files: ConsoleFiles) -> None:
    assert files.client is not None
    script = answer(files.client, accept_encoding="gzip")
    assert script.headers["content-type"].startswith("text/javascript")
    assert (script.headers["cache-control"], script.headers["content-encoding"]) == ("no-cache", "gzip")


async def answer_of_app(folder: Path, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the application's response."""
    app, messages = FastAPI(), []
    app.include_router(console_router(folder))
    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return messages[0]["status"], headers, messages[1]["body"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_client_is_served_where_it_is_built(files: ConsoleFiles, tmp_path: Path, method: str) -> None:
    status, headers, _ = await answer_of_app(tmp_path, method, "/client.js")
    assert (status, headers["cache-control"]) == (200, "no-cache")
    assert headers["content-length"] == str(len(SCRIPT))


async def test_without_a_build_the_client_is_404_and_says_how_to_make_one(tmp_path: Path) -> None:
    status, _, body = await answer_of_app(tmp_path / "nothing", "GET", "/client.js")
    assert (status, b"make console" in body) == (404, True)


def test_a_browser_that_has_the_file_gets_304(files: ConsoleFiles) -> None:
    for encoding in ("identity", "gzip"):
        first = answer(files.assets["index-ab12.js"], accept_encoding=encoding)
        again = answer(files.assets["index-ab12.js"], accept_encoding=encoding, if_none_match=first.headers["etag"])
        assert (again.status_code, again.body) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
    assert answer(files.page, if_none_match='"another"').status_code == 200


def test_a_file_is_compressed_where_the_browser_accepts_gzip(files: ConsoleFiles) -> None:
    packed = answer(files.assets["index-ab12.js"], accept_encoding="gzip, br")
    plain = answer(files.assets["index-ab12.js"])
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(bytes(packed.body)) == plain.body == SCRIPT
    assert "content-encoding" not in plain.headers
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


def test_every_answer_allows_our_own_scripts_only(files: ConsoleFiles) -> None:
    for each in (answer(files.page), answer(files.assets["index-ab12.js"]), answer(files.page, if_none_match="*")):
        policy = each.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; connect-src 'self' ws: wss:;")
        assert "unsafe" not in policy
        assert each.headers["x-content-type-options"] == "nosniff"


def test_without_a_build_the_page_says_how_to_make_one(tmp_path: Path) -> None:
    files = ConsoleFiles(tmp_path / "nothing")
    page = answer(files.page)
    assert (page.status_code, dict(files.assets), files.client) == (200, {}, None)
    assert b"make console" in page.body
    assert b"<script" not in page.body
