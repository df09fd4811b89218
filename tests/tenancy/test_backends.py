"""The two database backends: whose connection it is, how it opens, and what its errors mean."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import psycopg2
import pytest
from django.conf import settings
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    close_old_connections,
    connections,
    transaction,
)
from django.db.backends.signals import connection_created
from psycopg2.extensions import parse_dsn

from catalog.models import Category, Product
from tenancy import exceptions, memory, stamp
from tenancy.backends.faults import Fault, classify
from tenancy.backends.postgresql import base as postgresql_base
from tenancy.backends.sqlite3.base import DatabaseWrapper as SQLiteWrapper
from tenancy.backends.wrapper import TenancyWrapper
from tenancy.connections import maintenance
from tenancy.context import enter_request, request_scope, tenant_context
from tenancy.registry import get_registry
from tenancy.testing import databases, empty_database, repointed
from tests.settings import ENGINE
from users.models import User

POSTGRESQL = ENGINE == "postgresql"

committing = databases("acme", "globex", transaction=True)


@pytest.fixture
def acme():
    """acme's connection, closed before and after."""
    connections["acme"].close()
    yield connections["acme"]
    connections["acme"].close()


def select_one(alias="acme"):
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT 1")
        return cursor.fetchone()


# Whose connection it is.

USES = {
    "a cursor": lambda: select_one("acme"),
    "a transaction": lambda: transaction.atomic(using="acme").__enter__(),
    "using()": lambda: list(Product.objects.using("acme")),
    "save(using)": lambda: Category(name="x").save(using="acme"),
    "a server-side cursor": lambda: list(Product.objects.using("acme").iterator()),
    "a savepoint": lambda: connections["acme"].savepoint(),
}


@databases("acme", "globex")
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_another_tenants_connection_is_refused(use):
    with tenant_context("globex"), pytest.raises(exceptions.WrongTenant, match=r"'acme'.*is 'globex'"):
        use()


@databases("acme", "globex")
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_in_a_request_a_connection_needs_the_tenant(use):
    with request_scope():
        with pytest.raises(exceptions.NoTenant, match="The database 'acme'"):
            use()
        enter_request(get_registry().get("globex"))
        with pytest.raises(exceptions.WrongTenant):
            use()


@databases("acme")
def test_outside_a_request_an_alias_that_is_named_is_a_choice():
    assert select_one("acme") == (1,)
    with transaction.atomic(using="acme"):
        Category(name="x").save(using="acme")
    assert Category.objects.using("acme").get().name == "x"


@databases("control", "acme")
def test_the_control_plane_is_open_to_every_context():
    assert select_one("control") == (1,)
    with tenant_context("acme"):
        assert select_one("control") == (1,)
        assert User.objects.count() == 0
    with request_scope():
        assert select_one("control") == (1,)


@committing
def test_a_refused_connection_is_not_opened(acme):
    with tenant_context("globex"), pytest.raises(exceptions.WrongTenant):
        select_one("acme")
    assert acme.connection is None


# The handshake.


@contextmanager
def handshakes(connection):
    """Counts the questions that a connection is asked about its stamp."""
    connection.force_debug_cursor = True
    connection.queries_log.clear()
    try:
        yield lambda: sum(stamp.TABLE in query["sql"] for query in connection.queries_log)
    finally:
        connection.force_debug_cursor = False


@committing
def test_it_shakes_hands_once_per_physical_connection(acme):
    with handshakes(acme) as count, tenant_context("acme"):
        Category.objects.count()
        assert count() == 1
        for _ in range(3):
            Category.objects.count()
        assert count() == 1
        acme.close()
        Category.objects.count()
        assert count() == 2
    with handshakes(acme) as count, tenant_context("acme"):
        Category.objects.count()
        assert count() == 0


@committing
def test_the_handshake_is_one_query(acme):
    with handshakes(acme), tenant_context("acme"):
        Category.objects.count()
        asked = [query["sql"] for query in acme.queries_log]
    # SQLite's own settings are no questions to the tenant.
    asked = [sql for sql in asked if not sql.startswith("PRAGMA")]
    assert len(asked) == 2
    assert stamp.TABLE in asked[0]
    assert "catalog_category" in asked[1]


@committing
def test_a_connection_that_was_opened_by_hand_shakes_hands_when_a_tenant_enters(acme):
    with handshakes(acme) as count:
        assert select_one("acme") == (1,)
        by_hand = count()
        assert not acme.admitted
        with tenant_context("acme"):
            Category.objects.count()
            assert (count(), acme.admitted) == (by_hand + 1, True)


@committing
def test_a_connection_that_did_not_pass_is_closed_and_asked_again(acme):
    with (
        repointed("acme", **whereabouts("globex")),
        handshakes(acme) as count,
        tenant_context("acme"),
    ):
        for attempt in (1, 2):
            with pytest.raises(exceptions.StampMismatch):
                Category.objects.count()
            assert count() == attempt
            assert acme.connection is None
            assert not acme.admitted


@committing
def test_a_connection_by_hand_to_another_tenants_database_does_not_pass(acme):
    """As ``dumpdata --database acme`` when two entries were swapped."""
    with repointed("acme", **whereabouts("globex")):
        for _ in range(2):
            with pytest.raises(exceptions.StampMismatch):
                select_one("acme")
            assert acme.connection is None
        with tenant_context("acme"), pytest.raises(exceptions.StampMismatch):
            Category.objects.count()


@committing
def test_by_hand_a_database_without_a_stamp_or_behind_the_code_can_be_looked_at(acme, tmp_path):
    with empty_database("acme", tmp_path):
        if acme.vendor == "sqlite":
            with maintenance("acme") as connection:
                connection.ensure_connection()  # which makes the file
        assert select_one("acme") == (1,)


@committing
def test_a_mismatch_in_an_atomic_block_ends_the_block(acme):
    with repointed("acme", **whereabouts("globex")):
        with (
            pytest.raises(exceptions.StampMismatch),
            transaction.atomic(using="acme"),
            tenant_context("acme"),
        ):
            Category.objects.count()
        assert acme.connection is None
        assert not acme.admitted


def whereabouts(alias):
    settings = connections[alias].settings_dict
    return {"NAME": settings["NAME"], "SCHEMA": settings["SCHEMA"]}


@committing
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OperationalError])
def test_a_half_opened_connection_is_not_taken_as_admitted(acme, error):
    def fail(connection, **kwargs):
        if connection.alias == "acme":
            assert connection.admitted  # or the cursors of the set-up would shake hands
            raise error

    connection_created.connect(fail)
    try:
        with tenant_context("acme"), pytest.raises(error):
            Category.objects.count()
    finally:
        connection_created.disconnect(fail)
    assert acme.connection is None
    assert not acme.admitted
    with handshakes(acme) as count, tenant_context("acme"):
        Category.objects.count()
        assert count() == 1


@committing
def test_an_interrupted_handshake_leaves_nothing_open(acme, monkeypatch):
    def interrupt(connection):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stamp, "shake_hands", interrupt)
        with tenant_context("acme"), pytest.raises(KeyboardInterrupt):
            Category.objects.count()
    assert acme.connection is None
    assert not acme.admitted


@committing
def test_without_the_handshake_another_tenants_rows_are_read(acme, monkeypatch):
    """Negative control: the danger that the handshake guards."""
    with tenant_context("globex"):
        Category.objects.create(name="canary-globex")
    monkeypatch.setattr(stamp, "shake_hands", lambda _: None)
    with repointed("acme", **whereabouts("globex")), tenant_context("acme"):
        assert Category.objects.get().name == "canary-globex"


@committing
def test_without_the_refusal_another_tenants_rows_are_read(monkeypatch):
    """Negative control: the danger that the connection's own check guards."""
    with tenant_context("acme"):
        Category.objects.create(name="canary-acme")
    monkeypatch.setattr(TenancyWrapper, "_refuse_strangers", lambda _: None)
    monkeypatch.setattr(memory, "require_database", lambda *_: None)
    monkeypatch.setattr(stamp, "shake_hands", lambda _: None)
    with tenant_context("globex"):
        assert Category.objects.using("acme").get().name == "canary-acme"


# Errors know whose they are.


@databases("control", "acme", transaction=True)
def test_an_error_says_whose_database_it_was(acme):
    for alias in ("acme", "control"):
        with (
            connections[alias].cursor() as cursor,
            pytest.raises((ProgrammingError, OperationalError)) as raised,
        ):
            cursor.execute("SELECT no_such_column FROM django_migrations")
        assert raised.value.alias == alias
        assert classify(raised.value) is Fault.MIGRATING


@databases("acme")
@pytest.mark.parametrize(
    "work",
    [
        lambda: Category.objects.create(name=""),
        lambda: Category.objects.bulk_create([Category(pk=Category.objects.create(name="x").pk, name="y")]),
        lambda: Category.objects.create(name=None),
    ],
    ids=["check", "key taken", "not null"],
)
def test_a_broken_rule_of_the_data_is_a_conflict(work):
    with tenant_context("acme"), pytest.raises(IntegrityError) as raised, transaction.atomic(using="acme"):
        work()
    assert classify(raised.value) is Fault.CONFLICT


class PostgresError(psycopg2.Error):
    """A driver's error with a code; the real ones do not take it."""

    def __init__(self, code):
        super().__init__()
        self.code = code

    pgcode = property(lambda self: self.code)


class SQLiteError(sqlite3.Error):
    def __init__(self, code, text=""):
        super().__init__(text)
        self.sqlite_errorcode = code


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("42P01", Fault.MIGRATING),
        ("42703", Fault.MIGRATING),
        ("42501", Fault.UNAVAILABLE),
        ("42601", Fault.UNKNOWN),
        ("3D000", Fault.UNAVAILABLE),
        ("3F000", Fault.UNAVAILABLE),
        ("08006", Fault.UNAVAILABLE),
        ("28P01", Fault.UNAVAILABLE),
        ("28000", Fault.UNAVAILABLE),
        ("53100", Fault.UNAVAILABLE),
        ("53300", Fault.BUSY),
        ("57014", Fault.BUSY),
        ("57P01", Fault.UNAVAILABLE),
        ("57P03", Fault.UNAVAILABLE),
        ("58030", Fault.UNAVAILABLE),
        ("25006", Fault.READ_ONLY),
        ("25P03", Fault.BUSY),
        ("25P02", Fault.UNKNOWN),
        ("55P03", Fault.BUSY),
        ("40001", Fault.BUSY),
        ("40P01", Fault.BUSY),
        ("23505", Fault.CONFLICT),
        ("23514", Fault.CONFLICT),
        ("23503", Fault.CONFLICT),
        ("22003", Fault.BAD_VALUE),
        ("22021", Fault.BAD_VALUE),
        ("XX000", Fault.UNKNOWN),
    ],
)
def test_a_sqlstate_is_a_kind_of_fault(code, fault):
    assert classify(PostgresError(code)) is fault
    # InternalError: what Django makes of 25P03, for one. The class does not matter where there is a code.
    assert classify(caused(InternalError, PostgresError(code))) is fault


@pytest.mark.parametrize(
    ("code", "text", "fault"),
    [
        ("SQLITE_BUSY", "", Fault.BUSY),
        ("SQLITE_BUSY_SNAPSHOT", "", Fault.BUSY),
        ("SQLITE_LOCKED", "", Fault.BUSY),
        ("SQLITE_PROTOCOL", "", Fault.BUSY),
        ("SQLITE_CANTOPEN", "", Fault.UNAVAILABLE),
        ("SQLITE_NOTADB", "", Fault.UNAVAILABLE),
        ("SQLITE_CORRUPT", "", Fault.UNAVAILABLE),
        ("SQLITE_IOERR", "", Fault.UNAVAILABLE),
        ("SQLITE_IOERR_READ", "", Fault.UNAVAILABLE),
        ("SQLITE_FULL", "", Fault.UNAVAILABLE),
        ("SQLITE_READONLY", "", Fault.READ_ONLY),
        ("SQLITE_READONLY_DBMOVED", "", Fault.READ_ONLY),
        ("SQLITE_PERM", "", Fault.UNAVAILABLE),
        ("SQLITE_CONSTRAINT_UNIQUE", "", Fault.CONFLICT),
        ("SQLITE_CONSTRAINT_CHECK", "", Fault.CONFLICT),
        ("SQLITE_TOOBIG", "", Fault.BAD_VALUE),
        ("SQLITE_ERROR", "no such table: catalog_product", Fault.MIGRATING),
        ("SQLITE_ERROR", "no such column: colour", Fault.MIGRATING),
        ("SQLITE_ERROR", 'near "SELEC": syntax error', Fault.UNKNOWN),
        ("SQLITE_MISUSE", "", Fault.UNKNOWN),
    ],
)
def test_an_sqlite_code_is_a_kind_of_fault(code, text, fault):
    error = SQLiteError(getattr(sqlite3, code), text)
    assert classify(error) is fault
    assert classify(caused(OperationalError, error)) is fault


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (exceptions.TenantMigrating("acme", "x"), Fault.MIGRATING),
        (exceptions.DatabaseBusy("acme"), Fault.BUSY),
        (exceptions.DatabaseUnavailable("acme"), Fault.UNAVAILABLE),
        (exceptions.StampMismatch("acme"), Fault.UNAVAILABLE),
        (OperationalError("server closed the connection"), Fault.UNAVAILABLE),
        (InterfaceError("connection already closed"), Fault.UNAVAILABLE),
        (psycopg2.OperationalError("timeout expired"), Fault.UNAVAILABLE),
        (psycopg2.InterfaceError("connection already closed"), Fault.UNAVAILABLE),
        (IntegrityError("x"), Fault.CONFLICT),
        (DataError("x"), Fault.BAD_VALUE),
        (ProgrammingError("x"), Fault.UNKNOWN),
        (transaction.TransactionManagementError("x"), Fault.UNKNOWN),
        (ValueError("x"), Fault.UNKNOWN),
    ],
    ids=lambda value: "-" if isinstance(value, Fault) else f"{type(value).__module__}.{type(value).__name__}",
)
def test_an_error_without_a_code_is_told_by_its_class(error, fault):
    assert classify(error) is fault


def caused(error_class, driver_error):
    error = error_class()
    error.__cause__ = driver_error
    return error


# SQLite, whatever engine the tests run on.


@pytest.fixture
def sqlite_wrapper(tmp_path):
    """acme's connection, were it an SQLite file of this test's own. The file is not there yet."""
    settings = connections["acme"].settings_dict | {
        "ENGINE": "tenancy.backends.sqlite3",
        "NAME": str(tmp_path / "a folder" / "ac me?%#.sqlite3"),
        "SCHEMA": None,
        "OPTIONS": {
            "timeout": 0.1,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
    }
    wrapper = SQLiteWrapper(settings, "acme")
    yield wrapper
    wrapper.close()


def file_of(wrapper):
    return Path(wrapper.settings_dict["NAME"])


def make_file(wrapper, tenant_id="acme"):
    wrapper.maintenance = True
    with wrapper.cursor() as cursor:
        cursor.execute(stamp.CREATE)
        cursor.execute(stamp.INSERT, [tenant_id])
        cursor.execute("CREATE TABLE django_migrations (app text, name text)")
        for label in settings.TENANT_APPS:
            cursor.execute("INSERT INTO django_migrations VALUES (%s, '0001_initial')", [label])
    wrapper.maintenance = False
    wrapper.close()


@databases("acme")
def test_sqlite_never_makes_a_missing_file(sqlite_wrapper):
    file_of(sqlite_wrapper).parent.mkdir()
    with pytest.raises(exceptions.DatabaseUnavailable) as raised:
        sqlite_wrapper.ensure_connection()
    assert raised.value.alias == "acme"
    assert isinstance(raised.value.__cause__, sqlite3.OperationalError)
    assert list(file_of(sqlite_wrapper).parent.iterdir()) == []
    assert sqlite_wrapper.connection is None


@databases("acme")
def test_sqlite_makes_the_file_in_maintenance_and_for_its_owner_only(sqlite_wrapper):
    before = os.umask(0)
    try:
        make_file(sqlite_wrapper)
        sqlite_wrapper.ensure_connection()
        with sqlite_wrapper.cursor() as cursor:
            cursor.execute("INSERT INTO django_migrations VALUES ('a', 'b')")
        files = sorted(file_of(sqlite_wrapper).parent.iterdir())
    finally:
        os.umask(before)
    assert [file.name.rpartition("sqlite3")[2] for file in files] == ["", "-shm", "-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@databases("acme")
def test_sqlite_writes_ahead_and_waits_two_seconds_for_a_writer(sqlite_wrapper):
    make_file(sqlite_wrapper)
    with sqlite_wrapper.cursor() as cursor:
        for pragma, value in {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1}.items():
            cursor.execute(f"PRAGMA {pragma}")
            assert cursor.fetchone() == (value,)
    if not POSTGRESQL:
        assert get_registry().get("acme").database["OPTIONS"]["timeout"] == 2.0


@databases("acme")
def test_sqlite_transactions_are_immediate(sqlite_wrapper):
    """Two that read and then write would otherwise both fail to upgrade, without waiting."""
    make_file(sqlite_wrapper)
    other = sqlite3.connect(file_of(sqlite_wrapper), timeout=0)
    sqlite_wrapper.ensure_connection()
    sqlite_wrapper.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    sqlite_wrapper.rollback()
    sqlite_wrapper.set_autocommit(True)
    other.close()


@databases("acme")
def test_a_locked_sqlite_file_is_busy_not_migrating(sqlite_wrapper):
    """At any moment of connecting: neither the journal mode nor the handshake can be read."""
    make_file(sqlite_wrapper)
    other = sqlite3.connect(file_of(sqlite_wrapper))
    other.execute("PRAGMA locking_mode=EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with tenant_context("acme"), pytest.raises(exceptions.DatabaseBusy):
        sqlite_wrapper.ensure_connection()
    assert sqlite_wrapper.connection is None
    other.close()
    with tenant_context("acme"):
        sqlite_wrapper.ensure_connection()
    assert sqlite_wrapper.admitted


@databases("acme")
def test_a_lock_in_the_handshake_is_busy_not_migrating(sqlite_wrapper):
    make_file(sqlite_wrapper)
    sqlite_wrapper.ensure_connection()
    # From here on the file is locked whole, as in a file system that moves it.
    with sqlite_wrapper.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode=DELETE")
    other = sqlite3.connect(file_of(sqlite_wrapper))
    other.execute("BEGIN EXCLUSIVE")
    with tenant_context("acme"), pytest.raises(OperationalError) as raised:
        sqlite_wrapper.ensure_connection()
    other.close()
    assert classify(raised.value) is Fault.BUSY
    assert raised.value.alias == "acme"
    assert sqlite_wrapper.connection is None
    assert not sqlite_wrapper.admitted


@databases("acme")
@pytest.mark.parametrize("content", [b"not a database, but long enough to look at" * 10, b"\0" * 4096])
def test_a_file_that_is_no_database_is_unavailable(sqlite_wrapper, content):
    file_of(sqlite_wrapper).parent.mkdir()
    file_of(sqlite_wrapper).write_bytes(content)
    with tenant_context("acme"), pytest.raises(exceptions.DatabaseUnavailable):
        sqlite_wrapper.ensure_connection()
    assert sqlite_wrapper.connection is None


@databases("acme")
def test_an_empty_file_is_a_tenant_without_a_stamp(sqlite_wrapper):
    file_of(sqlite_wrapper).parent.mkdir()
    file_of(sqlite_wrapper).touch()
    with tenant_context("acme"), pytest.raises(exceptions.TenantMigrating):
        sqlite_wrapper.ensure_connection()


@databases("acme")
@pytest.mark.parametrize("change", ["nothing", "deleted", "replaced"])
def test_an_open_sqlite_file_is_usable_while_it_is_the_same(sqlite_wrapper, change):
    assert not sqlite_wrapper.is_usable()
    make_file(sqlite_wrapper)
    sqlite_wrapper.ensure_connection()
    file = file_of(sqlite_wrapper)
    if change != "nothing":
        file.rename(file.with_suffix(".away"))
    if change == "replaced":
        file.write_bytes(file.with_suffix(".away").read_bytes())
    assert sqlite_wrapper.is_usable() is (change == "nothing")


# PostgreSQL.

if POSTGRESQL:

    def shown(alias, name):
        with connections[alias].cursor() as cursor:
            cursor.execute(f"SHOW {name}")
            return cursor.fetchone()[0]

    @databases("control", "acme", "initech", transaction=True)
    @pytest.mark.parametrize(
        ("name", "everyday", "in_maintenance"),
        [
            ("statement_timeout", "10s", "0"),
            ("lock_timeout", "2s", "30s"),
            ("idle_in_transaction_session_timeout", "30s", "0"),
        ],
    )
    @pytest.mark.parametrize("alias", ["acme", "initech", "control"])
    def test_a_session_has_its_limits_which_maintenance_lifts(alias, name, everyday, in_maintenance):
        connections[alias].close()
        assert shown(alias, name) == everyday
        with maintenance(alias):
            assert shown(alias, name) == in_maintenance
        assert shown(alias, name) == everyday

    @databases("control", "acme", "initech", transaction=True)
    @pytest.mark.parametrize(
        ("alias", "schema"), [("acme", "public"), ("initech", "initech"), ("control", "public")]
    )
    def test_a_session_sees_its_own_schema_only(alias, schema):
        assert shown(alias, "search_path") == schema
        with maintenance(alias):
            assert shown(alias, "search_path") == schema

    @databases("initech", transaction=True)
    def test_a_tenant_in_a_schema_of_a_shared_database_is_told_by_its_stamp_too():
        with tenant_context("initech"):
            Category.objects.create(name="x")
        with connections["initech"].cursor() as cursor:
            cursor.execute("SELECT name FROM initech.catalog_category")
            assert cursor.fetchall() == [("x",)]
            cursor.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            assert cursor.fetchone() == (0,)
        with (
            repointed("initech", SCHEMA="public"),
            tenant_context("initech"),
            pytest.raises(exceptions.TenantMigrating),
        ):
            Category.objects.count()

    @databases("acme", transaction=True)
    def test_another_current_schema_is_unavailable():
        """As behind a pooler that drops start-up options: not what was configured, so not entered."""
        with repointed("acme", SCHEMA="PUBLIC"), tenant_context("acme"):
            with pytest.raises(exceptions.DatabaseUnavailable, match="'PUBLIC' is not the current one"):
                Category.objects.count()
            assert connections["acme"].connection is None

    @databases("acme", transaction=True)
    def test_a_statement_that_takes_too_long_is_busy(acme):
        with transaction.atomic(using="acme"), acme.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 50")
            with pytest.raises(OperationalError) as raised:
                cursor.execute("SELECT pg_sleep(5)")
            assert classify(raised.value) is Fault.BUSY
            transaction.set_rollback(True, using="acme")

    @databases("acme", transaction=True)
    def test_a_role_without_rights_is_unavailable_not_migrating(acme):
        with acme.cursor() as cursor:
            cursor.execute("CREATE ROLE without_rights LOGIN")
        try:
            with repointed("acme", USER="without_rights"), tenant_context("acme"):
                with pytest.raises(ProgrammingError) as raised:
                    Category.objects.count()
                assert classify(raised.value) is Fault.UNAVAILABLE
                assert acme.connection is None
        finally:
            with acme.cursor() as cursor:
                cursor.execute("DROP ROLE without_rights")

    @databases("acme", transaction=True)
    def test_an_idle_session_is_usable_until_the_server_ends_it(acme):
        assert not acme.is_usable()
        acme.ensure_connection()
        assert acme.is_usable()
        end_session(acme)
        assert not acme.is_usable()
        acme.connection.close()
        assert not acme.is_usable()

    @databases("acme", transaction=True)
    def test_a_session_that_was_ended_is_replaced_before_its_next_use(acme):
        with tenant_context("acme"):
            Category.objects.count()
        end_session(acme)
        # What a server does when a request starts.
        close_old_connections()
        with handshakes(acme) as count, tenant_context("acme"):
            assert Category.objects.count() == 0
            assert count() == 1

    @databases("acme", transaction=True)
    def test_a_session_that_ends_in_use_is_unavailable(acme):
        with tenant_context("acme"):
            Category.objects.count()
        end_session(acme)
        with tenant_context("acme"), pytest.raises(OperationalError) as raised:
            Category.objects.count()
        assert classify(raised.value) is Fault.UNAVAILABLE
        assert raised.value.alias == "acme"

    @databases("acme", transaction=True)
    def test_a_name_that_nobody_knows_is_unavailable(acme):
        with (
            repointed("acme", HOST="db.example", PORT="5432"),
            mock.patch("tenancy.names.socket.getaddrinfo", side_effect=socket.gaierror),
            pytest.raises(exceptions.DatabaseUnavailable, match="the name of its host"),
        ):
            acme.ensure_connection()

    def test_libpq_is_told_the_address_of_a_name(acme):
        found = [(2, 1, 6, "", ("127.0.0.1", 0))]
        with (
            repointed("acme", HOST="db.example", PORT="5432"),
            mock.patch("tenancy.names.socket.getaddrinfo", return_value=found),
        ):
            params = acme.get_connection_params()
        assert (params["host"], params["hostaddr"]) == ("db.example", "127.0.0.1")
        assert params["connect_timeout"] == 2

    @pytest.mark.parametrize(
        "value",
        ["plain", "", " ", "it's", "a\\b", "\\'", "'", "two words", "x host=evil", "x' host='evil", "é\n="],
    )
    def test_a_parameter_reaches_libpq_as_it_is(value):
        """Whatever is in a password is the password, and no parameter of its own."""
        written = postgresql_base._conninfo({"user": "u", "password": value, "port": 5432, "host": None})
        assert parse_dsn(written) == {"user": "u", "password": value, "port": "5432"}

    def end_session(connection):
        process = connection.connection.info.backend_pid
        with connection._nodb_cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [process])
            assert cursor.fetchone() == (True,)


if not POSTGRESQL:

    @committing
    def test_no_other_file_is_attached(acme):
        other = connections.settings["globex"]["NAME"]
        with tenant_context("acme"), pytest.raises(DatabaseError, match="too many attached"):
            acme.cursor().execute("ATTACH %s AS other", [other])
        with maintenance("acme") as connection, connection.cursor() as cursor:
            cursor.execute("VACUUM")
