"""Does a sign-in that fails tell, by how long it takes, why it failed?

``make bench-sign-in``. An unknown address, a wrong password, an account without a password and one that was
deactivated, in turn, in an order that changes from round to round: with the real hasher, the real brakes and
the whole service around it, in one process. Each round has accounts and an address of its own, so that no
brake is felt.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.progress import Reporter
from benchmarks.result import Goal, Result, Table
from benchmarks.writer import as_rich, goals_table

ROUNDS = 200
#: How far the slowest kind's median may be above the fastest's.
GOAL = 1.1
KINDS = ("unknown address", "wrong password", "no password", "deactivated, right password")
PASSWORD = "correct-horse-battery"


def prepare(folder: Path) -> None:
    (folder / "tenants.yaml").write_text(
        "version: 1\ntenants:\n  acme: {name: Acme, url: 'sqlite:///acme.sqlite3'}\n"
    )
    os.environ |= {
        "DEBUG": "1",
        "TENANTS_FILE": str(folder / "tenants.yaml"),
        "TENANCY_CACHE_DIR": str(folder),
        "CONTROL_DATABASE_URL": f"sqlite:///{folder / 'control.sqlite3'}",
        "JWT_KEYS_DIR": str(folder / "keys"),
        "DJANGO_SETTINGS_MODULE": "project.settings",
    }
    import django
    from django.conf import settings

    settings.DEBUG = False  # which would keep every query in a list
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.LOGGING = {"version": 1, "root": {"level": "CRITICAL"}}
    django.setup()
    from django.contrib.auth.hashers import make_password
    from django.core.management import call_command

    from users.models import User

    call_command("migrate", database="control", verbosity=0)
    hashed = make_password(PASSWORD)
    for kind, password, is_active in (
        ("wrong", hashed, True),
        ("none", make_password(None), True),
        ("inactive", hashed, False),
    ):
        for number in range(ROUNDS + 1):
            User.objects.create(email=f"{kind}{number}@example.com", password=password, is_active=is_active)


def measure(reporter: Reporter) -> Result:
    from rest_framework.test import APIClient

    client = APIClient()
    reporter.begin("Sign-ins", ROUNDS + 1)
    addresses = dict(zip(KINDS, ("unknown", "wrong", "none", "inactive"), strict=True))
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    answers = set()
    dice = random.Random(7)
    for number in range(ROUNDS + 1):
        order = list(KINDS)
        dice.shuffle(order)
        for kind in order:
            body = {
                "email": f"{addresses[kind]}{number}@example.com",
                "password": PASSWORD if kind == KINDS[3] else "not-the-password",
            }
            address = f"10.{number % 250}.{KINDS.index(kind)}.1"
            start = time.perf_counter()
            response: Any = client.post("/api/token/", body, format="json", REMOTE_ADDR=address)
            taken = time.perf_counter() - start
            answers.add((response.status_code, response.content))
            if number:  # the first warms up
                times[kind].append(taken * 1000)
        reporter.step()
    medians = {kind: statistics.median(found) for kind, found in times.items()}
    fastest, slowest = min(medians.values()), max(medians.values())
    table = Table("Sign-ins that fail", ("why", "median ms", "beside the fastest"))
    for kind in KINDS:
        table.add(kind, f"{medians[kind]:.1f}", f"{medians[kind] / fastest:.3f} ×")
    goals = [
        Goal.at_most("the slowest median beside the fastest", GOAL, slowest / fastest, " ×"),
        Goal("answers that differ", "1", str(len(answers)), len(answers) == 1),
    ]
    return Result("sign-in", {"medians_ms": medians, "rounds": ROUNDS}, [table], goals)


def main() -> int:
    """Exits 1 when the kinds can be told apart."""
    from rich.console import Console

    with tempfile.TemporaryDirectory() as place, Reporter() as reporter:
        prepare(Path(place))
        found = measure(reporter)
    console = Console()
    for table in (*found.tables, goals_table(found.goals)):
        console.print(as_rich(table))
    return 0 if all(goal.is_met for goal in found.goals) else 1


if __name__ == "__main__":
    sys.exit(main())
