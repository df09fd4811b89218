"""The variants that are compared, and how each is started."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.instrument import Variant
from benchmarks.stage import Guest, Stage

#: Tenants that the requests of a variant go round.
ROUND = 8


@dataclass(frozen=True)
class Entry:
    """``kind`` says which databases it uses; ``tenants`` how many it is configured with."""

    name: str
    settings: str
    kind: str
    tenants: int = 0

    def start(self, stage: Stage, guests: int = ROUND) -> Variant:
        file = stage.folder / f"{self.kind}-{guests}.json"
        _write(file, stage.host, stage.guests(self.kind)[:guests])
        more = {"BENCH_TENANTS": str(self.tenants)}
        if self.kind == "ours":
            more["TENANTS_FILE"] = str(stage.tenants_file(self.tenants))
        return Variant(self.name, ["benchmarks.variant", str(file)], stage.environment(self.settings, **more))


def _write(file: Path, host: str, guests: Iterable[Guest]) -> None:
    file.write_text(json.dumps([host, *(asdict(guest) for guest in guests)]))


SINGLE = Entry("single", "benchmarks.comparators.single", "single")
MEMBERSHIP = Entry("single+membership", "benchmarks.comparators.membership", "single")
STOCK = Entry("single, DRF's own views", "benchmarks.comparators.stock", "single")
SCHEMAS = Entry("django-tenants, 50", "benchmarks.comparators.schemas", "schemas", 50)


def ours(tenants: int) -> Entry:
    return Entry(f"ours, {tenants:,}", "benchmarks.freehold", "ours", tenants)


def naive(tenants: int) -> Entry:
    return Entry(f"naive router, {tenants:,}", "benchmarks.comparators.naive", "naive", tenants)
