"""The way from one set of applied migrations to a target: the same for every database that stands there.

What Django works out anew for each database, and what takes most of its time, is done once here: reading the
migrations, ordering them, and rendering the models as they were before and after each operation.

Private API, read in Django 5.2.19 (``django/db/migrations/executor.py``, ``migration.py``): the order of a
plan, which states ``Migration.apply`` and ``unapply`` give to an operation, when one is a transaction of its
own, and what is recorded for a squashed migration.
"""

from __future__ import annotations

import datetime
import functools
import threading
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db.migrations.exceptions import AmbiguityError, IrreversibleError
from django.db.migrations.migration import Migration
from django.db.migrations.operations import (
    AddField,
    AlterField,
    RemoveField,
    RunPython,
    RunSQL,
    SeparateDatabaseAndState,
)
from django.db.migrations.operations.base import Operation
from django.db.models import Field
from django.utils import timezone

from tenancy.exceptions import TenancyError
from tenancy.loader import MigrationKey, PlaneMigrationLoader
from tenancy.planes import Plane, plane_of_app
from tenancy.schema import PlaneMigrationExecutor

#: Whose operations are known to do nothing but what their statements do.
_DJANGOS = ("django.db.migrations.operations.", "django.contrib.postgres.operations")
#: Values of these are what they are, whoever's code puts them into a migration.
_PLAIN = {"builtins", "decimal", "datetime", "uuid", "enum", "re"}
#: What of a migration makes no SQL.
_NOT_SQL = {
    *("validators", "choices", "help_text", "verbose_name", "verbose_name_plural", "error_messages"),
    *("upload_to", "storage", "managers", "bases", "on_delete", "hints", "violation_error_message"),
}
#: Defaults that are called, and whose values say nothing of anybody.
_NOBODYS = (timezone.now, uuid.uuid4, datetime.datetime.now, datetime.date.today)
#: Defaults that are called, and give the same each time.
_CONSTANT = (dict, list, tuple, set, str, bytes, int, float, bool)


class NoRoute(TenancyError):
    """There is no way to the target: it does not exist, or the migrations contradict each other."""


@dataclass(frozen=True)
class Target:
    """Where to: everything, one app, or one migration of it (or the start of its name, or "zero")."""

    app_label: str | None = None
    migration_name: str | None = None

    def resolve(self, loader: PlaneMigrationLoader) -> list[tuple[str, str | None]]:
        """As stock ``migrate`` reads its arguments. Raises ``NoRoute``."""
        if self.app_label is None:
            return list(loader.graph.leaf_nodes())
        self._require_app(loader)
        if self.migration_name is None:
            return [key for key in loader.graph.leaf_nodes() if key[0] == self.app_label]
        if self.migration_name == "zero":
            return [(self.app_label, None)]
        try:
            migration = loader.get_migration_by_prefix(self.app_label, self.migration_name)
        except AmbiguityError as exc:
            raise NoRoute(
                f"More than one migration of '{self.app_label}' begins with '{self.migration_name}'."
            ) from exc
        except KeyError as exc:
            raise NoRoute(
                f"No migration of '{self.app_label}' begins with '{self.migration_name}'; "
                "`showmigrations` lists them."
            ) from exc
        key = (self.app_label, migration.name)
        if key not in loader.graph.nodes and key in loader.replacements:
            # A squashed migration of which only a part was applied is not in the graph.
            return [loader.replacements[key].replaces[-1]]
        return [key]

    def _require_app(self, loader: PlaneMigrationLoader) -> None:
        if self.app_label not in apps.app_configs:
            raise NoRoute(f"No installed app has the label '{self.app_label}'.")
        if plane_of_app(self.app_label) is not Plane.TENANT:
            raise NoRoute(f"App '{self.app_label}' does not belong to the tenants.")
        if self.app_label not in loader.migrated_apps:
            raise NoRoute(f"App '{self.app_label}' does not have migrations.")


@dataclass(frozen=True, eq=False)
class Step:
    """One migration, forwards or backwards."""

    migration: Migration
    backwards: bool

    def __str__(self) -> str:
        return f"{self.migration}{' (undone)' if self.backwards else ''}"

    @property
    def records(self) -> list[MigrationKey]:
        """What ``django_migrations`` gains, or loses."""
        own = (self.migration.app_label, self.migration.name)
        replaced = [(app, name) for app, name in self.migration.replaces]
        if self.backwards:
            return [*replaced, own]
        return replaced or [own]


@dataclass(frozen=True)
class Passage:
    """An operation between the models as they are before and after it touches the database."""

    operation: Operation
    from_state: Any
    to_state: Any


@dataclass(frozen=True, eq=False)
class Segment:
    """Steps that are one transaction; or a step that has one to itself, or none."""

    steps: tuple[Step, ...]
    #: Whether its statements do to another database in the same standing what they did to the first.
    is_repeatable: bool


class Route:
    """From ``applied`` to a target. Made over the connection of a database that stands there; kept without.

    Raises ``NoRoute`` and what Django raises for a history that contradicts itself
    (``InconsistentMigrationHistory``), or for operations that cannot be undone (``IrreversibleError``).
    """

    def __init__(self, connection: Any, target: Target) -> None:
        executor: Any = PlaneMigrationExecutor(connection)
        loader: PlaneMigrationLoader = executor.loader
        loader.check_consistent_history(connection)
        if conflicts := loader.detect_conflicts():
            found = "; ".join(f"{', '.join(names)} in {app}" for app, names in conflicts.items())
            raise NoRoute(f"Two migrations are the last ones of an app ({found}): `makemigrations --merge`.")
        #: What its ``django_migrations`` says, and what Django makes of that where migrations were squashed.
        self.recorded = frozenset(executor.recorder.applied_migrations())
        plan = executor.migration_plan(target.resolve(loader))
        # Later than the plan, for which Django may have to take squashed migrations apart.
        self.applied = frozenset(loader.applied_migrations)
        self._full_plan = [m for m, _ in executor.migration_plan(loader.graph.leaf_nodes(), clean_start=True)]
        # Nothing of the database it was made over is kept.
        executor.connection = executor.recorder = executor.loader.connection = None
        self._executor = executor
        self.steps = tuple(Step(migration, backwards) for migration, backwards in self._in_order(plan))
        _require_reversible(self.steps)
        self.segments = tuple(_segments(self.steps, self._told_apart()))
        #: Squashed migrations of which all parts are there at the end, and which are not recorded yet.
        self.replacements = tuple(self._replacements())
        #: Migrations of tenant apps that were applied and are not on disk: other code was here.
        self.unknown = self._unknown()
        self._local = threading.local()

    def __bool__(self) -> bool:
        """Whether there is something to do."""
        return bool(self.steps or self.replacements)

    @property
    def goal(self) -> frozenset[MigrationKey]:
        """What is recorded at the end."""
        return self._recorded_by_steps() | set(self.replacements)

    def passages(self, segment: Segment) -> list[list[Passage]]:
        """For each step of the segment, what its operations are given; in the order they run.

        Each thread has its own: operations change the fields in them while they run (``AddField`` its
        default), and models are rendered on demand.
        """
        if not segment.steps:
            return []
        if segment.steps[0].backwards:
            return [self._backwards(step) for step in segment.steps]
        return self._forwards(segment)

    def keep_passages(self, segment: Segment) -> list[list[Passage]]:
        """The same, kept for the thread's next database. For what is run anew in each."""
        kept: dict[int, list[list[Passage]]] = self._local.__dict__.setdefault("kept", {})
        key = id(segment)
        if key not in kept:
            kept[key] = self.passages(segment)
        return kept[key]

    def plan(self) -> list[tuple[Migration, bool]]:
        """As Django's signals have it."""
        return [(step.migration, step.backwards) for step in self.steps]

    @functools.cached_property
    def apps_before(self) -> Any:
        """The models before the first step, for receivers of ``pre_migrate``."""
        return self._state_before(None).apps

    @functools.cached_property
    def apps_after(self) -> Any:
        return self._state_after().apps

    def _in_order(self, plan: list[tuple[Migration, bool]]) -> list[tuple[Migration, bool]]:
        """Forwards, in the order in which an empty database would get them."""
        wanted = {migration for migration, _ in plan}
        if len({backwards for _, backwards in plan}) > 1:
            raise NoRoute("Some migrations would be undone and others applied; name an app for each run.")
        if not plan or plan[0][1]:
            return plan
        return [(migration, False) for migration in self._full_plan if migration in wanted]

    def _recorded_by_steps(self) -> frozenset[MigrationKey]:
        found = set(self.recorded)
        for step in self.steps:
            (found.difference_update if step.backwards else found.update)(step.records)
        return frozenset(found)

    def _replacements(self) -> Iterator[MigrationKey]:
        recorded = self._recorded_by_steps()
        for key, migration in self._executor.loader.replacements.items():
            if key not in recorded and recorded.issuperset(migration.replaces):
                yield key

    def _unknown(self) -> tuple[MigrationKey, ...]:
        loader = self._executor.loader
        on_disk = set(loader.disk_migrations)
        on_disk |= {key for migration in loader.disk_migrations.values() for key in migration.replaces}
        return tuple(sorted(key for key in self.applied - on_disk if key[0] in loader.migrated_apps))

    def _applied_migrations(self) -> set[Migration]:
        nodes = self._executor.loader.graph.nodes
        return {nodes[key] for key in self.applied if key in nodes}

    def _state_before(self, migration: Migration | None) -> Any:
        """The models that applied migrations make; of those only that come before ``migration``, if given."""
        state = self._executor._create_project_state()
        applied = self._applied_migrations()
        for known in self._full_plan:
            if known == migration:
                break
            if known in applied:
                known.mutate_state(state, preserve=False)
        return state

    def _told_apart(self) -> frozenset[Migration]:
        """Those among the steps before which classes of the project's stand in the models of their app, or a
        default that is called would fill what is given back. An operation may write down again what was
        there: SQLite makes tables anew, and what is undone is in the models only."""
        undone = {step.migration for step in self.steps if step.backwards}
        ours = _apps_of_ours(self._state_before(None))
        found = {step.migration for step in self.steps if step.migration.app_label in ours}
        if not undone:
            return frozenset(found)
        state = self._executor._create_project_state()
        applied = self._applied_migrations()
        for known in self._full_plan:
            if known in undone:
                before = _fields_before(known.app_label, known.operations, state.clone())
                if known.app_label in _apps_of_ours(state) or not all(map(_is_filled_alike, before)):
                    found.add(known)
            if known in applied:
                known.mutate_state(state, preserve=False)
        return frozenset(found)

    def _state_after(self) -> Any:
        undone = {step.migration for step in self.steps if step.backwards}
        made = self._applied_migrations() | {step.migration for step in self.steps if not step.backwards}
        state = self._executor._create_project_state()
        for migration in self._full_plan:
            if migration in made and migration not in undone:
                migration.mutate_state(state, preserve=False)
        return state

    def _forwards(self, segment: Segment) -> list[list[Passage]]:
        state = self._state_before(None)
        # As Django: on top of all that was applied before, wherever in the full plan that is.
        for earlier in self.steps[: self.steps.index(segment.steps[0])]:
            earlier.migration.mutate_state(state, preserve=False)
        state.apps  # noqa: B018  # renders all of them; from here on only what changes is rendered anew
        found = []
        for step in segment.steps:
            passages = []
            for operation in step.migration.operations:
                before = state.clone()
                operation.state_forwards(step.migration.app_label, state)
                passages.append(Passage(operation, before, state.clone()))
            found.append(passages)
        return found

    def _backwards(self, step: Step) -> list[Passage]:
        state = self._state_before(step.migration)
        state.apps  # noqa: B018
        passages: list[Passage] = []
        for operation in step.migration.operations:
            state = state.clone()
            before = state.clone()
            operation.state_forwards(step.migration.app_label, state)
            passages.insert(0, Passage(operation, state, before))
        return passages


def _require_reversible(steps: Iterable[Step]) -> None:
    for step in steps:
        for operation in step.migration.operations if step.backwards else ():
            if not operation.reversible:
                raise IrreversibleError(f"Operation {operation} in {step.migration} is not reversible")


def _segments(steps: Iterable[Step], told_apart: frozenset[Migration]) -> Iterator[Segment]:
    """What can be repeated goes together, for it is the schema's alone. A migration that runs code of the
    project's, or SQL, has a transaction to itself as in Django: PostgreSQL alters no table on which a change
    of rows is pending."""
    together: list[Step] = []
    for step in steps:
        operations = list(_operations(step.migration))
        is_repeatable = (
            step.migration.atomic
            and all(map(_is_repeatable, operations))
            and step.migration not in told_apart
        )
        if is_repeatable and not any(isinstance(operation, RunSQL) for operation in operations):
            together.append(step)
            continue
        if together:
            yield Segment(tuple(together), is_repeatable=True)
        together = []
        yield Segment((step,), is_repeatable)
    if together:
        yield Segment(tuple(together), is_repeatable=True)


def is_impersonal(migration: Migration) -> bool:
    """Whether an empty database gets the same of it, whoever's it is. The time and a random number are
    nobody's; other defaults that are called may be somebody's, and PostgreSQL keeps them where no row is."""
    for operation in _operations(migration):
        field = getattr(operation, "field", None)
        is_called = field is not None and field.default in _NOBODYS
        if not (_is_repeatable(operation) or (is_called and _says_nothing_of_ours(operation))):
            return False
    return True


def _operations(migration: Migration) -> Iterator[Operation]:
    return _flat(migration.operations)


def _flat(operations: Iterable[Operation]) -> Iterator[Operation]:
    for operation in operations:
        if type(operation) is SeparateDatabaseAndState:
            yield from _flat(operation.database_operations)
        else:
            yield operation


def _is_djangos(operation: Operation) -> bool:
    # ``CreateExtension`` also tells the driver of the types that it brings, for what runs after it.
    is_extension = hasattr(operation, "extension_exists")
    return type(operation).__module__.startswith(_DJANGOS) and not is_extension


def _is_repeatable(operation: Operation) -> bool:
    """Whether its statements are the same for every database that answers its questions alike.

    Not so where Python of the project's decides: ``RunPython``, operations of its own, and defaults that are
    called, of which each database gets one of its own.
    """
    if isinstance(operation, RunPython) or not _is_djangos(operation) or not _says_nothing_of_ours(operation):
        return False
    return not isinstance(operation, AddField | AlterField) or _is_filled_alike(operation.field)


def _says_nothing_of_ours(operation: Operation) -> bool:
    """Whether every field, expression, index and constraint in it is Django's own: SQL that a class of the
    project's makes may be another for each tenant."""
    _, args, kwargs = operation.deconstruct()
    return all(map(_is_plain, (args, {name: kwargs[name] for name in kwargs.keys() - _NOT_SQL})))


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(value[key]) for key in value if key not in _NOT_SQL)
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    if isinstance(value, Field):
        _, _, args, kwargs = value.deconstruct()
        return _is_djangos_class(type(value)) and _is_plain(args) and _is_plain(kwargs)
    is_code = isinstance(value, type) or (callable(value) and not hasattr(value, "resolve_expression"))
    if is_code or type(value).__module__.partition(".")[0] in _PLAIN:
        return True  # what is called is looked at where its values go into rows
    if not _is_djangos_class(type(value)):
        return False
    parts = list(getattr(value, "get_source_expressions", list)())
    if hasattr(value, "deconstruct"):
        parts += value.deconstruct()[1:]
    return all(part is None or _is_plain(part) for part in parts)


def _apps_of_ours(state: Any) -> set[str]:
    """The apps in whose models classes of the project's make SQL."""
    return {
        label
        for (label, _), model in state.models.items()
        if not (_is_plain(list(model.fields.values())) and _is_plain(model.options))
    }


def _is_djangos_class(found: type) -> bool:
    return found.__module__.startswith("django.")


def _is_filled_alike(field: Any) -> bool:
    """Whether a row that has no value gets the same one in each database."""
    if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
        return False
    if not field.has_default():
        return True
    is_asked_in_djangos_way = type(field).get_default.__module__.startswith("django.")
    return is_asked_in_djangos_way and (field.default in _CONSTANT or not callable(field.default))


def _fields_before(app_label: str, operations: Iterable[Operation], state: Any) -> Iterator[Any]:
    """The fields that operations remove or alter, as they are until then."""
    for operation in operations:
        if type(operation) is SeparateDatabaseAndState:
            yield from _fields_before(app_label, operation.database_operations, state.clone())
        elif isinstance(operation, RemoveField | AlterField):
            yield state.models[app_label, operation.model_name_lower].get_field(operation.name)
        operation.state_forwards(app_label, state)
