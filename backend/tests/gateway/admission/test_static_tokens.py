"""The tokens file."""

from pathlib import Path

import pytest

from src.gateway.admission.grants import Grant
from src.gateway.admission.static_tokens import StaticTokens, tokens_in
from src.gateway.close_codes import TOKEN_WITHDRAWN
from src.gateway.refusals import TOKEN_BAD
from src.gateway.settings import SettingError

FIRST, SECOND, THIRD = "first-0123456789abcdef", "second.0123456789+~_", "third-0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"{FIRST}\n{SECOND} the desk in London\n")
    return path


def test_a_token_has_a_line_and_may_have_a_name_and_comments() -> None:
    body = f"# who\n\n{FIRST}\n  {SECOND}\tthe desk # since May\r\n{THIRD}#x\n{FIRST}\n".encode()
    assert tokens_in(body) == [FIRST, SECOND, THIRD, FIRST]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f"{FIRST}\nshort name\n".encode(), "line 2: a token has 16 to 1024 of the characters"),
        (f"desk {FIRST}\n".encode(), "line 1: a token has 16"),
        (b"a/b=" * 5, "line 1: a token has 16"),
        (b"x" * 1025, "line 1: a token has 16"),
        (b"# nobody yet\n", "0 tokens in the file; 1 to 1000 are accepted"),
        (b"\n".join(b"%032d" % number for number in range(1001)), "1001 tokens in the file"),
        (b"\xff" * 20, "not text in UTF-8"),
    ],
)
def test_a_wrong_line_is_told_by_its_number_and_not_shown(body: bytes, said: str) -> None:
    with pytest.raises(SettingError) as refused:
        tokens_in(body)
    assert str(refused.value).startswith("GATEWAY_TOKENS_FILE")
    assert said in str(refused.value)
    assert FIRST not in str(refused.value)


def test_only_the_very_tokens_are_granted(path: Path) -> None:
    tokens = StaticTokens(str(path))
    assert isinstance(tokens.grant(FIRST, 0.0), Grant)
    assert tokens.grant(FIRST, 0.0) is tokens.grant(FIRST, 0.0)
    assert isinstance(tokens.grant(SECOND, 0.0), Grant)
    for wrong in (FIRST[:-1], FIRST + "0", FIRST.upper(), "the desk in London", "", "\udcff", THIRD):
        assert tokens.grant(wrong, 0.0) is TOKEN_BAD


def test_rereading_withdraws_what_is_gone_and_leaves_the_rest(path: Path) -> None:
    tokens = StaticTokens(str(path))
    first, second = tokens.grant(FIRST, 0.0), tokens.grant(SECOND, 0.0)
    path.write_text(f"{SECOND} another name\n{THIRD}\n")
    assert tokens.reread() == "2 tokens, 1 of them new; 1 are gone"
    assert isinstance(first, Grant)
    assert isinstance(second, Grant)
    assert first.over(0.0) is TOKEN_WITHDRAWN
    assert second.over(1e12) is None
    assert tokens.grant(FIRST, 0.0) is TOKEN_BAD
    assert tokens.grant(SECOND, 0.0) is second
    assert isinstance(tokens.grant(THIRD, 0.0), Grant)


def test_a_token_that_comes_back_revives_no_grant(path: Path) -> None:
    tokens = StaticTokens(str(path))
    before = tokens.grant(FIRST, 0.0)
    for text in (SECOND, FIRST):
        path.write_text(text)
        tokens.reread()
    assert isinstance(before, Grant)
    assert before.over(0.0) is TOKEN_WITHDRAWN
    assert isinstance(tokens.grant(FIRST, 0.0), Grant)


@pytest.mark.parametrize("broken", ["", "short", None])
def test_a_broken_file_changes_nothing(path: Path, broken: str | None) -> None:
    tokens = StaticTokens(str(path))
    grant = tokens.grant(FIRST, 0.0)
    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
    with pytest.raises(SettingError):
        tokens.reread()
    assert tokens.grant(FIRST, 0.0) is grant
    assert isinstance(grant, Grant)
    assert grant.over(0.0) is None
