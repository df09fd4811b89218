"""Databases with a stamp of ours that no entry leads to: files, databases and schemas.

The PostgreSQL tests run on a server of their own. On the others' there are the databases of other workers,
who make copies of them, which a reader would disturb.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from unittest import mock

import psycopg2
import pytest
from django.conf import settings

from tenancy import orphans, stamp
from tenancy.address import completed
from tenancy.database_url import parse_database_url
from tenancy.exceptions import DatabaseURLError
from tenancy.orphans import Orphans
from tenancy.registry import Registry
from tenancy.tenant import Tenant
from tests import postgres
from tests.settings import ENGINE


def parsed(url):
    return completed(parse_database_url(url, folder=Path("/nowhere"), environ={}, placeholders=False))


def registry_of(*found):
    return Registry({tenant.id: tenant for tenant in found})


def look(registry, reached=None):
    """The findings as (code, text), over all tenants if not told otherwise."""
    return [(one.code, one.text) for one in Orphans(registry, registry if reached is None else reached)]


# Files, on either engine


def make_file(file, owner, *, wal=False):
    with closing(sqlite3.connect(file)) as connection, connection:
        if wal:
            connection.execute("PRAGMA journal_mode=WAL")
        if owner is not None:
            connection.execute(stamp.CREATE)
            connection.execute(stamp.INSERT.replace("%s", "?"), [owner])
        else:
            connection.execute("CREATE TABLE other (id int)")


@pytest.fixture
def folder(tmp_path):
    for tenant_id in ("acme", "globex"):
        make_file(tmp_path / f"{tenant_id}.sqlite3", tenant_id, wal=True)
    return tmp_path


@pytest.fixture
def registry(folder):
    return registry_of(
        *(
            Tenant(name, name.title(), database=parsed(f"sqlite:///{folder / name}.sqlite3"))
            for name in ("acme", "globex")
        )
    )


def test_files_that_entries_lead_to_are_none(registry):
    assert look(registry) == []


def test_a_stamped_file_without_an_entry_is_found(registry, folder):
    make_file(folder / "old.sqlite3", "umbrella", wal=True)
    [(code, text)] = look(registry)
    assert code == "orphan"
    assert text.startswith(
        f"The file {folder / 'old.sqlite3'} is stamped for 'umbrella', and no entry leads to it. Put"
    )


def test_a_file_that_is_stamped_for_a_tenant_with_another_file_is_a_copy_and_a_warning(registry, folder):
    make_file(folder / "backup.sqlite3", "acme")
    [finding] = Orphans(registry, registry)
    assert (finding.code, finding.is_warning) == ("copy", True)


def test_what_has_no_stamp_is_nobodys_business(registry, folder):
    make_file(folder / "notes.sqlite3", None)
    (folder / "text.sqlite3").write_text("SQLite is nice")
    (folder / "damaged.sqlite3").write_bytes(b"SQLite format 3\0" + b"\xff" * 200)
    (folder / "folder.sqlite3").mkdir()
    (folder / "broken.sqlite3").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.sqlite3")
    make_file(folder / "umbrella.db", "umbrella")  # not as the tenants' files are called
    with closing(sqlite3.connect(folder / "view.sqlite3")) as connection, connection:
        connection.execute("CREATE VIEW tenancy_stamp AS SELECT 'umbrella' AS tenant_id")
    assert look(registry) == []


def test_a_link_to_a_tenants_file_is_its_file_and_so_is_a_replica(registry, folder):
    (folder / "link.sqlite3").symlink_to(folder / "acme.sqlite3")
    make_file(folder / "copy.sqlite3", "globex")
    assert [code for code, _ in look(registry)] == ["copy"]
    replica = parsed(f"sqlite:///{folder / 'copy.sqlite3'}")
    globex = Tenant("globex", "G", database=registry.get("globex").database, replica=replica)
    assert look(registry_of(registry.get("acme"), globex)) == []


def test_the_control_planes_file_is_not_looked_at(registry, folder, monkeypatch):
    make_file(folder / "control.sqlite3", "umbrella")
    monkeypatch.setitem(settings.DATABASES, "control", parsed(f"sqlite:///{folder / 'control.sqlite3'}"))
    assert look(registry) == []


def test_it_is_looked_only_where_a_tenant_could_be_reached(registry, folder):
    make_file(folder / "old.sqlite3", "umbrella")
    assert look(registry, reached=[]) == []


@pytest.mark.parametrize("is_in_use", [False, True])
def test_looking_changes_no_file_and_makes_none(registry, folder, is_in_use):
    make_file(folder / "old.sqlite3", "umbrella", wal=True)
    writer = sqlite3.connect(folder / "old.sqlite3")
    if is_in_use:
        writer.execute("UPDATE tenancy_stamp SET tenant_id = 'hooli'")
        writer.commit()  # to the log beside the file
    before = {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}
    [(_, text)] = look(registry)
    assert ("'hooli'" if is_in_use else "'umbrella'") in text
    after = {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith("-shm")}
    assert after == before
    writer.close()


def test_a_folder_that_takes_too_long_is_told(registry, folder, monkeypatch):
    make_file(folder / "old.sqlite3", "umbrella")
    monkeypatch.setattr(orphans, "PATIENCE", -1.0)
    [finding] = Orphans(registry, registry)
    assert (finding.code, finding.is_warning) == ("unfinished", True)


def test_a_folder_that_is_gone_is_told(registry, folder):
    shutil.rmtree(folder)
    [(code, text)] = look(registry)
    assert code == "unfinished"
    assert f"What is in {folder} cannot be listed" in text


def test_an_entry_whose_url_cannot_be_used_hides_no_other(registry, folder):
    class Unset:
        def resolve(self):
            raise DatabaseURLError("environment variable X is unset or empty; set it")

    make_file(folder / "old.sqlite3", "umbrella")
    more = registry_of(*registry, Tenant("hooli", "Hooli", database=Unset()))
    assert [code for code, _ in look(more, reached=registry)] == ["orphan"]


# Databases and schemas


class Server:
    def __init__(self, base_url):
        self.base_url = base_url
        self.host = parsed(f"{base_url}/any")["HOST"]
        self.where = f"{self.host}:5432"

    def run(self, database, statements):
        with closing(psycopg2.connect(dbname=database, host=self.host, user="postgres")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statements)
                return cursor.fetchall() if cursor.description else None

    def make(self, database, owner, *, schema="public"):
        if not self.run("postgres", f"SELECT 1 FROM pg_database WHERE datname = '{database}'"):
            self.run("postgres", f"CREATE DATABASE {database} STRATEGY file_copy")
        self.run(database, f"CREATE SCHEMA IF NOT EXISTS {schema}; GRANT USAGE ON SCHEMA {schema} TO PUBLIC")
        self.run(
            database, f"SET search_path = {schema}; {stamp.CREATE}; GRANT SELECT ON tenancy_stamp TO PUBLIC"
        )
        if owner:
            self.run(database, f"INSERT INTO {schema}.tenancy_stamp (id, tenant_id) VALUES (1, '{owner}')")

    def tenant(self, name, database=None, schema="public", **more):
        url = self.base_url.replace("postgres@", "app:hunter2-s3cret@")
        url = f"{url}/{database or name}?currentSchema={schema}"
        return Tenant(name, name.title(), database=parsed(url), **more)

    def clean(self):
        databases = "SELECT datname FROM pg_database WHERE datname !~ '^(postgres|template)'"
        for (name,) in self.run("postgres", databases):
            self.run("postgres", f"DROP DATABASE {name} WITH (FORCE)")


if ENGINE == "postgresql":

    @pytest.fixture(scope="module")
    def running_server():
        server = Server(postgres.start(postgres.new_folder() / "postgres"))
        server.run("postgres", "CREATE ROLE app LOGIN PASSWORD 'hunter2-s3cret'")
        return server

    @pytest.fixture
    def server(running_server):
        running_server.make("acme", "acme")
        running_server.make("shared", "initech", schema="initech")
        yield running_server
        running_server.clean()

    @pytest.fixture
    def fleet(server):
        return registry_of(server.tenant("acme"), server.tenant("initech", "shared", "initech"))

    def test_databases_and_schemas_that_entries_lead_to_are_none(fleet):
        assert look(fleet) == []

    def test_a_stamped_database_without_an_entry_is_found(server, fleet):
        server.make("old", "umbrella")
        server.make("older", "hooli", schema="inside")
        assert look(fleet) == [
            ("orphan", f"{what} on {server.where} is stamped for '{owner}', and no entry leads to it. {step}")
            for what, owner in (
                ("Database 'old'", "umbrella"),
                ("Schema 'inside' of database 'older'", "hooli"),
            )
            for step in ["Put the entry back into tenants.yaml, or save what is still needed and drop it."]
        ]

    def test_a_stamped_schema_of_a_shared_database_is_found(server, fleet):
        server.make("shared", "umbrella", schema="umbrella")
        [(code, text)] = look(fleet)
        assert code == "orphan"
        assert text.startswith(
            f"Schema 'umbrella' of database 'shared' on {server.where} is stamped for 'umbrella', and no"
        )

    def test_a_database_that_is_stamped_for_a_tenant_elsewhere_is_a_copy(server, fleet):
        server.make("acme_copy", "acme")
        assert [code for code, _ in look(fleet)] == ["copy"]

    def test_a_database_of_an_application_is_nobodys_business(server, fleet):
        server.run("postgres", "CREATE DATABASE wiki")
        server.run("wiki", "CREATE VIEW tenancy_stamp AS SELECT 'umbrella' AS tenant_id")
        server.run("postgres", "CREATE DATABASE closed ALLOW_CONNECTIONS false")
        assert look(fleet) == []

    def test_what_may_not_be_read_is_told_in_one_line_for_each_server(server, fleet):
        server.make("locked", "umbrella")
        server.run("postgres", "REVOKE CONNECT ON DATABASE locked FROM PUBLIC")
        server.make("veiled", "umbrella")
        server.run("veiled", "REVOKE SELECT ON tenancy_stamp FROM PUBLIC")
        server.make("shared", "umbrella", schema="umbrella")
        server.run("shared", "REVOKE USAGE ON SCHEMA umbrella FROM PUBLIC")
        found = list(Orphans(fleet, fleet))
        assert [(one.code, one.is_warning) for one in found] == [("unreadable", True)] * 2
        assert f"these databases on {server.where}, and their stamps may not be read: locked, veiled." in (
            found[0].text
        )
        assert "these schemas of database 'shared'" in found[1].text
        assert "may not be read: umbrella." in found[1].text

    def test_a_stamp_that_is_empty_or_taken_by_somebody_is_not_waited_for(server, fleet):
        server.make("empty", None)
        server.make("busy", "umbrella")
        with closing(psycopg2.connect(dbname="busy", host=server.host, user="postgres")) as other:
            other.cursor().execute("LOCK TABLE tenancy_stamp")
            [(code, text)] = look(fleet)
        assert code == "unreadable"
        assert "busy, empty." in text

    def test_nothing_is_written_and_nothing_of_a_strangers_is_run(server, fleet):
        """A view in place of the stamp would run its owner's functions for whoever reads it."""
        server.make("old", "umbrella")
        with closing(orphans._open(fleet.get("acme").database, "old")) as connection:
            cursor = connection.cursor()
            cursor.execute("SHOW transaction_read_only")
            assert cursor.fetchone() == ("on",)
            assert orphans._read(cursor, "public") == "umbrella"
        server.run("old", "DROP TABLE tenancy_stamp; CREATE VIEW tenancy_stamp AS SELECT 'x' AS tenant_id")
        server.run("old", "GRANT SELECT ON tenancy_stamp TO PUBLIC")
        with closing(orphans._open(fleet.get("acme").database, "old")) as connection:
            assert orphans._read(connection.cursor(), "public") is None

    def test_a_server_that_takes_too_long_or_is_gone_is_told_without_secrets(server, fleet, monkeypatch):
        server.make("old", "umbrella")
        with monkeypatch.context() as patch:
            patch.setattr(orphans, "PATIENCE", -1.0)
            found = look(fleet)
        assert [code for code, _ in found] == ["unfinished"]
        with mock.patch.object(psycopg2, "connect", side_effect=psycopg2.OperationalError("hunter2-s3cret")):
            found += look(fleet)
        assert [code for code, _ in found] == ["unfinished"] * 3
        assert "hunter2" not in repr(found)

    def test_past_a_pooler_databases_have_their_own_names(server):
        pooled = server.tenant("acme", "what_the_pooler_calls_it", direct=server.tenant("acme").database)
        initech = server.tenant("initech", "shared", "initech")
        assert look(registry_of(pooled, initech)) == []
        server.make("old", "umbrella")
        assert [code for code, _ in look(registry_of(pooled, initech))] == ["orphan"]
