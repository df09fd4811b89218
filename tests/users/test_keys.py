"""The folder of signing keys: which one signs, which verify, and what is refused in which words."""

from __future__ import annotations

import base64
import os
import re
import shutil
import stat
import uuid
from io import StringIO
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from rest_framework_simplejwt.exceptions import TokenError

from tests.users import forge
from users.keys import create_key, key_ring, load_keys
from users.tokens import TenantAccessToken


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
    "elliptic": lambda: private_pem(ec.generate_private_key(ec.SECP256R1())),
    "elliptic, public": lambda: public_pem(ec.generate_private_key(ec.SECP256R1())),
    "edwards": lambda: private_pem(ed25519.Ed25519PrivateKey.generate()),
    "too small": lambda: private_pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
    "too small, public": lambda: public_pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)),
    "unknown algorithm": lambda: UNKNOWN_PRIVATE,
    "unknown algorithm, public": lambda: UNKNOWN_PUBLIC,
    "garbage": lambda: b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0LWNhbmFyeQ==\n-----END PRIVATE KEY-----\n",
    "garbage, public": lambda: b"-----BEGIN PUBLIC KEY-----\nc2VjcmV0\n-----END PUBLIC KEY-----\n",
    "no PEM": lambda: b"\x00\xff\xfe",
    "empty": lambda: b"",
    "cut in half": lambda: BAD_FILES["elliptic"]()[:90],
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_it_names_the_file_that_is_no_good_key_and_shows_nothing_of_it(tmp_path, old, name):
    data = BAD_FILES[name]()
    write(tmp_path / "a-good-one.pem", private_pem(old))
    write(tmp_path / "bad-one.pem", data)
    with pytest.raises(ImproperlyConfigured) as refused:
        load_keys(tmp_path)
    text = str(refused.value)
    assert re.match(r"JWT_KEYS_DIR: bad-one\.pem (is not an RSA key|has 1024 bits)", text)
    assert not [line for line in data.decode("latin-1").splitlines() if line and line in text]


def test_it_refuses_a_key_with_a_passphrase(tmp_path, old):
    write(tmp_path / "k1.pem", private_pem(old, serialization.BestAvailableEncryption(b"passphrase")))
    with pytest.raises(ImproperlyConfigured, match=r"k1\.pem is not an RSA key in PEM without a passphrase"):
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
    with pytest.raises(ImproperlyConfigured, match=r"no private key in .*signingkey create"):
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


def test_keys_are_rotated_without_turning_anybody_away(tmp_path, settings, old, new):
    """One folder per step, because a process reads its folder once."""
    steps = [tmp_path / name for name in ("1-old", "2-both", "3-old-verifies", "4-new")]
    write_old, write_new = ("2026-01.pem", private_pem(old)), ("2026-02.pem", private_pem(new))
    for folder, files in zip(
        steps,
        [[write_old], [write_old, write_new], [("2026-01.pem", public_pem(old)), write_new], [write_new]],
        strict=True,
    ):
        folder.mkdir()
        for name, data in files:
            write(folder / name, data)

    settings.JWT_KEYS_DIR = steps[0]
    before = token()
    assert forge.header_of(before)["kid"] == "2026-01"
    for folder in steps[1:3]:
        settings.JWT_KEYS_DIR = str(folder)
        after = token()
        assert forge.header_of(after)["kid"] == "2026-02"
        TenantAccessToken.read(before)
        TenantAccessToken.read(after)
    settings.JWT_KEYS_DIR = steps[3]
    TenantAccessToken.read(after)
    with pytest.raises(TokenError):
        TenantAccessToken.read(before)


def test_a_process_reads_its_folder_once(tmp_path, settings, old):
    write(tmp_path / "k1.pem", private_pem(old))
    settings.JWT_KEYS_DIR = tmp_path
    ring = key_ring()
    shutil.rmtree(tmp_path)
    assert key_ring() is ring


def run(*arguments):
    stdout = StringIO()
    call_command("signingkey", *arguments, stdout=stdout)
    return stdout.getvalue()


def test_the_command_makes_a_key_and_says_which(tmp_path, settings):
    settings.JWT_KEYS_DIR = str(tmp_path / "keys")
    text = run("create")
    (file,) = (tmp_path / "keys").iterdir()
    assert text == f"Made signing key {file.stem}; it signs from the next start on.\n"
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
    assert run("list") == "2026-01\n2026-02  signs\n2026-03\n"


def test_a_key_that_cannot_be_used_counts_as_missing(tmp_path, settings):
    settings.JWT_KEYS_DIR = tmp_path
    write(tmp_path / "2020-01.pem", b"")
    assert run("create", "--if-missing").startswith("Made signing key")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, settings):
    file = tmp_path / "file"
    file.write_text("")
    settings.JWT_KEYS_DIR = file
    with pytest.raises(CommandError, match=r"JWT_KEYS_DIR: no key can be made in .*: File exists"):
        run("create")
