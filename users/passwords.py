"""Changing, resetting and first getting a password. Each ends every session, for the hash of the password is
in them."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework.exceptions import ValidationError

from tenancy.audit.trail import record
from tenancy.transactions import control_atomic
from users import mails
from users.brakes import forget_account
from users.errors import LinkNotValid
from users.families import end_families
from users.models import TokenFamily, User
from users.origin import Origin
from users.people import person


class ResetTokens(PasswordResetTokenGenerator):
    """Django's, with a salt of its own: good for an hour, for the password, address and last sign-in that the
    account had then, and so once."""

    key_salt = "users.passwords.ResetTokens"


reset_tokens = ResetTokens()


def check_password_rules(password: str, user: User, field: str) -> None:
    """Raises DRF's ``ValidationError``, naming the field of the body."""
    try:
        validate_password(password, user)
    except DjangoValidationError as exc:
        raise ValidationError({field: list(exc.messages)}) from exc


def send_reset_mail(email: str) -> None:
    """What follows when somebody asked for a reset: a mail to the address that the account has, if there is
    one. One who never had a password is told how to get the first."""
    try:
        user = User.objects.get_by_natural_key(email)
    except User.DoesNotExist:
        return
    if user.is_active:
        token = f"{user.pk.hex}.{reset_tokens.make_token(user)}"
        name = "password_reset" if user.has_usable_password() else "password_first"
        mails.send(name, user.email, user=user, link=mails.link("password", token))


def reset_password(token: str, password: str, origin: Origin) -> User:
    """Spend the token of a mail. Raises ``LinkNotValid``, and ``ValidationError`` for a password that is no
    good, which spends nothing."""
    with control_atomic():
        # Of two that come at once the second waits here, and finds the token spent.
        user = _locked_user(token.partition(".")[0])
        if user is None or not reset_tokens.check_token(user, token.partition(".")[2]):
            raise LinkNotValid
        check_password_rules(password, user, "password")
        _set(user, password)
        record("password.reset", person(user, origin), tenant_id="")
    forget_account(user.email)
    return user


def change_password(user: User, password: str, origin: Origin, token_id: str) -> None:
    """Give a user who has proven the old one another password. Raises ``ValidationError``."""
    check_password_rules(password, user, "new_password")
    with control_atomic():
        # The old one was proven on a row that was not locked: a reset meanwhile takes precedence.
        locked = _locked_user(user.pk.hex)
        if locked is None or locked.password != user.password:
            raise ValidationError({"current_password": ["It was changed meanwhile."]})
        _set(user, password)
        record("password.changed", person(user, origin, token_id))


def _set(user: User, password: str) -> None:
    user.set_password(password)
    user.save(update_fields=["password"])
    end_families(TokenFamily.objects.filter(user=user))


def _locked_user(key: str) -> User | None:
    try:
        pk = uuid.UUID(hex=key)
    except ValueError:
        return None
    found: Any = User.objects.select_for_update().filter(pk=pk, is_active=True).first()
    return found if found is not None and found.pk.hex == key else None


def send_changed_mail(user_id: str) -> None:
    """Tell somebody that their password is another one: if it was not they, they want to know."""
    user = User.objects.filter(pk=user_id).first()
    if user is not None:
        mails.send("password_changed", user.email, user=user)
