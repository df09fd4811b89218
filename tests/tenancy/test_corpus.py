"""Upgrading a database ends where stock ``migrate`` ends: every operation of Django's, every kind of start.

Three copies of one database are brought to the same place: one by ``migrate``, two by one ``Upgrade``, of
which the first is migrated by Django's operations and the second by what the first got. Then nothing may tell
them apart.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connections
from django.db.migrations.loader import MigrationLoader

from tenancy import loader, stamp, upgrade
from tenancy.connections import maintenance
from tenancy.route import Segment, Target
from tenancy.script import Script, Statement
from tenancy.testing import databases, repointed
from tenancy.upgrade import Upgrade, Way
from tests.settings import ENGINE
from tests.tenancy.dump import OWN, Dump, dump

APPS = {"corpus": "tests.corpus"}
if ENGINE == "postgresql":
    APPS |= {"corpus_postgresql": "tests.corpus_postgresql", "postgres": "django.contrib.postgres"}
TENANTS = ("acme", "globex", "initech")

# The control plane too: an app that is installed looks at every connection that is open.
pytestmark = databases("control", *TENANTS, transaction=True)

#: Where Python is asked for a value, each database gets one of its own.
CALLED = frozenset({("corpus_reader", "token"), ("corpus_reader", "joined")})
#: And where the database is asked for the time.
OWN_HERE = OWN | CALLED | {("corpus_reader", "seen")}


@pytest.fixture(autouse=True)
def corpus_installed(settings):
    settings.CORPUS_CATEGORY_MODEL = "catalog.Category"
    settings.TENANT_APPS = ["catalog", *APPS]
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, *APPS.values()]
    loader.tenant_heads.cache_clear()
    yield
    loader.tenant_heads.cache_clear()


def migrate(alias: str, *target: str) -> None:
    call_command("migrate", *target, database=alias, verbosity=0)


@contextmanager
def earlier_code(last: str) -> Iterator[None]:
    """The code as it was when ``last`` was its last migration, and nothing was squashed."""
    stock = MigrationLoader.load_disk

    def load_disk(self):
        stock(self)
        self.disk_migrations = {
            key: migration
            for key, migration in self.disk_migrations.items()
            if key[0] == "catalog" or (key[0] == "corpus" and key[1] <= last and not migration.replaces)
        }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MigrationLoader, "load_disk", load_disk)
        yield


# Where a journey begins. Each is made by stock `migrate`, from another one.


@dataclass(frozen=True)
class Start:
    base: str | None
    make: Callable[[str], None]


def _nearly(alias: str) -> None:
    migrate(alias, "corpus", "0064_nothing")
    if ENGINE == "postgresql":
        migrate(alias, "corpus_postgresql")


def _by_earlier_code(last: str) -> Callable[[str], None]:
    def make(alias: str) -> None:
        with earlier_code(last):
            migrate(alias, "corpus", last)

    return make


def _by_todays_code(*target: str) -> Callable[[str], None]:
    return lambda alias: migrate(alias, *target)


STARTS = {
    "empty": Start(None, lambda _: None),
    "half of what was squashed": Start("empty", _by_earlier_code("0002_shelf")),
    "all that was squashed": Start("half of what was squashed", _by_earlier_code("0004_isbn")),
    "an index without a name": Start("all that was squashed", _by_earlier_code("0015_length")),
    "a third, by the old names": Start("an index without a name", _by_earlier_code("0021_kind")),
    "middle": Start("empty", _by_todays_code("corpus", "0034_keys")),
    "values called for and gone": Start("middle", _by_todays_code("corpus", "0042_somebody")),
    "nearly the end": Start("values called for and gone", _nearly),
    "end": Start("nearly the end", _by_todays_code()),
}


@dataclass
class Stable:
    """Keeps databases, and lends copies of them."""

    folder: Path
    names: dict[str, str] = field(default_factory=dict)
    dumps: dict[str, Dump] = field(default_factory=dict)

    @contextmanager
    def copies(self, start: str, aliases: tuple[str, ...] = TENANTS) -> Iterator[None]:
        name = self._made(start)
        with ExitStack() as stack:
            for alias in aliases:
                stack.enter_context(self._copy(alias, name))
            yield

    def _made(self, start: str) -> str:
        if start not in self.names:
            base = STARTS[start].base
            with self._copy("acme", None if base is None else self._made(base), keep=True) as name:
                STARTS[start].make("acme")
                self.dumps[start] = dump("acme", OWN_HERE)
            self.names[start] = name
        return self.names[start]

    @contextmanager
    def _copy(self, alias: str, of: str | None, *, keep: bool = False) -> Iterator[str]:
        name = f"corpus_{uuid.uuid4().hex}"
        if ENGINE == "sqlite":
            name = str(self.folder / name)
            if of is not None and Path(of).exists():
                shutil.copyfile(of, name)
            where = {"NAME": name}
        else:
            _on_server(f"CREATE DATABASE {name} TEMPLATE {of or 'template1'} STRATEGY file_copy")
            where = {"NAME": name, "SCHEMA": "public"}
        try:
            with repointed(alias, **where):
                with maintenance(alias) as connection, connection.cursor() as cursor:
                    if stamp.TABLE in connection.introspection.table_names(cursor):
                        cursor.execute(f"UPDATE {stamp.TABLE} SET tenant_id = %s", [alias])
                yield name
        finally:
            if ENGINE == "postgresql" and not keep:
                _on_server(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def schema(self, alias: str) -> Iterator[None]:
        """A new schema of the tenant's own name, in a database beside another one."""
        with self._copy(alias, None) as name, repointed(alias, NAME=name, SCHEMA=alias):
            with maintenance(alias) as connection, connection.cursor() as cursor:
                cursor.execute(f"CREATE SCHEMA {connection.ops.quote_name(alias)}")
            yield

    def clear(self) -> None:
        if ENGINE == "postgresql":
            for name in self.names.values():
                _on_server(f"DROP DATABASE {name} WITH (FORCE)")


def _on_server(sql: str) -> None:
    with connections["control"]._nodb_cursor() as cursor:
        cursor.execute(sql)


def _vacuum(alias: str) -> None:
    """What autovacuum does at times of its own: rows of the catalog come to lie, and be read, in another
    order."""
    with maintenance(alias) as connection, connection.cursor() as cursor:
        cursor.execute("VACUUM pg_catalog.pg_constraint" if ENGINE == "postgresql" else "VACUUM")


@pytest.fixture(scope="module")
def stable(django_db_blocker, tmp_path_factory):
    stable = Stable(tmp_path_factory.mktemp("corpus"))
    yield stable
    with django_db_blocker.unblock():
        stable.clear()


@pytest.fixture
def travelled(monkeypatch):
    """Which way each database went each segment of its route."""
    found: dict[str, list[tuple[Segment, Way]]] = {}
    travel = upgrade._Trip._travel

    def noted(self, index, segment):
        way = travel(self, index, segment)
        found.setdefault(self.connection.alias, []).append((segment, way))
        return way

    monkeypatch.setattr(upgrade._Trip, "_travel", noted)
    return found


def assert_same(*dumps: Dump) -> None:
    first, *others = dumps
    for other in others:
        assert other.schema == first.schema
        assert other.rows == first.rows
        assert other.records == first.records


END: tuple[str, ...] = ()

JOURNEYS = [
    ("empty", END),
    ("a third, by the old names", END),
    ("nearly the end", END),
    ("half of what was squashed", ("corpus", "0003_rows")),
    ("half of what was squashed", ("corpus", "0001_squashed_0004_isbn")),
    ("half of what was squashed", ("corpus", "0022_not_null")),
    ("all that was squashed", ("corpus", "0001_squashed_0004_isbn")),
    ("all that was squashed", ("corpus", "0022_not_null")),
    ("values called for and gone", ("corpus", "0039_called")),
    ("middle", ("corpus", "0001_squashed_0004_isbn")),
    ("a third, by the old names", ("corpus", "0002_shelf")),
    ("half of what was squashed", ("corpus", "zero")),
    ("end", ("corpus", "zero")),
]
if ENGINE == "postgresql":
    JOURNEYS += [("end", ("corpus_postgresql", "0010_arrays"))]


@pytest.mark.parametrize(
    ("start", "target"),
    JOURNEYS,
    ids=[f"{start} to {' '.join(target) or 'end'}" for start, target in JOURNEYS],
)
def test_it_ends_where_stock_migrate_ends(stable, travelled, start, target):
    with stable.copies(start):
        migrate("acme", *target)
        ours = Upgrade(Target(*target))
        first = ours.carry_out("globex")
        _vacuum("initech")
        second = ours.carry_out("initech")
        dumps = [dump(alias, OWN_HERE) for alias in TENANTS]
        assert_same(*dumps)
        assert first.way is Way.OPERATIONS
        assert second.route.goal == set(dumps[0].records)
    # Not vacuous: whatever can be repeated was, and it only.
    for segment, way in travelled.get("initech", ()):
        assert (way is Way.REPLAY) == segment.is_repeatable, f"{[str(step) for step in segment.steps]}"
    # What Python was asked for in the course of it, it was asked for each database anew.
    before = stable.dumps[start].own
    for column in CALLED:
        values = [tuple(found.own.get(column, ())) for found in dumps]
        if values[0] and list(values[0]) != before.get(column):
            assert len(set(values)) == len(values), column


def test_most_of_the_corpus_can_be_repeated(stable):
    with stable.copies("empty", ("acme",)):
        _, route = Upgrade(Target()).look("acme")
    repeatable = sum(len(segment.steps) for segment in route.segments if segment.is_repeatable)
    assert len(route.steps) >= 60
    assert repeatable / len(route.steps) > 0.85


# That the comparison sees something.


def scripts(ours: Upgrade) -> list[Script]:
    return [script for course in ours._courses.values() for script in course.scripts.values()]


def without_a_column(statements):
    return [statement for statement in statements if '"until"' not in statement.sql]


def with_another_type(statements):
    return [
        Statement(statement.sql.replace("date", "integer"), statement.params, statement.answer)
        if '"until"' in statement.sql
        else statement
        for statement in statements
    ]


def with_another_value(statements):
    return [*statements, Statement("UPDATE corpus_book SET borrowed = 1 WHERE id = 1")]


@pytest.mark.parametrize("spoil", [without_a_column, with_another_type, with_another_value])
def test_a_script_that_is_not_what_was_recorded_is_found_out(stable, spoil):
    """The negative control."""
    with stable.copies("nearly the end"):
        migrate("acme")
        ours = Upgrade(Target())
        ours.carry_out("globex")
        (script,) = scripts(ours)
        before, script.statements = script.statements, spoil(script.statements)
        assert script.statements != before
        assert ours.carry_out("initech").way is Way.REPLAY
        with pytest.raises(AssertionError):
            assert_same(*(dump(alias, OWN_HERE) for alias in ("acme", "initech")))
        assert_same(*(dump(alias, OWN_HERE) for alias in ("acme", "globex")))


# Databases in which somebody did something by hand.


def execute(alias: str, *statements: str) -> None:
    with maintenance(alias) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def index_on(alias: str, table: str, columns: list[str]) -> str:
    with maintenance(alias) as connection, connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, table)
    (name,) = [name for name, what in found.items() if what["columns"] == columns and not what["unique"]]
    return name


def test_what_has_another_name_is_found_as_stock_migrate_finds_it(stable, travelled):
    """The operation asks for an index by its columns, and is told another name than the first time."""
    target = ("corpus", "0016_renamed_index")
    with stable.copies("an index without a name"):
        for alias in ("acme", "initech"):
            execute(
                alias,
                f"DROP INDEX {index_on(alias, 'corpus_book', ['title', 'length'])}",
                "CREATE INDEX made_by_hand ON corpus_book (title, length)",
            )
        migrate("acme", *target)
        ours = Upgrade(Target(*target))
        for alias in ("globex", "initech"):
            ours.carry_out(alias)
        assert_same(*(dump(alias, OWN_HERE) for alias in TENANTS))
        assert index_on("initech", "corpus_book", ["title", "length"]) == "book_by_title"
    ((segment, way),) = travelled["initech"]
    assert segment.is_repeatable
    assert way is Way.OPERATIONS


def test_what_nobody_asks_for_stays_as_stock_migrate_leaves_it(stable):
    with stable.copies("nearly the end"):
        for alias in ("acme", "initech"):
            execute(
                alias,
                "CREATE TABLE made_by_hand (id integer)",
                "CREATE INDEX also_by_hand ON corpus_loan (since)",
                "ALTER TABLE corpus_book ADD COLUMN by_hand integer",
            )
        migrate("acme")
        ours = Upgrade(Target())
        ours.carry_out("globex")
        assert ours.carry_out("initech").way is Way.REPLAY
        assert_same(*(dump(alias, OWN_HERE) for alias in ("acme", "initech")))


@pytest.mark.parametrize(
    ("start", "target"), [("nearly the end", END), ("empty", ("catalog",))], ids=["near", "empty"]
)
def test_a_script_that_fails_is_undone_and_the_operations_run(stable, travelled, start, target):
    with stable.copies(start):
        migrate("acme", *target)
        ours = Upgrade(Target(*target))
        ours.carry_out("globex")
        (script,) = scripts(ours)
        # Before the last thing it does, for a sequence (of the table's keys) is not set back.
        records = [each.sql.startswith("INSERT INTO django_migrations") for each in script.statements]
        script.statements.insert(records.index(True), Statement("DROP TABLE not_there"))
        assert ours.carry_out("initech").way is Way.OPERATIONS
        assert_same(*(dump(alias, OWN_HERE) for alias in TENANTS))


if ENGINE == "postgresql":

    def test_a_schema_in_a_shared_database_gets_what_a_database_gets(stable, travelled):
        with stable.copies("empty", ("globex",)), stable.schema("initech"):
            ours = Upgrade(Target("corpus_postgresql"))
            for alias in ("globex", "initech"):
                ours.carry_out(alias)
            dumps = [dump(alias, OWN_HERE) for alias in ("globex", "initech")]
        for found in dumps:
            lines = [line for line in found.schema if " SCHEMA " not in line]
            found.schema = [line.replace("initech.", "public.") for line in lines]
        assert_same(*dumps)
        assert {way for segment, way in travelled["initech"] if segment.is_repeatable} == {Way.REPLAY}

    def test_the_driver_is_told_of_the_types_of_an_extension(stable, monkeypatch):
        """A statement alone would not do that, so it is not repeated."""
        told = []
        monkeypatch.setattr(
            "django.contrib.postgres.operations.register_type_handlers",
            lambda connection: told.append(connection.alias),
        )
        with stable.copies("middle", ("globex", "initech")):
            ours = Upgrade(Target("corpus_postgresql", "0007_extension"))
            for alias in ("globex", "initech"):
                ours.carry_out(alias)
        assert told == ["globex", "initech"]

    def test_a_server_of_another_version_gets_statements_of_its_own(stable):
        """The older one has no unique constraint that counts NULLs, so Django makes none there."""
        target = ("corpus", "0043_constraints")
        with stable.copies("values called for and gone"):
            migrate("acme", *target)
            ours = Upgrade(Target(*target))
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(vars(connections["globex"]), "pg_version", 14_00_20)
                patch.setitem(vars(connections["globex"].features), "is_postgresql_15", False)
                ours.carry_out("globex")
            ours.carry_out("initech")
            dumps = {alias: dump(alias, OWN_HERE) for alias in TENANTS}
        assert "book_unique_null" not in "".join(dumps["globex"].schema)
        assert_same(dumps["acme"], dumps["initech"])
