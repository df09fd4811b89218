"""The people of a tenant: seen and changed by those who may, in that tenant only."""

from __future__ import annotations

import threading
import uuid

import pytest
from django.db import connections
from rest_framework.test import APIClient

from tenancy.audit.models import Event
from tenancy.audit.trail import SERVICE
from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases
from users import members
from users.errors import LastOwner
from users.families import open_family
from users.models import Membership, Role
from users.testing import token_in

pytestmark = databases("control")


def refusal(response):
    return response.status_code, response.json()["code"]


def path(user):
    return f"/api/members/{user.pk}/"


def role_of(user, tenant_id):
    return Membership.objects.filter(user=user, tenant_id=tenant_id).values_list("role", flat=True).first()


def join(user, tenant_id, role):
    return Membership.objects.create(user=user, tenant_id=tenant_id, role=role)


def test_owners_and_admins_see_the_members_of_their_tenant_and_no_others(cast, ada):
    expected = [("ada@example.com", "owner"), ("grace@example.com", "viewer")]
    answer = ada.get("/api/members/").json()
    assert [(one["email"], one["role"]) for one in answer["results"]] == expected
    assert set(answer["results"][0]) == {"id", "email", "name", "role", "is_active", "created_at"}
    admin = cast.client(cast.grace, "globex")
    assert [one["email"] for one in admin.get("/api/members/").json()["results"]] == [
        "bob@example.com",
        "grace@example.com",
    ]


@pytest.mark.parametrize("role", [Role.MEMBER, Role.VIEWER])
@pytest.mark.parametrize("call", ["list", "change", "remove", "invite", "invitations", "take back"])
def test_others_do_not(cast, role, call):
    join(cast.eve, "acme", role)
    client = cast.client(cast.eve, "acme")
    response = {
        "list": lambda: client.get("/api/members/"),
        "change": lambda: client.patch(path(cast.grace), {"role": "admin"}),
        "remove": lambda: client.delete(path(cast.grace)),
        "invite": lambda: client.post("/api/invitations/", {"email": "x@example.com"}),
        "invitations": lambda: client.get("/api/invitations/"),
        "take back": lambda: client.delete(f"/api/invitations/{uuid.uuid4()}/"),
    }[call]()
    assert refusal(response) == (403, "forbidden")


def test_the_roles_there_are_are_named(cast, ada):
    king = {"role": "{king}"}
    answers = [
        ada.patch(path(cast.grace), king),
        ada.post("/api/invitations/", king | {"email": "new@example.com"}),
        ada.post("/api/keys/", king | {"name": "Job"}),
    ]
    said = [answer.json()["errors"]["role"] for answer in answers]
    everybody = ['"{king}" is none of these: owner, admin, member, viewer.']
    assert said == [everybody, everybody, ['"{king}" is none of these: member, viewer.']]


def test_a_role_acts_on_the_next_request(cast, ada):
    grace = cast.client(cast.grace, "acme")
    assert refusal(grace.get("/api/members/")) == (403, "forbidden")
    response = ada.patch(path(cast.grace), {"role": "admin"})
    assert (response.status_code, response.json()["role"]) == (200, "admin")
    assert grace.get("/api/members/").status_code == 200
    assert ada.patch(path(cast.grace), {"role": "viewer"}).status_code == 200
    assert refusal(grace.get("/api/members/")) == (403, "forbidden")
    event = Event.objects.filter(action="member.role_changed").latest("at")
    assert (event.actor, event.target, event.tenant_id) == ("ada@example.com", "grace@example.com", "acme")
    assert event.details == {"from": "admin", "to": "viewer"}


def test_who_is_removed_is_out_at_once_and_elsewhere_as_before(cast, ada):
    here, there = open_family(cast.grace, "acme"), cast.client(cast.grace, "globex")
    assert ada.delete(path(cast.grace)).status_code == 204
    client, gone = APIClient(), (403, "tenant_forbidden")
    assert refusal(client.get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {here.access}")) == gone
    assert refusal(client.post("/api/token/refresh/", {"refresh": here.refresh})) == gone
    assert there.get("/api/me/").json()["role"] == "admin"
    assert role_of(cast.grace, "acme") is None
    assert refusal(ada.delete(path(cast.grace))) == (404, "not_found")
    assert Event.objects.get(action="member.removed").target == "grace@example.com"


def test_another_tenants_member_is_nobody(cast, ada):
    for call in (ada.delete, lambda url: ada.patch(url, {"role": "viewer"})):
        theirs, random = call(path(cast.bob)), call(f"/api/members/{uuid.uuid4()}/")
        assert refusal(theirs) == refusal(random) == (404, "not_found")
        assert theirs.content == random.content
    assert role_of(cast.bob, "globex") == "member"


def test_an_admin_looks_after_everybody_but_owners(cast, ada):
    join(cast.eve, "globex", Role.OWNER)
    admin = cast.client(cast.grace, "globex")
    assert refusal(admin.delete(path(cast.eve))) == (403, "forbidden")
    assert refusal(admin.patch(path(cast.eve), {"role": "viewer"})) == (403, "forbidden")
    assert refusal(admin.patch(path(cast.bob), {"role": "owner"})) == (403, "forbidden")
    assert refusal(admin.post("/api/invitations/", {"email": "x@example.com", "role": "owner"})) == (
        403,
        "forbidden",
    )
    assert admin.patch(path(cast.bob), {"role": "admin"}).status_code == 200
    assert admin.delete(path(cast.bob)).status_code == 204


def test_nobody_raises_themselves(cast):
    admin = cast.client(cast.grace, "globex")
    assert refusal(admin.patch(path(cast.grace), {"role": "owner"})) == (403, "forbidden")


def test_the_last_owner_stays(cast, ada):
    assert refusal(ada.delete(path(cast.ada))) == (409, "last_owner")
    assert refusal(ada.patch(path(cast.ada), {"role": "admin"})) == (409, "last_owner")
    assert ada.patch(path(cast.ada), {"role": "owner"}).status_code == 200
    assert ada.patch(path(cast.grace), {"role": "owner"}).status_code == 200
    assert ada.delete(path(cast.ada)).status_code == 204
    assert role_of(cast.grace, "acme") == "owner"


def test_an_owner_who_cannot_sign_in_is_none(cast, ada):
    join(cast.bob, "acme", Role.OWNER)
    cast.bob.is_active = False
    cast.bob.save()
    assert refusal(ada.delete(path(cast.ada))) == (409, "last_owner")
    assert ada.delete(path(cast.bob)).status_code == 204


@pytest.mark.parametrize(
    "body", [{}, {"role": "king"}, {"role": None}, {"role": 1}, {"role": "viewer", "x": 1}]
)
def test_nonsense_changes_nothing(cast, ada, body):
    assert refusal(ada.patch(path(cast.grace), body)) == (400, "invalid")
    assert role_of(cast.grace, "acme") == "viewer"


def test_while_the_tenant_is_suspended_nobody_is_managed(cast, ada):
    with changed_tenant("acme", status=Status.SUSPENDED):
        assert refusal(ada.get("/api/members/")) == (403, "tenant_suspended")
    with changed_tenant("acme", status=Status.READ_ONLY):
        assert ada.delete(path(cast.grace)).status_code == 204, "Somebody may have to be kept out just then."


@databases("control", transaction=True)
def test_two_owners_who_remove_each_other_leave_one(cast):
    Membership.objects.filter(user=cast.grace, tenant_id="acme").update(role=Role.OWNER)
    for _ in range(20):
        barrier, outcomes = threading.Barrier(2), []

        def lower(user, barrier=barrier, outcomes=outcomes):
            barrier.wait(timeout=30)
            try:
                members.change_role("acme", user.pk, Role.ADMIN, by=Role.OWNER, who=SERVICE)
                outcomes.append("lowered")
            except LastOwner:
                outcomes.append("last")
            finally:
                connections.close_all()

        threads = [threading.Thread(target=lower, args=(user,)) for user in (cast.ada, cast.grace)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["last", "lowered"]
        assert Membership.objects.filter(tenant_id="acme", role=Role.OWNER).count() == 1
        Membership.objects.filter(tenant_id="acme").update(role=Role.OWNER)


def test_who_comes_back_signs_in_again(cast, ada, mails):
    before = open_family(cast.grace, "acme")
    ada.delete(path(cast.grace))
    ada.post("/api/invitations/", {"email": "grace@example.com"})
    accepted = APIClient().post("/api/invitations/accept/", {"token": token_in(mails[0])})
    assert accepted.status_code == 200
    client = APIClient()
    assert client.get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {before.access}").status_code == 401
