"""Users and memberships: what is stored, what is unique, and what the database itself refuses."""

# Letters that look alike are the subject.
# ruff: noqa: RUF001

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, connections, transaction
from django.db.backends.dummy.base import complain
from django.utils import timezone

from project import settings as production
from tenancy.testing import databases
from users.email import canonical_email
from users.models import Membership, Role, TokenFamily, User

pytestmark = databases("control")

PASSWORD = "a-long-enough-password"


def test_a_user_has_a_uuid_for_a_key():
    user = User.objects.create_user("ada@example.com", PASSWORD)
    assert isinstance(user.pk, uuid.UUID)
    assert User.objects.get(pk=user.pk) == user
    assert str(user) == "ada@example.com"


def test_an_ordinary_user_has_no_rights_in_the_admin():
    user = User.objects.create_user("ada@example.com", PASSWORD)
    assert (user.is_active, user.is_staff, user.is_superuser) == (True, False, False)


@pytest.mark.parametrize(
    "email", ["", None, "   ", "ada", "ada@", "a\u0131da@example.com", "x" * 250 + "@example.com"]
)
def test_it_refuses_a_user_without_a_proper_address(email):
    with pytest.raises(ValidationError) as refused:
        User.objects.create_user(email, PASSWORD)
    assert "email" in refused.value.message_dict
    assert not User.objects.exists()


def test_a_unicode_local_part_can_be_allowed(settings):
    settings.USERS_UNICODE_LOCAL_PART = True
    user = User.objects.create_user("m\u0131ke@example.com", PASSWORD)
    assert User.objects.get_by_natural_key("m\u0131ke@example.com") == user
    with pytest.raises(User.DoesNotExist):
        User.objects.get_by_natural_key("mike@example.com")


ALIKE = {
    "the same": ("ada@example.com", "ada@example.com"),
    "case": ("ada@example.com", "ADA@EXAMPLE.COM"),
    "full-width domain": ("ada@example.com", "ada@ｅｘａｍｐｌｅ.com"),
    "sharp s": ("ada@strasse.example", "ada@straße.example"),
    "spaces": ("ada@example.com", " ada@example.com  "),
}


@pytest.mark.parametrize("pair", ALIKE.values(), ids=ALIKE)
def test_two_accounts_whose_addresses_fold_alike_are_refused(pair):
    User.objects.create_user(pair[0], PASSWORD)
    with pytest.raises(ValidationError):
        User.objects.create_user(pair[1], PASSWORD)
    assert User.objects.count() == 1


@pytest.mark.parametrize("pair", ALIKE.values(), ids=ALIKE)
def test_the_database_too_refuses_accounts_that_fold_alike(pair):
    users = [User(email=email, email_canonical=canonical_email(email)) for email in pair]
    with pytest.raises(IntegrityError), transaction.atomic(using="control"):
        User.objects.bulk_create(users)
    assert not User.objects.exists()


def test_the_address_is_kept_as_typed():
    user = User.objects.create_user("Ada.Lovelace@Example.com", PASSWORD)
    user.refresh_from_db()
    assert (user.email, user.email_canonical) == ("Ada.Lovelace@Example.com", "ada.lovelace@example.com")


def test_an_address_may_be_changed_to_another_spelling_of_itself():
    user = User.objects.create_user("ada@example.com", PASSWORD)
    user.email = "Ada@Example.com"
    user.full_clean()
    user.save()


@pytest.mark.parametrize(
    "email", ["ada@example.com", "ADA@EXAMPLE.COM", " ada@example.com ", "ａda＠example.com"]
)
def test_a_user_is_found_however_the_address_is_typed(email):
    user = User.objects.create_user("Ada@Example.com", PASSWORD)
    assert User.objects.get_by_natural_key(email) == user


@pytest.mark.parametrize("email", ["", None, "eve@example.com"])
def test_nobody_is_found_by_an_address_nobody_has(email):
    User.objects.create_user("ada@example.com", PASSWORD)
    with pytest.raises(User.DoesNotExist):
        User.objects.get_by_natural_key(email)


@pytest.mark.parametrize("fields", [["email"], ("email", "name"), {"email"}, None])
def test_saving_only_the_address_keeps_the_canonical_form_with_it(fields):
    user = User.objects.create_user("ada@example.com", PASSWORD)
    user.email = "Countess@Example.com"
    user.save(update_fields=fields)
    assert User.objects.get_by_natural_key("countess@example.com") == user


def test_saving_another_field_leaves_the_address_alone():
    user = User.objects.create_user("ada@example.com", PASSWORD)
    user.email, user.name = "other@example.com", "Ada"
    user.save(update_fields=["name"])
    user.refresh_from_db()
    assert (user.email, user.email_canonical, user.name) == ("ada@example.com", "ada@example.com", "Ada")


def test_a_user_without_a_password_can_be_given_one_later():
    user = User.objects.create_user("ada@example.com")
    assert not user.has_usable_password()
    assert not user.check_password("")
    user.set_password(PASSWORD)
    user.save()
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_argon2_hashes_new_passwords_in_production():
    assert production.PASSWORD_HASHERS[0] == "django.contrib.auth.hashers.Argon2PasswordHasher"
    assert django_settings.PASSWORD_HASHERS != production.PASSWORD_HASHERS, "These tests use a fast one."


@pytest.fixture
def empty_default(monkeypatch):
    """Django looks for unapplied migrations of ``default`` before the command, and goes on when there is
    no such database. In tests it would find Django's guard of databases that a test does not name."""
    monkeypatch.setattr(connections["default"], "cursor", complain)


def test_createsuperuser_works_on_the_control_plane(monkeypatch, capsys, empty_default):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command("createsuperuser", database="control", interactive=False, email="root@example.com")
    assert "Superuser created" in capsys.readouterr().out
    user = User.objects.get_by_natural_key("root@example.com")
    assert (user.is_staff, user.is_superuser) == (True, True)
    assert user.check_password(PASSWORD)


def test_createsuperuser_refuses_an_address_that_folds_alike(monkeypatch, empty_default):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    User.objects.create_user("root@example.com", PASSWORD)
    with pytest.raises(CommandError, match="taken"):
        call_command("createsuperuser", database="control", interactive=False, email="ROOT@example.com")


def test_a_user_is_a_member_of_a_tenant_once():
    user = User.objects.create_user("ada@example.com")
    membership = Membership.objects.create(user=user, tenant_id="acme", role=Role.OWNER)
    assert str(membership) == "ada@example.com is owner of acme"
    with pytest.raises(IntegrityError), transaction.atomic(using="control"):
        Membership.objects.create(user=user, tenant_id="acme", role=Role.VIEWER)
    Membership.objects.create(user=user, tenant_id="globex", role=Role.VIEWER)


@pytest.mark.parametrize("role", ["", "root", "Owner", "owner "])
def test_the_database_refuses_an_unknown_role(role):
    user = User.objects.create_user("ada@example.com")
    with pytest.raises(IntegrityError), transaction.atomic(using="control"):
        Membership.objects.create(user=user, tenant_id="acme", role=role)


def test_known_memberships_are_those_of_tenants_that_exist():
    user = User.objects.create_user("ada@example.com")
    for tenant_id in ("initech", "gone", "acme"):
        Membership.objects.create(user=user, tenant_id=tenant_id, role=Role.MEMBER)
    assert [(tenant.id, membership.tenant_id) for membership, tenant in Membership.objects.known(user)] == [
        ("acme", "acme"),
        ("initech", "initech"),
    ]


@pytest.mark.parametrize(
    ("change", "alive"),
    [
        ({}, True),
        ({"expires_at": timezone.now()}, False),
        ({"revoked_at": timezone.now()}, False),
        ({"auth_hash": "of another password"}, False),
    ],
    ids=["as made", "expired", "revoked", "password changed"],
)
def test_a_family_lives_until_something_ends_it(change, alive):
    user = User.objects.create_user("ada@example.com", PASSWORD)
    values = {"auth_hash": user.get_session_auth_hash(), "expires_at": timezone.now() + timedelta(days=1)}
    family = TokenFamily(user=user, tenant_id="acme", **values | change)
    assert family.is_alive() is alive
    assert not family.is_alive(timezone.now() + timedelta(days=2))
    assert str(family).startswith("ada@example.com in acme since ")


@databases("control")
def test_the_database_refuses_a_user_without_an_address(db):
    with pytest.raises(IntegrityError), transaction.atomic(using="control"):
        User.objects.create(email="")
