"""Which JWTs are accepted, and why others are not."""

import base64
import hashlib
import hmac
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from src.gateway.admission import jwts
from src.gateway.admission.grants import Grant
from src.gateway.admission.jwts import LEEWAY_S, Jwts
from src.gateway.admission.keys import KeySetFile, SecretFile, keys_in, secret_key
from src.gateway.close_codes import TOKEN_EXPIRED, TOKEN_WITHDRAWN
from src.gateway.refusals import (
    TOKEN_BAD,
    TOKEN_EXPIRED_BEFORE,
    TOKEN_KEY_UNKNOWN,
    TOKEN_NOT_YET,
    TOKEN_WRONG_CLAIMS,
    Refusal,
)
from src.gateway.settings import SettingError
from tests.gateway.admission.issuer import (
    EC_KEY,
    OTHER_EC_KEY,
    OTHER_RSA_KEY,
    RSA_KEY,
    SECRET,
    key_set,
    public_jwk,
    public_pem,
    token,
)

NOW_S = time.time()
LATER = int(NOW_S) + 24 * 3600


def after(seconds: float) -> Callable[[], int]:
    """A time so long after the test began."""
    return lambda: int(time.time() + seconds)


LONG_AGO, JUST_NOW, SOON = after(-60), after(-1), after(60)


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_bytes(key_set(public_jwk(RSA_KEY, "r"), public_jwk(EC_KEY, "e")))
    return path


def by_secret(path: Path, viewers: str = "", issuer: str = "") -> Jwts:
    return Jwts(SecretFile(str(path)), viewers, issuer)


def by_keys(path: Path) -> Jwts:
    return Jwts(KeySetFile(str(path)), "", "")


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return f"{segment(json.dumps(header))}.{segment(json.dumps(claims))}"


def segment(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


# -- claims ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "answer"),
    [
        ({}, None),
        ({"exp": LATER + 0.5}, None),
        ({"exp": JUST_NOW}, None),
        ({"exp": LONG_AGO}, TOKEN_EXPIRED_BEFORE),
        ({"exp": None}, TOKEN_WRONG_CLAIMS),
        ({"exp": "soon"}, TOKEN_BAD),
        ({"exp": math.inf}, TOKEN_BAD),
        ({"exp": 10**400}, TOKEN_BAD),
        ({"exp": [1]}, TOKEN_BAD),
        ({"nbf": LONG_AGO}, None),
        ({"nbf": after(LEEWAY_S - 1)}, None),
        ({"nbf": SOON}, TOKEN_NOT_YET),
        ({"nbf": "now"}, TOKEN_BAD),
        ({"iat": SOON}, TOKEN_NOT_YET),
        ({"aud": "whoever", "iss": "whoever"}, None),
        ({"sub": None}, None),
        ({"sub": 7, "jti": 8}, None),
    ],
)
def test_a_tokens_times_count(secret_file: Path, claims: dict[str, Any], answer: Refusal | None) -> None:
    timed = {name: claim() if callable(claim) else claim for name, claim in claims.items()}
    granted = by_secret(secret_file).grant(token(**timed), NOW_S)
    assert isinstance(granted, Grant) if answer is None else granted is answer


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"aud": "spymaster", "iss": "https://idp/"}, True),
        ({"aud": ["other", "spymaster"], "iss": "https://idp/"}, True),
        ({"aud": "other", "iss": "https://idp/"}, False),
        ({"aud": ["other"], "iss": "https://idp/"}, False),
        ({"aud": "spymaster", "iss": "https://idp"}, False),
        ({"aud": "spymaster"}, False),
        ({"iss": "https://idp/"}, False),
        ({"aud": 7, "iss": "https://idp/"}, False),
    ],
)
def test_audience_and_issuer_count_where_they_are_set(secret_file: Path, claims: dict[str, Any], good: bool) -> None:
    granted = by_secret(secret_file, "spymaster", "https://idp/").grant(token(**claims), NOW_S)
    assert isinstance(granted, Grant) if good else granted is TOKEN_WRONG_CLAIMS


def test_a_grant_ends_when_the_token_does(secret_file: Path) -> None:
    granted = by_secret(secret_file).grant(token(exp=LATER), NOW_S)
    assert isinstance(granted, Grant)
    assert granted.over(LATER + LEEWAY_S - 0.1) is None
    assert granted.over(LATER + LEEWAY_S) is TOKEN_EXPIRED


# -- signatures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "algorithm", "kid", "answer"),
    [
        (RSA_KEY, "RS256", "r", None),
        (RSA_KEY, "RS256", None, None),
        (EC_KEY, "ES256", "e", None),
        (EC_KEY, "ES256", None, None),
        (RSA_KEY, "RS512", "r", TOKEN_BAD),
        (RSA_KEY, "PS256", "r", TOKEN_BAD),
        (OTHER_RSA_KEY, "RS256", "r", TOKEN_BAD),
        (OTHER_RSA_KEY, "RS256", None, TOKEN_BAD),
        (OTHER_EC_KEY, "ES256", "e", TOKEN_BAD),
        (RSA_KEY, "RS256", "x", TOKEN_KEY_UNKNOWN),
        (RSA_KEY, "RS256", "e", TOKEN_KEY_UNKNOWN),
        (SECRET, "HS256", None, TOKEN_BAD),
        (SECRET, "HS256", "r", TOKEN_BAD),
    ],
)
def test_a_public_key_checks_the_algorithm_of_its_type_alone(
    key_file: Path, key: Any, algorithm: str, kid: str | None, answer: Refusal | None
) -> None:
    granted = by_keys(key_file).grant(token(key, algorithm, kid), NOW_S)
    assert isinstance(granted, Grant) if answer is None else granted is answer


@pytest.mark.parametrize("algorithm", ["HS384", "HS512", "RS256", "ES256"])
def test_a_secret_checks_hs256_alone(secret_file: Path, algorithm: str) -> None:
    key = {"RS256": RSA_KEY, "ES256": EC_KEY}.get(algorithm, SECRET + SECRET)
    assert isinstance(by_secret(secret_file).grant(token(kid="any"), NOW_S), Grant)
    assert isinstance(by_secret(secret_file).grant(token(key, algorithm), NOW_S), Refusal)


@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY], ids=["RSA", "EC"])
@pytest.mark.parametrize("kid", ["r", "e", None])
def test_a_public_key_is_never_taken_for_a_secret(key_file: Path, key: Any, kid: str | None) -> None:
    """The classic: sign with HS256 and, as its secret, what everybody knows of the key."""
    header = {"alg": "HS256", "typ": "JWT"} | ({} if kid is None else {"kid": kid})
    signed = unsigned(header, {"exp": LATER})
    pem = public_pem(key)
    for secret in (pem, pem.strip(), json.dumps(public_jwk(key)).encode(), key_file.read_bytes(), b""):
        signature = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
        forged = f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
        assert by_keys(key_file).grant(forged, NOW_S) is TOKEN_BAD


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "nOnE", None, ["HS256"], {"a": 1}, 7])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_a_token_without_a_signature_is_none(key_file: Path, secret_file: Path, algorithm: Any, signature: str) -> None:
    forged = f"{unsigned({'alg': algorithm, 'typ': 'JWT'}, {'exp': LATER})}.{signature}"
    for accepted in (by_keys(key_file), by_secret(secret_file)):
        assert accepted.grant(forged, NOW_S) is TOKEN_BAD


def test_what_a_token_brings_along_is_no_key(key_file: Path) -> None:
    """RFC 7515 §4.1 has headers for a key, or the address of one: whoever signs could bring his own."""
    for brought in ({"jwk": public_jwk(OTHER_RSA_KEY, "r")}, {"jku": "http://127.0.0.1:1/"}, {"x5u": "http://x/"}):
        parts = unsigned({"alg": "RS256", "kid": "r"} | brought, {"exp": LATER}) + ".AAAA"
        assert by_keys(key_file).grant(parts, NOW_S) is TOKEN_BAD


GOOD = token()


@given(st.text() | st.builds(lambda cut, mid: GOOD[:cut] + mid + GOOD[cut + 1 :], st.integers(0, len(GOOD)), st.text()))
@settings(max_examples=300, deadline=None)
def test_nothing_that_is_sent_as_a_token_raises(sent: str) -> None:
    keys = SecretFile.__new__(SecretFile)
    super(SecretFile, keys).__init__()
    keys.replace([secret_key(SECRET.encode())])
    answer = Jwts(keys, "", "").grant(sent, NOW_S)
    assert isinstance(answer, Refusal) or sent.rstrip("=") == GOOD


@pytest.mark.parametrize("deep", ["[" * 5000, '{"a":' * 1000, "9" * 5000, '"\\ud800"', "NaN", "null", "1"])
def test_an_odd_header_is_only_a_bad_token(secret_file: Path, deep: str) -> None:
    for header in (f'{{"alg":"HS256","kid":{deep}', f'{{"alg":"HS256","kid":{deep}}}'):
        assert by_secret(secret_file).grant(f"{segment(header)}.e30.AAAA", NOW_S) is TOKEN_BAD


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_key_that_is_taken_out_ends_what_it_granted(key_file: Path) -> None:
    accepted = by_keys(key_file)
    old, staying = token(RSA_KEY, "RS256", "r"), token(EC_KEY, "ES256", "e")
    grants = [accepted.grant(each, NOW_S) for each in (old, staying)]
    key_file.write_bytes(key_set(public_jwk(EC_KEY, "e"), public_jwk(OTHER_RSA_KEY, "s")))
    assert accepted.reread() == "2 keys, 1 of them new; 1 are gone"
    assert [grant.over(NOW_S) for grant in grants if isinstance(grant, Grant)] == [TOKEN_WITHDRAWN, None]
    assert accepted.grant(old, NOW_S) is TOKEN_KEY_UNKNOWN
    assert accepted.grant(staying, NOW_S) is grants[1]
    assert isinstance(accepted.grant(token(OTHER_RSA_KEY, "RS256", "s"), NOW_S), Grant)


def test_a_key_that_changes_under_its_name_is_another(key_file: Path) -> None:
    accepted = by_keys(key_file)
    before = accepted.grant(token(RSA_KEY, "RS256", "r"), NOW_S)
    key_file.write_bytes(key_set(public_jwk(OTHER_RSA_KEY, "r")))
    accepted.reread()
    assert isinstance(before, Grant)
    assert before.over(NOW_S) is TOKEN_WITHDRAWN
    assert accepted.grant(token(RSA_KEY, "RS256", "r"), NOW_S) is TOKEN_BAD


def test_a_broken_file_changes_nothing(key_file: Path, secret_file: Path) -> None:
    for accepted, path, good in (
        (by_keys(key_file), key_file, token(RSA_KEY, "RS256", "r")),
        (by_secret(secret_file), secret_file, token()),
    ):
        path.write_text("broken")
        with pytest.raises(SettingError, match=r"^GATEWAY_"):
            accepted.reread()
        assert isinstance(accepted.grant(good, NOW_S), Grant)


def test_verified_tokens_are_remembered_up_to_a_bound(secret_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwts, "MAX_REMEMBERED", 3)
    accepted = by_secret(secret_file)
    tokens = [token(sub=str(number)) for number in range(5)]
    grants = [accepted.grant(each, NOW_S) for each in tokens]
    assert len(accepted._remembered) == 3
    assert accepted.grant(tokens[4], NOW_S) is grants[4]
    assert accepted.grant(tokens[0], NOW_S) is not grants[0]
    assert accepted.grant(tokens[4], LATER) is not grants[4], "one that has expired is checked again"


@pytest.mark.parametrize(
    ("entry", "usable"),
    [
        (public_jwk(RSA_KEY), True),
        (public_jwk(EC_KEY), True),
        (public_jwk(RSA_KEY, alg="RS256", use="sig", key_ops=["verify"]), True),
        (public_jwk(RSA_KEY, alg="RS384"), False),
        (public_jwk(EC_KEY, alg="ES384"), False),
        (public_jwk(RSA_KEY, use="enc"), False),
        (public_jwk(RSA_KEY, key_ops=["encrypt"]), False),
        (public_jwk(RSA_KEY, key_ops="verify"), False),
        (public_jwk(ec.generate_private_key(ec.SECP384R1())), False),
        (public_jwk(rsa.generate_private_key(65537, 1024)), False),
        (public_jwk(RSA_KEY) | {"n": "!"}, False),
        (public_jwk(EC_KEY) | {"x": "AAAA"}, False),
        (public_jwk(EC_KEY) | {"crv": ["P-256"]}, False),
        ({"kty": "RSA"}, False),
        ({"kty": ["RSA"]}, False),
        ({"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}, False),
        ({"kty": "oct", "alg": "HS256", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}, False),
        ({}, False),
        ("key", False),
        (None, False),
    ],
)
def test_a_key_is_used_for_what_it_is_good_for(entry: Any, usable: bool) -> None:
    """Beside one that is, so that the set is not empty."""
    keys = keys_in(key_set(public_jwk(OTHER_EC_KEY, "good"), entry))
    assert len(keys) == 1 + usable
    assert keys[0].kid == "good"


def test_a_private_half_in_a_set_is_left_out() -> None:
    with_private_half = json.loads(key_set(json.loads(_private_jwk())))
    (key,) = keys_in(json.dumps(with_private_half).encode())
    assert isinstance(key.material, rsa.RSAPublicKey)


def _private_jwk() -> str:
    described = json.loads(RSAAlgorithm.to_jwk(RSA_KEY))
    return json.dumps(described | {"key_ops": ["sign", "verify"]})


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b'{"keys": 7}', b'{"keys": []}', b'{"keys": [{}]}', b"\xff", b"[" * 100_000]
)
def test_what_is_no_key_set_is_told_in_a_sentence(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a JWK set|no key in it"):
        keys_in(body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"x" * 31, "31 bytes, and 32 are the least"),
        (b" " + b"x" * 31 + b"\n", "31 bytes"),
        (public_pem(RSA_KEY), "names a key file, not a secret"),
        (public_pem(EC_KEY), "names a key file, not a secret"),
        (key_set(public_jwk(RSA_KEY)), "names a key file, not a secret"),
        (b"ssh-rsa " + b"A" * 100, "names a key file, not a secret"),
    ],
)
def test_what_is_no_secret_is_refused_without_showing_it(body: bytes, said: str) -> None:
    with pytest.raises(SettingError, match=said) as refused:
        secret_key(body)
    assert body.decode().strip()[:20] not in str(refused.value)
