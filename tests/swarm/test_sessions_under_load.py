"""Keys change and sessions end while many clients are at work: nobody is turned away who should not be, and
nobody is let in who should not be any more.

A gunicorn of two processes, each with what it remembers of its own, in front of SQLite.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from tests.swarm.servers import SmallService, serve

PASSWORD = "correct-horse-battery"
PEOPLE = """
from users.models import Membership, User
for number in range(4):
    user = User.objects.create_user(f"person{number}@example.com", "%s")
    Membership.objects.create(user=user, tenant_id="acme", role="member")
"""
CLIENTS, REVOCATIONS, ROTATIONS = 6, 100, 3


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A port, and a function that runs ``manage.py`` for the same service."""
    service = SmallService(tmp_path_factory.mktemp("service"), ["acme"], WEB_CONCURRENCY="2")
    service.manage("signingkey", "create")
    for alias in ("control", "acme"):
        service.manage("migrate", "--database", alias, "--verbosity", "0")
    service.manage("shell", "-c", PEOPLE % PASSWORD)
    with serve("wsgi", service.folder, service.environment) as server:
        yield server.port, service.manage


def call(port, method, path, *, token="", body=None):
    """One request over a connection of its own, so that either process may get it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else {}
    finally:
        connection.close()


def sign_in(port, number=0):
    body = {"email": f"person{number}@example.com", "password": PASSWORD}
    status, pair = call(port, "POST", "/api/token/", body=body)
    assert status == 200, pair
    return pair


def part_of(token, number):
    part = token.split(".")[number]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def kid_of(token):
    return part_of(token, 0)["kid"]


@dataclass
class Client:
    """Somebody who reads all the time, and refreshes now and then."""

    port: int
    pair: dict
    statuses: Counter = field(default_factory=Counter)
    #: Which key signed, and when the answer was there. Not the token's own time, which is of a moment before
    #: the key is chosen: on a busy machine a new one may begin between the two.
    signed: list = field(default_factory=list)

    def work(self, stop):
        for number in itertools.count():
            if stop.is_set():
                return
            if number % 10 == 0:
                status, pair = call(
                    self.port, "POST", "/api/token/refresh/", body={"refresh": self.pair["refresh"]}
                )
                if status == 200:
                    self.pair = pair
                    self.signed.append((kid_of(pair["access"]), time.time()))
            else:
                status, _ = call(self.port, "GET", "/api/me/", token=self.pair["access"])
            self.statuses[status] += 1


@pytest.fixture
def clients(service):
    """Clients at work until the test is over."""
    port, _ = service
    found = [Client(port, sign_in(port, number % 4)) for number in range(CLIENTS)]
    stop = threading.Event()
    threads = [threading.Thread(target=client.work, args=(stop,)) for client in found]
    for thread in threads:
        thread.start()
    yield found
    stop.set()
    for thread in threads:
        thread.join()


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.05)


def published(port):
    """What each of a number of answers has, whichever process it comes from."""
    answers = [call(port, "GET", "/.well-known/jwks.json")[1]["keys"] for _ in range(8)]
    return [{jwk["kid"] for jwk in keys} for keys in answers]


def begins(kid):
    return datetime.strptime(kid[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()


def test_keys_change_and_nobody_is_turned_away(service, clients):
    port, manage = service
    (old,) = set.union(*published(port))
    for _ in range(ROTATIONS):
        manage("signingkey", "create", "--signs-in", "00:15")
        until(lambda: all(len(keys) == 2 for keys in published(port)))
        new = (published(port)[0] - {old}).pop()
        assert time.time() < begins(new), "It is published first."
        until(lambda after=new: {kid_of(client.pair["refresh"]) for client in clients} == {after})
        kept = sign_in(port)
        manage("signingkey", "retire", old, "--now")
        until(lambda after=new: all(keys == {after} for keys in published(port)))
        assert call(port, "GET", "/api/me/", token=kept["access"])[0] == 200
        old = new
    signed = [pair for client in clients for pair in client.signed]
    assert len({kid for kid, _ in signed}) == ROTATIONS + 1
    assert [(kid, at) for kid, at in signed if at < begins(kid)] == []
    statuses = sum((client.statuses for client in clients), Counter())
    assert set(statuses) == {200}, statuses
    assert statuses[200] > 200


def test_what_a_retired_key_signed_is_refused_by_every_process(service):
    port, manage = service
    (old,) = set.union(*published(port))
    before = sign_in(port)
    manage("signingkey", "create", "--signs-in", "00:00")
    manage("signingkey", "retire", old, "--now")

    def asked():
        return {call(port, "GET", "/api/me/", token=before["access"])[0] for _ in range(20)}

    until(lambda: asked() == {401})
    assert asked() == {401}


def test_a_session_that_was_ended_is_over_everywhere_at_once(service, clients):
    port, _ = service
    stale = []
    for number in range(REVOCATIONS):
        pair = sign_in(port, number % 4)
        token = pair["access"]
        assert {call(port, "GET", "/api/me/", token=token)[0] for _ in range(2)} == {200}
        if number % 2:
            status, _ = call(port, "POST", "/api/token/revoke/", body={"refresh": pair["refresh"]})
        else:
            sid = part_of(token, 1)["sid"]
            status, _ = call(port, "DELETE", f"/api/me/sessions/{sid}/", token=token)
        assert status == 204
        stale += [
            status for _ in range(3) if (status := call(port, "GET", "/api/me/", token=token)[0]) != 401
        ]
    assert stale == []
    statuses = sum((client.statuses for client in clients), Counter())
    assert set(statuses) == {200}, statuses
