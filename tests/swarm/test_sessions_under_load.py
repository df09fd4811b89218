"""Keys change and sessions end while many clients are at work: nobody is turned away who should not be, and
nobody is let in who should not be any more.

A gunicorn of two processes, each with what it remembers of its own, in front of SQLite.
"""

from __future__ import annotations

import base64
import http.client
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest

from tests.swarm.servers import ROOT, serve

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
    folder = tmp_path_factory.mktemp("service")
    (folder / "tenants.yaml").write_text(
        "version: 1\ntenants:\n  acme: {name: Acme, url: 'sqlite:///acme.sqlite3'}\n"
    )
    environment = {
        **{name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ},
        "DEBUG": "1",
        "TENANTS_FILE": str(folder / "tenants.yaml"),
        "TENANCY_CACHE_DIR": str(folder),
        "CONTROL_DATABASE_URL": f"sqlite:///{folder / 'control.sqlite3'}",
        "JWT_KEYS_DIR": str(folder / "keys"),
        "WEB_CONCURRENCY": "2",
    }

    def manage(*arguments):
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    manage("signingkey", "create")
    for alias in ("control", "acme"):
        manage("migrate", "--database", alias, "--verbosity", "0")
    manage("shell", "-c", PEOPLE % PASSWORD)
    with serve("wsgi", folder, environment) as server:
        yield server.port, manage


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


def kid_of(token):
    part = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))["kid"]


@dataclass
class Client:
    """Somebody who reads all the time, and refreshes now and then."""

    port: int
    pair: dict
    statuses: Counter = field(default_factory=Counter)

    def work(self, stop):
        for number in itertools.count():
            if stop.is_set():
                return
            if number % 10 == 0:
                status, pair = call(
                    self.port, "POST", "/api/token/refresh/", body={"refresh": self.pair["refresh"]}
                )
                self.pair = pair if status == 200 else self.pair
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


def until(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "It did not happen in time."
        time.sleep(0.05)


def published(port):
    return {jwk["kid"] for jwk in call(port, "GET", "/.well-known/jwks.json")[1]["keys"]}


def test_keys_change_and_nobody_is_turned_away(service, clients):
    port, manage = service
    for _ in range(ROTATIONS):
        (old,) = published(port)
        manage("signingkey", "create", "--signs-in", "00:05")
        until(lambda before=old: len(published(port) - {before}) == 1, 4)
        (new,) = published(port) - {old}
        assert {kid_of(client.pair["access"]) for client in clients} == {old}, "It is published first."
        until(lambda after=new: {kid_of(client.pair["refresh"]) for client in clients} == {after})
        kept = sign_in(port)
        manage("signingkey", "retire", old, "--now")
        until(lambda before=old: before not in published(port), 5)
        assert call(port, "GET", "/api/me/", token=kept["access"])[0] == 200
    statuses = sum((client.statuses for client in clients), Counter())
    assert set(statuses) == {200}, statuses
    assert statuses[200] > 200


def test_what_a_retired_key_signed_is_refused_by_every_process(service):
    port, manage = service
    (old,) = published(port)
    before = sign_in(port)
    manage("signingkey", "create", "--signs-in", "00:00")
    manage("signingkey", "retire", old, "--now")
    time.sleep(2.5)  # the second of a look, and the clock's grain
    assert {call(port, "GET", "/api/me/", token=before["access"])[0] for _ in range(20)} == {401}


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
            sid = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["sid"]
            status, _ = call(port, "DELETE", f"/api/me/sessions/{sid}/", token=token)
        assert status == 204
        stale += [
            status for _ in range(3) if (status := call(port, "GET", "/api/me/", token=token)[0]) != 401
        ]
    assert stale == []
    statuses = sum((client.statuses for client in clients), Counter())
    assert set(statuses) == {200}, statuses
