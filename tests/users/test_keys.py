"""The folder of signing keys: which one signs, which verify, and what is refused in which words."""

from __future__ import annotations

import base64
import hmac
import json
import os
import re
import secrets
import stat
import uuid
from datetime import timedelta
from io import StringIO
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from django.conf import settings as settings_of_the_project
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.exceptions import TokenError

from tenancy.audit.models import Event
from tenancy.testing import databases
from tests.users import forge
from users import keys
from users.algorithms import ALGORITHMS
from users.keys import KeyInUse, create_key, key_ring, load_keys, retire_key
from users.tokens import TenantAccessToken, TenantRefreshToken

pytestmark = databases("control")


def private_pem(key, encryption=None):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        encryption or serialization.NoEncryption(),
    )


def public_pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def write(file, data, mode=0o600):
    file.write_bytes(data)
    file.chmod(mode)


def armour(kind, der):
    body = base64.b64encode(bytes.fromhex(der)).decode()
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n".encode()


@pytest.fixture(scope="module")
def old():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def new():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_the_private_key_whose_name_sorts_last_signs(tmp_path, old, new):
    write(tmp_path / "2026-02-new.pem", private_pem(new))
    write(tmp_path / "2026-01-old.pem", private_pem(old))
    write(tmp_path / "2026-03-next.pem", public_pem(old), mode=0o644)
    write(tmp_path / "notes.txt", b"no key, and not looked at")
    ring = load_keys(tmp_path)
    assert ring.signing_kid == "2026-02-new"
    assert ring.signing_key.private_numbers() == new.private_numbers()
    assert set(ring.verifying_keys) == {"2026-01-old", "2026-02-new", "2026-03-next"}


def test_the_ring_shows_no_key(tmp_path, old):
    write(tmp_path / "k1.pem", private_pem(old))
    assert repr(load_keys(tmp_path)) == str(load_keys(tmp_path)) == "KeyRing(k1; signs with k1)"


UNKNOWN_PRIVATE = armour("PRIVATE KEY", "300e020100300506032a030404020500")  # algorithm 1.2.3.4
UNKNOWN_PUBLIC = armour("PUBLIC KEY", "300b300506032a0304030200ff")

BAD_FILES = {
    "another curve": lambda: private_pem(ec.generate_private_key(ec.SECP384R1())),
    "another curve, public": lambda: public_pem(ec.generate_private_key(ec.SECP384R1())),
    "another edwards": lambda: private_pem(ed448.Ed448PrivateKey.generate()),
    "too small": lambda: private_pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
    "too small, public": lambda: public_pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
    "unknown algorithm": lambda: UNKNOWN_PRIVATE,
    "unknown algorithm, public": lambda: UNKNOWN_PUBLIC,
    "garbage": lambda: b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0LWNhbmFyeQ==\n-----END PRIVATE KEY-----\n",
    "garbage, public": lambda: b"-----BEGIN PUBLIC KEY-----\nc2VjcmV0\n-----END PUBLIC KEY-----\n",
    "no PEM": lambda: b"\x00\xff\xfe",
    "empty": lambda: b"",
    "cut in half": lambda: BAD_FILES["another curve"]()[:90],
}
FAULT = r"JWT_KEYS_DIR: bad-one\.pem (is none of these: RSA key|is not a key in PEM|has 1024 bits)"


@pytest.mark.parametrize("name", BAD_FILES)
def test_it_names_the_file_that_is_no_good_key_and_shows_nothing_of_it(tmp_path, old, name):
    data = BAD_FILES[name]()
    write(tmp_path / "a-good-one.pem", private_pem(old))
    write(tmp_path / "bad-one.pem", data)
    with pytest.raises(ImproperlyConfigured) as refused:
        load_keys(tmp_path)
    text = str(refused.value)
    assert re.match(FAULT, text)
    assert not [line for line in data.decode("latin-1").splitlines() if line and line in text]


@pytest.mark.parametrize(
    "content", [b"", b"c2hvcnQ=", b"c2VjcmV0LWNhbmFyeQ==", b"not base64 at all!", b"\xff" * 44]
)
def test_a_bad_secret_is_named_and_not_shown(tmp_path, old, content):
    write(tmp_path / "a-good-one.pem", private_pem(old))
    write(tmp_path / "bad.secret", content)
    with pytest.raises(
        ImproperlyConfigured, match=r"JWT_KEYS_DIR: bad\.secret (is not a secret|has \d+ bytes)"
    ) as refused:
        load_keys(tmp_path)
    assert not content or content.decode("latin-1") not in str(refused.value)


def test_it_refuses_a_key_with_a_passphrase(tmp_path, old):
    write(tmp_path / "k1.pem", private_pem(old, serialization.BestAvailableEncryption(b"passphrase")))
    with pytest.raises(ImproperlyConfigured, match=r"k1\.pem is not a key in PEM without a passphrase"):
        load_keys(tmp_path)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o602, 0o666], ids=oct)
def test_it_refuses_a_private_key_that_others_may_touch(tmp_path, old, mode):
    write(tmp_path / "k1.pem", private_pem(old), mode=mode)
    with pytest.raises(ImproperlyConfigured, match=r"others may read k1\.pem\. Run `chmod 600`"):
        load_keys(tmp_path)
    (tmp_path / "k1.pem").chmod(0o400)
    assert load_keys(tmp_path).signing_kid == "k1"


def test_it_names_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "k1.pem").mkdir()
    with pytest.raises(ImproperlyConfigured, match=r"k1\.pem cannot be read: Is a directory"):
        load_keys(tmp_path)


@pytest.mark.parametrize("stem", ["with space", "-dash-first", "ünï", "x" * 65, "semi;colon"])
def test_it_refuses_a_name_that_is_no_key_id(tmp_path, old, stem):
    write(tmp_path / f"{stem}.pem", private_pem(old))
    with pytest.raises(ImproperlyConfigured, match="a key's name is letters, digits"):
        load_keys(tmp_path)


@pytest.mark.parametrize("content", ["missing", "empty", "public only"])
def test_it_says_how_to_make_a_key_when_none_can_sign(tmp_path, old, content):
    folder = tmp_path / "keys"
    if content != "missing":
        folder.mkdir()
    if content == "public only":
        write(folder / "k1.pem", public_pem(old))
    with pytest.raises(ImproperlyConfigured, match=r"no private key for RS256 in .*signingkey create"):
        load_keys(folder)


def test_a_new_key_is_its_owners_from_the_first_moment(tmp_path):
    mask = os.umask(0)
    try:
        kid = create_key(tmp_path / "var" / "keys")
    finally:
        os.umask(mask)
    file = tmp_path / "var" / "keys" / f"{kid}.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    ring = load_keys(file.parent)
    assert (ring.signing_kid, ring.signing_key.key_size) == (kid, 2048)


def test_a_second_key_stands_beside_the_first(tmp_path):
    kids = {create_key(tmp_path), create_key(tmp_path)}
    assert set(load_keys(tmp_path).verifying_keys) == kids


def token():
    return str(TenantAccessToken.issue(uuid.uuid4(), "acme", uuid.uuid4()))


def test_keys_are_rotated_without_turning_anybody_away(tmp_path, settings, clock):
    """Publish, sign, retire: in one process that is never started again."""
    settings.JWT_KEYS_DIR = tmp_path
    first = create_key(tmp_path)
    look_again()
    before = token()
    second = create_key(tmp_path)
    look_again()
    assert forge.header_of(token())["kid"] == first, "It is published, and does not sign yet."
    assert {jwk["kid"] for jwk in key_ring().jwks()["keys"]} == {first, second}
    clock.advance(minutes=10, seconds=2)
    after = token()
    assert forge.header_of(after)["kid"] == second
    before = before_expiry(before, clock)
    TenantRefreshToken.read(before)
    with pytest.raises(KeyInUse, match=f"Tokens that {first} signed may be good until"):
        retire_key(key_ring(), first)
    clock.advance(hours=12, seconds=16)
    retire_key(key_ring(), first)
    look_again()
    assert set(key_ring().verifying_keys) == {second}
    with pytest.raises(TokenError):
        TenantRefreshToken.read(before)


def before_expiry(text, clock):
    """A token of the first key that is still good when the second signs: a refresh token."""
    claims = forge.claims_of(text) | {"token_type": "refresh", "exp": int(clock.now().timestamp()) + 3600}
    ring = key_ring()
    first = min(ring.keys, key=lambda key: key.kid)
    return forge.sign({"alg": "RS256", "kid": first.kid, "typ": "rt+jwt"}, claims, first.key)


def look_again():
    """As if a second had passed."""
    for ring in keys._rings.values():
        ring._due = 0.0


def test_a_key_that_leaked_is_taken_away_at_once(tmp_path, settings):
    settings.JWT_KEYS_DIR = tmp_path
    first = create_key(tmp_path)
    before = token()
    with pytest.raises(KeyInUse, match="the only key that can sign"):
        retire_key(key_ring(), first, at_once=True)
    second = create_key(tmp_path, signs_in=timedelta())
    look_again()
    with pytest.raises(KeyInUse):
        retire_key(key_ring(), max(first, second))
    retire_key(key_ring(), first, at_once=True)
    look_again()
    assert forge.header_of(token())["kid"] == second
    with pytest.raises(TokenError):
        TenantAccessToken.read(before)


def test_it_looks_once_a_second_and_keeps_what_was_good(tmp_path, settings, caplog):
    kid = create_key(tmp_path)
    settings.JWT_KEYS_DIR = tmp_path
    ring = key_ring()
    bad = tmp_path / "zzz.pem"
    write(bad, b"half a key")
    assert key_ring() is ring, "A second has not passed."
    for _ in range(3):
        look_again()
        assert key_ring() is ring
    assert [record.message for record in caplog.records if "zzz.pem" in record.message]
    assert len(caplog.records) == 1, "Once for a change, however often it is asked."
    bad.unlink()
    look_again()
    assert set(key_ring().verifying_keys) == {kid}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_each_algorithm_signs_verifies_and_publishes(tmp_path, settings, name):
    settings.JWT_ALGORITHM = name
    settings.JWT_KEYS_DIR = tmp_path
    kid = create_key(tmp_path)
    text = token()
    assert forge.header_of(text) == {"alg": name, "kid": kid, "typ": "at+jwt"}
    TenantAccessToken.read(text)
    published = key_ring().jwks()["keys"]
    if name == "HS256":
        assert published == []
        return
    (jwk,) = published
    assert (jwk["kid"], jwk["alg"], jwk["use"]) == (kid, name, "sig")
    assert not {"d", "p", "q", "k"} & set(jwk), "Nothing private."
    options = {"audience": settings.JWT_AUDIENCE, "issuer": settings.JWT_ISSUER}
    assert jwt.decode(text, jwt.PyJWK(jwk), [name], **options) == forge.claims_of(text)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_one_algorithm_at_a_time(tmp_path, settings, name):
    """A good token of another algorithm, with its key in the folder, is refused."""
    settings.JWT_KEYS_DIR = tmp_path
    texts = {}
    for other in ALGORITHMS:
        settings.JWT_ALGORITHM = other
        create_key(tmp_path)
        look_again()
        texts[other] = token()
    settings.JWT_ALGORITHM = name
    for other, text in texts.items():
        if other == name:
            TenantAccessToken.read(text)
        else:
            with pytest.raises(TokenError):
                TenantAccessToken.read(text)


def test_a_public_key_is_no_shared_secret(tmp_path, settings):
    """The confusion of old libraries: HS256 with the text of the public key, which everybody has."""
    settings.JWT_KEYS_DIR = tmp_path
    kid = create_key(tmp_path)
    ring = key_ring()
    text = public_pem(ring.signing_key)
    header = {"alg": "HS256", "kid": kid, "typ": "at+jwt"}
    claims = forge.claims_of(token())
    parts = ".".join(forge.encode(json.dumps(part).encode()) for part in (header, claims))
    forged = f"{parts}.{forge.encode(hmac.digest(text, parts.encode(), 'sha256'))}"
    with pytest.raises(TokenError):
        TenantAccessToken.read(forged)


@databases("control")
def test_the_published_keys_are_everybodys_to_keep_for_five_minutes():
    response = APIClient().get("/.well-known/jwks.json")
    assert response.status_code == 200
    assert response["Cache-Control"] == "public, max-age=300"
    assert response.json() == key_ring().jwks()
    assert timedelta(seconds=300) < settings_of_the_project.JWT_KEY_PUBLISHED_BEFORE


def run(*arguments):
    stdout = StringIO()
    call_command("signingkey", *arguments, stdout=stdout)
    return stdout.getvalue()


def test_the_command_makes_a_key_and_says_which(tmp_path, settings):
    settings.JWT_KEYS_DIR = str(tmp_path / "keys")
    text = run("create")
    (file,) = (tmp_path / "keys").iterdir()
    assert re.fullmatch(
        rf"Made signing key {file.stem} \(RS256\); it signs from \d\d:\d\d:\d\d UTC on\.\n", text
    )
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "PRIVATE" not in text


def test_the_command_makes_a_key_only_if_missing_when_told_so(tmp_path, settings):
    settings.JWT_KEYS_DIR = tmp_path
    assert run("create", "--if-missing").startswith("Made signing key")
    assert run("create", "--if-missing") == ""
    assert len(list(tmp_path.iterdir())) == 1
    run("create")
    assert len(list(tmp_path.iterdir())) == 2


def test_the_command_lists_the_keys_and_marks_the_one_that_signs(tmp_path, settings, old, new):
    settings.JWT_KEYS_DIR = Path(tmp_path)
    write(tmp_path / "2026-02.pem", private_pem(new))
    write(tmp_path / "2026-01.pem", private_pem(old))
    write(tmp_path / "2026-03.pem", public_pem(old))
    lines = run("list").splitlines()
    assert lines[0].startswith("2026-01  RS256  verifies; its last tokens are over at ")
    assert lines[1:] == ["2026-02  RS256  signs", "2026-03  RS256  verifies"]
    facts = json.loads(run("list", "--json"))
    assert [(fact["kid"], fact["state"]) for fact in facts] == [
        ("2026-01", "verifies"),
        ("2026-02", "signs"),
        ("2026-03", "verifies"),
    ]


def test_the_command_retires_what_is_over_and_nothing_else(tmp_path, settings, clock):
    settings.JWT_KEYS_DIR = tmp_path
    first = create_key(tmp_path)
    clock.advance(seconds=5)
    second = create_key(tmp_path, signs_in=timedelta(minutes=1))
    assert "No key is over" in run("retire")
    with pytest.raises(CommandError, match=r"may be good until .* --now"):
        run("retire", first)
    clock.advance(hours=12, minutes=2)
    assert f"{first}  RS256  over; `signingkey retire` takes it away" in run("list")
    assert run("retire") == f"Retired {first}.\n"
    assert set(load_keys(tmp_path).verifying_keys) == {second}
    with pytest.raises(CommandError, match=f"{second} is the only key that can sign"):
        run("retire", second, "--now")
    with pytest.raises(CommandError, match="No key for RS256 is named 'nosuch'"):
        run("retire", "nosuch")


def test_the_audit_trail_is_told(tmp_path, settings):
    settings.JWT_KEYS_DIR = tmp_path
    run("create")
    assert not Event.objects.exists()  # of the first: there may be no trail yet
    first = load_keys(tmp_path).signing_kid
    run("create", "--signs-in", "00:00")
    run("retire", first, "--now")
    events = Event.objects.order_by("at").values_list("action", "target", "severity")
    second = load_keys(tmp_path).signing_kid
    assert list(events) == [
        ("signing_key.created", second, "info"),
        ("signing_key.retired", first, "warning"),
    ]


def test_a_key_may_be_published_for_as_long_as_one_says(tmp_path, settings):
    settings.JWT_KEYS_DIR = tmp_path
    create_key(tmp_path)
    run("create", "--signs-in", "30:00")
    newest = max(load_keys(tmp_path).keys, key=lambda key: key.kid)
    assert timedelta(minutes=29) < newest.begins - timezone.now() <= timedelta(minutes=30)
    assert re.search(r"  signs; another takes its place, and its last tokens are over at \d{4}-", run("list"))


def test_nothing_is_made_in_a_folder_that_is_not_in_order(tmp_path, settings):
    settings.JWT_KEYS_DIR = tmp_path
    write(tmp_path / "2020-01.pem", b"")
    for arguments in (["create", "--if-missing"], ["create"]):
        with pytest.raises(CommandError, match=r"2020-01\.pem .* Mend or remove it first"):
            run(*arguments)


def test_a_dated_key_takes_over_from_one_without_a_date(tmp_path, settings, old, clock):
    """Whatever its name: letters sort after digits."""
    write(tmp_path / "main.pem", private_pem(old))
    settings.JWT_KEYS_DIR = tmp_path
    newer = create_key(tmp_path)
    assert key_ring().signing_kid == "main"
    look_again()
    clock.advance(minutes=11)
    assert key_ring().signing_kid == newer
    assert run("retire") == "No key is over; `signingkey list` says when one will be.\n"
    clock.advance(hours=13)
    assert run("retire") == "Retired main.\n"


def test_a_key_that_has_never_signed_may_go_at_any_time(tmp_path, settings):
    settings.JWT_KEYS_DIR = tmp_path
    first = create_key(tmp_path)
    second = create_key(tmp_path)
    look_again()
    retire_key(key_ring(), second)
    assert set(load_keys(tmp_path).verifying_keys) == {first}


def test_a_secret_may_be_written_without_padding(tmp_path):
    write(tmp_path / "k1.secret", secrets.token_urlsafe(32).encode())
    assert load_keys(tmp_path, "HS256").signing_kid == "k1"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, settings):
    file = tmp_path / "file"
    file.write_text("")
    settings.JWT_KEYS_DIR = file
    with pytest.raises(CommandError, match=r"JWT_KEYS_DIR: no key can be made in .*: File exists"):
        run("create")
