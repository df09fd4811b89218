"""Migrating one tenant's database, where others have gone the same way before."""

from __future__ import annotations

import enum
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db import Error, connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.signals import post_migrate, pre_migrate

from tenancy import routers, stamp
from tenancy.backends.faults import Fault, classify
from tenancy.connections import maintenance
from tenancy.exceptions import DatabaseBusy
from tenancy.loader import MigrationKey
from tenancy.lock import DatabaseLock
from tenancy.route import Passage, Route, Segment, Step, Target
from tenancy.script import Differs, Recording, Script, Statement
from tenancy.standing import Standing, read_standing
from tenancy.transactions import atomic_on

logger = logging.getLogger("tenancy.fleet")

#: Faults of the database that go away by themselves: nothing is gained by going another way at once.
_PASSING = (Fault.BUSY, Fault.UNAVAILABLE)


class Way(enum.StrEnum):
    """How a database was brought to where it is. The names are for machines, too."""

    #: There was nothing to do.
    NONE = "none"
    #: By Django's operations, and each of their statements noted where it can be repeated.
    OPERATIONS = "operations"
    #: By the statements that another one got.
    REPLAY = "replay"


@dataclass(frozen=True)
class Upgraded:
    """What became of one database."""

    before: Standing
    route: Route
    way: Way

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.route.steps if self.way is not Way.NONE else ()


class Deferred(Exception):
    """Not now: the tenant's turn comes when others have shown that the way is good."""


@dataclass
class Course:
    """A route, and what is known of it by those who went it. Changed with ``lock`` held."""

    route: Route
    #: Of all that stand there: one for each would be a lot of text.
    standing: Standing
    lock: threading.Lock = field(default_factory=threading.Lock)
    scripts: dict[int, Script] = field(default_factory=dict)
    #: Somebody is on it for the first time.
    is_being_tried: bool = False
    #: Somebody has been on it, well or not.
    is_known: bool = False


class Upgrade:
    """Brings databases to a target. One for a whole run; its methods may be called in many threads.

    ``lock_timeout`` is in seconds: how long a table, or the database's lock, is waited for. With ``replay``
    off, each database is migrated by Django's operations.
    """

    def __init__(self, target: Target, *, replay: bool = True, lock_timeout: float = 5.0) -> None:
        self.target = target
        self.replay = replay and not routers.has_others()
        self.lock_timeout = lock_timeout
        self._courses: dict[tuple[str, int, str, Standing], Course] = {}
        self._expects_work = False
        #: Asked once for all: it looks at every app.
        self._has_receivers = has_receivers()
        self._lock = threading.Lock()

    def look(self, alias: str) -> tuple[Standing, Route | None]:
        """Where the database stands, and what is before it. Changes nothing; of an SQLite file that is not
        there yet it says that all is."""
        if _is_missing_file(connections[alias]):
            return Standing(frozenset(), is_stamped=False), None
        with maintenance(alias, makes_file=False) as connection:
            standing = read_standing(connection)
            course = self._course(connection, standing)
            return course.standing, course.route

    def carry_out(self, alias: str, admit: Callable[[], Any] | None = None) -> Upgraded:
        """Bring the database of ``alias`` to the target.

        ``admit`` is called when there is something to do and nothing is done yet: a context manager around
        it, or an exception against it. Raises ``Deferred`` while another goes the same way for the first
        time.
        """
        with (
            maintenance(alias, patience=self.lock_timeout) as connection,
            DatabaseLock(connection, self.lock_timeout) as lock,
        ):
            # One trip less, where the last one had something to do; else nobody's lock is taken for nothing.
            standing = read_standing(connection, lock if self._expects_work else None)
            course = self._course(connection, standing)
            self._expects_work = bool(course.route)
            if not course.route:
                if self._has_receivers:  # one of them may have failed, after the migrations
                    self._go(connection, standing, course)
                return Upgraded(course.standing, course.route, Way.NONE)
            with nullcontext() if admit is None else admit(), self._first_time(course):
                if not lock.is_held:
                    # Whoever had it before us may have done the work.
                    standing = read_standing(connection, lock)
                    course = self._course(connection, standing)
                    if not course.route:
                        return Upgraded(course.standing, course.route, Way.NONE)
                return self._go(connection, standing, course)

    def _go(self, connection: Any, standing: Standing, course: Course) -> Upgraded:
        emit = _Signals(connection.alias, course.route) if self._has_receivers else None
        if emit is not None:
            emit.before()
        way = _Trip(connection, standing, course, replay=self.replay).go()
        if emit is not None:
            emit.after()
        return Upgraded(course.standing, course.route, way)

    def wait_for_nobody(self) -> None:
        """Defer no one any more to those who are on a way for the first time: one of them was given up."""
        with self._lock:
            courses = list(self._courses.values())
        for course in courses:
            with course.lock:
                course.is_being_tried, course.is_known = False, True

    def _course(self, connection: Any, standing: Standing) -> Course:
        # What a server can do, Django knows from its version, and does not ask.
        version = connection.get_database_version()[0]
        key = (connection.vendor, version, _reading_of_texts(connection), standing)
        with self._lock:  # one at a time: what it takes is processor time
            if key not in self._courses:
                route = Route(connection, self.target)
                if route.recorded != standing.applied:
                    raise DatabaseBusy(connection.alias, "somebody else migrates it")
                self._courses[key] = Course(route, standing)
            return self._courses[key]

    @contextmanager
    def _first_time(self, course: Course) -> Iterator[None]:
        """Let one go first where others can repeat what it does; who comes meanwhile is deferred."""
        if not self.replay or not any(segment.is_repeatable for segment in course.route.segments):
            yield
            return
        with course.lock:
            if course.is_being_tried:
                raise Deferred
            is_first = course.is_being_tried = not course.is_known
        try:
            yield
        finally:
            if is_first:
                with course.lock:
                    course.is_being_tried = False
                    course.is_known = True


def _reading_of_texts(connection: Any) -> str:
    """How the session reads a text in quotes. Of what was quoted for another, a backslash would be lost.

    A database or a role may have its own: https://www.postgresql.org/docs/current/runtime-config-compatible.html.
    """
    if connection.vendor != "postgresql":
        return ""
    return str(connection.connection.info.parameter_status("standard_conforming_strings"))


def _is_missing_file(connection: Any) -> bool:
    return connection.vendor == "sqlite" and not Path(connection.settings_dict["NAME"]).exists()


class _Trip:
    """One database on its way."""

    def __init__(self, connection: Any, standing: Standing, course: Course, *, replay: bool) -> None:
        self.connection = connection
        self.course = course
        self.route = course.route
        self.replay = replay
        self.is_stamped = standing.is_stamped
        self.is_bare = standing.is_bare
        self.recorder = self._new_recorder()

    def _new_recorder(self) -> Any:
        recorder: Any = MigrationRecorder(self.connection)
        # Where there are rows there is a table, and nobody needs to ask.
        recorder._has_table = bool(self.route.recorded)
        return recorder

    def go(self) -> Way:
        ways = [self._travel(index, segment) for index, segment in enumerate(self.route.segments)]
        if self.route.replacements:
            with atomic_on(self.connection.alias):
                self._execute([self._insert(self.route.replacements)])
        # Replayed is what was replayed as a whole.
        return Way.OPERATIONS if Way.OPERATIONS in ways else Way.REPLAY if ways else Way.OPERATIONS

    def _travel(self, index: int, segment: Segment) -> Way:
        script = self.course.scripts.get(index) if self.replay else None
        if script is not None:
            try:
                at_once = script.is_one_message(self.connection) and not self.connection.in_atomic_block
                with nullcontext() if at_once else self._together():
                    self._replay(script)
            except (Differs, Error) as exc:
                if isinstance(exc, Error) and classify(exc) in _PASSING:
                    raise
                logger.info(
                    "'%s' did not take what another database got, and is migrated by the operations (%s).",
                    self.connection.alias,
                    type(exc).__name__ if isinstance(exc, Differs) else exc,
                )
            else:
                return Way.REPLAY
        if not (segment.is_repeatable and self._try_together(index, segment)):
            self._one_by_one(segment)
        return Way.OPERATIONS

    def _try_together(self, index: int, segment: Segment) -> bool:
        """All steps in one transaction, listened to. Returns False where the database did not take that: then
        nothing was done."""
        recording = Recording(self.connection)
        try:
            with self._together(), recording.listening():
                self._prepare(recording)
                for step, passages in zip(segment.steps, self.route.passages(segment), strict=True):
                    self._take(step, passages, recording)
                for step in segment.steps:
                    self._execute(self._records(step))
        except Error as exc:
            if classify(exc) in _PASSING or len(segment.steps) == 1:
                raise
            return False
        if recording.script is not None and self.replay:
            self.course.scripts.setdefault(index, recording.script)
        return True

    def _one_by_one(self, segment: Segment) -> None:
        """As stock ``migrate`` does it: each step in a transaction of its own, or in none."""
        for step, passages in zip(segment.steps, self.route.keep_passages(segment), strict=True):
            if step.migration.atomic:
                with self._together():
                    self._prepare(None)
                    self._take(step, passages, None)
                    self._execute(self._records(step))
            else:
                with self._together():
                    self._prepare(None)
                self._take(step, passages, None)
                with atomic_on(self.connection.alias):
                    self._execute(self._records(step))

    @contextmanager
    def _together(self) -> Iterator[None]:
        """One transaction. SQLite's schema editor wants foreign keys off, which has no effect inside one."""
        is_sqlite = self.connection.vendor == "sqlite"
        if is_sqlite:
            self.connection.disable_constraint_checking()
        was_stamped, was_bare = self.is_stamped, self.is_bare
        try:
            with atomic_on(self.connection.alias):
                yield
        except BaseException:
            self.is_stamped, self.is_bare = was_stamped, was_bare
            self.recorder = self._new_recorder()  # it remembers a table that is gone
            raise
        finally:
            if is_sqlite:
                self.connection.enable_constraint_checking()

    def _prepare(self, recording: Recording | None) -> None:
        """The stamp, in the transaction of the first tables; and the table of the migrations."""
        if not self.is_stamped:
            with nullcontext() if recording is None else recording.paused():
                self._execute(self._stamp())
            self.is_stamped = True
        if self.is_bare:
            with self.connection.schema_editor() as editor:
                if recording is not None:
                    recording.attach(editor)
                editor.create_model(self.recorder.Migration)
            self.recorder._has_table, self.is_bare = True, False
        self.recorder.ensure_schema()

    def _stamp(self) -> list[Statement]:
        return [Statement(stamp.CREATE), Statement(stamp.INSERT, [self.connection.alias])]

    def _replay(self, script: Script) -> None:
        script.run(self.connection, first=[] if self.is_stamped else self._stamp())
        self.is_stamped, self.is_bare, self.recorder._has_table = True, False, True

    def _take(self, step: Step, passages: list[Passage], recording: Recording | None) -> None:
        migration = step.migration
        with self.connection.schema_editor(atomic=migration.atomic) as editor:
            if recording is not None:
                recording.attach(editor)
            for passage in passages:
                operation = passage.operation
                run = operation.database_backwards if step.backwards else operation.database_forwards
                is_atomic = operation.atomic or (migration.atomic and operation.atomic is not False)
                if is_atomic and not editor.atomic_migration:
                    with atomic_on(self.connection.alias):
                        run(migration.app_label, editor, passage.from_state, passage.to_state)
                else:
                    run(migration.app_label, editor, passage.from_state, passage.to_state)

    def _records(self, step: Step) -> list[Statement]:
        if step.backwards:
            delete = "DELETE FROM django_migrations WHERE app = %s AND name = %s"
            return [Statement(delete, list(key)) for key in step.records]
        return [self._insert(step.records)]

    def _insert(self, keys: Sequence[MigrationKey]) -> Statement:
        """With the database's time: it is said to others too, at theirs."""
        is_naive = self.connection.vendor == "sqlite" and not settings.USE_TZ
        time = "datetime('now', 'localtime')" if is_naive else "CURRENT_TIMESTAMP"
        return Statement(
            "INSERT INTO django_migrations (app, name, applied) VALUES "
            + ", ".join([f"(%s, %s, {time})"] * len(keys)),
            [value for key in keys for value in key],
        )

    def _execute(self, statements: Iterable[Statement]) -> None:
        with self.connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement.sql, statement.params)


def has_receivers() -> bool:
    """Whether anybody but Django itself does something before or after migrations. What Django does is about
    content types and permissions, which live in the control plane.

    Private API, read in Django 5.2.19 (``django/dispatch/dispatcher.py``): ``_live_receivers``.
    """
    return any(
        not receiver.__module__.startswith("django.")
        for signal in (pre_migrate, post_migrate)
        for sender in apps.get_app_configs()
        for receivers in signal._live_receivers(sender)  # those that wait, and those that do not
        for receiver in receivers
    )


class _Signals:
    """Django's, around a database that is migrated. Not sent where there is nothing to do."""

    def __init__(self, alias: str, route: Route) -> None:
        self.alias = alias
        self.route = route

    def before(self) -> None:
        emit_pre_migrate_signal(0, False, self.alias, apps=self.route.apps_before, plan=self.route.plan())

    def after(self) -> None:
        emit_post_migrate_signal(0, False, self.alias, apps=self.route.apps_after, plan=self.route.plan())
