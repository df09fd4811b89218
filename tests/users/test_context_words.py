"""Passwords that live from a word everybody here knows."""

# Letters that look alike are the subject.
# ruff: noqa: RUF001

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from tenancy.testing import databases
from users.context_words import ContextWordsValidator
from users.variety import VarietyValidator

REFUSED = [
    "Freehold-2026!",
    "FREEHOLDfreehold",
    "TenantAdmin2026",
    "owner.owner.owner",
    "freefreeholdhold-1",
    "ｆｒｅｅｈｏｌｄ-2026",
]
TAKEN = [
    "freehold is where we live",
    "a tenant of the moon",
    "correct-horse-battery",
    "💙🌍🌙🌞⭐ 💙💙💙💙💙💙",
]


@pytest.mark.parametrize("password", REFUSED)
def test_a_word_and_little_else_is_refused(password):
    with pytest.raises(ValidationError) as caught:
        ContextWordsValidator(settings.PASSWORD_WORDS).validate(password)
    assert caught.value.code == "password_of_context_words"
    with pytest.raises(ValidationError):
        validate_password(password)


@pytest.mark.parametrize("password", [*TAKEN, "9xyz-" * 13, "9xyz-" * 800])
def test_whatever_is_long_enough_is_taken_of_any_characters(password):
    """No kind of character is asked for, and none is refused (OWASP ASVS 5, 6.2.5 and 6.2.9)."""
    validate_password(password)


@databases("control")
@pytest.mark.parametrize("password", ["globex-globex-1", "acme-Acme-acme", "Corporation.2026"])
def test_the_names_of_ones_own_tenants_are_such_words(cast, password):
    with pytest.raises(ValidationError):
        validate_password(password, cast.grace)
    validate_password("initech-initech-1", cast.grace)


@pytest.mark.parametrize("password", ["a" * 12, "ababABABabab", "1212-1212-1212"])
def test_few_characters_are_no_length(password):
    with pytest.raises(ValidationError) as caught:
        validate_password(password)
    assert [error.code for error in caught.value.error_list] == ["password_too_uniform"]
    assert "different" in VarietyValidator().get_help_text()


def test_a_word_within_a_longer_one_counts_once():
    validator = ContextWordsValidator(["free", "freehold", ""])
    with pytest.raises(ValidationError):
        validator.validate("freeholdfree-12")
    assert "name of this service" in validator.get_help_text()
