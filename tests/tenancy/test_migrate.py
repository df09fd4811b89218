"""`migrate` and `showmigrations`: one plane at a time, and the stamp of an empty tenant database."""

from __future__ import annotations

import importlib
import io
import sys

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connections, migrations
from django.test import override_settings

from tenancy import loader, stamp
from tenancy.connections import maintenance
from tenancy.context import tenant_context
from tenancy.exceptions import DatabaseUnavailable, StampMismatch, TenantMigrating, UnstampedDatabase
from tenancy.schema import StampDatabase, needs_stamp
from tenancy.testing import databases, empty_database, repointed
from tests.settings import ENGINE

CATALOG = ("catalog", "0001_initial")

# Every test here works on a database of its own, and leaves those of the other tests alone.
pytestmark = databases("control", "acme", transaction=True)


@pytest.fixture(autouse=True)
def catalog_alone(settings):
    """These tests count what is there; the tests' own app is not part of it."""
    settings.TENANT_APPS = ["catalog"]
    loader.tenant_heads.cache_clear()
    yield
    loader.tenant_heads.cache_clear()


@pytest.fixture
def empty_acme(tmp_path):
    with empty_database("acme", tmp_path):
        yield


@pytest.fixture
def empty_control(tmp_path):
    with empty_database("control", tmp_path):
        yield


def run(command, *args, **options):
    out = io.StringIO()
    call_command(command, *args, stdout=out, no_color=True, **options)
    return out.getvalue()


def execute(alias, sql, params=()):
    with maintenance(alias) as connection, connection.cursor() as cursor:
        cursor.execute(sql, params)


def recorded(alias):
    """The rows of ``django_migrations``, as (app, name)."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT app, name FROM django_migrations ORDER BY id")
        return cursor.fetchall()


def tables(alias):
    with maintenance(alias) as connection:
        return set(connection.introspection.table_names())


TENANT_TABLES = {"catalog_category", "catalog_product", "django_migrations", "tenancy_stamp"}


# An empty tenant database.


def test_it_makes_and_records_the_tenant_apps_only(empty_acme):
    run("migrate", database="acme")
    assert tables("acme") == TENANT_TABLES
    assert recorded("acme") == [CATALOG]


def test_it_stamps_an_empty_database(empty_acme):
    with maintenance("acme") as connection:
        assert stamp.read(connection) is None
    run("migrate", database="acme")
    assert stamp.read(connections["acme"]) == "acme"
    with tenant_context("acme"):
        connections["acme"].ensure_connection()


def test_its_output_is_that_of_stock_django(empty_acme):
    assert run("migrate", database="acme") == (
        "Operations to perform:\n"
        "  Apply all migrations: catalog\n"
        "Running migrations:\n"
        "  Applying catalog.0001_initial... OK\n"
    )
    assert run("migrate", database="acme") == (
        "Operations to perform:\n"
        "  Apply all migrations: catalog\n"
        "Running migrations:\n"
        "  No migrations to apply.\n"
    )


def test_running_it_twice_changes_nothing(empty_acme):
    run("migrate", database="acme")
    run("migrate", database="acme")
    assert recorded("acme") == [CATALOG]
    assert stamp.read(connections["acme"]) == "acme"


def test_it_goes_backwards_and_forwards(empty_acme):
    run("migrate", database="acme")
    assert "Unapplying catalog.0001_initial... OK" in run("migrate", "catalog", "zero", database="acme")
    assert tables("acme") == {"django_migrations", "tenancy_stamp"}
    assert recorded("acme") == []
    run("migrate", "catalog", database="acme")
    assert tables("acme") == TENANT_TABLES
    assert recorded("acme") == [CATALOG]
    assert stamp.read(connections["acme"]) == "acme"


def test_a_plan_is_shown_and_nothing_is_made(empty_acme):
    assert tables("acme") == set()  # in maintenance, which makes the file
    out = run("migrate", database="acme", plan=True)
    assert "catalog.0001_initial\n    Create model Category" in out
    assert "users." not in out
    assert tables("acme") == set()


def test_check_exits_with_1_until_all_is_applied(empty_acme):
    assert tables("acme") == set()
    with pytest.raises(SystemExit) as raised:
        run("migrate", database="acme", check_unapplied=True)
    assert raised.value.code == 1
    assert tables("acme") == set()
    run("migrate", database="acme")
    run("migrate", database="acme", check_unapplied=True)


def fail(*args):
    raise RuntimeError("stop here")


@pytest.fixture
def broken_migration(monkeypatch):
    """The first migration of ``catalog``, failing at its end."""
    module = importlib.import_module("catalog.migrations.0001_initial")
    operations = [*module.Migration.operations, migrations.RunPython(fail)]
    with monkeypatch.context() as patch:
        patch.setattr(module.Migration, "operations", operations)
        yield patch


def test_a_first_migration_that_fails_leaves_nothing_and_can_be_repeated(empty_acme, broken_migration):
    with pytest.raises(RuntimeError, match="stop here"):
        run("migrate", database="acme")
    assert tables("acme") <= {"django_migrations"}
    assert stamp.read(connections["acme"]) is None
    broken_migration.undo()
    run("migrate", database="acme")
    assert tables("acme") == TENANT_TABLES
    assert stamp.read(connections["acme"]) == "acme"


def test_the_stamp_of_a_failed_migration_stood_there_for_a_moment(empty_acme, broken_migration):
    """Proves that the test above has something to roll back."""
    seen = []
    module = importlib.import_module("catalog.migrations.0001_initial")

    def look(apps, schema_editor):
        seen.append(stamp.read(schema_editor.connection))
        raise RuntimeError

    operations = [*module.Migration.operations[:-1], migrations.RunPython(look)]
    broken_migration.setattr(module.Migration, "operations", operations)
    with pytest.raises(RuntimeError):
        run("migrate", database="acme")
    assert seen == ["acme"]
    assert stamp.read(connections["acme"]) is None


def test_a_migration_that_is_only_recorded_makes_no_stamp(empty_acme):
    run("migrate", database="acme", fake=True)
    assert tables("acme") == {"django_migrations"}
    with pytest.raises(CommandError, match="no stamp"):
        run("migrate", database="acme")


# Databases that are not ours to migrate.


def test_it_refuses_a_database_with_tables_and_no_stamp(empty_acme):
    execute("acme", "CREATE TABLE somebody_elses (id integer)")
    with pytest.raises(CommandError, match=r"has tables but no stamp.*tenants provision acme --adopt"):
        run("migrate", database="acme")
    assert tables("acme") == {"somebody_elses"}


def test_it_refuses_a_database_with_a_view_and_no_stamp(empty_acme):
    execute("acme", "CREATE VIEW somebody_elses AS SELECT 1 AS one")
    with pytest.raises(CommandError, match="has tables but no stamp"):
        run("migrate", database="acme")
    assert tables("acme") == set()


def test_it_refuses_an_empty_stamp(empty_acme):
    """The table without its row says nothing, so the database is not taken for empty."""
    execute("acme", stamp.CREATE)
    with pytest.raises(CommandError, match="has tables but no stamp"):
        run("migrate", database="acme")


@databases("acme", "globex", transaction=True)
def test_it_refuses_another_tenants_database():
    with repointed("acme", **whereabouts("globex")):
        with pytest.raises(CommandError, match="'acme' is unavailable: its stamp names another owner"):
            run("migrate", database="acme")
        with pytest.raises(CommandError, match="another owner"):
            run("migrate", "catalog", "zero", database="acme")
    assert CATALOG in recorded("globex")
    assert stamp.read(connections["globex"]) == "globex"


@databases("control", "acme", transaction=True)
def test_control_refuses_a_tenants_database():
    before = tables("acme")
    with (
        repointed("control", **whereabouts("acme")),
        pytest.raises(CommandError, match="'control' is unavailable: its stamp names another owner"),
    ):
        run("migrate", database="control")
    assert tables("acme") == before


@databases("control", "acme", transaction=True)
def test_a_tenant_refuses_the_database_of_the_control_plane():
    with repointed("acme", **whereabouts("control")), pytest.raises(CommandError, match="no stamp"):
        run("migrate", database="acme")
    assert "catalog_product" not in tables("control")


def whereabouts(alias):
    settings = connections[alias].settings_dict
    return {"NAME": settings["NAME"], "SCHEMA": settings["SCHEMA"]}


def test_a_database_takes_one_stamp_only(empty_acme):
    run("migrate", database="acme")
    with pytest.raises(IntegrityError):
        execute("acme", stamp.INSERT, ["globex"])
    assert stamp.read(connections["acme"]) == "acme"


# The control plane.


@databases("control", "acme", transaction=True)
def test_control_holds_and_records_everything_but_the_tenant_apps(empty_control):
    out = run("migrate", database="control")
    apps = ["admin", "audit", "auth", "contenttypes", "ledger", "sessions", "users"]
    assert f"Apply all migrations: {', '.join(apps)}\n" in out
    assert "have changes" not in out
    assert {app for app, _ in recorded("control")} == set(apps)
    made = tables("control")
    assert "users_user" in made
    assert not [name for name in made if name.startswith(("catalog_", "tenancy_"))]
    assert run("migrate", database="control").endswith("  No migrations to apply.\n")
    shown = run("showmigrations", database="control")
    assert "users\n [X] 0001_initial\n" in shown
    assert "catalog" not in shown


# What the commands say.


@databases("control", "acme")
@pytest.mark.parametrize(
    ("app", "alias", "message"),
    [
        ("users", "acme", "App 'users' belongs to the control plane, and 'acme' does not hold it"),
        ("auth", "acme", "App 'auth' belongs to the control plane"),
        ("catalog", "control", "App 'catalog' belongs to the tenants, and 'control' does not hold it"),
        ("no_such_app", "acme", "No installed app with label 'no_such_app'"),
    ],
)
def test_an_app_of_the_other_plane_is_refused(app, alias, message):
    with pytest.raises(CommandError, match=message):
        run("migrate", app, database=alias)


@pytest.mark.parametrize("command", ["migrate", "showmigrations"])
@pytest.mark.parametrize(
    ("alias", "message", "code"),
    [
        (None, "No database is named. Name one with --database: control, acme", 2),
        ("acmee", "Unknown tenant 'acmee': did you mean 'acme'", 1),
        ("default", "Unknown tenant 'default'", 1),
        ("__class__", "Unknown tenant '__class__'. Name one with --database", 1),
    ],
)
def test_a_database_must_be_named_and_known(command, alias, message, code):
    with pytest.raises(CommandError, match=message) as raised:
        run(command, database=alias)
    assert raised.value.returncode == code


@databases("control", "acme", transaction=True)
@pytest.mark.parametrize("alias", ["acme", "control"])
def test_it_does_not_say_that_models_have_changed(alias):
    """The comparison with all models is made when nothing is to do; the other plane's must not count."""
    out = run("migrate", database=alias)
    assert "No migrations to apply." in out
    assert "have changes that are not yet reflected" not in out


def test_it_does_say_that_models_have_changed_when_they_have(empty_acme, monkeypatch):
    module = importlib.import_module("catalog.migrations.0001_initial")
    monkeypatch.setattr(module.Migration, "operations", module.Migration.operations[:-1])
    run("migrate", database="acme")
    assert "Your models in app(s): 'catalog' have changes" in run("migrate", database="acme")


def test_showmigrations_lists_the_tenant_apps_only():
    assert run("showmigrations", database="acme") == "catalog\n [X] 0001_initial\n"
    assert run("showmigrations", database="acme", format="plan") == "[X]  catalog.0001_initial\n"


def test_showmigrations_shows_what_is_missing(empty_acme):
    with maintenance("acme") as connection, connection.cursor():
        pass  # on SQLite this makes the file, as a provisioned one
    assert run("showmigrations", database="acme") == "catalog\n [ ] 0001_initial\n"


def test_no_model_lacks_a_migration():
    assert run("makemigrations", check_changes=True, dry_run=True) == "No changes detected\n"


def test_makemigrations_opens_no_database():
    """It would walk all aliases: every tenant would have to be up to write a migration."""
    connections["acme"].close()
    run("makemigrations", check_changes=True, dry_run=True)
    assert connections["acme"].connection is None


@databases("control", "acme", transaction=True)
def test_makemigrations_can_update_the_last_migration(monkeypatch):
    """It asks the default database whether that was applied; here, the control plane."""
    module = importlib.import_module("catalog.migrations.0001_initial")
    monkeypatch.setattr(module.Migration, "operations", module.Migration.operations[:-1])
    out = run("makemigrations", "catalog", update=True, dry_run=True)
    assert "product_currency_is_iso" in out


# The stamp operation and the questions behind the commands.


def test_the_stamp_says_what_it_does_and_leaves_the_state_alone():
    operation = StampDatabase("acme")
    assert operation.describe() == "Stamp the database with its tenant's id"
    assert not operation.reversible
    assert operation.state_forwards("catalog", None) is None


@databases("control", "acme", transaction=True)
def test_needs_stamp_tells_an_empty_database_from_ours_and_others(empty_acme):
    with maintenance("acme") as connection:
        assert needs_stamp(connection) is True
    run("migrate", database="acme")
    with maintenance("acme") as connection:
        assert needs_stamp(connection) is False
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE {stamp.TABLE} SET tenant_id = 'globex'")
        with pytest.raises(StampMismatch):
            needs_stamp(connection)
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE {stamp.TABLE}")
        with pytest.raises(UnstampedDatabase) as raised:
            needs_stamp(connection)
    assert raised.value.alias == "acme"
    with maintenance("control") as connection:
        assert needs_stamp(connection) is False


# How far a database must be migrated.


@pytest.fixture
def migrations_on_disk(tmp_path, monkeypatch):
    """Writes a migrations package for ``catalog`` in place of the real one."""

    def write(**files):
        package = tmp_path / "catalog_migrations_of_a_test"
        package.mkdir()
        (package / "__init__.py").touch()
        for name, attributes in files.items():
            (package / f"{name}.py").write_text(
                "from django.db import migrations\n\n\n"
                "class Migration(migrations.Migration):\n"
                "    operations = []\n"
                + "".join(f"    {key} = {value!r}\n" for key, value in attributes.items())
            )

    monkeypatch.syspath_prepend(tmp_path)
    loader.tenant_heads.cache_clear()
    with override_settings(MIGRATION_MODULES={"catalog": "catalog_migrations_of_a_test"}):
        yield write
    loader.tenant_heads.cache_clear()
    for name in [name for name in sys.modules if name.startswith("catalog_migrations_of_a_test")]:
        del sys.modules[name]


def test_a_database_is_behind_until_it_has_the_last_migration(migrations_on_disk):
    migrations_on_disk(
        **{"0001_a": {}, "0002_b": {"dependencies": [("catalog", "0001_a")]}},
    )
    assert loader.is_behind(frozenset())
    assert loader.is_behind(frozenset({("catalog", "0001_a")}))
    assert loader.is_behind(frozenset({("users", "0002_b")}))
    assert not loader.is_behind(frozenset({("catalog", "0001_a"), ("catalog", "0002_b")}))
    assert not loader.is_behind(
        frozenset({("catalog", "0001_a"), ("catalog", "0002_b"), ("catalog", "0003_ahead")})
    )


def test_all_that_a_squashed_migration_replaces_is_as_good_as_itself(migrations_on_disk):
    replaced = [("catalog", "0001_a"), ("catalog", "0002_b")]
    migrations_on_disk(
        **{
            "0001_a": {},
            "0002_b": {"dependencies": replaced[:1]},
            "0001_squashed": {"replaces": replaced},
        },
    )
    assert not loader.is_behind(frozenset(replaced))
    assert not loader.is_behind(frozenset({("catalog", "0001_squashed")}))
    assert loader.is_behind(frozenset(replaced[:1]))


@databases("control", "acme", transaction=True)
def test_models_of_the_other_plane_never_count_as_changed(migrations_on_disk):
    """An app whose first migration is not written yet is told where it belongs, and only there."""
    migrations_on_disk()
    assert "'catalog' have changes" in run("migrate", database="acme")
    assert "have changes" not in run("migrate", database="control")


def test_the_head_of_the_real_catalogue_is_its_last_migration():
    loader.tenant_heads.cache_clear()
    assert [sorted(way) for (way,) in loader.tenant_heads()] == [[CATALOG]]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DELETE FROM django_migrations", "is behind the code. Run `manage.py migrate --database acme`"),
        ("DROP TABLE django_migrations", "has no stamp or no migrations yet"),
        ("DROP TABLE tenancy_stamp", "has no stamp or no migrations yet"),
        ("DELETE FROM tenancy_stamp", "has an empty stamp"),
    ],
    ids=["migration missing", "no migrations table", "no stamp", "empty stamp"],
)
def test_a_database_that_is_not_ready_is_not_entered(empty_acme, sql, message):
    run("migrate", database="acme")
    execute("acme", sql)
    with tenant_context("acme"), pytest.raises(TenantMigrating, match=message) as raised:
        connections["acme"].ensure_connection()
    assert raised.value.alias == "acme"
    assert connections["acme"].connection is None


if ENGINE == "postgresql":

    def test_a_schema_that_is_not_there_is_told_in_one_line():
        with (
            repointed("acme", SCHEMA="nowhere"),
            pytest.raises(CommandError, match=r"has no schema 'nowhere'.*CREATE SCHEMA nowhere"),
        ):
            call_command("migrate", database="acme", verbosity=0)


@pytest.mark.parametrize("looking", [{"plan": True}, {"check_unapplied": True}])
def test_looking_makes_no_database(looking, tmp_path):
    name = str(tmp_path / "missing") if ENGINE == "sqlite" else "missing"
    with repointed("acme", NAME=name), pytest.raises(DatabaseUnavailable):
        run("migrate", database="acme", **looking)
    assert not (tmp_path / "missing").exists()


@databases("control")
def test_squashing_needs_no_default_database():
    with pytest.raises(CommandError, match="Cannot find a migration matching '9999'"):
        call_command("squashmigrations", "catalog", "9999", interactive=False)
