"""What a client is told when a database is away, locked, behind or not ours: 503, soon, and no secrets."""

from __future__ import annotations

import logging
import shutil
import socket
import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from django.db import IntegrityError, ProgrammingError, close_old_connections, connections
from django.test import Client, override_settings

from catalog.models import Category
from tenancy.connections import maintenance
from tenancy.context import current_tenant, tenant_context
from tenancy.exceptions import Problem, TenantsFileError
from tenancy.registry import Registry
from tenancy.rest.middleware import DatabaseFaultMiddleware
from tenancy.tenant import Status
from tenancy.testing import (
    changed_tenant,
    databases,
    empty_database,
    only_tenants,
    repointed,
)
from tests.settings import ENGINE
from users.models import Membership
from users.testing import PASSWORD

POSTGRESQL = ENGINE == "postgresql"

pytestmark = databases("control", "acme", "globex", transaction=True)

CATEGORIES = "/api/categories/"
NEW_CATEGORY = {"name": "Anvils"}

#: Seconds within which every fault is answered.
IN_TIME = 2.5


@pytest.fixture(autouse=True)
def connections_are_closed():
    """Each test starts on connections of its own, as a fresh worker would."""
    connections.close_all()
    yield
    connections.close_all()


def where(alias):
    settings = connections[alias].settings_dict
    return {"NAME": settings["NAME"], "SCHEMA": settings["SCHEMA"]}


#: Of tenants that a test leaves out of tenants.yaml too.
FACTS = {alias: connections.settings[alias] for alias in ("control", "acme", "globex")}


def secrets():
    """What no answer may contain: names of databases, hosts, users, and SQL."""
    words = {"SELECT", "django_migrations", "tenancy_stamp", "catalog_", "OperationalError", "psycopg"}
    for alias in ("control", "acme", "globex"):
        settings = FACTS[alias]
        words |= {str(settings[key]) for key in ("NAME", "HOST", "USER") if settings.get(key)}
    return words


def assert_refused(response, status, code):
    assert (response.status_code, response.json().get("code")) == (status, code), response.content
    body = response.json()
    assert set(body) == {"detail", "code"}
    assert body["detail"].endswith(".")
    assert response["Content-Type"] == "application/json"
    if status == 503:
        assert int(response["Retry-After"]) > 0
    text = response.content.decode() + str(response.headers)
    assert not [word for word in secrets() if word in text]
    assert current_tenant() is None


def timed(call, *args, **kwargs):
    started = time.monotonic()
    response = call(*args, **kwargs)
    assert time.monotonic() - started < IN_TIME
    return response


# acme's database cannot be used.


@contextmanager
def missing():
    with repointed("acme", NAME="/dev/null/no_such_database"):
        yield


@contextmanager
def nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with repointed("acme", HOST="127.0.0.1", PORT=str(port)):
        yield


@contextmanager
def black_hole():
    """Accepts, and never says a word."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        repointed("acme", HOST="127.0.0.1", PORT=str(server.getsockname()[1])),
    ):
        yield


@contextmanager
def black_holes_at_three_addresses():
    """One name, three addresses: the time limit is the tenant's, not the address's."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", 0)) for n in (1, 2, 3)]
    with (
        socket.create_server(("0.0.0.0", 0)) as server,
        repointed("acme", HOST="db.example", PORT=str(server.getsockname()[1])),
        mock.patch("tenancy.names.socket.getaddrinfo", return_value=found),
    ):
        yield


@contextmanager
def schema_missing():
    with repointed("acme", SCHEMA="nowhere"):
        yield


@contextmanager
def unknown_role():
    with repointed("acme", USER="no_such_role"):
        yield


@contextmanager
def role(options, *grants):
    def execute(*statements):
        with connections["acme"].cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    execute(f"CREATE ROLE weak_role {options}", *grants)
    try:
        with repointed("acme", USER="weak_role"):
            yield
    finally:
        execute("DROP OWNED BY weak_role", "DROP ROLE weak_role")


def role_may_not_connect():
    return role("NOLOGIN")


def role_may_not_read():
    return role("LOGIN")


def role_may_shake_hands_only():
    return role("LOGIN", "GRANT SELECT ON tenancy_stamp, django_migrations TO weak_role")


@contextmanager
def no_database_in_the_file():
    file = Path(connections["acme"].settings_dict["NAME"]).with_suffix(".garbage")
    file.write_text("this is not a database, it only looks like a file" * 100)
    with repointed("acme", NAME=str(file)):
        yield
    file.unlink()


@contextmanager
def somebody_elses():
    with repointed("acme", **where("globex")):
        yield


@contextmanager
def the_control_planes():
    with repointed("acme", **where("control")):
        yield


UNAVAILABLE = [missing, somebody_elses]
if POSTGRESQL:
    UNAVAILABLE += [
        nobody_listens,
        black_hole,
        black_holes_at_three_addresses,
        schema_missing,
        unknown_role,
        role_may_not_connect,
        role_may_not_read,
        role_may_shake_hands_only,
    ]
else:
    UNAVAILABLE += [no_database_in_the_file]


@pytest.mark.parametrize("fault", UNAVAILABLE, ids=lambda fault: fault.__name__)
def test_a_database_that_cannot_be_used_is_unavailable_and_no_other_is(fault, ada, bob):
    with fault():
        assert_refused(timed(ada.get, CATEGORIES), 503, "tenant_unavailable")
        assert bob.get(CATEGORIES).status_code == 200
        # What is about the caller, not the tenant's data, still answers.
        assert ada.get("/api/me/").json()["tenant"]["id"] == "acme"
        assert [row["id"] for row in ada.get("/api/me/tenants/").json()] == ["acme"]
    assert ada.get(CATEGORIES).status_code == 200


def test_a_write_to_a_database_that_is_missing_is_unavailable_too(ada):
    with missing():
        assert_refused(timed(ada.post, CATEGORIES, NEW_CATEGORY), 503, "tenant_unavailable")
    assert ada.get(CATEGORIES).json()["count"] == 0


def test_a_database_of_another_tenant_is_told_to_the_operator_alone(ada, twin_products, caplog):
    product, _ = twin_products()
    with somebody_elses():
        for path in ("/api/products/", f"/api/products/{product.pk}/", CATEGORIES):
            response = ada.get(path)
            assert_refused(response, 503, "tenant_unavailable")
            assert "canary" not in response.content.decode()
            assert "globex" not in response.content.decode()
    critical = [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]
    assert critical == ["The database configured for tenant 'acme' is stamped for another."] * 3
    assert ada.get(f"/api/products/{product.pk}/").json()["name"] == "canary-acme"


def test_two_swapped_databases_are_both_unavailable(ada, bob, twin_products):
    twin_products()
    ours, theirs = where("acme"), where("globex")
    with repointed("acme", **theirs), repointed("globex", **ours):
        for client in (ada, bob):
            response = client.get("/api/products/")
            assert_refused(response, 503, "tenant_unavailable")
            assert "canary" not in response.content.decode()


def test_a_write_never_reaches_another_tenants_database(ada, bob):
    with somebody_elses():
        assert_refused(ada.post(CATEGORIES, NEW_CATEGORY), 503, "tenant_unavailable")
    assert ada.get(CATEGORIES).json()["count"] == bob.get(CATEGORIES).json()["count"] == 0


# acme's database is not ready.


@contextmanager
def unstamped(folder):
    with empty_database("acme", folder):
        with maintenance("acme") as connection, connection.cursor():
            pass  # on SQLite this makes the file
        yield


@contextmanager
def behind(folder):
    delete = "DELETE FROM django_migrations WHERE app = 'catalog' AND name = '0001_initial'"
    execute("acme", delete)
    try:
        yield
    finally:
        execute(
            "acme",
            "INSERT INTO django_migrations (app, name, applied) "
            "VALUES ('catalog', '0001_initial', CURRENT_TIMESTAMP)",
        )


@contextmanager
def table_missing(folder):
    execute("acme", "ALTER TABLE catalog_category RENAME TO gone")
    try:
        yield
    finally:
        execute("acme", "ALTER TABLE gone RENAME TO catalog_category")


@contextmanager
def unstamped_with_tables(folder):
    with the_control_planes():
        yield


def execute(alias, sql):
    with maintenance(alias) as connection, connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize(
    "state", [unstamped, behind, table_missing, unstamped_with_tables], ids=lambda state: state.__name__
)
def test_a_database_that_is_not_ready_is_migrating(state, ada, bob, tmp_path):
    with state(tmp_path):
        for response in (ada.get(CATEGORIES), ada.post(CATEGORIES, NEW_CATEGORY)):
            assert_refused(response, 503, "tenant_migrating")
        assert bob.get(CATEGORIES).status_code == 200
        assert ada.get("/api/me/").status_code == 200
    assert ada.get(CATEGORIES).json()["count"] == 0


def test_a_database_ahead_of_the_code_is_served(ada):
    """While a release rolls out, old workers meet the new schema."""
    execute(
        "acme",
        "INSERT INTO django_migrations (app, name, applied) "
        "VALUES ('catalog', '0999_ahead', CURRENT_TIMESTAMP)",
    )
    try:
        assert ada.get(CATEGORIES).status_code == 200
    finally:
        execute("acme", "DELETE FROM django_migrations WHERE name = '0999_ahead'")


# acme's database is busy, or goes away while a connection is open.

if POSTGRESQL:

    @contextmanager
    def other_session(alias):
        connection = connections[alias].copy()
        try:
            yield connection
        finally:
            connection.close()

    def test_a_table_that_another_holds_for_too_long_is_busy(ada, bob):
        """The lock timeout: 2 s."""
        with other_session("acme") as other:
            other.set_autocommit(False)
            with other.cursor() as cursor:
                cursor.execute("LOCK TABLE catalog_category IN ACCESS EXCLUSIVE MODE")
            assert_refused(timed(ada.get, CATEGORIES), 503, "tenant_busy")
            assert bob.get(CATEGORIES).status_code == 200
            other.rollback()
            other.set_autocommit(True)
        assert ada.get(CATEGORIES).status_code == 200

    @pytest.mark.parametrize("alias", ["acme", "control"])
    def test_a_session_that_the_server_ended_while_idle_is_replaced(ada, alias):
        assert ada.get(CATEGORIES).status_code == 200
        open_before = connections[alias].connection
        end_session(alias)
        # What a server does when a request starts; the test client leaves it out.
        close_old_connections()
        assert ada.get(CATEGORIES).status_code == 200
        assert connections[alias].connection is not open_before

    @pytest.mark.parametrize(
        ("alias", "code"), [("acme", "tenant_unavailable"), ("control", "control_unavailable")]
    )
    def test_a_session_that_ends_in_use_is_unavailable_once(ada, alias, code):
        assert ada.get(CATEGORIES).status_code == 200
        end_session(alias)
        assert_refused(ada.get(CATEGORIES), 503, code)
        close_old_connections()
        assert ada.get(CATEGORIES).status_code == 200

    def end_session(alias):
        process = connections[alias].connection.info.backend_pid
        with connections[alias]._nodb_cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [process])
            assert cursor.fetchone() == (True,)

else:

    def test_a_file_that_another_writes_to_for_too_long_is_busy(ada, bob):
        """The busy timeout: 2 s. Readers do not wait for a writer."""
        other = sqlite3.connect(connections["acme"].settings_dict["NAME"], isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert_refused(timed(ada.post, CATEGORIES, NEW_CATEGORY), 503, "tenant_busy")
        assert ada.get(CATEGORIES).status_code == 200
        assert bob.post(CATEGORIES, NEW_CATEGORY).status_code == 201
        other.execute("ROLLBACK")
        other.close()
        assert ada.post(CATEGORIES, NEW_CATEGORY).status_code == 201

    @pytest.mark.parametrize("replaced_by", [None, "globex"], ids=["deleted", "replaced by globex's"])
    def test_a_file_that_goes_away_under_an_open_connection_is_unavailable(ada, tmp_path, replaced_by):
        file = tmp_path / "acme.sqlite3"
        shutil.copyfile(connections["acme"].settings_dict["NAME"], file)
        with repointed("acme", NAME=str(file)):
            with tenant_context("acme"):
                Category.objects.create(name="canary-acme")
            assert ada.get(CATEGORIES).json()["count"] == 1
            file.rename(tmp_path / "away")
            if replaced_by is not None:
                shutil.copyfile(connections[replaced_by].settings_dict["NAME"], file)
            # What a server does when a request starts; the test client leaves it out.
            close_old_connections()
            response = ada.get(CATEGORIES)
            assert_refused(response, 503, "tenant_unavailable")
            assert "canary" not in response.content.decode()
            assert file.exists() is (replaced_by is not None)

    def test_a_file_that_is_back_is_served_again(ada, tmp_path):
        file = tmp_path / "acme.sqlite3"
        shutil.copyfile(connections["acme"].settings_dict["NAME"], file)
        with repointed("acme", NAME=str(file)):
            assert ada.get(CATEGORIES).status_code == 200
            file.rename(tmp_path / "away")
            close_old_connections()
            assert ada.get(CATEGORIES).status_code == 503
            (tmp_path / "away").rename(file)
            assert ada.get(CATEGORIES).status_code == 200


# The control plane.

CONTROL_CALLS = {
    "products": ("get", "/api/products/", None),
    "a write": ("post", CATEGORIES, NEW_CATEGORY),
    "me": ("get", "/api/me/", None),
    "my tenants": ("get", "/api/me/tenants/", None),
    "sign in": ("post", "/api/token/", {"email": "ada@example.com", "password": PASSWORD}),
    "switch": ("post", "/api/token/switch/", {"tenant_id": "acme"}),
}


@pytest.mark.parametrize(("method", "path", "body"), CONTROL_CALLS.values(), ids=CONTROL_CALLS)
def test_without_the_control_plane_nobody_enters(ada, method, path, body):
    with repointed("control", NAME="/dev/null/no_such_database"):
        assert_refused(timed(getattr(ada, method), path, body), 503, "control_unavailable")
        assert ada.get("/livez").status_code == 200
        assert ada.get("/readyz").status_code == 503
    assert ada.get("/api/me/").status_code == 200


@pytest.mark.parametrize("path", ["/api/token/refresh/", "/api/token/revoke/"])
def test_without_the_control_plane_no_token_is_renewed_or_revoked(client, cast, path):
    credentials = {"email": "ada@example.com", "password": PASSWORD}
    pair = client.post("/api/token/", credentials, content_type="application/json").json()
    with repointed("control", NAME="/dev/null/no_such_database"):
        response = client.post(path, {"refresh": pair["refresh"]}, content_type="application/json")
        assert_refused(response, 503, "control_unavailable")
    response = client.post(path, {"refresh": pair["refresh"]}, content_type="application/json")
    assert response.status_code in (200, 204)


def test_an_unmigrated_control_plane_is_unavailable(ada, tmp_path):
    with empty_database("control", tmp_path):
        with maintenance("control") as connection, connection.cursor():
            pass  # on SQLite this makes the file
        assert_refused(ada.get(CATEGORIES), 503, "control_unavailable")


if POSTGRESQL:

    def test_a_control_plane_that_never_answers_is_unavailable_in_time(ada):
        with (
            socket.create_server(("127.0.0.1", 0)) as server,
            repointed("control", HOST="127.0.0.1", PORT=str(server.getsockname()[1])),
        ):
            assert_refused(timed(ada.get, CATEGORIES), 503, "control_unavailable")
            assert timed(ada.get, "/livez").status_code == 200


# The registry and what it says.


def test_without_a_valid_registry_nobody_is_served(ada):
    error = TenantsFileError("tenants.yaml", [Problem(3, "tenants.acme.url", "no such thing")])
    with override_settings(TENANCY_REGISTRY=Registry({}, error=error)):
        for path in ("/api/products/", "/api/me/", "/api/me/tenants/"):
            response = ada.get(path)
            assert_refused(response, 503, "tenant_unavailable")
            assert "no such thing" not in response.content.decode()
        response = ada.post("/api/token/", {"email": "ada@example.com", "password": PASSWORD})
        assert_refused(response, 503, "tenant_unavailable")
        assert ada.get("/livez").status_code == 200
        assert ada.get("/readyz").status_code == 503
    assert ada.get("/api/products/").status_code == 200


def test_a_suspended_tenant_is_closed_to_its_members_who_may_still_ask_who_they_are(ada, bob):
    with changed_tenant("acme", status=Status.SUSPENDED):
        assert_refused(ada.get(CATEGORIES), 403, "tenant_suspended")
        assert_refused(ada.post(CATEGORIES, NEW_CATEGORY), 403, "tenant_suspended")
        assert ada.get("/api/me/").json()["tenant"]["id"] == "acme"
        assert [row["id"] for row in ada.get("/api/me/tenants/").json()] == ["acme"]
        assert bob.get(CATEGORIES).status_code == 200
    assert ada.get(CATEGORIES).status_code == 200


def test_a_suspended_tenants_database_is_not_opened(ada):
    with changed_tenant("acme", status=Status.SUSPENDED), missing():
        assert_refused(ada.get(CATEGORIES), 403, "tenant_suspended")


def test_a_read_only_tenant_is_read_and_not_written(ada, bob):
    with tenant_context("acme"):
        category = Category.objects.create(name="before")
    path = f"{CATEGORIES}{category.pk}/"
    with changed_tenant("acme", status=Status.READ_ONLY):
        assert ada.get(CATEGORIES).json()["count"] == 1
        assert ada.get(path).json()["name"] == "before"
        for response in (
            ada.post(CATEGORIES, NEW_CATEGORY),
            ada.put(path, NEW_CATEGORY),
            ada.patch(path, NEW_CATEGORY),
            ada.delete(path),
        ):
            assert_refused(response, 403, "tenant_read_only")
        assert bob.post(CATEGORIES, NEW_CATEGORY).status_code == 201
    assert ada.get(path).json()["name"] == "before"


def test_a_tenant_that_is_not_in_the_file_is_forbidden_like_one_that_is_not_yours(ada, cast):
    Membership.objects.create(user=cast.ada, tenant_id="globex", role="owner")
    with only_tenants("acme"):
        stale = cast.client(cast.ada, "globex")
        refused = stale.get(CATEGORIES)
        assert_refused(refused, 403, "tenant_forbidden")
        credentials = {"email": "ada@example.com", "password": PASSWORD}
        no_such = ada.post("/api/token/", credentials | {"tenant_id": "globex"})
        not_mine = ada.post("/api/token/", credentials | {"tenant_id": "hooli"})
        assert no_such.json() == not_mine.json() == refused.json()
        assert [row["id"] for row in ada.get("/api/me/tenants/").json()] == ["acme"]
        assert ada.get(CATEGORIES).status_code == 200


def test_without_the_control_plane_the_admin_says_so_too():
    with repointed("control", NAME="/dev/null/no_such_database"):
        response = Client().get("/admin/login/", headers={"Cookie": "sessionid=anything"})
        assert_refused(response, 503, "control_unavailable")


def test_another_error_of_a_plain_view_stays_an_error(rf):
    middleware = DatabaseFaultMiddleware(lambda _: None)
    for error in (ZeroDivisionError(), IntegrityError(), ProgrammingError()):
        assert middleware.process_exception(rf.get("/admin/"), error) is None
