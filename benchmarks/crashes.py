"""Rolling out to fifty tenants of whom some fail, under ``kill -9`` at random points, and twice at once."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass

from benchmarks.fleet import write_tenants
from benchmarks.migrator import name_of
from benchmarks.progress import Reporter
from benchmarks.result import Goal, Result, Table
from benchmarks.stage import ROOT, Stage

FLEET, BROKEN = 50, 7
#: Kills on each engine.
KILLS = 15
TABLE = "catalog_product"


@dataclass
class Fleet:
    """Tenants on one engine, and the command that migrates them."""

    stage: Stage
    engine: str

    def __post_init__(self) -> None:
        # Letters that no other part of one and the same run calls its databases by.
        letter = {"postgresql": "v", "sqlite": "w"}[self.engine]
        self.names = [name_of(letter, number) for number in range(FLEET)]
        if self.engine == "postgresql":
            self.stage.execute(
                "postgres", *(f"CREATE DATABASE {name} STRATEGY file_copy" for name in self.names)
            )
        what = f"crashes-{self.engine}"
        self.folder = self.stage.folder / what
        url = "sqlite:///{}.sqlite3" if self.engine == "sqlite" else f"{self.stage.base}/{{}}"
        file = write_tenants(self.stage, what, {name: url.format(name) for name in self.names})
        self.environment = self.stage.environment(
            "benchmarks.fleet_settings",
            TENANTS_FILE=file,
            TENANCY_CACHE_DIR=str(self.folder / "cache"),
            PYTHONUNBUFFERED="1",  # a line is there when it is written
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "manage.py",
            "tenants",
            "migrate",
            "--all",
            "--jobs",
            "4",
            "--json",
            *arguments,
        ]
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def run(self, *arguments: str) -> tuple[int, list[dict[str, str]], str]:
        process = self.begin(*arguments)
        out, err = process.communicate()
        return process.returncode, [json.loads(line) for line in out.splitlines()], err

    def ask(self, name: str, statement: str) -> list[tuple[object, ...]]:
        if self.engine == "sqlite":
            with closing(
                sqlite3.connect(self.folder / f"{name}.sqlite3", isolation_level=None)
            ) as connection:
                return connection.execute(statement).fetchall()
        with self.stage.cursor(name) as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def steps(self, name: str) -> int:
        """How many migrations are recorded; -1 where the tables say something else."""
        ((recorded,),) = self.ask(name, "SELECT count(*) FROM django_migrations WHERE app = 'catalog'")
        catalogue = "sqlite_master" if self.engine == "sqlite" else "pg_tables"
        column = "name" if self.engine == "sqlite" else "tablename"
        ((tables,),) = self.ask(name, f"SELECT count(*) FROM {catalogue} WHERE {column} = '{TABLE}'")
        return int(str(recorded)) if bool(recorded) is bool(tables) else -1


def run(stage: Stage, reporter: Reporter) -> Result:
    stage.guests("ours")  # makes the control plane
    goals: list[Goal] = []
    table = Table("Fifty tenants, and what goes wrong", ("", "PostgreSQL", "SQLite"))
    rows: dict[str, list[str]] = {}
    reporter.begin("Failures, kills and two at once", 3 * KILLS + 4)
    for engine in ("postgresql", "sqlite"):
        fleet = Fleet(stage, engine)
        for what, found, is_met in (
            *_broken(fleet, reporter),
            *_killed(fleet, reporter),
            *_twice(fleet, reporter),
        ):
            goals.append(Goal(f"{engine}: {what}", "yes", found, is_met))
            rows.setdefault(what, []).append(found)
    for what, found, is_met in _provisioned(stage, reporter):
        goals.append(Goal(f"postgresql: {what}", "yes", found, is_met))
        rows[what] = [found, "–"]
    for what, cells in rows.items():
        table.add(what, *cells)
    return Result("crashes", dict(rows), [table], goals)


Finding = tuple[str, str, bool]


def _broken(fleet: Fleet, reporter: Reporter) -> list[Finding]:
    """Some have a table in the way of the first migration."""
    fleet.run("--to", "catalog.zero")  # makes the files
    broken = set(random.Random(1).sample(fleet.names, BROKEN))
    for name in broken:
        fleet.ask(name, f"CREATE TABLE {TABLE} (id integer)")
    code, lines, err = fleet.run()
    failed = {line["tenant"] for line in lines if line["result"] != "ok"}
    named = {name for name in broken if f"failed: {name}: " in err}
    done = code == 1 and failed == broken == named and len(lines) == FLEET
    for name in broken:
        fleet.ask(name, f"DROP TABLE {TABLE}")
    again, lines, _ = fleet.run()
    mended = {line["tenant"] for line in lines if line["way"] != "none"}
    reporter.step()
    return [
        (f"{BROKEN} fail: they are named, the rest is done", f"{len(failed)} failed", done),
        ("run again, they are done and nobody else", f"{len(mended)} done", again == 0 and mended == broken),
    ]


def _killed(fleet: Fleet, reporter: Reporter) -> list[Finding]:
    dice = random.Random(2)
    fleet.run("--to", "catalog.zero")
    converged, exists, cut = 0, 0, 0
    for number in range(KILLS):
        way = [] if number % 2 == 0 else ["--to", "catalog.zero"]
        process = fleet.begin(*way)
        # A line for each that is done: after some of them, and in the middle of four others.
        for _ in range(dice.randint(1, FLEET - 10)):
            process.stdout.readline()  # type: ignore[union-attr]  # it is a pipe
        process.kill()
        process.communicate()
        wanted = 2 if number % 2 == 0 else 0
        cut += len({fleet.steps(name) for name in fleet.names}) > 1
        code, _, err = fleet.run(*way)
        exists += "already exists" in err
        converged += code == 0 and all(fleet.steps(name) == wanted for name in fleet.names)
        reporter.step()
    return [
        (f"killed {KILLS} times: another run finishes it", f"{converged} times", converged == KILLS),
        ("most of them in the middle of the fleet", f"{cut} times", cut > KILLS / 2),
        ("'already exists' was never said", f"{exists} times", exists == 0),
    ]


def _twice(fleet: Fleet, reporter: Reporter) -> list[Finding]:
    fleet.run("--to", "catalog.zero")
    both = [fleet.begin(), fleet.begin()]
    ends = [(process.communicate()[1], process.returncode) for process in both]
    told = [
        err for err, code in ends if code == 1 and "Another run holds the lock" in err and "process" in err
    ]
    done = [code for _, code in ends if code == 0]
    reporter.step()
    is_met = len(told) == len(done) == 1 and all(fleet.steps(name) == 2 for name in fleet.names)
    return [("two at once: one does it, one is told who", f"{len(done)} and {len(told)}", is_met)]


def _provisioned(stage: Stage, reporter: Reporter) -> list[Finding]:
    """Tenants of which the server knows nothing; the first makes the template, too."""
    names = [name_of("n", number) for number in range(KILLS + 1)]
    base = stage.base.replace("postgres@", "{0}_app@")
    file = write_tenants(stage, "new", {name: f"{base}/{{0}}".format(name) for name in names})
    environment = stage.environment(
        "benchmarks.fleet_settings", TENANTS_FILE=file, PROVISION_URL=f"{stage.base}/postgres"
    )

    def begin(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "manage.py", "tenants", "provision", name]
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    dice = random.Random(3)
    begin(names[0]).communicate()
    converged = cut = 0
    for number, name in enumerate(names[1:]):
        process = begin(name)
        _wait_for(stage, SIGNS[number % len(SIGNS)], name, process)
        time.sleep(dice.uniform(0, 0.02) if number % 2 else 0)
        process.kill()
        process.communicate()
        again = begin(name)
        out, _ = again.communicate()
        # The other run found something, and not all.
        was_new = "made its role" in out and "made its database" in out
        cut += not was_new and "all was well" not in out
        with stage.cursor(name) as cursor:
            cursor.execute("SELECT tenant_id FROM tenancy_stamp")
            owners = cursor.fetchall()
            cursor.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
            roles = cursor.fetchall()
        last = begin(name).communicate()[0]
        is_whole = owners == [(name,)] and roles == [(f"{name}_app",)] and "all was well" in last
        converged += again.returncode == 0 and is_whole
        reporter.step()
    return [
        (
            f"provisioning killed {KILLS} times: another run finishes it",
            f"{converged} times",
            converged == KILLS,
        ),
        ("most of them in the middle of making it", f"{cut} times", cut > KILLS / 2),
    ]


#: What the server shows of a provisioning under way. When its role shows, all is done but to let it in.
SIGNS = (
    "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query ~ ('^CREATE DATABASE \"' || %s || '\"')",
    "SELECT 1 FROM pg_database WHERE datname = %s",
    "SELECT 1 FROM pg_stat_activity WHERE datname = %s",
    "SELECT 1 FROM pg_roles WHERE rolname = %s || '_app'",
)


def _wait_for(stage: Stage, sign: str, name: str, process: subprocess.Popen[str]) -> None:
    with stage.cursor("postgres") as cursor:
        while process.poll() is None:
            cursor.execute(sign, (name,))
            if cursor.fetchone():
                return
            time.sleep(0.001)
