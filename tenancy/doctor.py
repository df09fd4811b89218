"""Whether the fleet is well: each tenant's database, all of them beside each other, and what is around them.

Nothing is changed. A tenant is looked at over a connection of maintenance, which is asked for nobody's stamp
and no migrations before it is open: what is wrong with these is to be found, not to be stumbled over.
"""

from __future__ import annotations

import enum
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import Error, connections
from django.db.migrations.exceptions import InconsistentMigrationHistory
from django.utils.module_loading import autodiscover_modules

from tenancy.backends.faults import Fault, classify
from tenancy.connections import close, maintenance
from tenancy.database_url import identity
from tenancy.exceptions import (
    DatabaseBusy,
    DatabaseFault,
    DatabaseUnavailable,
    SchemaMissing,
    StampMismatch,
    UnstampedDatabase,
)
from tenancy.findings import Finding
from tenancy.fingerprint import Parts, differences, fingerprint, read_parts
from tenancy.fleet import first_line, run
from tenancy.loader import MigrationKey
from tenancy.log import without_secrets
from tenancy.orphans import Orphans
from tenancy.planes import CONTROL_ALIAS
from tenancy.provisioning import verify
from tenancy.registry import Registry
from tenancy.route import NoRoute, Route, Target
from tenancy.standing import Standing, read_standing
from tenancy.tenant import Tenant

#: Names, and differences, in one line.
_MOST_NAMES = 5

# https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-DBSIZE
_DATABASE_SIZE = "SELECT pg_database_size(current_database())"
_SCHEMA_SIZE = """
    SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relkind IN ('r', 'm', 'S')
"""


class Stamp(enum.StrEnum):
    """Whose a database says that it is. The names are for machines, too."""

    OWN = "own"
    MISSING = "missing"
    #: Somebody else's; whose is not said, for nobody may look there.
    FOREIGN = "foreign"


class State(enum.StrEnum):
    """How far a database is migrated. The names are for machines, too."""

    UP_TO_DATE = "up_to_date"
    BEHIND = "behind"
    #: It has migrations that the code does not.
    AHEAD = "ahead"
    EMPTY = "empty"
    #: It was not looked at, or contradicts itself.
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Migrations:
    """What a database lacks, in order, and what it has that the code does not know."""

    state: State = State.UNKNOWN
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Examination:
    """What was found in one database that could be reached."""

    #: Milliseconds to connect, and of a trip on the open connection.
    connect_ms: float
    trip_ms: float
    #: None for the control plane, which has none.
    stamp: Stamp | None = None
    migrations: Migrations = Migrations()
    #: Of its schema; empty where that was not looked at.
    fingerprint: str = ""
    #: Bytes: of the database, of the tenant's own schema in a shared one, or of the file and its log.
    size: int | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def is_well(self) -> bool:
        return all(finding.is_warning for finding in self.findings)


Further = Callable[[Registry], Iterable[Finding]]

_further: list[Further] = []


def register(examination: Further) -> Further:
    """Have the whole fleet examined by a function of an app above, in its module ``examinations``: what it
    says is wrong is told with the rest. A decorator; the modules are found as the admin finds its own."""
    if examination not in _further:
        _further.append(examination)
    return examination


class Doctor:
    """Examines tenants. One for a whole run; ``examine()`` may be called in many threads.

    Without ``grants`` it is not asked what the tenants' roles may do, and who else may reach their data.
    """

    def __init__(self, registry: Registry, *, grants: bool = True) -> None:
        self._registry = registry
        self._grants = grants
        self._lock = threading.Lock()
        self._migrations: dict[tuple[str, frozenset[MigrationKey], bool], Migrations] = {}
        #: The other tenants of each database that several share; made when first asked for.
        self._by_database: dict[tuple[str, ...], list[Tenant]] | None = None
        #: Of each engine and set of migrations, the fingerprints and whose they are. Ten thousand tenants are
        #: a few of these, and as many names.
        self._schemas: defaultdict[Any, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))

    def examine(self, tenant: Tenant) -> Examination:
        """Raises ``DatabaseUnavailable`` where it cannot be reached, and the database's own errors."""
        with maintenance(tenant.id, makes_file=False) as connection:
            found = self._look(connection, tenant)
            if found.stamp is Stamp.FOREIGN or not self._grants:
                return found
            # Who is let in by a pooler is seen on the way of every day, once the tenant is served at all.
            by_pooler = tenant.direct is not None and found.migrations.state is State.UP_TO_DATE
            if not by_pooler:
                return replace(found, findings=(*found.findings, *self._verified(tenant)))
        return replace(found, findings=(*found.findings, *self._verified(tenant, by_pooler=True)))

    def compare(self, *, jobs: int = 1, timeout: float | None = None) -> Iterator[tuple[str, Finding]]:
        """The ids of examined tenants whose schema is another than that of most with the same migrations.

        One of each kind is looked at once more, to say what differs, beside one of the majority. Where two
        kinds have as many, the one whose tenant comes first in the file is taken for the majority.
        """
        places = {tenant_id: place for place, tenant_id in enumerate(self._registry.ids)}
        for schemas in list(self._schemas.values()):
            if len(schemas) > 1:
                kinds = [sorted(ids, key=places.__getitem__) for ids in schemas.values()]
                kinds.sort(key=lambda ids: (-len(ids), places[ids[0]]))
                yield from self._deviations(kinds, jobs, timeout)

    def _deviations(
        self, kinds: list[list[str]], jobs: int, timeout: float | None
    ) -> Iterator[tuple[str, Finding]]:
        majority, *others = kinds
        first, more = f"'{majority[0]}'", len(majority) - 1
        if len(others[0]) == len(majority):
            whose = f"{first}, with the same migrations, and neither is in the majority"
        else:
            whose = f"most tenants with the same migrations ({first}{f' and {more} more' if more else ''})"
        # Who has the same schema is told the same; of those that were read two are kept at a time.
        same = {ids[0]: ids for ids in others}
        (outcome,) = run(_parts_of, [self._registry.get(majority[0])], timeout=timeout)
        model = outcome.value
        for outcome in run(_parts_of, map(self._registry.get, same), jobs=jobs, timeout=timeout):
            finding = Finding(
                "schema",
                f"Its schema differs from that of {whose}: {_how_it_differs(outcome.value, model)}. Find out "
                "who changed it, and change it back by hand.",
            )
            for tenant_id in same[outcome.tenant.id]:
                yield tenant_id, finding

    def _look(self, connection: Any, tenant: Tenant) -> Examination:
        found = _reached(connection)
        try:
            standing = read_standing(connection)
        except StampMismatch:
            text = "Its stamp names another owner. Check its URL in tenants.yaml; a stamp is never changed."
            return replace(found, stamp=Stamp.FOREIGN, findings=(Finding("stamp", text),))
        except SchemaMissing as exc:
            return replace(found, stamp=Stamp.MISSING, findings=(Finding("schema_missing", str(exc)),))
        except UnstampedDatabase as exc:
            findings = (Finding("unstamped", str(exc)),)
            return replace(found, stamp=Stamp.MISSING, size=_size(connection), findings=findings)
        migrations, about = self._compared_with_code(connection, standing)
        own_schema = ""
        if standing.is_stamped:
            own_schema = fingerprint(connection)
            with self._lock:
                self._schemas[connection.vendor, standing.applied][own_schema].append(tenant.id)
        return replace(
            found,
            stamp=Stamp.OWN if standing.is_stamped else Stamp.MISSING,
            migrations=migrations,
            fingerprint=own_schema,
            size=_size(connection),
            findings=about,
        )

    def _compared_with_code(
        self, connection: Any, standing: Standing
    ) -> tuple[Migrations, tuple[Finding, ...]]:
        key = (connection.vendor, standing.applied, standing.is_stamped)
        try:
            with self._lock:  # one at a time: what it takes is processor time
                if key not in self._migrations:
                    self._migrations[key] = _migrations(connection, standing)
                migrations = self._migrations[key]
        except (NoRoute, InconsistentMigrationHistory) as exc:
            return Migrations(), (_contradiction(exc),)
        return migrations, _about_migrations(connection.alias, migrations)

    def _verified(self, tenant: Tenant, *, by_pooler: bool = False) -> tuple[Finding, ...]:
        """Nobody's border is drawn yet while a service is developed: there gaps are warnings."""
        try:
            gaps = verify(tenant, self._neighbours(tenant))
        except Error as exc:
            if by_pooler and classify(exc) is Fault.UNAVAILABLE:
                text = (
                    f"Its pooler (`url`) does not let it in: {_reason(exc)}. See that it is up, and knows it."
                )
                return (Finding("pooler", text),)
            return (Finding("grants", f"Its rights cannot be asked for: {_reason(exc)}. Look at its role."),)
        return tuple(replace(gap, is_warning=settings.DEBUG) for gap in gaps)

    def _neighbours(self, tenant: Tenant) -> list[Tenant]:
        with self._lock:
            if self._by_database is None:
                # Asked for each tenant anew, that takes a walk over all of them.
                self._by_database = defaultdict(list)
                for other in self._registry:
                    if (place := _database_of(other)) is not None:
                        self._by_database[place].append(other)
            around = self._by_database.get(_database_of(tenant) or (), [])
        return [other for other in around if other.id != tenant.id]


def examine_control() -> Examination:
    """The control plane's database. Raises ``DatabaseUnavailable``, and the database's own errors."""
    close(CONTROL_ALIAS)  # so that it is seen how long connecting takes
    connection = connections[CONTROL_ALIAS]
    found = replace(_reached(connection), size=_size(connection))
    try:
        migrations = _migrations(connection, None)
    except StampMismatch:
        text = "It is a tenant's database, by its stamp. Check CONTROL_DATABASE_URL."
        return replace(found, findings=(Finding("stamp", text),))
    except SchemaMissing as exc:
        return replace(found, findings=(Finding("schema_missing", str(exc)),))
    except (NoRoute, InconsistentMigrationHistory) as exc:
        return replace(found, findings=(_contradiction(exc),))
    return replace(found, migrations=migrations, findings=_about_migrations(CONTROL_ALIAS, migrations))


def examine_surroundings(registry: Registry, reached: Iterable[Tenant]) -> Iterator[Finding]:
    """What is wrong with no one tenant: databases that no entry leads to, and what apps have registered."""
    autodiscover_modules("examinations")  # here, so that no other process has to load them
    yield from Orphans(registry, reached)
    for examination in _further:
        try:
            yield from examination(registry)
        except Error as exc:
            name = getattr(examination, "__name__", "a further examination")
            yield Finding(
                "unfinished", f"{name} could not be made: {_reason(exc)}. Mend that, and ask again."
            )


def _reached(connection: Any) -> Examination:
    """Raises ``DatabaseUnavailable`` with the reason that the driver gives."""
    started = time.perf_counter()
    try:
        connection.ensure_connection()
    except DatabaseUnavailable as exc:
        if isinstance(exc.__cause__, connection.Database.Error):
            reason = f"{connection.why_unreachable()} ({_reason(exc)})"
            step = "" if connection.vendor == "sqlite" else "; see that its server is up, and check its URL"
            raise DatabaseUnavailable(connection.alias, reason + step) from exc
        raise
    connected = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()
    answered = time.perf_counter()
    return Examination((connected - started) * 1000, (answered - connected) * 1000)


def _reason(exc: BaseException) -> str:
    """The first line of an error, of the driver's where it has one; it goes on in a sentence of ours."""
    line = first_line(exc.__cause__ if isinstance(exc, DatabaseFault) and exc.__cause__ else exc)
    return without_secrets(line.partition(": ")[2] or line).rstrip(".")


def _size(connection: Any) -> int:
    if connection.vendor == "sqlite":
        file = Path(connection.settings_dict["NAME"]).resolve()
        log = file.with_name(f"{file.name}-wal")
        return file.stat().st_size + (log.stat().st_size if log.exists() else 0)
    schema = connection.settings_dict["SCHEMA"]
    with connection.cursor() as cursor:
        if schema == "public":
            cursor.execute(_DATABASE_SIZE)
        else:
            cursor.execute(_SCHEMA_SIZE, [schema])
        return int(cursor.fetchone()[0])


def _migrations(connection: Any, standing: Standing | None) -> Migrations:
    route = Route(connection, Target())
    if standing is not None and route.recorded != standing.applied:
        raise DatabaseBusy(connection.alias, "somebody migrates it")
    missing = tuple(f"{step.migration.app_label}.{step.migration.name}" for step in route.steps)
    unknown = tuple(".".join(key) for key in route.unknown)
    if not route.recorded:
        state = State.EMPTY
    elif missing:
        state = State.BEHIND
    else:
        state = State.AHEAD if unknown else State.UP_TO_DATE
    return Migrations(state, missing, unknown)


def _about_migrations(alias: str, migrations: Migrations) -> tuple[Finding, ...]:
    found = []
    if migrations.state is State.EMPTY:
        text = f"Its database has no tables yet. Run `manage.py migrate --database {alias}`."
        found.append(Finding("empty", text))
    elif migrations.missing:
        text = f"It lacks {_some(migrations.missing)}. Run `manage.py migrate --database {alias}`."
        found.append(Finding("behind", text))
    if migrations.unknown:
        text = (
            f"It has migrations that this code does not: {_some(migrations.unknown)}. Deploy the code that "
            "has them, or undo them with it."
        )
        found.append(Finding("ahead", text))
    return tuple(found)


def _contradiction(exc: Exception) -> Finding:
    text = f"Its migrations contradict each other: {_reason(exc)}. Compare it with `showmigrations`."
    return Finding("history", text)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}"


def _parts_of(tenant: Tenant) -> Parts:
    with maintenance(tenant.id, makes_file=False) as connection:
        return read_parts(connection)


def _how_it_differs(parts: Parts | None, model: Parts | None) -> str:
    if parts is None or model is None:
        return "one of the two cannot be looked at any more"
    return _some(differences(parts, model)) or "it was changed meanwhile"


def _database_of(tenant: Tenant) -> tuple[str, ...] | None:
    try:
        return identity({**tenant.database, "SCHEMA": None})
    except DatabaseUnavailable:
        return None  # whoever looks at that tenant is told
