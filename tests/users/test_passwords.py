"""Changing, resetting and first getting a password."""

from __future__ import annotations

import threading

import pytest
from django.db import connections
from rest_framework.test import APIClient

from tenancy.audit.models import Event
from tenancy.testing import databases
from users import later, passwords, tasks
from users.errors import LinkNotValid
from users.families import open_family
from users.models import TokenFamily, User
from users.origin import NOWHERE
from users.passwords import reset_password
from users.testing import PASSWORD, token_in

pytestmark = databases("control")

NEW = "a-brand-new-password"
WEAK = {"short": "short-1", "common": "password1234567"[:11], "context": "Freehold-2026"}


def ask(email, address="192.0.2.1"):
    return APIClient().post("/api/password/reset/", {"email": email}, REMOTE_ADDR=address)


def confirm(token, password=NEW):
    return APIClient().post("/api/password/reset/confirm/", {"token": token, "password": password})


def sign_in(email, password):
    return APIClient().post("/api/token/", {"email": email, "password": password})


def refusal(response):
    return response.status_code, response.json()["code"]


# Reset


@pytest.fixture
def unusable(cast):
    cast.grace.set_unusable_password()
    cast.grace.save()
    return cast.grace


@pytest.fixture
def inactive(cast):
    cast.bob.is_active = False
    cast.bob.save()
    return cast.bob


def test_everybody_is_answered_alike_and_only_an_account_gets_a_mail(cast, mails, unusable, inactive):
    emails = ["ada@example.com", "nobody@example.com", "bob@example.com", "grace@example.com", "no address"]
    answers = [ask(email) for email in emails]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert [mail.to for mail in mails] == [["ada@example.com"], ["grace@example.com"]]
    assert [mail.subject for mail in mails] == [
        "Reset your Freehold password",
        "Choose your Freehold password",
    ]


def test_the_request_itself_does_not_look_whether_there_is_an_account(cast, monkeypatch):
    """What it does not do cannot take a different time."""
    sent = []
    monkeypatch.setattr("users.api.passwords.later", lambda task, *arguments: sent.append(arguments))
    monkeypatch.setattr(User.objects, "get_by_natural_key", None)
    assert ask("ada@example.com").status_code == ask("nobody@example.com").status_code == 202
    assert sent == [("ada@example.com",), ("nobody@example.com",)]


def test_a_mail_goes_to_the_address_that_is_stored(cast, mails):
    """CVE-2019-19844: an address that folds to another's is that other's, and the mail goes to them."""
    User.objects.create_user("mike@example.org", PASSWORD)
    for typed in (
        "MIKE@EXAMPLE.ORG",
        "\uff4dike@example.org",
        "mi\u212ae@example.org",
        "m\u0131ke@example.org",
    ):
        ask(typed, address=None)
    assert {mail.to[0] for mail in mails} == {"mike@example.org"}


def test_the_link_leads_where_the_settings_say_whatever_the_host(cast, mails, settings):
    settings.ALLOWED_HOSTS = ["*"]
    settings.ACCOUNT_URL = "https://app.example.com/account/"
    APIClient().post("/api/password/reset/", {"email": "ada@example.com"}, HTTP_HOST="evil.test")
    (mail,) = mails
    html = mail.alternatives[0][0]
    for text in (mail.body, html):
        assert "https://app.example.com/account/password/#" in text
        assert "evil" not in text
    assert token_in(mail) in html


def test_a_reset_sets_the_password_once_and_ends_every_session(cast, mails):
    pair = open_family(cast.ada, "acme")
    ask("ada@example.com")
    token = token_in(mails[0])
    assert confirm(token).status_code == 204
    assert sign_in("ada@example.com", PASSWORD).status_code == 401
    assert APIClient().get("/api/me/", HTTP_AUTHORIZATION=f"Bearer {pair.access}").status_code == 401
    assert APIClient().post("/api/token/refresh/", {"refresh": pair.refresh}).status_code == 401
    assert refusal(confirm(token, "another-new-password")) == (400, "link_not_valid")
    assert sign_in("ada@example.com", NEW).status_code == 200
    assert [mail.subject for mail in mails][1:] == ["Your Freehold password was changed"]
    assert Event.objects.get(action="password.reset").actor_id == str(cast.ada.pk)


def test_a_token_does_not_open_another_account(cast, mails):
    ask("ada@example.com")
    key, _, rest = token_in(mails[0]).partition(".")
    for forged in (f"{cast.bob.pk.hex}.{rest}", f"{cast.bob.pk}.{rest}", f"{key.upper()}.{rest}", rest, key):
        assert refusal(confirm(forged)) == (400, "link_not_valid")
    assert sign_in("bob@example.com", PASSWORD).status_code == 200
    assert confirm(token_in(mails[0])).status_code == 204, "The control."


@pytest.mark.parametrize(
    "change",
    [
        lambda user: user.set_password("changed-meanwhile"),
        lambda user: setattr(user, "email", "ada@example.net"),
        lambda user: setattr(user, "is_active", False),
    ],
    ids=["the password", "the address", "active"],
)
def test_a_token_is_over_when_the_account_has_changed(cast, mails, change):
    ask("ada@example.com")
    change(cast.ada)
    cast.ada.save()
    assert refusal(confirm(token_in(mails[0]))) == (400, "link_not_valid")


def test_a_token_is_over_after_an_hour(cast, mails, monkeypatch):
    ask("ada@example.com")
    real = passwords.reset_tokens._now
    for minutes, status in ((61, 400), (59, 204)):
        moved = real().__class__.now().timestamp() + minutes * 60
        monkeypatch.setattr(passwords.reset_tokens, "_num_seconds", lambda _, at=moved: int(at) - 978307200)
        assert confirm(token_in(mails[0])).status_code == status


@pytest.mark.parametrize("token", ["", "x", "." * 50, "\u00fc.1-2", "a" * 201, None, 1, ["x"], {"x": 1}])
def test_nonsense_is_refused(cast, token):
    assert confirm(token).status_code == 400


@pytest.mark.parametrize("weak", [*WEAK.values(), "ada@example.com", "", "x" * 1025, None])
def test_a_weak_password_is_refused_and_spends_nothing(cast, mails, weak):
    ask("ada@example.com")
    response = confirm(token_in(mails[0]), weak)
    assert refusal(response) == (400, "invalid")
    assert response.json()["errors"]["password"]
    assert confirm(token_in(mails[0])).status_code == 204


def test_who_never_had_a_password_gets_the_first(unusable, mails):
    ask("grace@example.com")
    assert confirm(token_in(mails[0])).status_code == 204
    assert refusal(sign_in("grace@example.com", NEW)) == (400, "tenant_required")


def test_asking_often_has_to_wait_for_whoever_it_is(cast, mails):
    for email in ("ada@example.com", "nobody@example.com"):
        assert [ask(email).status_code for _ in range(4)] == [202, 202, 202, 429]
    assert refusal(ask("ada@example.com")) == (429, "throttled")
    assert int(ask("ada@example.com")["Retry-After"]) > 60
    assert ask("bob@example.com").status_code == 202


def test_a_reset_opens_an_account_that_was_guessed_at(cast, mails):
    for _ in range(11):
        sign_in("ada@example.com", "wrong")
    assert sign_in("ada@example.com", PASSWORD).status_code == 429
    ask("ada@example.com")
    assert confirm(token_in(mails[0])).status_code == 204
    assert sign_in("ada@example.com", NEW).status_code == 200


def test_a_mail_server_that_is_down_is_nobodys_business(cast, monkeypatch, settings, caplog):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    monkeypatch.setattr(later, "connections", {"control": type("Open", (), {"close": lambda self: None})()})

    class AtOnce:
        def submit(self, do, *arguments):
            do(*arguments)
            return later.Future()

    monkeypatch.setattr(later, "_executor", AtOnce)
    assert ask("ada@example.com").status_code == 202
    later._waiting.clear()
    assert "A mail was not sent." in caplog.text


@databases("control", transaction=True)
def test_mail_is_sent_by_a_thread_that_keeps_nothing_open(cast, mailoutbox):
    later.later(tasks.reset_mail, "ada@example.com")
    later.wait()
    assert [mail.to for mail in mailoutbox] == [["ada@example.com"]]


@databases("control", transaction=True)
def test_of_several_at_once_one_spends_the_token(cast, mailoutbox):
    passwords.send_reset_mail("ada@example.com")
    token, won, lost = token_in(mailoutbox[0]), [], []
    barrier = threading.Barrier(6)

    def spend(number):
        barrier.wait(timeout=30)
        try:
            reset_password(token, f"password-of-number-{number}", NOWHERE)
            won.append(number)
        except LinkNotValid:
            lost.append(number)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=spend, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 5)
    assert sign_in("ada@example.com", f"password-of-number-{won[0]}").status_code == 200


# Change


def change(client, current=PASSWORD, new=NEW):
    return client.post("/api/me/password/", {"current_password": current, "new_password": new})


def test_a_change_ends_every_session_and_opens_one_here(cast, mails):
    here, there = cast.client(cast.ada, "acme"), cast.client(cast.ada, "acme")
    response = change(here)
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert here.get("/api/me/").status_code == there.get("/api/me/").status_code == 401
    here.credentials(HTTP_AUTHORIZATION=f"Bearer {response.json()['access']}")
    assert here.get("/api/me/").json()["tenant"]["id"] == "acme"
    assert sign_in("ada@example.com", PASSWORD).status_code == 401
    assert TokenFamily.objects.living(User.objects.get(pk=cast.ada.pk)).count() == 1
    assert mails[0].to == ["ada@example.com"]
    assert Event.objects.filter(action="password.changed", outcome="ok").count() == 1


def test_the_old_password_has_to_be_right_and_cannot_be_guessed(cast, mails):
    here = cast.client(cast.ada, "acme")
    for _ in range(10):
        response = change(here, "wrong")
        assert refusal(response) == (400, "invalid")
        assert set(response.json()["errors"]) == {"current_password"}
    assert refusal(change(here)) == (429, "throttled")
    assert here.get("/api/me/").status_code == 200
    assert Event.objects.filter(action="password.changed", outcome="refused").count() == 10


@pytest.mark.parametrize("weak", WEAK.values(), ids=WEAK)
def test_the_new_one_has_to_be_good(cast, mails, weak):
    here = cast.client(cast.ada, "acme")
    response = change(here, new=weak)
    assert refusal(response) == (400, "invalid")
    assert set(response.json()["errors"]) == {"new_password"}
    assert here.get("/api/me/").status_code == 200
