"""E-mail addresses: what is one address, and what is refused."""

# Letters that look alike are the subject.
# ruff: noqa: RUF001

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from users.email import canonical_email, validate_local_part

ALIKE = {
    "case": ("Ada@Example.COM", "ada@example.com"),
    "full-width": ("ａｄａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "ada@example.com"),
    "sharp s": ("ada@straße.example", "ada@strasse.example"),
    "capital sharp s": ("ada@STRAẞE.example", "ada@strasse.example"),
    "ligature": ("ada@ﬁne.example", "ada@fine.example"),
    "spaces around": ("  ada@example.com \t\n", "ada@example.com"),
    "no-break space": ("ada@example.com\u00a0", "ada@example.com"),
    "ideographic space": ("\u3000ada@example.com", "ada@example.com"),
    "decomposed": ("ada@cafe\u0301.example", "ada@caf\u00e9.example"),
    "final sigma": ("ada@ΟΔΟΣ.example", "ada@οδος.example"),
    "folded and composed again": ("ada@ΐ.example", "ada@" + "ΐ".upper() + ".example"),
    "Kelvin sign": ("\u212aelvin@example.com", "kelvin@example.com"),
    "long s": ("\u017fam@example.com", "sam@example.com"),
}


@pytest.mark.parametrize("pair", ALIKE.values(), ids=ALIKE)
def test_addresses_that_look_alike_are_one(pair):
    assert canonical_email(pair[0]) == canonical_email(pair[1])


def test_different_addresses_stay_different():
    addresses = {
        "ada@example.com",
        "adaa@example.com",
        "ada@example.org",
        "a.da@example.com",
        "ada+x@example.com",
    }
    assert len({canonical_email(address) for address in addresses}) == len(addresses)


def test_the_canonical_form_of_any_letter_is_its_own_canonical_form():
    for code in [*range(0xD800), *range(0xE000, 0x30000)]:  # all planes with letters
        once = canonical_email(f"a{chr(code)}b")
        assert canonical_email(once) == once, hex(code)


CONFUSABLE = {
    "dotless i": "m\u0131ke@example.com",
    "long s": "\u017fam@example.com",
    "Kelvin sign": "\u212aelvin@example.com",
    "full-width": "ａda@example.com",
    "Cyrillic": "аda@example.com",
    "umlaut": "jürgen@example.com",
    "combining": "a\u0301da@example.com",
}


@pytest.mark.parametrize("address", CONFUSABLE.values(), ids=CONFUSABLE)
def test_it_refuses_a_local_part_that_is_not_ascii(address):
    with pytest.raises(ValidationError):
        validate_local_part(address)


@pytest.mark.parametrize("name", ["dotless i", "long s", "Kelvin sign"])
def test_unicode_local_parts_can_be_allowed(settings, name):
    settings.USERS_UNICODE_LOCAL_PART = True
    validate_local_part(CONFUSABLE[name])


@pytest.mark.parametrize(
    "address",
    ["ada@example.com", "ada.lovelace+shop@example.com", "o'neil@example.com", "ada@münchen.example"],
)
def test_it_accepts_ordinary_addresses(address):
    validate_local_part(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "a b@example.com",
        "ada@example.com\r\nBcc: eve@example.com",
        "a\0@b.example",
    ],
    ids=repr,
)
def test_it_refuses_what_is_no_address(settings, address):
    settings.USERS_UNICODE_LOCAL_PART = True
    with pytest.raises(ValidationError):
        validate_local_part(address)


@pytest.mark.parametrize("address", ["ada@[127.0.0.1]", "ada@[IPv6:::1]", "ada@[10.0.0.1]"])
def test_a_machines_address_is_refused(address):
    with pytest.raises(ValidationError):
        validate_local_part(address)
