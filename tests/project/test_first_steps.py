"""The README from the first command to the fourth tenant: real commands, a real server, real requests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from project.settings import TENANT_APPS
from tests import settings as test_settings

ROOT = Path(__file__).resolve().parents[2]
TENANTS = ("acme", "globex", "initech", "umbrella")


class Steps:
    """A newcomer's shell: an environment, commands, and a server to start and stop."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.file = folder / "tenants.yaml"
        self.env = {
            "PATH": os.environ["PATH"],
            "DEBUG": "1",
            "TENANTS_FILE": str(self.file),
            "JWT_KEYS_DIR": str(folder / "keys"),
            "CONTROL_DATABASE_URL": self.url("control"),
        }
        self.file.write_text("version: 1\ntenants:\n" + "".join(map(self.entry, TENANTS[:3])))

    def url(self, name: str) -> str:
        if test_settings.ENGINE == "sqlite":
            return f"sqlite:///{self.folder / name}.sqlite3"
        server = test_settings._base
        return f"{server}/{self.database(name)}"

    def database(self, name: str) -> str:
        return f"steps_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{name}"

    def entry(self, tenant: str) -> str:
        lines = [f"  {tenant}:", f"    name: {tenant.title()}", f"    url: {self.url(tenant)}"]
        return "\n".join([*lines, "    labels: {plan: gold}", ""])

    def manage(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=self.env, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def server(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "project.wsgi", "--config", "python:project.gunicorn"]
        process = subprocess.Popen(
            [*command, "--bind", f"127.0.0.1:{port}"],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.base = f"http://127.0.0.1:{port}"
        try:
            self.wait_until_it_serves(process)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            self.output, _ = process.communicate(timeout=20)
        assert process.returncode == 0, self.output

    def wait_until_it_serves(self, process):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and process.poll() is None:
            try:
                self.call("/livez")
            except OSError:
                time.sleep(0.1)  # nothing to wait on: the server is another process
            else:
                return
        raise AssertionError("The server did not start.")

    def call(self, path, token=None, body=None):
        request = urllib.request.Request(self.base + path)
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, json.load(answer)

    def status_of(self, line="GET /livez HTTP/1.1", *headers):
        """The status of a request that is written by hand."""
        port = int(self.base.rpartition(":")[2])
        text = "\r\n".join([line, "Host: localhost", "Connection: close", *headers, "", ""])
        with socket.create_connection(("127.0.0.1", port), 10) as line_to_it:
            line_to_it.sendall(text.encode())
            return int(line_to_it.recv(4096).split()[1])

    def sign_in(self, name, tenant=None):
        body = {"email": f"{name}@example.com", "password": "correct-horse-battery"}
        return self.call("/api/token/", body=body | ({"tenant_id": tenant} if tenant else {}))


@pytest.fixture
def steps(tmp_path):
    steps = Steps(tmp_path)
    if test_settings.ENGINE == "sqlite":
        yield steps
        return
    host = test_settings.DATABASES["control"]["HOST"]
    server = psycopg2.connect(host=host, user="postgres", dbname="postgres")
    server.autocommit = True
    names = [steps.database(name) for name in ("control", *TENANTS)]
    with server.cursor() as cursor:
        for name in names:
            cursor.execute(f'CREATE DATABASE "{name}"')
        yield steps
        for name in names:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    server.close()


def test_a_newcomer_serves_three_tenants_and_adds_a_fourth(steps):
    assert "3 tenants, all valid" in steps.manage("tenants", "check")
    steps.manage("signingkey", "create", "--if-missing")
    assert "432 new products" in steps.manage("demo")
    assert "0 new products" in steps.manage("demo")

    with steps.server():
        status, ada = steps.sign_in("ada")
        assert (status, ada["tenant_id"]) == (200, "acme")
        status, page = steps.call("/api/products/?page_size=1", ada["access"])
        assert (status, page["count"]) == (200, 432)
        ours = page["results"][0]["id"]

        status, bob = steps.sign_in("bob")
        foreign = steps.call(f"/api/products/{ours}/", bob["access"])
        assert foreign == steps.call(f"/api/products/{uuid.uuid4()}/", bob["access"])
        assert foreign[0] == 404

        status, eve = steps.sign_in("eve")
        assert (status, eve["code"]) == (403, "tenant_forbidden")

        status, choice = steps.sign_in("grace")
        assert (status, choice["code"]) == (400, "tenant_required")
        _, grace = steps.sign_in("grace", "acme")
        status, switched = steps.call("/api/token/switch/", grace["access"], {"tenant_id": "globex"})
        assert (status, switched["tenant_id"]) == (200, "globex")
        assert steps.call("/api/products/?page_size=1", switched["access"])[1]["count"] == 336
        # A head that is longer than any of ours is refused before Django sees it.
        assert steps.status_of() == 200
        assert steps.status_of("GET /livez HTTP/1.1", f"X-Much: {'x' * 16_000}") == 200
        assert steps.status_of("GET /livez HTTP/1.1", f"X-Much: {'x' * 17_000}") == 431
        assert steps.status_of("GET /livez HTTP/1.1", *(f"X-{n}: x" for n in range(120))) == 431
        assert steps.status_of(f"GET /livez?{'x' * 4_000} HTTP/1.1") == 200
        assert steps.status_of(f"GET /livez?{'x' * 4_200} HTTP/1.1") == 414
        assert steps.status_of() == 200
    assert f'curl -s "{steps.base}/api/products/' in steps.output

    with steps.file.open("a") as file:
        file.write(steps.entry("umbrella"))
    assert "catalog.0001_initial" in steps.manage("migrate", "--database", "umbrella")
    shown = steps.manage("showmigrations", "--database", "umbrella").splitlines()
    assert [line for line in shown if not line.startswith(" ")] == sorted(TENANT_APPS)
    steps.manage("membership", "grant", "bob@example.com", "umbrella", "--role", "member")

    with steps.server():
        status, bob = steps.sign_in("bob", "umbrella")
        assert (status, bob["tenant_id"]) == (200, "umbrella")
        status, category = steps.call("/api/categories/", bob["access"], {"name": "Umbrellas"})
        assert status == 201, category
        assert steps.call("/api/categories/", bob["access"])[1]["count"] == 1

    report = steps.manage("report", "inventory")
    assert "acme" in report
    assert "total" in report
