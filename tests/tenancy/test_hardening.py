"""The border that the server keeps: a role per tenant, which nobody else's role can cross.

The PostgreSQL tests run on a server of their own: roles belong to a whole server, and here they must sign in
with their passwords, where the other tests' server trusts everybody.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest import mock
from urllib.parse import quote

import psycopg2
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import ProgrammingError, connections

from catalog.models import Category
from tenancy import roles
from tenancy.connections import maintenance
from tenancy.context import tenant_context
from tenancy.exceptions import (
    DatabaseUnavailable,
    NotHardened,
    SchemaMissing,
    StampMismatch,
    UnstampedDatabase,
)
from tenancy.management.commands import migrate
from tenancy.provisioning import harden as harden_for_real
from tenancy.provisioning import verify as verify_for_real
from tenancy.superuser import Superuser
from tenancy.tenant import Tenant
from tenancy.testing import repointed
from tests.settings import ENGINE
from tests.tenancy.login_server import PASSWORD, parsed, registered, running_server

POSTGRESQL = ENGINE == "postgresql"

__all__ = ["running_server"]  # a fixture

NAMES = ("acme", "globex", "initech", "hooli", "umbrella")


def require_discretion(tenant, text):
    """What anybody may read: no password, no URL, no other tenant's name."""
    assert text
    assert "pa%" not in text
    assert "//" not in text
    assert not [name for name in NAMES if name != tenant.id and name in text]


def harden(tenant, superuser_url):
    try:
        lines = harden_for_real(tenant, superuser_url)
    except Exception as exc:
        require_discretion(tenant, str(exc))
        raise
    for line in lines:
        require_discretion(tenant, line)
    return lines


def verify(tenant):
    """The findings' texts, by code."""
    findings = verify_for_real(tenant)
    for finding in findings:
        require_discretion(tenant, finding.text)
        assert "{" not in finding.text
    return {finding.code: finding.text for finding in findings}


# SQLite, which has no roles: on either engine.


@pytest.fixture
def sqlite_tenant(tmp_path):
    folder = tmp_path / "tenants"
    folder.mkdir(mode=0o700)
    file = folder / "acme.sqlite3"
    for name in (file, folder / "acme.sqlite3-wal"):
        name.touch()
        name.chmod(0o600)
    return Tenant("acme", "Acme", database=parsed(f"sqlite:///{file}"))


def test_a_file_that_others_cannot_read_is_fine(sqlite_tenant):
    assert verify(sqlite_tenant) == {}
    Path(sqlite_tenant.database["NAME"]).with_name("acme.sqlite3-wal").unlink()
    assert verify(sqlite_tenant) == {}


@pytest.mark.parametrize(
    ("name", "mode", "code"),
    [
        ("acme.sqlite3", 0o604, "file_mode"),
        ("acme.sqlite3", 0o602, "file_mode"),
        ("acme.sqlite3-wal", 0o644, "file_mode"),
        ("acme.sqlite3-journal", 0o644, "file_mode"),
        (".", 0o704, "folder_mode"),
        (".", 0o702, "folder_mode"),
    ],
)
def test_a_file_that_others_can_read_or_write_is_found(sqlite_tenant, name, mode, code):
    place = Path(sqlite_tenant.database["NAME"]).parent / name
    if not place.exists():
        place.touch()
    place.chmod(mode)
    assert list(verify(sqlite_tenant)) == [code]


def test_beside_a_link_it_looks_beside_what_the_link_leads_to(sqlite_tenant, tmp_path):
    real = Path(sqlite_tenant.database["NAME"])
    (tmp_path / "links").mkdir(mode=0o700)
    link = tmp_path / "links" / "acme.sqlite3"
    link.symlink_to(real)
    real.parent.chmod(0o707)
    linked = Tenant("acme", "Acme", database=dict(sqlite_tenant.database, NAME=str(link)))
    assert list(verify(linked)) == ["folder_mode"]


def test_a_file_that_is_not_there_cannot_be_verified(sqlite_tenant):
    Path(sqlite_tenant.database["NAME"]).unlink()
    with pytest.raises(DatabaseUnavailable, match="its file cannot be looked at"):
        verify(sqlite_tenant)


def test_an_sqlite_tenant_has_no_role_to_harden(sqlite_tenant):
    with pytest.raises(NotHardened, match=r"'acme': SQLite has no roles; keep its file .* `chmod o-rwx`"):
        harden(sqlite_tenant, "postgres://postgres@localhost/postgres")


# PostgreSQL. What the tests share first: a server, databases that a superuser made and migrated, tenants.


@pytest.fixture(scope="module")
def unrecorded():
    """There is no control plane, so no audit trail: it would be other tests', and keep what is written."""
    with mock.patch.object(migrate.Command, "is_recorded", new=False):
        yield


@pytest.fixture(scope="module")
def templates(running_server, unrecorded, django_db_blocker):
    """Databases that the superuser migrated, before anybody thought of roles."""
    run = running_server.run
    with django_db_blocker.unblock():
        for alias, database, schema in (
            ("acme", "acme_made", "public"),
            ("initech", "shared_made", "initech"),
            ("globex", "shared_made", "globex"),
        ):
            if not run("postgres", f"SELECT 1 FROM pg_database WHERE datname = '{database}'"):
                run("postgres", f"CREATE DATABASE {database}")
            if schema != "public":
                run(database, f"CREATE SCHEMA {schema}")
            made_by = parsed(f"{running_server.base_url}/{database}?currentSchema={schema}")
            with repointed(alias, **made_by):
                call_command("migrate", database=alias, verbosity=0)
    for template in ("acme_made", "shared_made"):
        run("postgres", f"ALTER DATABASE {template} RENAME TO template_{template}")
        run("postgres", f"ALTER DATABASE template_{template} ALLOW_CONNECTIONS false")


@pytest.fixture
def server(running_server, templates, django_db_blocker):
    with django_db_blocker.unblock():
        yield running_server
    running_server.clean()


@pytest.fixture
def acme(server):
    """A tenant with a database: made, migrated and owned by a superuser. Another is registered."""
    server.clone("acme", "template_acme_made")
    tenant = server.tenant("acme")
    with registered(tenant, server.tenant("globex")), repointed("acme", **tenant.database):
        yield tenant


@pytest.fixture
def globex(server, acme):
    """The other one, with a database like acme's on the same server."""
    server.clone("globex", "template_acme_made")
    server.run("globex", "UPDATE tenancy_stamp SET tenant_id = 'globex'")
    return server.tenant("globex")


@pytest.fixture
def schemas(server):
    """Two tenants with a schema each in one database."""
    server.clone("shared", "template_shared_made")
    initech = server.tenant("initech", "shared", schema="initech")
    globex = server.tenant("globex", "shared", schema="globex")
    with (
        registered(initech, globex),
        repointed("initech", **initech.database),
        repointed("globex", **globex.database),
    ):
        yield initech, globex


@pytest.fixture
def alone(server):
    """One tenant on the server, hardened: nothing to find."""
    server.clone("acme", "template_acme_made")
    acme = server.tenant("acme")
    with registered(acme), repointed("acme", **acme.database):
        harden(acme, server.superuser_url)
        assert verify(acme) == {}
        yield acme


STAMP = "SELECT tenant_id FROM {}tenancy_stamp"


def stamp_in(schema):
    return STAMP.format(f"{schema}.")


def stored_verifier(server, role):
    ((verifier,),) = server.run("postgres", f"SELECT rolpassword FROM pg_authid WHERE rolname = '{role}'")
    return verifier


if POSTGRESQL:
    # A database per tenant.

    def test_a_role_that_could_read_another_tenants_database_can_no_longer_connect(server, acme, globex):
        harden(acme, server.superuser_url)
        server.run(
            "globex", "GRANT USAGE ON SCHEMA public TO acme_app; GRANT SELECT ON tenancy_stamp TO acme_app"
        )
        # The danger, as PostgreSQL makes every database: PUBLIC may connect.
        assert server.run("globex", stamp_in("public"), acme) == [("globex",)]
        harden(globex, server.superuser_url)
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            server.run("globex", stamp_in("public"), acme)
        assert server.run("globex", stamp_in("public"), globex) == [("globex",)]
        assert server.run("acme", stamp_in("public"), acme) == [("acme",)]

    @pytest.mark.parametrize(
        "way",
        [
            "GRANT CONNECT ON DATABASE globex TO acme_app WITH GRANT OPTION",
            "GRANT globex_app TO acme_app",
            "ALTER DATABASE globex OWNER TO acme_app",
        ],
    )
    def test_a_way_in_by_name_is_closed_too(server, acme, globex, way):
        harden(acme, server.superuser_url)
        harden(globex, server.superuser_url)
        server.run("globex", f"{way}; GRANT USAGE ON SCHEMA public TO acme_app")
        server.run("globex", "GRANT SELECT ON tenancy_stamp TO acme_app")
        assert server.run("globex", stamp_in("public"), acme) == [("globex",)]
        harden(globex, server.superuser_url)
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            server.run("globex", stamp_in("public"), acme)
        assert harden(globex, server.superuser_url) == []

    def test_what_another_tenants_role_holds_inside_is_taken(server, acme, globex):
        harden(acme, server.superuser_url)
        harden(globex, server.superuser_url)
        server.run(
            "globex",
            "GRANT ALL ON SCHEMA public TO acme_app; GRANT ALL ON catalog_product TO acme_app;"
            "GRANT SELECT (sku) ON catalog_product TO acme_app; CREATE SEQUENCE numbers;"
            "GRANT USAGE ON SEQUENCE numbers TO acme_app, PUBLIC; GRANT SELECT ON tenancy_stamp TO PUBLIC",
        )
        assert set(harden(globex, server.superuser_url)) == {
            "closed the schema to another tenant's role",
            "closed the tables to another tenant's role",
            "closed the tables to PUBLIC",
            "gave what is in the schema to its role",
        }
        held = "SELECT has_schema_privilege('acme_app', 'public', 'USAGE, CREATE') "
        held += "OR has_any_column_privilege('acme_app', 'catalog_product', 'SELECT, UPDATE') "
        held += "OR has_sequence_privilege('acme_app', 'numbers', 'USAGE') "
        held += "OR has_table_privilege('acme_app', 'tenancy_stamp', 'SELECT')"
        assert server.run("globex", held) == [(False,)]

    def test_the_control_planes_role_is_kept_out(server, acme, monkeypatch):
        server.run("acme", "CREATE ROLE control_app; GRANT SELECT ON tenancy_stamp TO control_app")
        control = server.tenant("control", user="control_app").database
        monkeypatch.setitem(settings.DATABASES, "control", control)
        assert "closed the tables to another tenant's role" in harden(acme, server.superuser_url)

    def test_it_says_what_it_changed_and_changes_nothing_the_second_time(server, acme):
        first = [
            "made its role",
            "set its role's password",
            "closed the database to PUBLIC",
            "let its role connect",
            "gave the schema to its role",
            "closed the schema to PUBLIC",
            "gave what is in the schema to its role",
            "pinned search_path",
            "pinned statement_timeout",
            "pinned lock_timeout",
            "pinned idle_in_transaction_session_timeout",
        ]
        assert harden(acme, server.superuser_url) == first
        assert harden(acme, server.superuser_url) == []
        assert harden(acme, f"{server.base_url}/") == harden(acme, f"{server.base_url}/globex") == []

    def test_a_role_that_may_too_much_is_made_small(server, acme):
        server.run("postgres", "CREATE ROLE acme_app LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS")
        server.run("postgres", "CREATE ROLE staff ROLE acme_app")
        lines = harden(acme, server.superuser_url)
        assert lines[:3] == [
            "made its role one that may log in and no more",
            "set its role's password",
            "took its role out of another role",
        ]
        assert server.run(
            "postgres",
            "SELECT rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls "
            "FROM pg_roles WHERE rolname = 'acme_app'",
        ) == [(True, False, False, False, False, False)]
        assert server.run("postgres", "SELECT pg_has_role('acme_app', 'staff', 'MEMBER')") == [(False,)]
        server.run("postgres", "ALTER ROLE acme_app NOLOGIN")
        assert harden(acme, server.superuser_url) == ["made its role one that may log in and no more"]

    def test_a_membership_that_somebody_else_granted_is_ended(server, acme):
        server.run("postgres", "CREATE ROLE staff; CREATE ROLE boss; CREATE ROLE acme_app LOGIN")
        server.run(
            "postgres", "GRANT staff TO boss WITH ADMIN OPTION; SET ROLE boss; GRANT staff TO acme_app"
        )
        assert "took its role out of another role" in harden(acme, server.superuser_url)
        assert server.run("postgres", "SELECT pg_has_role('acme_app', 'staff', 'MEMBER')") == [(False,)]
        assert server.run("postgres", "SELECT pg_has_role('boss', 'staff', 'MEMBER')") == [(True,)]

    # The password.

    @pytest.mark.parametrize(
        "password",
        ["plain", PASSWORD, "\U0001f600 keeps libpq from preparing ﬁ", "ro\ufe00le", "it's {role} %s"],
    )
    def test_the_password_lets_the_role_in_and_reaches_no_log(server, acme, password):
        acme.database["PASSWORD"] = f"log-canary-{password}"
        log = server.log.read_text(errors="replace")
        assert "set its role's password" in harden(acme, server.superuser_url)
        assert server.run("acme", stamp_in("public"), acme) == [("acme",)]
        assert stored_verifier(server, "acme_app").startswith("SCRAM-SHA-256$")
        written = server.log.read_text(errors="replace").removeprefix(log)
        assert "PASSWORD 'SCRAM-SHA-256$" in written  # the log does hold the statements
        assert "log-canary" not in written
        assert harden(acme, server.superuser_url) == []

    @pytest.mark.parametrize(
        "before", ["'another'", "NULL", f"'md5{'0' * 32}'"], ids=["other", "none", "md5"]
    )
    @pytest.mark.filterwarnings("ignore")
    def test_another_password_is_replaced(server, alone, before):
        server.run("postgres", f"ALTER ROLE acme_app PASSWORD {before}")
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            server.run("acme", "SELECT 1", alone)
        assert harden(alone, server.superuser_url) == ["set its role's password"]
        assert server.run("acme", "SELECT 1", alone) == [(1,)]

    def test_without_a_password_in_the_url_none_is_set(server, acme):
        acme.database["PASSWORD"] = ""
        assert "set its role's password" not in harden(acme, server.superuser_url)
        assert stored_verifier(server, "acme_app") is None

    # What a superuser made is the role's to use.

    def test_the_role_reads_writes_and_migrates_what_a_superuser_made(server, acme):
        harden(acme, server.superuser_url)
        with tenant_context("acme"):
            category = Category.objects.create(name="Anvils")
            assert Category.objects.get(pk=category.pk).name == "Anvils"
            category.delete()
        call_command("migrate", "catalog", "zero", database="acme", verbosity=0)
        call_command("migrate", database="acme", verbosity=0)
        with tenant_context("acme"):
            assert Category.objects.count() == 0
            with connections["acme"].cursor() as cursor:
                cursor.execute("SELECT current_user")
                assert cursor.fetchone() == ("acme_app",)
        assert harden(acme, server.superuser_url) == []

    def test_before_it_the_role_can_do_none_of_it(server, acme, globex):
        server.run("postgres", "CREATE ROLE acme_app LOGIN")
        harden(globex, server.superuser_url)
        with mock.patch.object(roles._Reconciliation, "take_objects"):
            harden(acme, server.superuser_url)
        with (
            connections["acme"].cursor() as cursor,
            pytest.raises(ProgrammingError, match="permission denied"),
        ):
            cursor.execute("SELECT count(*) FROM catalog_category")

    def test_the_role_migrates_an_empty_database(server, acme):
        server.run("postgres", "DROP DATABASE acme")
        server.run("postgres", "CREATE DATABASE acme")
        # What an interrupted first migration leaves.
        server.run("acme", "CREATE TABLE django_migrations (id integer)")
        harden(acme, server.superuser_url)
        server.run("acme", "DROP TABLE django_migrations", acme)
        call_command("migrate", database="acme", verbosity=0)
        assert server.run("acme", stamp_in("public"), acme) == [("acme",)]
        assert harden(acme, server.superuser_url) == []

    def test_everything_in_the_schema_is_given_to_the_role(server, acme):
        server.run(
            "acme",
            """
            CREATE EXTENSION vector;
            CREATE TABLE "Odd ""name"" {} %s" (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, n serial);
            CREATE TABLE computed (a int, b int GENERATED ALWAYS AS (a * 2) STORED);
            CREATE TABLE parts (id int) PARTITION BY RANGE (id);
            CREATE TABLE part PARTITION OF parts FOR VALUES FROM (0) TO (9);
            CREATE VIEW seen AS SELECT 1 AS one;
            CREATE MATERIALIZED VIEW kept AS SELECT 1 AS one;
            CREATE SEQUENCE counter;
            CREATE TYPE mood AS ENUM ('good');
            CREATE TYPE pair AS (a int, b int);
            CREATE TYPE span AS RANGE (subtype = int);
            CREATE DOMAIN age AS int CHECK (value > 0);
            CREATE COLLATION "my order" FROM "C";
            CREATE FUNCTION f(a int, b mood) RETURNS int LANGUAGE sql AS 'SELECT 1';
            CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1';
            CREATE AGGREGATE total(int) (sfunc = int4pl, stype = int);
            CREATE AGGREGATE all_of(*) (sfunc = int8inc, stype = int8, initcond = '0');
            CREATE FUNCTION plus(int, int) RETURNS int LANGUAGE sql AS 'SELECT 1';
            CREATE OPERATOR ### (leftarg = int, rightarg = int, function = plus);
            CREATE OPERATOR FAMILY family USING btree;
            CREATE OPERATOR CLASS class FOR TYPE int USING btree FAMILY family AS OPERATOR 1 <;
            CREATE CONVERSION latin FOR 'UTF8' TO 'LATIN1' FROM utf8_to_iso8859_1;
            CREATE STATISTICS correlated ON a, b FROM computed;
            CREATE TEXT SEARCH CONFIGURATION "Words" (copy = simple);
            CREATE TEXT SEARCH DICTIONARY stems (template = simple);
            """,
        )
        assert "gave what is in the schema to its role" in harden(acme, server.superuser_url)
        assert harden(acme, server.superuser_url) == []
        assert verify(acme).keys() <= {"other_databases"}
        # Renaming takes an owner; dropping would not, for who owns the schema.
        for thing in (
            'TABLE "Odd ""name"" {} %s"',
            "TABLE computed",
            "TABLE parts",
            "TABLE part",
            "VIEW seen",
            "MATERIALIZED VIEW kept",
            "SEQUENCE counter",
            "AGGREGATE total(int)",
            "PROCEDURE p()",
            "FUNCTION f(int, mood)",
            "DOMAIN age",
            "TYPE mood",
            "TYPE pair",
            "TYPE span",
            'COLLATION "my order"',
            "AGGREGATE all_of(*)",
            "CONVERSION latin",
            "STATISTICS correlated",
            'TEXT SEARCH CONFIGURATION "Words"',
            "TEXT SEARCH DICTIONARY stems",
            "OPERATOR CLASS class USING btree",
            "OPERATOR FAMILY family USING btree",
        ):
            server.run("acme", f"BEGIN; ALTER {thing} RENAME TO renamed; ROLLBACK", acme)
        server.run("acme", "ALTER OPERATOR ### (int, int) SET (restrict = NONE)", acme)
        owner = "SELECT DISTINCT pg_get_userbyid(proowner) FROM pg_proc WHERE proname = 'l2_distance'"
        assert server.run("acme", owner) == [("postgres",)]  # the extension's

    def test_a_superusers_session_has_nothing_of_the_tenants_in_its_path(server, alone):
        """Or a function of the tenant's, called like one of the server's, would run as the superuser."""
        server.run("acme", "ALTER DATABASE acme SET search_path = public, pg_catalog")
        superuser = f"{server.base_url}/acme"
        with closing(Superuser(alone, superuser).connect()) as session, session.cursor() as cursor:
            cursor.execute("SHOW search_path")
            assert cursor.fetchone() == ("pg_catalog",)

    def test_the_limits_of_the_backend_are_the_roles_defaults(server, acme):
        harden(acme, server.superuser_url)
        for name, value in {
            "search_path": "public",
            "statement_timeout": "10s",
            "lock_timeout": "2s",
            "idle_in_transaction_session_timeout": "30s",
        }.items():
            assert server.run("acme", f"SHOW {name}", acme) == [(value,)]
            assert server.run("acme", f"SHOW {name}") != [(value,)]  # nobody else's

    # A database that belongs to a role.

    def test_a_tenants_own_database_may_stay_its_own(server, acme):
        server.run("postgres", "CREATE ROLE acme_app LOGIN; ALTER DATABASE acme OWNER TO acme_app")
        assert "gave the database to the superuser" not in harden(acme, server.superuser_url)
        assert "database_owner" not in verify(acme)
        server.run("postgres", "CREATE ROLE staff; ALTER DATABASE acme OWNER TO staff")
        assert harden(acme, server.superuser_url) == [
            "gave the database to the superuser",
            "let its role connect",  # as its owner it could
        ]
        assert harden(acme, server.superuser_url) == []

    def test_a_shared_database_belongs_to_none_of_its_tenants(server, schemas):
        initech, _ = schemas
        server.run("postgres", "CREATE ROLE initech_app LOGIN; ALTER DATABASE shared OWNER TO initech_app")
        assert "gave the database to the superuser" in harden(initech, server.superuser_url)
        with pytest.raises(psycopg2.ProgrammingError, match="must be owner of database"):
            server.run("postgres", "DROP DATABASE shared", initech)

    # A schema per tenant.

    def test_two_schemas_of_one_database_cannot_be_read_by_each_others_role(server, schemas):
        initech, globex = schemas
        server.run("postgres", "CREATE ROLE initech_app LOGIN; CREATE ROLE globex_app LOGIN")
        server.run(
            "shared",
            "GRANT USAGE ON SCHEMA initech, globex TO PUBLIC;"
            "GRANT SELECT ON initech.tenancy_stamp TO globex_app;"
            "GRANT SELECT ON globex.tenancy_stamp TO PUBLIC",
        )
        with mock.patch.multiple(
            roles._Reconciliation, close_schema=lambda _: None, close_tables=lambda _: None
        ):
            harden(initech, server.superuser_url)
            harden(globex, server.superuser_url)
        # The danger: one database, to which both may connect.
        assert server.run("shared", stamp_in("globex"), initech) == [("globex",)]
        assert server.run("shared", stamp_in("initech"), globex) == [("initech",)]
        harden(initech, server.superuser_url)
        harden(globex, server.superuser_url)
        for mine, theirs in ((initech, globex), (globex, initech)):
            assert server.run("shared", STAMP.format(""), mine) == [(mine.id,)]  # by the pinned path
            assert server.run("shared", stamp_in(mine.id), mine) == [(mine.id,)]
            with pytest.raises(psycopg2.ProgrammingError, match="permission denied for schema"):
                server.run("shared", stamp_in(theirs.id), mine)
            held = f"SELECT has_table_privilege('{theirs.id}_app', '{mine.id}.tenancy_stamp', 'SELECT')"
            assert server.run("shared", held) == [(False,)]
            assert verify(mine) == {}
            assert harden(mine, server.superuser_url) == []

    def test_neighbours_may_still_connect_before_it_is_their_turn(server, schemas):
        initech, globex = schemas
        harden(globex, server.superuser_url)
        server.run(
            "postgres",
            "REVOKE ALL ON DATABASE shared FROM globex_app; GRANT CONNECT ON DATABASE shared TO PUBLIC",
        )
        lines = harden(initech, server.superuser_url)
        assert "let the role of a tenant in the same database connect" in lines
        assert server.run("shared", stamp_in("globex"), globex) == [("globex",)]
        assert harden(initech, server.superuser_url) == harden(globex, server.superuser_url) == []

    def test_in_a_shared_database_nobody_makes_tables_in_public(server, schemas):
        initech, _ = schemas
        server.run("shared", "GRANT CREATE ON SCHEMA public TO PUBLIC")
        assert "took CREATE in the schema 'public' from PUBLIC" in harden(initech, server.superuser_url)
        with pytest.raises(psycopg2.ProgrammingError, match="permission denied for schema public"):
            server.run("shared", "CREATE TABLE public.mine ()", initech)

    def test_a_schema_needs_no_public_beside_it(server, schemas):
        initech, _ = schemas
        server.run("shared", "DROP SCHEMA public")
        harden(initech, server.superuser_url)
        assert verify(initech) == {}

    def test_a_schema_may_be_called_anything_that_a_url_may(server, schemas):
        _, globex = schemas
        server.run("shared", 'ALTER SCHEMA initech RENAME TO "user"')
        moved = server.tenant("initech", "shared", schema="user")
        with registered(moved, globex):
            harden(moved, server.superuser_url)
            assert harden(moved, server.superuser_url) == []
        assert server.run("shared", STAMP.format(""), moved) == [("initech",)]

    # What it refuses.

    def refused(server, tenant, match, error=NotHardened, superuser_url=None):
        """Refused, and nothing has changed."""

        def state():
            return server.run(
                "postgres",
                "SELECT (SELECT array_agg(rolname::text ORDER BY rolname) FROM pg_authid), "
                "(SELECT array_agg(d.datacl::text ORDER BY d.oid) FROM pg_database d)",
            )

        before = state()
        with pytest.raises(error, match=match):
            harden(tenant, superuser_url or server.superuser_url)
        assert state() == before

    @pytest.mark.parametrize(
        ("user", "match"),
        [
            ("", "names no user; add the role"),
            ("postgres", "is the superuser; name a role of its own"),
            ("pg_monitor", "reserved, or over 63 bytes"),
            ("public", "reserved, or over 63 bytes"),
            ("none", "reserved, or over 63 bytes"),
            ("r" * 64, "reserved, or over 63 bytes"),
        ],
    )
    def test_a_user_that_cannot_be_a_tenants_role_is_refused(server, acme, user, match):
        refused(server, server.tenant("acme", user=user), match)

    def test_a_superuser_is_refused_as_a_tenants_role(server, acme):
        server.run("postgres", "CREATE ROLE acme_app SUPERUSER LOGIN")
        refused(server, acme, "its URL's user is a superuser")
        other = server.superuser_url.replace("postgres@", "acme_app@")
        refused(server, acme, "its URL's user is the superuser", superuser_url=other)

    @pytest.mark.parametrize("kind", ["database", "direct", "replica"])
    def test_another_tenants_role_is_refused(server, acme, kind):
        urls = {"database": server.tenant("globex").database} | {
            kind: server.tenant("globex", user="acme_app").database
        }
        with registered(acme, Tenant("globex", "Globex", **urls)):
            refused(server, acme, "also the control plane's, or another tenant's on that server")

    def test_a_role_of_the_same_name_on_another_server_is_another_role(server, acme):
        elsewhere = parsed("postgres://acme_app@db2.internal/globex")
        with registered(acme, Tenant("globex", "Globex", database=elsewhere)):
            assert "made its role" in harden(acme, server.superuser_url)
            assert harden(acme, server.superuser_url) == []

    def test_the_control_planes_role_is_refused(server, acme, monkeypatch):
        control = server.tenant("control", user="acme_app").database
        monkeypatch.setitem(settings.DATABASES, "control", control)
        refused(server, acme, "also the control plane's")

    def test_an_sqlite_neighbour_in_the_registry_is_no_trouble(server, acme, sqlite_tenant):
        with registered(acme, Tenant("umbrella", "Umbrella", database=sqlite_tenant.database)):
            assert "made its role" in harden(acme, server.superuser_url)

    def test_a_database_that_is_not_there_is_refused(server, acme):
        refused(
            server,
            server.tenant("acme", "nowhere"),
            "its database is not there; make it with `manage.py tenants",
        )

    @pytest.mark.parametrize(
        ("url", "match"),
        [
            ("sqlite:///x.sqlite3", "is for another engine; name the PostgreSQL server"),
            ("mysql://root:pa%25ss@localhost/x", "the superuser's URL holds unknown scheme"),
            ("postgres://root:pa%25ss@localhost:port/postgres", "the superuser's URL holds not a port"),
            ("postgres://root:${PASSWORD}@localhost/postgres", "the superuser's URL holds a placeholder"),
            ("not a url", "the superuser's URL holds unknown scheme"),
            ("postgres://postgres@[::1/postgres", "the superuser's URL holds not a database URL"),
            ("postgres://root:pa%25ss@%2Fnowhere/postgres", "leads to no server, or is not let in"),
        ],
    )
    def test_a_superusers_url_that_is_of_no_use_is_refused(server, acme, url, match):
        refused(server, acme, match, superuser_url=url)

    def test_a_superuser_that_is_none_is_refused(server, acme, globex):
        harden(globex, server.superuser_url)
        server.run("postgres", "GRANT CONNECT ON DATABASE acme TO PUBLIC")
        url = f"{server.base_url}/x".replace(
            "postgres@", f"globex_app:{quote(PASSWORD + 'globex', safe='')}@"
        )
        refused(server, acme, "leads to a role that is none", superuser_url=url)

    def test_another_tenants_database_is_left_alone(server, acme):
        server.run("acme", "UPDATE tenancy_stamp SET tenant_id = 'globex'")
        refused(server, acme, "its stamp names another owner", StampMismatch)

    def test_a_database_with_tables_and_no_stamp_is_left_alone(server, acme):
        server.run("acme", "DELETE FROM tenancy_stamp")
        refused(server, acme, "has tables but no stamp", UnstampedDatabase)
        server.run("acme", "DROP TABLE tenancy_stamp")
        refused(server, acme, "has tables but no stamp", UnstampedDatabase)

    def test_a_stamp_that_runs_code_is_not_read(server, acme):
        """Else who owns the schema would be a superuser at the next hardening."""
        server.run(
            "acme",
            "DROP TABLE tenancy_stamp; CREATE FUNCTION rise() RETURNS text LANGUAGE plpgsql AS "
            "$$BEGIN CREATE ROLE risen SUPERUSER; RETURN 'acme'; END$$;"
            "CREATE VIEW tenancy_stamp AS SELECT 1 AS id, rise() AS tenant_id",
        )
        refused(server, acme, "its tenancy_stamp is not a table")

    def test_a_schema_that_is_not_there_is_refused(server, schemas):
        nowhere = server.tenant("initech", "shared", schema="nowhere")
        refused(server, nowhere, "has no schema 'nowhere'", SchemaMissing)

    def test_a_database_of_strangers_is_left_alone(server, schemas):
        """An entry without its currentSchema would close a shared database to all who live in it."""
        whole = server.tenant("acme", "shared")
        with registered(whole):
            refused(server, whole, "its stamp names another owner", StampMismatch)
        with registered(whole, *schemas):
            harden(whole, server.superuser_url)

    def test_a_temporary_table_is_nobodys_stamp(server, alone):
        session = psycopg2.connect(
            dbname="acme", host=server.host, user="acme_app", password=alone.database["PASSWORD"]
        )
        with closing(session):
            session.cursor().execute("CREATE TEMPORARY TABLE tenancy_stamp (); COMMIT")
            assert harden(alone, server.superuser_url) == []

    def test_a_schema_in_another_tenants_whole_database_is_refused(server, acme, globex):
        server.run("globex", "CREATE SCHEMA acme")
        inside = server.tenant("acme", "globex", schema="acme")
        with registered(inside):
            refused(server, inside, "its stamp names another owner", StampMismatch)
        with registered(inside, globex):
            harden(inside, server.superuser_url)

    def test_a_step_that_the_server_refuses_undoes_the_others(server, acme):
        busy = psycopg2.connect(dbname="acme", host=server.host, user="postgres")
        with closing(busy), mock.patch.dict(roles.LIMITS, lock_timeout=50):
            busy.cursor().execute("SELECT * FROM catalog_product")
            refused(server, acme, r"the server refused a step \(SQLSTATE 55P03\)")
        harden(acme, server.superuser_url)

    def test_two_at_once_wait_for_each_other(server, acme):
        other = psycopg2.connect(dbname="acme", host=server.host, user="postgres")
        with closing(other), mock.patch.dict(roles.LIMITS, lock_timeout=50):
            other.cursor().execute("SELECT FROM pg_database WHERE datname = 'acme' FOR UPDATE")
            refused(server, acme, "SQLSTATE 55P03")
        harden(acme, server.superuser_url)

    def test_no_tenants_role_can_make_it_wait(server, acme):
        harden(acme, server.superuser_url)
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            server.run("acme", "SELECT FROM pg_database WHERE datname = 'acme' FOR UPDATE", acme)

    # What verify finds. Each of these breaks one thing in a tenant that is fine.

    BROKEN_AND_MENDED = {
        "createdb": "ALTER ROLE acme_app CREATEDB",
        "createrole": "ALTER ROLE acme_app CREATEROLE",
        "replication": "ALTER ROLE acme_app REPLICATION",
        "bypassrls": "ALTER ROLE acme_app BYPASSRLS",
        "memberships": "GRANT staff TO acme_app",
        "database_owner": "ALTER DATABASE acme OWNER TO staff",
        "public_connect": "GRANT CONNECT ON DATABASE acme TO PUBLIC",
        "schema_owner": (
            "ALTER SCHEMA public OWNER TO staff; GRANT USAGE, CREATE ON SCHEMA public TO acme_app"
        ),
        "public_schema": "GRANT USAGE ON SCHEMA public TO PUBLIC",
        "public_schema (create)": "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "object_owner": "ALTER TABLE catalog_product OWNER TO staff",
        "object_owner (function)": "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "others_rights (public)": "GRANT SELECT ON catalog_product TO PUBLIC",
        "others_rights (globex)": "GRANT SELECT ON catalog_product TO globex_app",
        "others_rights (column)": "GRANT SELECT (sku) ON catalog_product TO globex_app",
        "others_rights (schema)": "GRANT USAGE ON SCHEMA public TO globex_app",
        "others_rights (member)": "GRANT acme_app TO globex_app WITH INHERIT FALSE",
        "pins": "ALTER ROLE acme_app IN DATABASE acme RESET lock_timeout",
        "pins (other)": "ALTER ROLE acme_app IN DATABASE acme SET search_path = globex",
        "pins (all)": "ALTER ROLE acme_app IN DATABASE acme RESET ALL",
    }
    BROKEN_AND_NOT_OURS_TO_MEND = {
        "others_connect": "CREATE ROLE backup LOGIN; GRANT CONNECT ON DATABASE acme TO backup",
        "others_rights": "GRANT SELECT ON catalog_product TO staff",
        "others_rights (schema)": "GRANT USAGE ON SCHEMA public TO staff",
        "rights_outside": "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO acme_app",
        "rights_outside (setting)": "GRANT SET ON PARAMETER session_replication_role TO acme_app",
    }

    @pytest.fixture
    def company(server, alone):
        """Roles beside the tenant's: a group's, and one of another tenant, whose server is elsewhere."""
        server.run("postgres", "CREATE ROLE staff; CREATE ROLE globex_app LOGIN")
        elsewhere = parsed("postgres://globex_app@db2.internal/globex")
        with registered(alone, Tenant("globex", "Globex", database=elsewhere)):
            assert verify(alone) == {}
            yield alone

    @pytest.mark.parametrize(("code", "sql"), BROKEN_AND_MENDED.items(), ids=BROKEN_AND_MENDED)
    def test_a_gap_is_found_and_mended(server, company, code, sql):
        server.run("acme", sql)
        assert list(verify(company)) == [code.partition(" ")[0]]
        assert len(harden(company, server.superuser_url)) == (4 if code == "pins (all)" else 1)
        assert verify(company) == {}

    @pytest.mark.parametrize(
        ("code", "sql"), BROKEN_AND_NOT_OURS_TO_MEND.items(), ids=BROKEN_AND_NOT_OURS_TO_MEND
    )
    def test_a_gap_that_somebody_made_on_purpose_is_told_and_left(server, company, code, sql):
        server.run("acme", sql)
        for _ in range(2):
            assert list(verify(company)) == [code.partition(" ")[0]]
            assert ": 1." in verify(company)[code.partition(" ")[0]]
            assert harden(company, server.superuser_url) == []

    def test_the_names_of_what_is_not_pinned_are_told(server, alone):
        server.run("postgres", "ALTER ROLE acme_app IN DATABASE acme SET lock_timeout = 0")
        server.run("postgres", "ALTER ROLE acme_app IN DATABASE acme RESET search_path")
        assert "differently: search_path, lock_timeout." in verify(alone)["pins"]

    def test_a_superuser_is_found_whose_other_rights_say_nothing(server, alone):
        server.run("postgres", "CREATE DATABASE other")
        server.run("postgres", "ALTER ROLE acme_app SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS")
        assert list(verify(alone)) == ["superuser"]

    def test_databases_that_its_role_could_connect_to_are_counted(server, alone):
        server.run("postgres", "CREATE DATABASE other")
        server.run("postgres", "CREATE DATABASE umbrella")
        assert list(verify(alone)) == ["other_databases"]
        assert "not its own: 2." in verify(alone)["other_databases"]
        server.run("postgres", "REVOKE CONNECT ON DATABASE other FROM PUBLIC")
        assert "not its own: 1." in verify(alone)["other_databases"]
        assert harden(alone, server.superuser_url) == []  # another tenant's to close

    def test_a_schema_public_that_is_open_to_everybody_is_found(server, schemas):
        initech, globex = schemas
        harden(initech, server.superuser_url)
        harden(globex, server.superuser_url)
        server.run("shared", "GRANT CREATE ON SCHEMA public TO PUBLIC")
        assert list(verify(initech)) == ["shared_schema"]
        assert len(harden(globex, server.superuser_url)) == 1
        assert verify(initech) == {}

    @pytest.mark.parametrize(
        "sql",
        [
            "CREATE VIEW public.seen AS SELECT 1; ALTER VIEW public.seen OWNER TO initech_app",
            "CREATE FUNCTION public.f() RETURNS int RETURN 1; ALTER FUNCTION public.f() OWNER TO initech_app",
            "CREATE TABLE public.copied (id int); ALTER TABLE public.copied OWNER TO initech_app",
            "SELECT lo_create(4711); ALTER LARGE OBJECT 4711 OWNER TO initech_app",
        ],
        ids=["view", "function", "table", "large object"],
    )
    def test_what_a_role_shows_the_other_schemas_of_its_database_is_found(server, schemas, sql):
        initech, globex = schemas
        harden(initech, server.superuser_url)
        harden(globex, server.superuser_url)
        server.run("shared", sql)
        assert list(verify(initech)) == ["objects_outside"]
        assert ": 1." in verify(initech)["objects_outside"]
        assert verify(globex) == {}

    def test_rights_beyond_its_own_schema_are_found(server, schemas):
        initech, globex = schemas
        harden(initech, server.superuser_url)
        harden(globex, server.superuser_url)
        server.run(
            "shared", "CREATE TABLE public.copied (id int); GRANT SELECT (id) ON public.copied TO globex_app"
        )
        assert list(verify(globex)) == ["rights_outside"]
        assert verify(initech) == {}

    def test_a_role_of_a_tenant_that_shares_a_database_may_own_none(server, schemas):
        initech, globex = schemas
        harden(initech, server.superuser_url)
        harden(globex, server.superuser_url)
        server.run("postgres", "ALTER DATABASE shared OWNER TO initech_app")
        assert list(verify(initech)) == list(verify(globex)) == ["database_owner"]

    def test_sessions_in_another_schema_are_found(server, schemas):
        """As behind a pooler that drops what a connection asks for when it starts."""
        initech, globex = schemas
        harden(initech, server.superuser_url)
        harden(globex, server.superuser_url)
        entry = replace(initech, database=dict(initech.database))
        with repointed("initech", SCHEMA="public"):
            assert list(verify(entry)) == ["search_path"]

    def test_a_schema_that_is_not_there_is_found(server, schemas):
        initech, globex = schemas
        harden(initech, server.superuser_url)
        harden(globex, server.superuser_url)
        server.run("shared", "DROP SCHEMA initech CASCADE")
        assert list(verify(initech)) == ["search_path"]

    def test_roles_of_its_other_urls_are_its_own(server, alone):
        server.run("acme", "CREATE ROLE reports LOGIN; GRANT CONNECT ON DATABASE acme TO reports")
        server.run(
            "acme", "GRANT USAGE ON SCHEMA public TO reports; GRANT SELECT ON catalog_product TO reports"
        )
        assert list(verify(alone)) == ["others_connect", "others_rights"]
        replica = server.tenant("acme", user="reports").database
        with_reports = Tenant("acme", "Acme", database=alone.database, replica=replica)
        assert verify(with_reports) == {}
        with registered(with_reports):
            assert harden(with_reports, server.superuser_url) == []
            assert verify(with_reports) == {}

    def test_it_leaves_no_connection_and_changes_nothing(server, alone):
        server.run("postgres", "ALTER ROLE acme_app CREATEDB")
        for _ in range(2):
            assert list(verify(alone)) == ["createdb"]
            assert connections["acme"].connection is None

    def test_a_database_that_does_not_let_the_role_in_cannot_be_verified(server, alone):
        server.run("postgres", "REVOKE CONNECT ON DATABASE acme FROM acme_app")
        with pytest.raises(DatabaseUnavailable):
            verify(alone)

    def test_maintenance_lifts_the_pins(alone):
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        with maintenance("acme"), connections["acme"].cursor() as cursor:
            cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in names))
            assert cursor.fetchone() == ("0", "30s", "0")
