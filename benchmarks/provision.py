"""What a new tenant costs: beside ``CREATE DATABASE … TEMPLATE``, and on SQLite beside stock ``migrate``."""

from __future__ import annotations

import statistics

from benchmarks.fleet import CODE, LOOP, write_tenants
from benchmarks.instrument import Estimate, Variant
from benchmarks.migrator import name_of
from benchmarks.progress import Reporter
from benchmarks.result import Goal, Result, Table
from benchmarks.stage import Stage

#: Rounds; tenants, files and files for the loop in each.
ROUNDS, TENANTS, FILES, SLOW = 12, 4, 40, 3


def run(stage: Stage, reporter: Reporter) -> Result:
    stage.guests("ours")  # makes the control plane
    # Parts before this one may have made and dropped thousands of databases, whose dead rows in the catalogs
    # autovacuum, which is off here, would have cleared away.
    stage.execute("postgres", "VACUUM")
    base = stage.base.replace("postgres@", "{}_app@")
    names = [name_of("p", number) for number in range(1 + ROUNDS * TENANTS)]
    file = write_tenants(stage, "provision", {name: f"{base.format(name)}/{name}" for name in names})
    server = stage.environment("benchmarks.fleet_settings", TENANTS_FILE=file)
    names = [name_of(letter, number) for letter in "kf" for number in range(ROUNDS * FILES)]
    file = write_tenants(stage, "files", {name: f"sqlite:///{name}.sqlite3" for name in names})
    folder = stage.folder / "files" / "cache"
    disk = stage.environment("benchmarks.fleet_settings", TENANTS_FILE=file, TENANCY_CACHE_DIR=str(folder))
    stage.guests("single")
    stock, later = (
        stage.environment(
            LOOP,
            BENCH_TENANTS=str(ROUNDS * SLOW),
            BENCH_FILES=str(stage.folder / "files"),
            BENCH_MIGRATIONS=module,
        )
        for module in CODE
    )
    found: dict[str, list[float]] = {}
    reporter.begin("New tenants", ROUNDS)
    with (
        Variant("PostgreSQL", ["benchmarks.migrator", "provision", "p"], server) as databases,
        Variant("SQLite", ["benchmarks.migrator", "files", "f"], disk) as files,
        Variant("stock", ["benchmarks.migrator", "loop", "l"], stock) as before,
        Variant("stock", ["benchmarks.migrator", "loop", "l"], later) as after,
    ):
        for number in range(ROUNDS):
            for case, start in (("tenant", 1), ("database", 0)):
                seconds = databases.look(case, start + number * TENANTS, TENANTS)
                found.setdefault(case, []).append(seconds / TENANTS * 1000)
            for variant, case, count, name in (
                (files, "copy", FILES, "copy"),
                (before, "first", SLOW, "loop, new"),
                (files, "first", FILES, "first"),
                (files, "column", FILES, "column"),
                (after, "column", SLOW, "loop, column"),
            ):
                seconds = variant.look(case, number * count, count)
                found.setdefault(name, []).append(seconds / count * 1000)
            reporter.step()
    return report(found)


def report(found: dict[str, list[float]]) -> Result:
    medians = {case: statistics.median(values) for case, values in found.items()}

    def ratio(case: str, other: str) -> Estimate:
        return Estimate.of([mine / theirs for mine, theirs in zip(found[case], found[other], strict=True)])

    table = Table("A new tenant, and a column: milliseconds each", ("", "ours", "beside it", "what that is"))
    rows = (
        ("PostgreSQL, new", "tenant", "database", "CREATE DATABASE … TEMPLATE"),
        ("SQLite, new", "copy", "loop, new", "migrate, in a loop"),
        ("SQLite, a column", "column", "loop, column", "migrate, in a loop"),
    )
    for what, mine, other, name in rows:
        table.add(what, f"{medians[mine]:.1f}", f"{medians[other]:.1f}", name)
    goals = [
        Goal.ratio_at_most("PostgreSQL: a tenant to its database", 2, ratio("tenant", "database")),
        Goal.ratio_at_least("SQLite: migrate to a copy", 50, ratio("loop, new", "copy")),
        Goal.ratio_at_least("SQLite, a column: migrate to ours", 5, ratio("loop, column", "column")),
    ]
    return Result("provision", {"ms": medians}, [table], goals)
