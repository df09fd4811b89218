"""A client in TypeScript, generated from the API's description: it compiles, and finds what is described."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.swarm.servers import SmallService, serve

SOURCE = Path(__file__).with_name("typescript")


def run(folder, *command):
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = SmallService(tmp_path_factory.mktemp("service"), ["acme", "globex", "initech"])
    service.manage("signingkey", "create")
    service.manage("demo")
    return service


@pytest.fixture(scope="module")
def client(service, tmp_path_factory):
    """A folder with the client, compiled."""
    folder = tmp_path_factory.mktemp("client") / "typescript"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns("node_modules", "build", "schema.*"))
    run(folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", str(folder / "cache"))
    service.manage("spectacular", "--format", "openapi-json", "--file", str(folder / "schema.json"))
    run(folder, "npx", "openapi-typescript", "schema.json", "--output", "schema.d.ts")
    run(folder, "npx", "tsc")
    return folder


def test_it_signs_in_lists_switches_and_is_refused(service, client):
    with serve("wsgi", service.folder, service.environment) as server:
        told = run(client, "node", "build/client.js", f"http://127.0.0.1:{server.port}")
    assert told == "all is as described\n"


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ('"/api/me/"', '"/api/mee/"', "TS2554"),
        ("first.price;", "first.pric;", "TS2551"),
        ('role: "viewer"', 'role: "owner"', "TS2322"),
    ],
)
def test_what_is_not_as_described_does_not_compile(client, right, wrong, complaint):
    """The negative control."""
    source = client / "client.ts"
    text = source.read_text()
    assert right in text
    source.write_text(text.replace(right, wrong))
    try:
        done = subprocess.run(
            ["npx", "tsc", "--noEmit"], cwd=client, check=False, capture_output=True, text=True, timeout=300
        )
    finally:
        source.write_text(text)
    assert done.returncode != 0
    assert complaint in done.stdout
