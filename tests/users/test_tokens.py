"""Tokens: what is in a good one, and that every bad one is refused in the same way."""

# Look-alikes are a subject, and the makers of one table take the same arguments.
# ruff: noqa: RUF001

from __future__ import annotations

import hmac
import json
import uuid
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from rest_framework.test import APIClient

from tenancy.testing import databases
from tests.users import forge
from users.families import open_family
from users.keys import key_ring
from users.models import Membership, Role
from users.tokens import MAX_TOKEN_LENGTH, Claims, TenantAccessToken, TenantRefreshToken

pytestmark = databases("control", "acme", "globex")

CLAIMS = {"iss", "aud", "sub", "tenant_id", "sid", "jti", "iat", "exp", "token_type"}


@pytest.fixture
def pair(cast):
    return open_family(cast.ada, "acme")


def use_access(token):
    return APIClient().get("/api/products/", HTTP_AUTHORIZATION=f"Bearer {token}")


def use_refresh(token):
    return APIClient().post("/api/token/refresh/", {"refresh": token})


def assert_not_valid(response):
    assert response.status_code == 401, response.content
    assert response.json()["code"] == "token_not_valid"
    assert response["WWW-Authenticate"] == 'Bearer realm="api"'


USES = {"access": use_access, "refresh": use_refresh}
TYPES = {"access": "at+jwt", "refresh": "rt+jwt"}
either = pytest.mark.parametrize("kind", USES)


@either
def test_a_token_holds_these_claims_and_no_others(cast, pair, kind):
    token = getattr(pair, kind)
    claims = forge.claims_of(token)
    assert set(claims) == CLAIMS
    assert claims["iss"] == "https://freehold.test"
    assert claims["aud"] == "freehold-tests"
    assert claims["sub"] == str(cast.ada.pk)
    assert claims["tenant_id"] == "acme"
    assert claims["sid"] == str(cast.ada.token_families.get().pk)
    assert claims["token_type"] == kind
    assert forge.header_of(token) == {"alg": "RS256", "kid": key_ring().signing_kid, "typ": TYPES[kind]}


def test_an_access_token_lives_five_minutes_and_a_refresh_token_twelve_hours(pair):
    lifetimes = [
        timedelta(seconds=claims["exp"] - claims["iat"])
        for claims in (forge.claims_of(pair.access), forge.claims_of(pair.refresh))
    ]
    assert lifetimes == [timedelta(minutes=5), timedelta(hours=12)]


def test_others_can_verify_a_token_with_the_public_key_alone(pair):
    public = key_ring().verifying_keys[forge.header_of(pair.access)["kid"]]
    claims = jwt.decode(
        pair.access, public, ["RS256"], audience="freehold-tests", issuer="https://freehold.test"
    )
    assert claims == forge.claims_of(pair.access)


@pytest.mark.parametrize("make", [str, str.encode])
def test_it_reads_back_the_claims_it_wrote(make):
    user_id, family_id = uuid.uuid4(), uuid.uuid4()
    token = TenantAccessToken.issue(user_id, "acme", family_id)
    assert TenantAccessToken.read(make(str(token))) == Claims(user_id, "acme", family_id, token["jti"])


@either
def test_each_token_has_an_id_of_its_own(kind):
    type_ = {"access": TenantAccessToken, "refresh": TenantRefreshToken}[kind]
    ids = {type_.issue(uuid.uuid4(), "acme", uuid.uuid4())["jti"] for _ in range(20)}
    assert len(ids) == 20


@either
def test_a_token_put_together_like_the_forged_ones_is_accepted(pair, kind):
    """The negative control of the tables below: what is refused there is refused for its one fault."""
    good = forge.claims_of(getattr(pair, kind))
    assert USES[kind](forge.sign(forge.good_header(good), good)).status_code == 200


# The point is a claim. Each is changed in a token that is good and signed with the real key.

_MISSING = object()
HOUR = 3600

BAD_CLAIMS = {
    **{f"{name} missing": {name: _MISSING} for name in sorted(CLAIMS)},
    **{f"{name} null": {name: None} for name in sorted(CLAIMS)},
    **{
        f"{name} {label}": {name: value}
        for name in ("exp", "iat")
        for label, value in {
            "text": "tomorrow",
            "number as text": "4102444800",
            "zero": 0,
            "negative": -1,
            "1e18": 10**18,
            "1e18 as float": 1e18,
            "1e308": 1e308,
            "infinite": float("inf"),
            "not a number": float("nan"),
            "after the year 9999": 253_402_300_800,
            "400 digits": 10**400,
            "true": True,
            "float": 4102444800.5,
            "list": [4102444800],
            "object": {"$gt": 0},
        }.items()
    },
    "exp past": {"exp": lambda now: now - HOUR},
    "iat in the future": {"iat": lambda now: now + HOUR},
    "nbf in the future": {"nbf": lambda now: now + HOUR},
    "nbf text": {"nbf": "yesterday"},
    "nbf list": {"nbf": [0]},
    "nbf infinite": {"nbf": float("inf")},
    "aud wrong": {"aud": "other"},
    "aud with a suffix": {"aud": "freehold-tests2"},
    "aud upper-case": {"aud": "FREEHOLD-TESTS"},
    "aud list": {"aud": ["freehold-tests"]},
    "aud list of several": {"aud": ["other", "freehold-tests"]},
    "aud number": {"aud": 1},
    "aud object": {"aud": {"freehold-tests": 1}},
    "iss wrong": {"iss": "https://evil.test"},
    "iss with a slash": {"iss": "https://freehold.test/"},
    "iss list": {"iss": ["https://freehold.test"]},
    "iss number": {"iss": 1},
    "token_type unknown": {"token_type": "sliding"},
    "token_type list": {"token_type": ["access", "refresh"]},
    **{
        f"{name} {label}": {name: value}
        for name in ("sub", "sid")
        for label, value in {
            "true": True,
            "1": 1,
            "1.5": 1.5,
            "1 as text": "1",
            "empty": "",
            "word": "abc",
            "list": [],
            "list of the right one": lambda good: [good],
            "object": {"id": 1},
            "NUL": "\0",
            "right one and NUL": lambda good: f"{good}\0",
            "lone surrogate": "\ud800",
            "SQL": "' OR 1=1 --",
            "upper-case": str.upper,
            "braces": lambda good: "{" + good + "}",
            "URN": lambda good: f"urn:uuid:{good}",
            "no hyphens": lambda good: good.replace("-", ""),
            "spaces": lambda good: f" {good} ",
            "of nobody": str(uuid.uuid4()),
            "nil": str(uuid.UUID(int=0)),
        }.items()
    },
    **{
        f"tenant_id {label}": {"tenant_id": value}
        for label, value in {
            "empty": "",
            "true": True,
            "number": 1,
            "list": ["acme"],
            "object": {"id": "acme"},
            "NUL": "acme\0",
            "lone surrogate": "\ud800",
            "of another family": "globex",
            "unknown": "nosuch",
            "default": "default",
            "control": "control",
            "dunder": "__class__",
            "path": "../acme",
            "upper-case": "ACME",
            "full-width": "ａｃｍｅ",
            "line feed": "acme\n",
            "40 characters": "a" * 40,
            "1 MB": "a" * 1_000_000,
        }.items()
    },
    **{
        f"jti {label}": {"jti": value}
        for label, value in {
            "empty": "",
            "number": 1,
            "list": [],
            "object": {},
            "lone surrogate": "\ud800",
            "long": "a" * 100,
        }.items()
    },
}


def with_changes(good, changes):
    claims = dict(good)
    for name, value in changes.items():
        if value is _MISSING:
            del claims[name]
        elif callable(value):
            claims[name] = value(good["iat"] if name in ("exp", "iat", "nbf") else good[name])
        else:
            claims[name] = value
    return claims


@either
@pytest.mark.parametrize("name", BAD_CLAIMS)
def test_it_refuses_a_bad_claim_though_the_signature_is_good(pair, kind, name):
    good = forge.claims_of(getattr(pair, kind))
    claims = with_changes(good, BAD_CLAIMS[name])
    assert claims != good
    token = forge.sign(forge.good_header(good), claims)
    if kind == "refresh" and len(token) > 16_384:
        assert use_refresh(token).status_code in (400, 413)  # too long for the field, or for the server
    else:
        assert_not_valid(USES[kind](token))
    # And it took nothing along: nobody ends a session by presenting nonsense in its name.
    assert USES[kind](getattr(pair, kind)).status_code == 200


@either
def test_it_refuses_the_other_kind_of_token(pair, kind):
    other = {"access": "refresh", "refresh": "access"}[kind]
    assert_not_valid(USES[kind](getattr(pair, other)))


@either
def test_it_refuses_one_users_name_on_anothers_family(cast, pair, kind):
    good = forge.claims_of(getattr(pair, kind))
    bob = forge.claims_of(getattr(open_family(cast.bob, "globex"), kind))
    for changes in ({"sub": bob["sub"]}, {"sid": bob["sid"]}, {"sid": bob["sid"], "tenant_id": "globex"}):
        assert_not_valid(USES[kind](forge.sign(forge.good_header(good), good | changes)))


@either
@pytest.mark.parametrize("tenant_id", ["globex", "initech"])
def test_a_family_in_a_tenant_one_does_not_belong_to_is_forbidden(cast, kind, tenant_id):
    pair = open_family(cast.ada, tenant_id)
    response = USES[kind](getattr(pair, kind))
    assert response.status_code == 403
    assert response.json()["code"] == "tenant_forbidden"


def test_a_tenant_that_is_gone_is_forbidden_even_to_its_members(cast):
    Membership.objects.create(user=cast.ada, tenant_id="gone", role=Role.OWNER)
    answers = [use_access(open_family(cast.ada, tenant_id).access) for tenant_id in ("gone", "globex")]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].content == answers[1].content


# The point is the header, the signature or the text as a whole.


def public_pem():
    return (
        key_ring()
        .signing_key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def hmac_signed(algorithm, secret, good):
    """PyJWT would refuse to do this, so by hand."""
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}[algorithm]
    header = forge.good_header(good) | {"alg": algorithm}
    text = f"{forge.encode(json.dumps(header).encode())}.{forge.encode(json.dumps(good).encode())}"
    return f"{text}.{forge.encode(hmac.digest(secret, text.encode(), digest))}"


def unsigned(header, good):
    return f"{forge.encode(json.dumps(header).encode())}.{forge.encode(json.dumps(good).encode())}."


def with_header(**changes):
    return lambda good, token: forge.sign(forge.good_header(good) | changes, good)


def repeated(good, name, first):
    """The claims as JSON text in which one name stands twice, the good value last."""
    return (json.dumps({name: first})[:-1] + ", " + json.dumps(good)[1:]).encode()


STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
STRANGER_JWK = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(STRANGER.public_key()))

BAD_TOKENS = {
    "alg none": lambda good, token: unsigned({"alg": "none", "typ": "JWT"}, good),
    "alg none, with a key's id": lambda good, token: unsigned(
        forge.good_header(good) | {"alg": "none"}, good
    ),
    "alg None": lambda good, token: unsigned(forge.good_header(good) | {"alg": "None"}, good),
    "alg none, good signature": with_header(alg="none"),
    "signature cut off": lambda good, token: token.rpartition(".")[0] + ".",
    "HS256 with the public key": lambda good, token: hmac_signed("HS256", public_pem(), good),
    "HS384 with the public key": lambda good, token: hmac_signed("HS384", public_pem(), good),
    "HS512 with the public key": lambda good, token: hmac_signed("HS512", public_pem(), good),
    "HS256 with an empty secret": lambda good, token: hmac_signed("HS256", b"", good),
    "HS512 with SECRET_KEY": lambda good, token: hmac_signed("HS512", SECRET_KEY.encode(), good),
    "RS512": with_header(alg="RS512"),
    "PS256": with_header(alg="PS256"),
    "alg missing": lambda good, token: forge.sign({"kid": key_ring().signing_kid}, good),
    "alg null": with_header(alg=None),
    "alg list": with_header(alg=["RS256"]),
    "alg object": with_header(alg={}),
    "wrong key": lambda good, token: forge.sign(forge.good_header(good), good, STRANGER),
    "wrong key, jwk in the header": lambda good, token: forge.sign(
        forge.good_header(good) | {"jwk": STRANGER_JWK}, good, STRANGER
    ),
    "wrong key, jku in the header": lambda good, token: forge.sign(
        forge.good_header(good) | {"jku": "https://evil.test/jwks.json"}, good, STRANGER
    ),
    "wrong key, x5u in the header": lambda good, token: forge.sign(
        forge.good_header(good) | {"x5u": "https://evil.test/key.pem"}, good, STRANGER
    ),
    "wrong key, x5c in the header": lambda good, token: forge.sign(
        forge.good_header(good) | {"x5c": [forge.encode(b"certificate")]}, good, STRANGER
    ),
    "kid of nobody": with_header(kid="20200101T000000-00000000"),
    "kid missing": lambda good, token: forge.sign({"alg": "RS256", "typ": "JWT"}, good),
    "kid path": with_header(kid="../../../../dev/null"),
    "kid SQL": with_header(kid="' UNION SELECT 'secret' --"),
    "kid NUL": with_header(kid="\0"),
    "kid lone surrogate": with_header(kid="\ud800"),
    "kid empty": with_header(kid=""),
    "kid null": with_header(kid=None),
    "kid number": with_header(kid=1),
    "kid true": with_header(kid=True),
    "kid list": lambda good, token: with_header(kid=[key_ring().signing_kid])(good, token),
    "kid object": with_header(kid={}),
    "crit unknown": with_header(crit=["x-unknown"], **{"x-unknown": 1}),
    "crit empty": with_header(crit=[]),
    "crit text": with_header(crit="exp"),
    "typ JWT": with_header(typ="JWT"),
    "typ null": with_header(typ=None),
    "typ list": with_header(typ=["at+jwt"]),
    "typ of the other kind": lambda good, token: forge.sign(
        forge.good_header(good)
        | {"typ": {"access": "rt+jwt", "refresh": "at+jwt"}.get(good.get("token_type"), "x")},
        good,
    ),
    "typ with its prefix": with_header(typ="application/at+jwt"),
    "typ upper-case": with_header(typ="AT+JWT"),
    "b64 false": with_header(crit=["b64"], b64=False),
    "header twice alg": lambda good, token: forge.sign(
        repeated(forge.good_header(good), "alg", "none"), good
    ),
    "header twice kid": lambda good, token: forge.sign(repeated(forge.good_header(good), "kid", "x"), good),
    "header list": lambda good, token: forge.sign([], good),
    "header null": lambda good, token: forge.sign(None, good),
    "header no JSON": lambda good, token: forge.sign(b"RS256", good),
    "header nested 2000 deep": lambda good, token: forge.sign(b'{"alg":"RS256","x":' + b"[" * 2000, good),
    "header nested whole": lambda good, token: forge.sign(
        b'{"alg":"RS256","kid":"k","x":' + b"[" * 1500 + b"]" * 1500 + b"}", good
    ),
    "claim sub twice": lambda good, token: forge.sign(
        forge.good_header(good), repeated(good, "sub", str(uuid.uuid4()))
    ),
    "claim tenant_id twice": lambda good, token: forge.sign(
        forge.good_header(good), repeated(good, "tenant_id", "globex")
    ),
    "claim exp twice": lambda good, token: forge.sign(forge.good_header(good), repeated(good, "exp", 1)),
    "name twice inside a claim": lambda good, token: forge.sign(
        forge.good_header(good), json.dumps(good)[:-1].encode() + b', "x": {"a": 1, "a": 2}}'
    ),
    "claims list": lambda good, token: forge.sign(forge.good_header(good), list(good.items())),
    "claims null": lambda good, token: forge.sign(forge.good_header(good), None),
    "claims text": lambda good, token: forge.sign(forge.good_header(good), "claims"),
    "claims empty": lambda good, token: forge.sign(forge.good_header(good), {}),
    "claims no JSON": lambda good, token: forge.sign(forge.good_header(good), b"{"),
    "claims nothing": lambda good, token: forge.sign(forge.good_header(good), b""),
    "claims not UTF-8": lambda good, token: forge.sign(forge.good_header(good), b'{"sub": "\xff"}'),
    "claims UTF-16": lambda good, token: forge.sign(
        forge.good_header(good), json.dumps(good).encode("utf-16")
    ),
    "claims nested 3000 deep": lambda good, token: forge.sign(forge.good_header(good), b"[" * 3000),
    "claims with a number of 5000 digits": lambda good, token: forge.sign(
        forge.good_header(good), b'{"exp": ' + b"9" * 5000 + b"}"
    ),
    "truncated": lambda good, token: token[:-1],
    "cut in half": lambda good, token: token[: len(token) // 2],
    "extra character": lambda good, token: token + "A",
    "extra padding": lambda good, token: token + "==",
    "extra padding inside": lambda good, token: token.replace(".", "=.", 1),
    "extra characters that base64 skips": lambda good, token: token.replace(".", "!!!!.", 1),
    "extra part": lambda good, token: token + ".A",
    "last character changed": lambda good, token: token[:-1] + ("A" if token[-1] != "A" else "Q"),
    "first character missing": lambda good, token: token[1:],
    "claims changed after signing": lambda good, token: ".".join(
        [
            token.split(".")[0],
            forge.encode(json.dumps(good | {"tenant_id": "globex"}).encode()),
            token.split(".")[2],
        ]
    ),
    "two parts": lambda good, token: token.rpartition(".")[0],
    "one part": lambda good, token: token.partition(".")[0],
    "only dots": lambda good, token: "..",
    "encrypted form of five parts": lambda good, token: "a.b.c.d.e",
    "a word": lambda good, token: "token",
    "not ASCII": lambda good, token: token[:-3] + "ünï",
    "Latin-1 bytes": lambda good, token: "\xff\xfe\x80",
    "over 8 kB": lambda good, token: "A" * (MAX_TOKEN_LENGTH + 1),
    "over 8 kB and signed": lambda good, token: forge.sign(forge.good_header(good), good | {"x": "a" * 8000}),
    "70 kB": lambda good, token: "A" * 70_000,
    "70 kB and signed": lambda good, token: forge.sign(forge.good_header(good), good | {"x": "a" * 70_000}),
}

SECRET_KEY = "only-for-tests-but-long-enough-for-check-deploy-0123456789-abcdefgh"


@either
@pytest.mark.parametrize("name", BAD_TOKENS)
def test_it_refuses_a_bad_token(pair, settings, kind, name):
    assert settings.SECRET_KEY == SECRET_KEY
    token = BAD_TOKENS[name](forge.claims_of(getattr(pair, kind)), getattr(pair, kind))
    if kind == "refresh" and len(token) > 16_384:
        assert use_refresh(token).status_code in (400, 413)  # too long for the field, or for the server
    else:
        assert_not_valid(USES[kind](token))
    assert USES[kind](getattr(pair, kind)).status_code == 200


def test_headers_that_point_at_keys_are_never_followed(pair):
    """With our own signature the token is good; the addresses in it are nobody's business."""
    header = forge.good_header(forge.claims_of(pair.access)) | {
        "jku": "https://evil.test/",
        "x5u": "https://evil.test/",
        "jwk": STRANGER_JWK,
    }
    assert use_access(forge.sign(header, forge.claims_of(pair.access))).status_code == 200


@pytest.mark.parametrize(
    ("kind", "lifetime"), [("access", {"minutes": 5}), ("refresh", {"hours": 12})], ids=["access", "refresh"]
)
def test_a_token_is_refused_when_its_time_is_over(pair, clock, kind, lifetime):
    """The fifteen seconds are leeway for servers whose clocks differ."""
    clock.advance(**lifetime)
    clock.advance(seconds=30)
    assert_not_valid(USES[kind](getattr(pair, kind)))
    clock.advance(seconds=-20)
    assert USES[kind](getattr(pair, kind)).status_code == 200


@either
def test_a_token_of_a_server_whose_clock_is_ahead_is_good_within_the_leeway(pair, clock, kind):
    clock.advance(seconds=-60)
    assert_not_valid(USES[kind](getattr(pair, kind)))
    clock.advance(seconds=50)
    assert USES[kind](getattr(pair, kind)).status_code == 200


@either
def test_tokens_of_another_issuer_or_audience_are_refused(pair, settings, kind):
    settings.JWT_AUDIENCE = "another-service"
    assert_not_valid(USES[kind](getattr(pair, kind)))
    settings.JWT_AUDIENCE, settings.JWT_ISSUER = "freehold-tests", "https://staging.freehold.test"
    assert_not_valid(USES[kind](getattr(pair, kind)))
