"""Guessing is slowed down, for an account and for an address, however many processes it is spread over."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connections
from django.test import Client, RequestFactory, override_settings
from rest_framework.test import APIClient

from tenancy.audit.models import Event
from tenancy.testing import databases
from users import brakes, origin
from users.brakes import RESET_ACCOUNT, SIGN_IN_ACCOUNT, SIGN_IN_ADDRESS, attempt_sign_in
from users.errors import TooManyAttempts
from users.models import Attempts
from users.origin import Origin
from users.testing import PASSWORD

pytestmark = databases("control")


def sign_in(email, password, address="192.0.2.1", **headers):
    body = {"email": email, "password": password}
    return APIClient().post("/api/token/", body, REMOTE_ADDR=address, **headers)


def fail(email="ada@example.com", times=10, **options):
    for _ in range(times):
        assert sign_in(email, "wrong", **options).status_code == 401


@pytest.mark.parametrize("email", ["ada@example.com", "nobody@example.com"], ids=["known", "unknown"])
def test_after_ten_failures_the_next_has_to_wait(cast, email, clock):
    fail(email)
    for password in ("wrong", PASSWORD):
        response = sign_in(email, password)
        assert (response.status_code, response.json()["code"]) == (429, "throttled")
        assert 0 < int(response["Retry-After"]) <= 30
    clock.advance(seconds=31)
    assert sign_in(email, "wrong").status_code == 401, "Not a lock-out: it may be tried again."
    response = sign_in(email, "wrong")
    assert response.status_code == 429
    assert 30 < int(response["Retry-After"]) <= 60, "And has to wait twice as long."


def test_known_and_unknown_are_refused_alike(cast):
    answers = []
    for email in ("ada@example.com", "nobody@example.com"):
        fail(email)
        answers.append(sign_in(email, "wrong"))
    assert answers[0].content == answers[1].content
    assert answers[0]["Retry-After"] == answers[1]["Retry-After"]


def test_one_account_however_it_is_written(cast):
    for email in ("ada@example.com", "ADA@example.com", " Ada@Example.Com", "\uff41da@example.com") * 3:
        sign_in(email, "wrong")
    assert Attempts.objects.filter(key__startswith=SIGN_IN_ACCOUNT.name).count() == 1
    assert sign_in("ada@example.com", PASSWORD).status_code == 429


def test_others_sign_in_as_ever(cast):
    fail("ada@example.com")
    assert sign_in("bob@example.com", PASSWORD).status_code == 200


def test_a_success_begins_anew(cast):
    fail(times=9)
    assert sign_in("ada@example.com", PASSWORD).status_code == 200
    fail(times=9)
    assert sign_in("ada@example.com", PASSWORD).status_code == 200


def test_successes_count_for_nobody(cast):
    for _ in range(30):
        assert sign_in("ada@example.com", PASSWORD).status_code == 200
    assert set(Attempts.objects.values_list("count", flat=True)) == {0}


def test_an_address_that_tries_many_accounts_has_to_wait(cast, clock, monkeypatch):
    monkeypatch.setattr(brakes, "SIGN_IN_ADDRESS", brakes.Brake("a", 6, *[timedelta(minutes=1)] * 3))
    for number in range(6):
        fail(f"person{number}@example.com", times=1, address="192.0.2.9")
    assert sign_in("ada@example.com", PASSWORD, address="192.0.2.9").status_code == 429
    assert sign_in("ada@example.com", PASSWORD, address="192.0.2.10").status_code == 200
    clock.advance(seconds=61)
    assert sign_in("ada@example.com", PASSWORD, address="192.0.2.9").status_code == 200


def test_a_household_of_ipv6_is_one_address():
    assert Origin("2001:db8:1:2::1").network == Origin("2001:db8:1:2:ffff::9").network
    assert Origin("2001:db8:1:2::1").network != Origin("2001:db8:1:3::1").network
    assert Origin("192.0.2.1").network != Origin("192.0.2.2").network


@pytest.mark.parametrize(
    ("proxies", "forwarded", "seen"),
    [
        (0, "203.0.113.9", "192.0.2.1"),
        (1, "203.0.113.9", "203.0.113.9"),
        (1, "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (2, "6.6.6.6, 203.0.113.9, 10.0.0.1", "203.0.113.9"),
        (1, "nonsense", None),
        (1, "::ffff:203.0.113.9", "203.0.113.9"),
    ],
)
def test_what_a_client_says_of_its_address_is_not_believed(settings, proxies, forwarded, seen):
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": proxies}
    sign_in("nobody@example.com", "wrong", HTTP_X_FORWARDED_FOR=forwarded)
    assert Event.objects.get().address == seen


def test_a_hundred_failures_in_a_row_close_it_until_the_password_is_reset(cast, clock):
    Attempts.objects.create(
        key=brakes._key(SIGN_IN_ACCOUNT, "ada@example.com"), total=99, since=clock.now(), at=clock.now()
    )
    fail(times=1)
    clock.advance(days=30)
    assert sign_in("ada@example.com", PASSWORD).status_code == 429
    brakes.forget_account("ADA@example.com")
    assert sign_in("ada@example.com", PASSWORD).status_code == 200


def test_who_has_to_wait_leaves_no_rows_behind(cast, monkeypatch):
    monkeypatch.setattr(brakes, "SIGN_IN_ADDRESS", brakes.Brake("a", 3, *[timedelta(minutes=1)] * 3))
    for number in range(9):
        sign_in(f"person{number}@example.com", "wrong")
    assert Attempts.objects.count() == 4
    assert Event.objects.filter(action="sign_in.braked").count() == 1


def test_those_without_an_address_are_one(cast, monkeypatch):
    monkeypatch.setattr(brakes, "SIGN_IN_ADDRESS", brakes.Brake("a", 3, *[timedelta(minutes=1)] * 3))
    statuses = [sign_in(f"p{n}@example.com", "wrong", address="nonsense").status_code for n in range(4)]
    assert statuses == [401, 401, 401, 429]
    assert Origin.of(RequestFactory().get("/", REMOTE_ADDR="fe80::1%eth0")).address == "fe80::1"


def test_a_window_that_is_over_is_forgotten(cast, clock):
    fail(times=10)
    clock.advance(minutes=16)
    fail(times=9)


def test_the_admin_brakes_too(cast):
    cast.ada.is_staff = True
    cast.ada.save()
    client = Client()
    form = {"username": "ada@example.com", "password": "wrong"}
    for _ in range(10):
        assert client.post("/admin/login/", form, secure=True).status_code == 200
    response = client.post("/admin/login/", form | {"password": PASSWORD}, secure=True)
    assert response.status_code == 200
    assert b"Too many attempts" in response.content
    assert Event.objects.filter(action="sign_in", outcome="refused").count() == 10


@databases("control", transaction=True)
@override_settings(TENANCY_POOL_WAIT=20)  # nine threads, eight connections, and a disk that may be slow
def test_of_many_at_once_no_more_get_through_than_in_a_row():
    passed, refused = [], []
    barrier = threading.Barrier(8)

    def guess():
        barrier.wait(timeout=30)
        try:
            for _ in range(4):
                try:
                    attempt_sign_in("ada@example.com", Origin("192.0.2.1"))
                except TooManyAttempts as exc:
                    refused.append(exc.retry_after)
                else:
                    passed.append(1)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(passed), len(refused)) == (SIGN_IN_ACCOUNT.free, 22)


def test_the_waits_grow_and_end():
    waits = [SIGN_IN_ACCOUNT.wait_after(count).total_seconds() for count in (1, 9, 10, 11, 12, 15, 60, 9999)]
    assert waits == [0, 0, 30, 60, 120, 900, 900, 900]
    assert SIGN_IN_ADDRESS.wait_after(99) == timedelta()
    assert RESET_ACCOUNT.wait_after(3) == timedelta(minutes=15)


def test_a_proxy_that_nobody_told_of_is_in_the_log_once(settings, caplog):
    origin._warn.cache_clear()
    request = RequestFactory().get("/", HTTP_X_FORWARDED_FOR="192.0.2.7")
    for _ in range(2):
        assert Origin.of(request).address == "127.0.0.1"
    (line,) = [each for each in caplog.messages if "NUM_PROXIES" in each]
    assert "192.0.2.7" not in line
    origin._warn.cache_clear()
    caplog.clear()
    Origin.of(RequestFactory().get("/"))
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"NUM_PROXIES": 1}
    Origin.of(request)
    assert caplog.messages == []
