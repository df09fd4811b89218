"""One run over ten thousand tenants: does it hold more than it works on?

A run before it works out every tenant's settings, which the registry then keeps, and does not count.
"""

from __future__ import annotations

import threading
from statistics import median

from benchmarks.fleet import watched, write_tenants
from benchmarks.instrument import Variant
from benchmarks.migrator import MANY_JOBS, name_of
from benchmarks.progress import Reporter
from benchmarks.result import Goal, Result, Table
from benchmarks.stage import Stage

#: Tenants, as schemas of so many databases; an empty database would be 7 MB each.
TENANTS, DATABASES = 10_000, 20
#: MiB that the last tenth of the run may have more than the second.
MEMORY = 8


def run(stage: Stage, reporter: Reporter) -> Result:
    stage.guests("ours")  # makes the control plane
    reporter.begin(f"{TENANTS:,} schemas", DATABASES)
    share = TENANTS // DATABASES
    urls = {}
    for number in range(DATABASES):
        database = name_of("y", number)
        stage.execute("postgres", f"CREATE DATABASE {database} STRATEGY file_copy")
        names = [name_of("z", number * share + place) for place in range(share)]
        with stage.cursor(database) as cursor:
            for name in names:
                cursor.execute(_SCHEMA.format(name=name))
        urls |= {name: f"{stage.base}/{database}?currentSchema={name}" for name in names}
        reporter.step()
    environment = stage.environment("benchmarks.freehold", TENANTS_FILE=write_tenants(stage, "many", urls))
    reporter.begin(f"One query for each of {TENANTS:,}")
    memory: list[float] = []
    with (
        Variant("ours", ["benchmarks.migrator", "many", "z"], environment) as ours,
        watched(stage, "^y[0-9]{5}$") as sessions,
    ):
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(0.1):
                memory.append(ours.memory)

        before = ours.memory
        ours.look("run", 0, TENANTS)
        resolved = ours.memory - before
        observer = threading.Thread(target=look, daemon=True)
        observer.start()
        seconds = ours.look("run", 0, TENANTS)
        ended.set()
        observer.join()
    reporter.step()
    tenth = max(1, len(memory) // 10)
    second, last = median(memory[tenth : 2 * tenth]), median(memory[-tenth:])
    figures = {
        "seconds": seconds,
        "tenants a second": TENANTS / seconds,
        "most connections": max(sessions),
        "MiB for what tenants.yaml says": resolved,
        "MiB in the second tenth": second,
        "MiB in the last tenth": last,
    }
    table = Table(f"One run over {TENANTS:,} tenants, {MANY_JOBS} at a time", tuple(figures))
    table.add(*(f"{value:,.1f}" if isinstance(value, float) else value for value in figures.values()))
    goals = [
        Goal.at_most("connections in a run over 10,000", MANY_JOBS, max(sessions)),
        Goal.at_most("memory grown in a run over 10,000", MEMORY, last - second, " MiB"),
    ]
    return Result("many", figures, [table], goals)


#: What the handshake asks for: a stamp, and the head of each app.
_SCHEMA = """
    CREATE SCHEMA {name};
    CREATE TABLE {name}.tenancy_stamp (id integer PRIMARY KEY, tenant_id varchar(40) NOT NULL);
    INSERT INTO {name}.tenancy_stamp VALUES (1, '{name}');
    CREATE TABLE {name}.django_migrations (id int, app varchar(255), name varchar(255), applied timestamptz);
    INSERT INTO {name}.django_migrations VALUES (1, 'catalog', '0001_initial', now());
"""
