"""Provisioning: from an entry of tenants.yaml to a database that can be served, whatever was there of it."""

from __future__ import annotations

import importlib
import os
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from unittest import mock

import psycopg2
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connections, migrations, models
from django.db.models import Func, Value
from django.db.models.signals import post_migrate
from django.utils import timezone

from catalog.models import Category
from tenancy import stamp
from tenancy.connections import maintenance
from tenancy.context import current_tenant_id, tenant_context
from tenancy.exceptions import NotHardened, StampMismatch, UnstampedDatabase
from tenancy.provisioning import provision, verify
from tenancy.registry import get_registry
from tenancy.route import is_impersonal
from tenancy.template import Template
from tenancy.testing import databases, repointed
from tests.settings import ENGINE
from tests.tenancy.command import tenants
from tests.tenancy.login_server import PASSWORD, registered, running_server

__all__ = ["running_server"]  # a fixture


class Owner(Value):
    """An expression of the project's."""

    def __init__(self):
        super().__init__("x")


class Strict(models.CheckConstraint):
    """A constraint of the project's."""


pytestmark = databases("control", "acme", "globex", transaction=True)


def works_for(alias):
    with tenant_context(alias):
        Category.objects.create(name="first")
        return Category.objects.count() == 1


@contextmanager
def seeding_migration(monkeypatch):
    """One that runs Python."""
    module = importlib.import_module("catalog.migrations.0001_initial")
    operations = [*module.Migration.operations, migrations.RunPython(lambda *_: None)]
    with monkeypatch.context() as patch:
        patch.setattr(module.Migration, "operations", operations)
        yield


def test_migrations_that_run_code_of_the_projects_leave_no_template(monkeypatch):
    assert Template().is_possible
    with seeding_migration(monkeypatch):
        assert not Template().is_possible


def test_receivers_of_the_projects_leave_no_template():
    def seed(**kwargs):
        pass

    post_migrate.connect(seed)
    try:
        assert not Template().is_possible
    finally:
        post_migrate.disconnect(seed)


def test_the_fingerprint_is_of_what_the_migrations_say(monkeypatch):
    before = Template().fingerprint
    assert Template().fingerprint == before
    module = importlib.import_module("catalog.migrations.0001_initial")
    said = migrations.RunSQL("SELECT 1")  # as if read from a file that has changed
    monkeypatch.setattr(module.Migration, "operations", [*module.Migration.operations, said])
    assert Template().fingerprint != before


class Sealed(models.CharField):
    """A field of the project's: what it writes may be the tenant's."""


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("product", "secret", Sealed(max_length=9, default="x")),
        migrations.AddField("product", "owner", models.CharField(max_length=9, default=current_tenant_id)),
        migrations.AddField("product", "owner", models.CharField(max_length=9, db_default=Func(Owner()))),
        migrations.AddConstraint("product", Strict(condition=models.Q(price=1), name="strict")),
        migrations.RunPython(migrations.RunPython.noop),
    ],
    ids=["field", "default", "db_default", "constraint", "python"],
)
def test_what_may_be_another_for_each_tenant_leaves_no_template(monkeypatch, operation):
    module = importlib.import_module("catalog.migrations.0001_initial")
    monkeypatch.setattr(module.Migration, "operations", [*module.Migration.operations, operation])
    assert not Template().is_possible
    assert not is_impersonal(module.Migration("0001_initial", "catalog"))


def test_the_time_is_nobodys(monkeypatch):
    module = importlib.import_module("catalog.migrations.0001_initial")
    now = migrations.AddField("product", "seen", models.DateTimeField(default=timezone.now))
    monkeypatch.setattr(module.Migration, "operations", [*module.Migration.operations, now])
    assert Template().is_possible


def test_a_router_of_the_projects_own_leaves_no_template(settings):
    settings.DATABASE_ROUTERS = ["tests.tenancy.test_provision.Sealed", *settings.DATABASE_ROUTERS]
    assert not Template().is_possible


if ENGINE == "sqlite":

    @pytest.fixture
    def missing(tmp_path, monkeypatch):
        """acme and globex, whose files are not there yet."""
        monkeypatch.setattr(settings, "TENANCY_CACHE_DIR", tmp_path / "cache")
        with (
            repointed("acme", NAME=str(tmp_path / "new" / "acme.sqlite3")),
            repointed("globex", NAME=str(tmp_path / "new" / "globex.sqlite3")),
        ):
            yield tmp_path / "new"

    def schema_of(path):
        with closing(sqlite3.connect(path)) as connection:
            return sorted(
                connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall(), key=repr
            )

    def test_a_new_tenant_gets_a_copy_of_a_migrated_file_with_a_stamp_of_its_own(missing):
        code, out, err = tenants("provision", "acme", "globex")
        assert (code, err) == (0, "")
        assert out.splitlines() == [
            "acme: made its file, from a template.",
            "globex: made its file, from a template.",
        ]
        for alias in ("acme", "globex"):
            assert stamp.read(connections[alias]) == alias
            assert works_for(alias)
        assert (missing / "acme.sqlite3").stat().st_mode & 0o077 == 0
        assert sorted(path.name for path in missing.iterdir() if "new" in path.name) == []

    def test_the_copy_is_what_migrate_makes(missing):
        tenants("provision", "acme")
        call_command("migrate", database="globex", verbosity=0)
        assert schema_of(missing / "acme.sqlite3") == schema_of(missing / "globex.sqlite3")
        call_command("migrate", database="acme", check_unapplied=True, verbosity=0)

    def test_a_second_run_finds_all_well_and_one_that_is_behind_is_migrated(missing):
        tenants("provision", "acme")
        assert tenants("provision", "acme")[1] == "acme: all was well.\n"
        call_command("migrate", "catalog", "zero", database="acme", verbosity=0)
        assert tenants("provision", "acme")[1] == "acme: applied 1 migration.\n"

    def test_the_template_is_made_once(missing, monkeypatch):
        made = []
        migrate = Template._migrate

        def counted(self, tenant):
            made.append(tenant.id)
            migrate(self, tenant)

        monkeypatch.setattr(Template, "_migrate", counted)
        tenants("provision", "acme", "globex", "--jobs", "2")
        assert len(made) == 1

    def test_where_migrations_run_code_each_tenant_runs_it(missing, monkeypatch):
        with seeding_migration(monkeypatch):
            assert tenants("provision", "acme")[1] == "acme: applied 2 migrations.\n"
        assert stamp.read(connections["acme"]) == "acme"

    def test_a_file_that_is_there_is_never_written_over(missing):
        missing.mkdir()
        path = missing / "acme.sqlite3"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE somebody_elses (id integer)")
        before = path.read_bytes()
        with pytest.raises(UnstampedDatabase):
            provision(get_registry().get("acme"))
        assert path.read_bytes() == before
        assert Template().copy_file(get_registry().get("acme")) is False
        assert path.read_bytes() == before

    @pytest.mark.parametrize("step", ["link", "fsync"])
    def test_when_it_is_killed_there_is_a_whole_file_or_none(missing, step):
        tenants("provision", "globex")  # the template is there
        with mock.patch.object(os, step, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            provision(get_registry().get("acme"))
        assert not (missing / "acme.sqlite3").exists()
        assert tenants("provision", "acme")[0] == 0
        assert works_for("acme")


if ENGINE == "postgresql":

    @pytest.fixture
    def server(running_server, django_db_blocker, monkeypatch):
        with django_db_blocker.unblock():
            monkeypatch.setenv("PROVISION_URL", running_server.superuser_url)
            yield running_server
        for (name,) in running_server.run("postgres", f"SELECT datname FROM pg_database {TEMPLATES}"):
            running_server.run("postgres", f"ALTER DATABASE {name} IS_TEMPLATE false")
            running_server.run("postgres", f"DROP DATABASE {name}")
        running_server.clean()

    TEMPLATES = "WHERE datname LIKE 'tenancy_template_%'"

    @pytest.fixture
    def missing(server):
        """acme and globex, of whom the server knows nothing."""
        acme, globex = server.tenant("acme"), server.tenant("globex")
        with (
            registered(acme, globex),
            repointed("acme", **acme.database),
            repointed("globex", **globex.database),
        ):
            yield acme, globex

    def test_a_new_tenant_gets_role_database_rights_stamp_and_tables(server, missing):
        code, out, err = tenants("provision", "acme", "globex")
        assert (code, err) == (0, "")
        first, second = out.splitlines()
        assert first.startswith("acme: made its database, from a template, stamped it, made its role")
        assert second.startswith("globex: made its database, from a template, stamped it, made its role")
        for tenant in missing:
            assert stamp.read(connections[tenant.id]) == tenant.id
            assert works_for(tenant.id)
            assert [finding.code for finding in verify(tenant)] == []
            query = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
            owners = server.run(tenant.id, query)
            assert owners == [(f"{tenant.id}_app",)]
        assert server.run("acme", "SELECT count(*) FROM pg_class WHERE relname = 'tenancy_template'") == [
            (0,)
        ]

    def test_the_copy_is_what_migrate_makes(server, missing):
        tenants("provision", "acme")
        server.run("postgres", "CREATE DATABASE globex")
        with repointed("globex", **missing[1].database | {"USER": "postgres", "PASSWORD": ""}):
            call_command("migrate", database="globex", verbosity=0)
        query = (
            "SELECT table_name, column_name, data_type, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
        )
        indexes = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
        checks = "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1, 2"
        for asked in (query, indexes, checks):
            assert server.run("acme", asked) == server.run("globex", asked)

    def test_a_second_run_finds_all_well(server, missing):
        tenants("provision", "acme")
        assert tenants("provision", "acme")[1] == "acme: all was well.\n"

    def test_the_template_is_made_once_and_an_outdated_one_goes(server, missing, monkeypatch):
        tenants("provision", "acme")
        found = server.run("postgres", f"SELECT oid, datname FROM pg_database {TEMPLATES}")
        assert len(found) == 1
        tenants("provision", "globex")
        assert server.run("postgres", f"SELECT oid, datname FROM pg_database {TEMPLATES}") == found
        for number, alias in enumerate(("acme", "globex", "acme")):
            server.run("postgres", f"DROP DATABASE {alias} WITH (FORCE)")
            monkeypatch.setattr(Template, "fingerprint", f"of_another_{number}")
            tenants("provision", alias)
        names = {name for (name,) in server.run("postgres", f"SELECT datname FROM pg_database {TEMPLATES}")}
        assert names == {"tenancy_template_of_another_1", "tenancy_template_of_another_2"}

    def test_where_migrations_run_code_each_tenant_runs_it(server, missing, monkeypatch):
        with seeding_migration(monkeypatch):
            _, out, err = tenants("provision", "acme")
        assert err == ""
        assert out.startswith("acme: made its database, made its role")
        assert out.endswith("applied 2 migrations.\n")
        assert server.run("postgres", f"SELECT count(*) FROM pg_database {TEMPLATES}") == [(0,)]

    def test_a_schema_in_a_shared_database_is_made_with_it(server):
        initech = server.tenant("initech", "shared", schema="initech")
        hooli = server.tenant("acme", "shared", schema="hooli")
        with (
            registered(initech, hooli),
            repointed("initech", **initech.database),
            repointed("acme", **hooli.database),
        ):
            _, out, err = tenants("provision", "initech")
            assert err == ""
            assert out.startswith("initech: made its database, made its schema, made its role")
            _, out, err = tenants("provision", "acme")
            assert out.startswith("acme: made its schema, made its role")
            assert stamp.read(connections["initech"]) == "initech"
            assert stamp.read(connections["acme"]) == "acme"

    @pytest.mark.parametrize(
        "step",
        [
            "tenancy.provisioning.finish_copy",
            "tenancy.roles._Reconciliation.require_stamp",
            "tenancy.roles._Reconciliation.take_objects",
            "tenancy.roles._Reconciliation.pin",
            "tenancy.provisioning._open_to_its_role",
            "tenancy.provisioning._migrated",
            "tenancy.template.Template._migrate",
        ],
    )
    def test_after_it_was_killed_another_run_finishes_it(server, missing, step):
        with mock.patch(step, side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
            tenants("provision", "acme")
        code, _, err = tenants("provision", "acme")
        assert (code, err) == (0, "")
        assert works_for("acme")
        assert verify(missing[0]) == []
        left = server.run("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'tenancy_draft%'")
        assert left == [(0,)]

    def test_half_made_it_lets_nobody_else_in(server, missing):
        """PUBLIC may connect to a database that is new, and before PostgreSQL 15 leave things in it."""
        tenants("provision", "globex")
        killed = mock.patch("tenancy.roles._Reconciliation.close_database", side_effect=KeyboardInterrupt)
        with killed, pytest.raises(KeyboardInterrupt):
            tenants("provision", "acme")
        with pytest.raises(psycopg2.OperationalError, match="too many connections"):
            server.run("acme", "SELECT 1", missing[1])
        tenants("provision", "acme")
        assert server.run("acme", "SELECT 1", missing[0]) == [(1,)]

    def test_a_template_that_was_left_half_made_goes(server, missing):
        server.run("postgres", "CREATE DATABASE tenancy_draft_1 IS_TEMPLATE true ALLOW_CONNECTIONS false")
        assert tenants("provision", "acme")[0] == 0
        left = server.run("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'tenancy_draft%'")
        assert left == [(0,)]

    def test_a_template_of_somebody_elses_is_not_copied(server, missing):
        name = f"tenancy_template_{Template().fingerprint}"
        server.run("postgres", "CREATE ROLE clerk CREATEDB")
        server.run("postgres", f"CREATE DATABASE {name} OWNER clerk")
        with pytest.raises(NotHardened, match="is not our template"):
            provision(missing[0], server.superuser_url)
        assert server.run("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'acme'") == [(0,)]

    def test_no_tenants_role_can_make_it_wait(server, missing):
        tenants("provision", "globex")
        for (name,) in server.run("postgres", f"SELECT datname FROM pg_database {TEMPLATES}"):
            server.run("postgres", f"ALTER DATABASE {name} IS_TEMPLATE false")
            server.run("postgres", f"DROP DATABASE {name}")
        globex = missing[1].database
        held = psycopg2.connect(
            dbname="postgres", host=server.host, user=globex["USER"], password=globex["PASSWORD"]
        )
        with closing(held):
            held.cursor().execute("SELECT pg_advisory_lock(1953328236)")
            assert tenants("provision", "acme")[0] == 0

    def test_a_database_of_tables_in_another_schema_is_somebodys(server, missing):
        server.run("postgres", "CREATE DATABASE acme")
        server.run("acme", "CREATE SCHEMA app; CREATE TABLE app.customers (id int)")
        with pytest.raises(UnstampedDatabase):
            provision(missing[0], server.superuser_url)
        assert server.run("acme", "SELECT has_database_privilege('public', 'acme', 'CONNECT')") == [(True,)]

    def test_whoever_is_no_superuser_makes_nothing(server, missing):
        server.run("postgres", "CREATE ROLE clerk LOGIN CREATEDB PASSWORD 'clerk'")
        url = server.superuser_url.replace("postgres@", "clerk:clerk@")
        with pytest.raises(NotHardened, match="leads to a role that is none"):
            provision(missing[0], url)
        assert server.run("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'acme'") == [(0,)]

    def test_somebody_elses_database_is_never_touched(server, missing):
        tenants("provision", "globex")
        acme, _ = missing
        with repointed("acme", NAME="globex"), pytest.raises(StampMismatch):
            provision(server.tenant("acme", "globex"), server.superuser_url)
        server.run("postgres", "CREATE DATABASE acme")
        server.run("acme", "CREATE TABLE somebody_elses (id integer)")
        with pytest.raises(UnstampedDatabase):
            provision(acme, server.superuser_url)
        # A table of the marker's name is no proof: whoever owns the database can make one.
        server.run("postgres", "CREATE ROLE somebody")
        server.run("acme", "CREATE TABLE tenancy_template (); ALTER TABLE tenancy_template OWNER TO somebody")
        with pytest.raises(UnstampedDatabase):
            provision(acme, server.superuser_url)

    def test_the_superusers_server_has_to_be_the_tenants(server, missing):
        url = "postgres://postgres@db2.internal/postgres"
        with pytest.raises(NotHardened, match="leads to another server than its own"):
            provision(missing[0], url)

    def test_without_a_superuser_the_database_has_to_be_there(server, missing, monkeypatch):
        monkeypatch.delenv("PROVISION_URL")
        code, _, err = tenants("provision", "acme")
        assert code == 1
        assert "unreachable: acme" in err
        server.run("postgres", f"CREATE ROLE acme_app LOGIN PASSWORD '{PASSWORD}acme'")
        server.run("postgres", "CREATE DATABASE acme")
        server.run("acme", "ALTER SCHEMA public OWNER TO acme_app")
        code, out, err = tenants("provision", "acme")
        assert (code, err) == (0, "")
        assert out == "acme: applied 2 migrations.\n"

    def test_nothing_of_the_superusers_url_is_shown(server, missing, monkeypatch):
        monkeypatch.setenv("PROVISION_URL", "postgres://root:s3cret@db2.internal/postgres")
        _, out, err = tenants("provision", "acme")
        assert "s3cret" not in out + err
        assert "db2" not in out + err


def test_adopting_asks_for_names():
    with pytest.raises(CommandError, match="Name the tenants"):
        tenants("provision", "--all", "--adopt")


def test_what_it_opened_elsewhere_is_gone(tmp_path):
    from tenancy.connections import elsewhere

    ours = connections["acme"].settings_dict["NAME"]
    with maintenance("acme") as connection:
        assert connection.settings_dict["NAME"] == ours
    with elsewhere("acme", NAME=str(Path(tmp_path) / "there")):
        assert connections["acme"].settings_dict["NAME"] == str(Path(tmp_path) / "there")
    assert connections["acme"].settings_dict["NAME"] == ours
    with tenant_context("acme"):
        with elsewhere("acme", NAME=str(Path(tmp_path) / "there")):
            assert connections["acme"].settings_dict["NAME"] == str(Path(tmp_path) / "there")
        assert connections["acme"].settings_dict["NAME"] == ours
