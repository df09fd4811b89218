"""Inviting somebody, who comes, once."""

from __future__ import annotations

import threading
import uuid

import pytest
from django.db import connections
from rest_framework.test import APIClient

from tenancy.audit.models import Event
from tenancy.testing import databases, only_tenants
from users import invitations
from users.errors import LinkNotValid
from users.models import Invitation, Membership, Role, User
from users.origin import NOWHERE
from users.testing import PASSWORD, token_in

pytestmark = databases("control")

NEW = "a-brand-new-password"


def refusal(response):
    return response.status_code, response.json()["code"]


def invite(client, email="new@example.com", **body):
    return client.post("/api/invitations/", {"email": email, **body})


def accept(token, **body):
    return APIClient().post("/api/invitations/accept/", {"token": token, **body})


def test_somebody_new_chooses_a_password_and_belongs(cast, ada, mails):
    response = invite(ada, role="admin")
    assert response.status_code == 201
    assert set(response.json()) == {"id", "email", "role", "invited_by", "created_at", "expires_at"}
    (mail,) = mails
    assert mail.to == ["new@example.com"]
    assert mail.subject == "You are invited to Acme Corporation on Freehold"
    assert "Ada invites you" in mail.body
    token = token_in(mail)
    assert refusal(accept(token)) == (400, "password_required")
    assert not User.objects.filter(email="new@example.com").exists()
    answer = accept(token, password=NEW, name="Nora New")
    assert answer.status_code == 200
    assert answer.json() == {
        "email": "new@example.com",
        "tenant": {"id": "acme", "name": "Acme Corporation"},
        "role": "admin",
    }
    signed_in = APIClient().post("/api/token/", {"email": "new@example.com", "password": NEW})
    assert signed_in.json()["tenant_id"] == "acme"
    assert User.objects.get(email="new@example.com").name == "Nora New"
    assert refusal(accept(token, password=NEW)) == (400, "link_not_valid")
    assert not Invitation.objects.exists()
    actions = set(Event.objects.values_list("action", flat=True))
    assert actions >= {"invitation.sent", "invitation.accepted", "member.added"}


def test_who_has_a_password_just_accepts(cast, ada, mails):
    assert invite(ada, "BOB@example.com", role="viewer").status_code == 201
    token = token_in(mails[0])
    assert refusal(accept(token, password=NEW)) == (400, "invalid")
    assert accept(token).status_code == 200
    assert Membership.objects.get(user=cast.bob, tenant_id="acme").role == "viewer"
    cast.bob.refresh_from_db()
    assert cast.bob.check_password(PASSWORD)


def test_who_never_had_a_password_chooses_one(cast, ada, mails):
    cast.eve.set_unusable_password()
    cast.eve.save()
    invite(ada, "eve@example.com")
    token = token_in(mails[0])
    assert refusal(accept(token)) == (400, "password_required")
    assert accept(token, password=NEW).status_code == 200
    cast.eve.refresh_from_db()
    assert cast.eve.check_password(NEW)
    event = Event.objects.get(action="password.changed")
    assert (event.actor, event.tenant_id) == ("eve@example.com", "")


def test_who_was_deactivated_does_not_come_in_that_way(cast, ada, mails):
    cast.eve.is_active = False
    cast.eve.save()
    invite(ada, "eve@example.com")
    assert refusal(accept(token_in(mails[0]))) == (400, "link_not_valid")


def test_known_and_unknown_are_invited_alike(cast, ada, mails):
    known, unknown = (invite(ada, email) for email in ("bob@example.com", "nobody@example.com"))
    assert known.status_code == unknown.status_code == 201
    assert set(known.json()) == set(unknown.json())
    texts = [mail.body.replace(token_in(mail), "") for mail in mails]
    assert texts[0] == texts[1]


def test_a_member_is_not_invited_again(cast, ada, mails):
    assert refusal(invite(ada, " Grace@Example.com")) == (409, "conflict")
    assert not mails


def test_of_two_invitations_the_last_link_is_good(cast, ada, mails):
    first, second = invite(ada), invite(ada, "New@Example.com", role="viewer")
    assert first.json()["id"] == second.json()["id"]
    assert refusal(accept(token_in(mails[0]), password=NEW)) == (400, "link_not_valid")
    assert accept(token_in(mails[1]), password=NEW).json()["role"] == "viewer"


def test_two_tenants_invite_without_knowing_of_each_other(cast, ada, mails):
    admin = cast.client(cast.grace, "globex")
    invite(ada)
    invite(admin)
    for client, mail in ((ada, mails[0]), (admin, mails[1])):
        assert client.get("/api/invitations/").json()["count"] == 1
        assert accept(token_in(mail), **({"password": NEW} if client is ada else {})).status_code == 200
    tenants = Membership.objects.filter(user__email="new@example.com").values_list("tenant_id", flat=True)
    assert sorted(tenants) == ["acme", "globex"]


def test_one_that_was_taken_back_is_not_good_and_not_there(cast, ada, mails):
    theirs = cast.client(cast.grace, "globex")
    key = invite(ada).json()["id"]
    for stranger in (
        theirs.delete(f"/api/invitations/{key}/"),
        ada.delete(f"/api/invitations/{uuid.uuid4()}/"),
    ):
        assert refusal(stranger) == (404, "not_found")
    assert ada.delete(f"/api/invitations/{key}/").status_code == 204
    assert refusal(accept(token_in(mails[0]), password=NEW)) == (400, "link_not_valid")
    assert ada.get("/api/invitations/").json()["results"] == []


def test_it_is_good_for_a_week(cast, ada, mails, clock):
    invite(ada)
    clock.advance(days=7, seconds=1)
    assert refusal(accept(token_in(mails[0]), password=NEW)) == (400, "link_not_valid")
    clock.advance(seconds=-10)
    assert accept(token_in(mails[0]), password=NEW).status_code == 200


def test_a_tenant_that_is_gone_is_joined_by_nobody(cast, ada, mails):
    invite(ada)
    with only_tenants("globex"):
        assert refusal(accept(token_in(mails[0]), password=NEW)) == (400, "link_not_valid")


@pytest.mark.parametrize("password", ["short", "password1234", "Freehold-2026", "new@example.com"])
def test_a_weak_password_spends_nothing(cast, ada, mails, password):
    invite(ada)
    token = token_in(mails[0])
    response = accept(token, password=password)
    assert refusal(response) == (400, "invalid")
    assert set(response.json()["errors"]) == {"password"}
    assert accept(token, password=NEW).status_code == 200


@pytest.mark.parametrize(
    "email", ["", "nobody", "a@b", "two@example.com, more@example.com", "a\r\nBcc: x@example.com", None, 1]
)
def test_an_address_that_is_none_is_refused(cast, ada, mails, email):
    assert invite(ada, email).status_code == 400
    assert not mails


def test_letters_that_look_alike_are_refused(cast, ada, mails):
    """Not ASCII before the @: the mail would go to one, and the account be another's."""
    response = invite(ada, "m\u0131ke@example.com")
    assert refusal(response) == (400, "invalid")
    assert not mails


def test_the_database_has_no_link_in_it(cast, ada, mails):
    invite(ada)
    token = token_in(mails[0])
    row = Invitation.objects.values().get()
    assert token not in str(row)


def test_a_tenants_name_breaks_no_header_and_no_page(cast, ada, mails, settings):
    settings.SERVICE_NAME = "Free\nhold <b>"
    invite(ada)
    (mail,) = mails
    assert "\n" not in mail.subject
    assert "<b>" in mail.body, "Text is text."
    assert "Free\nhold &lt;b&gt;" in mail.alternatives[0][0]


@databases("control", transaction=True)
def test_of_several_at_once_one_comes_in(cast, mailoutbox):
    invitation = invitations.invite(
        "acme",
        "new@example.com",
        Role.MEMBER,
        inviter=cast.ada,
        by=Role.OWNER,
        who=invitations.person(cast.ada),
    )
    invitations.send_invitation_mail(str(invitation.pk))
    token, won, lost, barrier = token_in(mailoutbox[0]), [], [], threading.Barrier(6)

    def come():
        barrier.wait(timeout=30)
        try:
            won.append(invitations.accept(token, NEW, "", NOWHERE))
        except LinkNotValid:
            lost.append(1)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=come) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 5)
    assert Membership.objects.filter(tenant_id="acme", user__email="new@example.com").count() == 1


def demote(cast, ada):
    Membership.objects.filter(user=cast.grace, tenant_id="acme").update(role=Role.VIEWER)


AFTERWARDS = {
    "removed": lambda cast, ada: ada.delete(f"/api/members/{cast.grace.pk}/"),
    "lowered": demote,
    "deactivated": lambda cast, ada: User.objects.filter(pk=cast.grace.pk).update(is_active=False),
    "deleted": lambda cast, ada: cast.grace.delete(),
}


@pytest.mark.parametrize("what", AFTERWARDS)
def test_an_invitation_is_as_good_as_who_sent_it_is_now(cast, ada, mails, what):
    Membership.objects.filter(user=cast.grace, tenant_id="acme").update(role=Role.OWNER)
    assert invite(cast.client(cast.grace, "acme"), role="owner").status_code == 201
    AFTERWARDS[what](cast, ada)
    assert refusal(accept(token_in(mails[0]), password=NEW)) == (400, "link_not_valid")
    assert not User.objects.filter(email="new@example.com").exists()


def test_who_was_removed_does_not_come_back_by_a_link_from_before(cast, ada, mails):
    invite(ada, "eve@example.com", role="admin")
    Membership.objects.create(user=cast.eve, tenant_id="acme", role=Role.MEMBER)
    assert ada.delete(f"/api/members/{cast.eve.pk}/").status_code == 204
    assert refusal(accept(token_in(mails[0]))) == (400, "link_not_valid")


def test_an_admin_does_not_undo_what_an_owner_did(cast, ada, mails):
    Membership.objects.filter(user=cast.grace, tenant_id="acme").update(role=Role.ADMIN)
    admin = cast.client(cast.grace, "acme")
    key = invite(ada, role="owner").json()["id"]
    assert refusal(invite(admin, role="viewer")) == (403, "forbidden")
    assert refusal(admin.delete(f"/api/invitations/{key}/")) == (403, "forbidden")
    assert accept(token_in(mails[0]), password=NEW).json()["role"] == "owner"


def test_nobody_is_flooded_with_mails(cast, ada, mails):
    statuses = [invite(ada).status_code for _ in range(7)]
    assert statuses == [201] * 5 + [429] * 2
    assert len(mails) == 5
    assert invite(ada, "else@example.com").status_code == 201


@pytest.mark.parametrize("name", ["Support\n\nClick https://evil.test/", "a\u2028b", "a\x1bb", "a\tb"])
def test_a_name_is_a_name_and_no_letter(cast, ada, mails, name):
    invite(ada)
    response = accept(token_in(mails[0]), password=NEW, name=name)
    assert refusal(response) == (400, "invalid")
    assert set(response.json()["errors"]) == {"name"}
