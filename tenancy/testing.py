"""For the tests of tenant apps: a pytest plugin and a few helpers.

Put ``pytest_plugins = ["tenancy.testing"]`` into your ``conftest.py``. Then::

    from tenancy.testing import databases, twins

    @databases("acme", "globex")
    def test_it_hides_other_tenants_products():
        ours, theirs = twins(Product, ["acme", "globex"], sku="A-1", …)

A test names the databases it uses. There is no default database, and "all of them" may be a thousand, so
pytest-django's bare ``django_db`` is refused when tests are collected.

The databases are made once per run under names of their own: the first tenant's is migrated, the others
are clones of it (``CREATE DATABASE … TEMPLATE``, or a copy of the file), each with its own stamp.
"""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from django.core.management import call_command, load_command_class
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.test import SimpleTestCase, override_settings

from tenancy import stamp
from tenancy.backends.wrapper import TenancyWrapper
from tenancy.connections import maintenance
from tenancy.context import current_tenant, tenant_context
from tenancy.planes import CONTROL_ALIAS
from tenancy.pool import pool
from tenancy.registry import Registry, get_registry
from tenancy.tenant import Tenant

M = TypeVar("M", bound=Model)

_ALL = "__all__"
# What opens databases in pytest-django without naming them.
_DATABASE_FIXTURES = {"db", "transactional_db", "live_server", "admin_client", "admin_user"}


def databases(*aliases: str, transaction: bool = False) -> pytest.MarkDecorator:
    """Mark a test with the databases it uses: tenants' ids, ``control`` or both.

    ``transaction=True`` commits for real and empties the tables afterwards: slower, and needed where
    threads, commits or connections are the subject.
    """
    return pytest.mark.django_db(databases=list(aliases), transaction=transaction)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        named = _databases_of(item)
        wants = item.get_closest_marker("django_db") or _DATABASE_FIXTURES & set(
            getattr(item, "fixturenames", ())
        )
        if named in (_ALL, {DEFAULT_DB_ALIAS}) or (wants and not named):
            sentence = (
                f"{item.nodeid} does not name its databases, and there is no default one. Mark it with "
                '@tenancy.testing.databases("control", "acme", …); a class of Django\'s names them in '
                "`databases`."
            )
            if hasattr(getattr(item, "config", None), "workerinput"):
                # From a worker pytest-xdist shows no more than that it ended.
                print(f"ERROR: {sentence}", file=sys.__stderr__, flush=True)
            raise pytest.UsageError(sentence)


def _databases_of(item: pytest.Item) -> Any:
    """As pytest-django and Django look for them: aliases, ``"__all__"``, or nothing."""
    cls = getattr(item, "cls", None)
    if isinstance(cls, type) and issubclass(cls, SimpleTestCase):
        return cls.databases
    marker = item.get_closest_marker("django_db")
    return marker.kwargs.get("databases") if marker else None


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Replaces pytest-django's: makes the databases that the collected tests name, and drops them."""
    named: set[str] = set()
    for item in request.session.items:
        named |= set(_databases_of(item) or ())
    folder = tmp_path_factory.mktemp("databases")
    makers = [_maker(alias, folder) for alias in sorted(named)]
    for maker in makers:
        maker.rename()
    try:
        # Blocked again while the tests run, or one without the mark might use what is there.
        with django_db_blocker.unblock():
            _make_all(makers)
        yield
    finally:
        with django_db_blocker.unblock():
            for maker in makers:
                maker.drop()


@pytest.fixture(scope="session", autouse=True)
def _nothing_without_the_mark() -> Iterator[None]:
    """pytest-django keeps an unmarked test out of the databases by what it puts in the place of Django's
    ``ensure_connection``. Ours does not call that one where a connection is open, as it is after any marked
    test: without this the next one would write outside of every transaction, and leave what it wrote."""
    ours = TenancyWrapper.ensure_connection

    def both(self: TenancyWrapper) -> None:
        ours(self)
        BaseDatabaseWrapper.ensure_connection(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TenancyWrapper, "ensure_connection", both)
        yield


@pytest.fixture(autouse=True)
def _fresh_pool() -> Iterator[None]:
    """What one test found unreachable the next may not, and its idle connections are nobody's."""
    yield
    pool.discard_idle()
    pool.reset_breakers()


@pytest.fixture(autouse=True)
def _no_tenant_left() -> Iterator[None]:
    """Every test starts and ends with an empty context, whatever it did."""
    assert current_tenant() is None, "A tenant was left in context by an earlier test or fixture."
    yield
    assert current_tenant() is None, "This test left a tenant in context."


def twins(model: type[M], tenants: Iterable[str], *, pk: uuid.UUID | None = None, **fields: Any) -> list[M]:
    """The same row, with the same primary key, in each of several tenants: a leak then shows as wrong
    data, not as "not found". A value that is callable is called with the tenant's id."""
    pk = pk or uuid.uuid4()
    made = []
    for tenant_id in tenants:
        with tenant_context(tenant_id):
            values = {name: value(tenant_id) if callable(value) else value for name, value in fields.items()}
            made.append(model._default_manager.create(pk=pk, **values))
    return made


@contextmanager
def changed_tenant(tenant_id: str, **changes: Any) -> Iterator[Tenant]:
    """The registry with one tenant changed, as if tenants.yaml said so: ``status=Status.SUSPENDED``."""
    registry = get_registry()
    changed = replace(registry.get(tenant_id), **changes)
    tenants = {tenant.id: tenant for tenant in registry} | {tenant_id: changed}
    with override_settings(TENANCY_REGISTRY=Registry(tenants, generation="changed")):
        yield changed


@contextmanager
def only_tenants(*tenant_ids: str) -> Iterator[Registry]:
    """The registry with these tenants only."""
    registry = get_registry()
    fewer = Registry({tenant_id: registry.get(tenant_id) for tenant_id in tenant_ids}, generation="fewer")
    with override_settings(TENANCY_REGISTRY=fewer):
        yield fewer


@contextmanager
def repointed(alias: str, **changes: Any) -> Iterator[None]:
    """An alias whose settings lead elsewhere: to no database, or to another tenant's.

    For tests with ``transaction=True``: this thread's connection is closed before and after.
    """
    connection = connections[alias]
    before = {name: connection.settings_dict[name] for name in changes}
    connection.close()
    pool.discard_idle({alias})
    connection.settings_dict.update(changes)
    try:
        yield
    finally:
        connection.close()
        pool.discard_idle({alias})
        pool.reset_breakers()
        connection.settings_dict.update(before)


@contextmanager
def empty_database(alias: str, folder: Path) -> Iterator[None]:
    """An alias that leads to a new database without tables, which goes afterwards. For tests with
    ``transaction=True``. On SQLite the file in ``folder`` is not there yet."""
    name = f"empty_{uuid.uuid4().hex}"
    if connections[alias].vendor == "sqlite":
        with repointed(alias, NAME=str(folder / name)):
            yield
        return
    maker = _PostgreSQLMaker(alias)
    with repointed(alias, NAME=name):
        maker.create()
        try:
            yield
        finally:
            connections[alias].close()
            maker.remove()


class _Maker(ABC):
    """Makes and drops the test database of one alias."""

    def __init__(self, alias: str) -> None:
        self.alias = alias
        self.connection = connections[alias]
        self.settings = self.connection.settings_dict
        self.real_name = str(self.settings["NAME"])

    #: Whether ``clone`` can copy another tenant's database to this one.
    clonable = True

    @abstractmethod
    def rename(self) -> None:
        """Lead the alias to the name it has in the tests."""

    @abstractmethod
    def create(self) -> None:
        """Make it empty."""

    @abstractmethod
    def clone(self, template: _Maker) -> None:
        """Make it a copy of another tenant's, stamp and all."""

    @abstractmethod
    def remove(self) -> None:
        """Undo ``create`` or ``clone``."""

    def migrate(self) -> None:
        command: Any = load_command_class("tenancy", "migrate")
        command.is_recorded = False
        call_command(command, database=self.alias, verbosity=0)

    def drop(self) -> None:
        self.connection.close()
        pool.discard_idle({self.alias})
        self.remove()
        self.settings["NAME"] = self.real_name

    def take_over(self) -> None:
        """A clone says whose template it was; make it say whose it is."""
        with maintenance(self.alias) as connection, connection.cursor() as cursor:
            cursor.execute(f"UPDATE {stamp.TABLE} SET tenant_id = %s", [self.alias])


class _SQLiteMaker(_Maker):
    def __init__(self, alias: str, folder: Path) -> None:
        super().__init__(alias)
        self.file = folder / f"{alias}.sqlite3"

    def rename(self) -> None:
        self.settings["NAME"] = str(self.file)

    def create(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)

    def clone(self, template: _Maker) -> None:
        shutil.copyfile(template.settings["NAME"], self.file)

    def remove(self) -> None:
        for file in self.file.parent.glob(f"{self.file.name}*"):
            file.unlink()


class _PostgreSQLMaker(_Maker):
    def __init__(self, alias: str) -> None:
        super().__init__(alias)
        self.schema = self.settings["SCHEMA"]
        self.clonable = self.schema == "public"

    def rename(self) -> None:
        worker = os.environ.get("PYTEST_XDIST_WORKER", "")
        self.settings["NAME"] = f"test_{self.real_name}{worker and '_' + worker}"

    def create(self) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
        self.execute(f"CREATE DATABASE {self.name}")
        if not self.clonable:
            with self.connection.cursor() as cursor:
                cursor.execute(f"CREATE SCHEMA {self.connection.ops.quote_name(self.schema)}")
            self.connection.close()

    def clone(self, template: _Maker) -> None:
        assert isinstance(template, _PostgreSQLMaker)
        self.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
        self.execute(f"CREATE DATABASE {self.name} TEMPLATE {template.name}")

    def remove(self) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")

    @property
    def name(self) -> str:
        return str(self.connection.ops.quote_name(self.settings["NAME"]))

    def execute(self, sql: str) -> None:
        """In the server's own database, on a connection of its own."""
        with self.connection._nodb_cursor() as cursor:
            cursor.execute(sql)


def _maker(alias: str, folder: Path) -> _Maker:
    if connections[alias].vendor == "sqlite":
        return _SQLiteMaker(alias, folder)
    return _PostgreSQLMaker(alias)


def _make_all(makers: list[_Maker]) -> None:
    template: _Maker | None = None
    for maker in makers:
        if template is not None and maker.clonable and maker.alias != CONTROL_ALIAS:
            maker.clone(template)
            maker.take_over()
            continue
        maker.create()
        maker.migrate()
        if maker.clonable and maker.alias != CONTROL_ALIAS:
            template = maker
