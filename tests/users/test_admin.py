"""The admin of the control plane, as its staff uses it: through its pages."""

# Letters that look alike are the subject.
# ruff: noqa: RUF001

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from tenancy.audit.models import Event
from tenancy.audit.trail import SERVICE
from tenancy.testing import databases, only_tenants
from users.api_keys import create
from users.families import open_family
from users.models import ApiKey, Membership, Role, TokenFamily, User

pytestmark = databases("control")

PASSWORD = "a-long-enough-password"


@pytest.fixture
def root():
    return User.objects.create_superuser("root@example.com", PASSWORD)


@pytest.fixture
def staff(root):
    client = Client()
    client.defaults["wsgi.url_scheme"] = "https"
    client.force_login(root)
    return client


def url(name, *args):
    return reverse(f"admin:users_{name}", args=args)


def test_staff_log_in_with_their_address_in_any_case(root):
    client = Client()
    page = client.get("/admin/login/", secure=True)
    assert page.status_code == 200
    assert b"E-mail" in page.content
    response = client.post(
        "/admin/login/?next=/admin/", {"username": "ROOT@example.com", "password": PASSWORD}, secure=True
    )
    assert (response.status_code, response["Location"]) == (302, "/admin/")
    assert client.cookies["sessionid"]["secure"]
    assert client.get("/admin/", secure=True).status_code == 200


@pytest.mark.parametrize(
    ("email", "password"), [("ada@example.com", "correct-horse-battery"), ("root@example.com", "wrong")]
)
def test_others_do_not(root, cast, email, password):
    client = Client()
    response = client.post("/admin/login/", {"username": email, "password": password}, secure=True)
    assert response.status_code == 200
    assert "sessionid" not in client.cookies
    assert client.get("/admin/", secure=True).status_code == 302


def a_key(maker):
    return create("acme", "Nightly", Role.VIEWER, None, maker=maker, who=SERVICE)[0]


@pytest.mark.parametrize("model", ["user", "membership", "tokenfamily", "apikey"])
@pytest.mark.parametrize("query", ["", "?q=ada"])
def test_lists_render(staff, cast, model, query):
    open_family(cast.ada, "acme")
    a_key(cast.ada)
    response = staff.get(url(f"{model}_changelist") + query)
    assert response.status_code == 200
    assert b"ada@example.com" in response.content
    assert (b"bob@example.com" in response.content) == (query == "" and model in ("user", "membership"))


def test_pages_of_one_object_render(staff, cast):
    open_family(cast.ada, "acme")
    for name, key in {
        "user": cast.ada.pk,
        "membership": cast.ada.memberships.get().pk,
        "tokenfamily": cast.ada.token_families.get().pk,
        "apikey": a_key(cast.ada).pk,
    }.items():
        response = staff.get(url(f"{name}_change", key))
        assert response.status_code == 200, name
        assert b"ada@example.com" in response.content, name


def test_a_family_shows_neither_hash(staff, cast):
    open_family(cast.ada, "acme")
    family = TokenFamily.objects.get()
    page = staff.get(url("tokenfamily_change", family.pk)).content.decode()
    assert "acme" in page
    assert family.auth_hash not in page
    assert family.refresh_id not in page


NEW = {"email": "new@example.com", "name": "New", "password1": "", "password2": ""}
NEW_PASSWORD = {
    "usable_password": "true",
    "password1": PASSWORD,
    "password2": PASSWORD,
    "set-password": "1",
}
NO_MEMBERSHIPS = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}


def add_user(staff, **fields):
    return staff.post(url("user_add"), NEW | NO_MEMBERSHIPS | fields)


def test_a_user_is_added_with_a_password(staff):
    response = add_user(staff, usable_password="true", password1=PASSWORD, password2=PASSWORD)
    assert response.status_code == 302
    user = User.objects.get_by_natural_key("new@example.com")
    assert (user.name, user.is_staff, user.check_password(PASSWORD)) == ("New", False, True)


def test_a_user_is_added_without_a_password_and_given_one_later(staff):
    assert add_user(staff, usable_password="false").status_code == 302
    user = User.objects.get_by_natural_key("new@example.com")
    assert not user.has_usable_password()
    page = reverse("admin:auth_user_password_change", args=[user.pk])
    assert staff.get(page).status_code == 200
    response = staff.post(page, NEW_PASSWORD)
    assert response.status_code == 302
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_a_password_changed_in_the_admin_ends_the_users_sessions(staff, cast):
    access = open_family(cast.ada, "acme").access
    page = reverse("admin:auth_user_password_change", args=[cast.ada.pk])
    assert staff.post(page, NEW_PASSWORD).status_code == 302
    assert APIClient().get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {access}").status_code == 401


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"email": ""}, "This field is required."),
        ({"email": "root@example.com"}, "A user with this e-mail exists."),
        ({"email": "ROOT@EXAMPLE.COM"}, "A user with this e-mail exists."),
        ({"email": "root@ｅｘａｍｐｌｅ.com"}, "A user with this e-mail exists."),
        ({"email": "r\u0131ot@example.com"}, "Only plain letters, digits and punctuation"),
        ({"email": "root"}, "Enter a valid email address."),
        ({"password1": "short", "password2": "short"}, "This password is too short."),
        ({"password1": PASSWORD, "password2": "another"}, "didn’t match"),
    ],
    ids=[
        "missing",
        "taken",
        "taken in capitals",
        "taken in full width",
        "dotless i",
        "malformed",
        "short",
        "differ",
    ],
)
def test_a_bad_user_is_told_in_the_form(staff, fields, message):
    fields = {"usable_password": "true", "password1": PASSWORD, "password2": PASSWORD} | fields
    response = add_user(staff, **fields)
    assert response.status_code == 200
    assert message in response.content.decode()
    assert User.objects.count() == 1


def change_user(staff, user, memberships, **fields):
    """Posts the page of one user, with the memberships below it."""
    initial = sum("id" in membership for membership in memberships)
    body = {"email": user.email, "name": user.name, "is_active": "on", **fields}
    body |= {"memberships-TOTAL_FORMS": len(memberships), "memberships-INITIAL_FORMS": initial}
    for number, membership in enumerate(memberships):
        body |= {f"memberships-{number}-{name}": value for name, value in membership.items()}
        body[f"memberships-{number}-user"] = str(user.pk)
    return staff.post(url("user_change", user.pk), body)


def test_an_address_that_somebody_has_is_told_in_the_form(staff, cast):
    response = change_user(staff, cast.eve, [], email="ADA@example.com")
    assert response.status_code == 200
    assert "A user with this e-mail exists." in response.content.decode()
    assert change_user(staff, cast.eve, [], email="EVE@example.com").status_code == 302


def test_a_membership_is_added_and_removed_on_the_users_page(staff, cast):
    response = change_user(staff, cast.eve, [{"tenant_id": "acme", "role": "member"}])
    assert response.status_code == 302, response.content
    membership = cast.eve.memberships.get()
    assert (membership.tenant_id, membership.role) == ("acme", "member")
    gone = {"id": str(membership.pk), "tenant_id": "acme", "role": "member", "DELETE": "on"}
    assert change_user(staff, cast.eve, [gone]).status_code == 302
    assert not cast.eve.memberships.exists()


def test_a_membership_is_added_changed_and_removed_on_its_own_page(staff, cast):
    Membership.objects.create(user=cast.ada, tenant_id="globex", role=Role.OWNER)
    body = {"user": str(cast.eve.pk), "tenant_id": "globex", "role": "viewer"}
    assert staff.post(url("membership_add"), body).status_code == 302
    membership = cast.eve.memberships.get()
    staff.post(url("membership_change", membership.pk), body | {"role": "owner"})
    membership.refresh_from_db()
    assert membership.role == Role.OWNER
    assert staff.get(url("membership_delete", membership.pk)).status_code == 200
    assert staff.post(url("membership_delete", membership.pk), {"post": "yes"}).status_code == 302
    assert not cast.eve.memberships.exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tenant_id": "nosuch"}, "Select a valid choice"),
        ({"tenant_id": "ACME"}, "Select a valid choice"),
        ({"role": "root"}, "Select a valid choice"),
        ({"tenant_id": "acme"}, "This user is a member of this tenant already."),
    ],
    ids=["unknown tenant", "tenant in capitals", "unknown role", "already a member"],
)
def test_a_bad_membership_is_told_in_the_form(staff, cast, fields, message):
    body = {"user": str(cast.ada.pk), "tenant_id": "globex", "role": "viewer"} | fields
    response = staff.post(url("membership_add"), body)
    assert response.status_code == 200
    assert message in response.content.decode()
    assert cast.ada.memberships.count() == 1


def test_the_choice_of_tenants_is_that_of_tenants_yaml(staff, cast):
    page = staff.get(url("membership_add")).content.decode()
    for choice in ("Acme Corporation (acme)", "Globex (globex)", "Initech (initech)"):
        assert choice in page
    with only_tenants("acme"):
        page = staff.get(url("membership_add")).content.decode()
    assert "Acme Corporation (acme)" in page
    assert "globex" not in page


def test_a_membership_of_a_tenant_that_is_gone_is_seen_and_removed(staff, cast):
    membership = Membership.objects.create(user=cast.eve, tenant_id="gone", role=Role.MEMBER)
    for page in (url("membership_change", membership.pk), url("user_change", cast.eve.pk)):
        assert "gone (not in tenants.yaml)" in staff.get(page).content.decode()
    assert "not in tenants.yaml" not in staff.get(url("user_change", cast.ada.pk)).content.decode()
    gone = {"id": str(membership.pk), "tenant_id": "gone", "role": "member", "DELETE": "on"}
    assert change_user(staff, cast.eve, [gone]).status_code == 302
    assert not cast.eve.memberships.exists()


def test_a_session_is_ended_and_neither_made_nor_changed(staff, cast):
    access = open_family(cast.ada, "acme").access
    family = TokenFamily.objects.get()
    assert staff.get(url("tokenfamily_add")).status_code == 403
    assert staff.post(url("tokenfamily_change", family.pk), {"tenant_id": "globex"}).status_code == 403
    family.refresh_from_db()
    assert family.tenant_id == "acme"
    assert staff.post(url("tokenfamily_delete", family.pk), {"post": "yes"}).status_code == 302
    assert APIClient().get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {access}").status_code == 401


def test_a_user_is_deleted_with_memberships_and_sessions(staff, cast):
    Membership.objects.create(user=cast.bob, tenant_id="acme", role=Role.OWNER)
    open_family(cast.ada, "acme")
    assert staff.get(url("user_delete", cast.ada.pk)).status_code == 200
    assert staff.post(url("user_delete", cast.ada.pk), {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=cast.ada.pk).exists()
    assert not Membership.objects.filter(user_id=cast.ada.pk).exists()
    assert not TokenFamily.objects.exists()


class TestTheAuditTrail:
    def events(self, prefix):
        found = Event.objects.filter(action__startswith=prefix).order_by("at", "action")
        assert {event.actor for event in found} <= {"root@example.com"}
        return [(event.action, event.tenant_id, event.target, event.details) for event in found]

    @pytest.fixture(autouse=True)
    def _other_owner(self, cast):
        Membership.objects.create(user=cast.bob, tenant_id="acme", role=Role.OWNER)

    def test_has_what_staff_do_with_a_membership(self, staff, cast):
        form = {"user": cast.eve.pk, "tenant_id": "acme", "role": "member"}
        staff.post(url("membership_add"), form, secure=True)
        key = cast.eve.memberships.get().pk
        staff.post(url("membership_change", key), form | {"role": "admin"}, secure=True)
        staff.post(url("membership_change", key), form | {"role": "admin"}, secure=True)
        staff.post(
            url("membership_change", key), form | {"role": "admin", "tenant_id": "globex"}, secure=True
        )
        staff.post(url("membership_delete", key), {"post": "yes"}, secure=True)
        assert self.events("member.") == [
            ("member.added", "acme", "eve@example.com", {"role": "member"}),
            ("member.role_changed", "acme", "eve@example.com", {"from": "member", "to": "admin"}),
            ("member.removed", "acme", "eve@example.com", {}),
            ("member.added", "globex", "eve@example.com", {"role": "admin"}),
            ("member.removed", "globex", "eve@example.com", {}),
        ]
        assert [action for action, *_ in self.events("admin.")] == [
            "admin.added",
            *["admin.changed"] * 3,
            "admin.deleted",
        ]

    def test_has_a_membership_that_is_changed_with_its_user(self, staff, cast):
        membership = cast.ada.memberships.get()

        def post(**inline):
            form = {
                "email": cast.ada.email,
                "name": "Ada",
                "is_active": "on",
                "memberships-TOTAL_FORMS": "2",
                "memberships-INITIAL_FORMS": str(cast.ada.memberships.count()),
            }
            response = staff.post(url("user_change", cast.ada.pk), form | inline, secure=True)
            assert response.status_code == 302, response.context["errors"]

        own = {
            "memberships-0-id": membership.pk,
            "memberships-0-user": cast.ada.pk,
            "memberships-0-tenant_id": "acme",
            "memberships-0-role": "viewer",
        }
        post(
            **own,
            **{
                "memberships-1-user": cast.ada.pk,
                "memberships-1-tenant_id": "globex",
                "memberships-1-role": "member",
            },
        )
        cast.ada.memberships.filter(tenant_id="globex").delete()
        post(**own, **{"memberships-0-DELETE": "on"})
        assert self.events("member.") == [
            ("member.added", "globex", "ada@example.com", {"role": "member"}),
            ("member.role_changed", "acme", "ada@example.com", {"from": "owner", "to": "viewer"}),
            ("member.removed", "acme", "ada@example.com", {}),
        ]

    @pytest.mark.parametrize("way", ["page", "action"])
    def test_has_each_membership_of_a_user_who_is_deleted(self, staff, cast, way):
        if way == "page":
            staff.post(url("user_delete", cast.grace.pk), {"post": "yes"}, secure=True)
        else:
            form = {"action": "delete_selected", "_selected_action": [cast.grace.pk], "post": "yes"}
            staff.post(url("user_changelist"), form, secure=True)
        assert not User.objects.filter(pk=cast.grace.pk).exists()
        assert sorted(tenant_id for _, tenant_id, *_ in self.events("member.removed")) == ["acme", "globex"]
        ((_, tenant_id, target, details),) = self.events("admin.deleted")
        assert (tenant_id, target, details["model"]) == ("", "grace@example.com", "users.User")

    def test_has_no_password(self, staff, cast):
        form = {
            "password1": "an-entirely-new-one",
            "password2": "an-entirely-new-one",
            "usable_password": "true",
        }
        staff.post(f"/admin/users/user/{cast.ada.pk}/password/", form, secure=True)
        cast.ada.refresh_from_db()
        assert cast.ada.check_password("an-entirely-new-one")
        ((_, _, target, details),) = self.events("admin.changed")
        assert target == "ada@example.com"
        assert "entirely" not in str(details)

    def test_has_a_key_that_staff_end(self, staff, cast):
        key = a_key(cast.ada)
        staff.post(url("apikey_delete", key.pk), {"post": "yes"}, secure=True)
        assert not ApiKey.objects.exists()
        ((_, _, target, details),) = self.events("admin.deleted")
        assert (target, details["model"]) == (f"{key.prefix} of acme", "users.ApiKey")
        assert self.events("key.revoked") == [("key.revoked", "acme", key.prefix, {"name": "Nightly"})]

    def test_shows_a_tenants_owners_nobody_of_the_staff(self, staff, cast):
        staff.post(url("membership_delete", cast.grace.memberships.get(tenant_id="acme").pk), {"post": "yes"})
        client = cast.client(cast.ada, "acme")
        (seen,) = client.get("/api/audit/?action=member.removed").json()["results"]
        assert seen["actor_kind"] == "operator"
        assert (seen["actor"], seen["actor_id"], seen["address"]) == ("", "", None)


def test_a_key_is_not_found_by_its_hash(staff, cast):
    a_key(cast.ada)
    response = staff.get(url("apikey_changelist") + "?secret_hash__startswith=a", secure=True)
    assert response.status_code == 400


class TestTheLastOwner:
    """As in the API and at the command line: it stays."""

    WORDS = "A tenant needs an owner."

    @pytest.mark.parametrize("change", [{"role": "admin"}, {"tenant_id": "globex"}])
    def test_is_not_lowered_on_its_own_page(self, staff, cast, change):
        membership = cast.ada.memberships.get()
        form = {"user": cast.ada.pk, "tenant_id": "acme", "role": "owner"}
        response = staff.post(url("membership_change", membership.pk), form | change, secure=True)
        assert self.WORDS in response.content.decode()
        assert Membership.objects.get(pk=membership.pk).role == Role.OWNER

    @pytest.mark.parametrize("change", [{"role": "admin"}, {"DELETE": "on"}])
    def test_is_not_taken_away_on_the_users_page(self, staff, cast, change):
        membership = cast.ada.memberships.get()
        row = {"id": str(membership.pk), "tenant_id": "acme", "role": "owner"} | change
        response = change_user(staff, cast.ada, [row])
        assert response.status_code == 200
        assert self.WORDS in response.content.decode()
        assert Membership.objects.get(pk=membership.pk).role == Role.OWNER

    @pytest.mark.parametrize("model", ["user", "membership"])
    @pytest.mark.parametrize("way", ["page", "action"])
    def test_is_not_deleted(self, staff, cast, model, way):
        found = cast.ada if model == "user" else cast.ada.memberships.get()
        if way == "page":
            staff.post(url(f"{model}_delete", found.pk), {"post": "yes"}, secure=True)
        else:
            form = {"action": "delete_selected", "_selected_action": [found.pk], "post": "yes"}
            staff.post(url(f"{model}_changelist"), form, secure=True)
        assert cast.ada.memberships.filter(role=Role.OWNER).exists()

    def test_nor_are_all_of_them_at_once(self, staff, cast):
        other = Membership.objects.create(user=cast.bob, tenant_id="acme", role=Role.OWNER)
        both = [cast.ada.memberships.get().pk, other.pk]
        form = {"action": "delete_selected", "_selected_action": both, "post": "yes"}
        staff.post(url("membership_changelist"), form, secure=True)
        assert Membership.objects.filter(pk__in=both).count() == 2
        staff.post(url("membership_delete", other.pk), {"post": "yes"}, secure=True)
        assert Membership.objects.filter(pk__in=both).count() == 1
