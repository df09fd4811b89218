"""A hundred thousand tenants by Zipf's law: how often does a request find its tenant's connection open?

``python -m benchmarks.simulation`` asks the real pool, one request after the other; only what it holds is no
connection. The figures are shares, not times.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.test import override_settings
from rich.console import Console
from rich.table import Table

from benchmarks.zipf import EXPONENT, weights
from tenancy.pool import Pool, Slot

TENANTS = (1_000, 10_000, 100_000)
BUDGETS = (20, 50, 200, 1_000, 5_000)


class Placeholder:
    """What the pool keeps here in a connection's place."""

    def __init__(self, pool: Pool, slot: Slot) -> None:
        self.pool = pool
        self.alias = slot.alias
        self.slot: Slot | None = slot

    def is_fit(self) -> bool:
        return True

    def discard(self, *, patiently: bool = True) -> None:
        slot, self.slot = self.slot, None
        if slot is not None:
            self.pool.release(slot)


def hit_rate(tenants: int, budget: int, requests: int, exponent: float, seed: int = 1) -> float:
    """Of the second half of so many requests: the first half fills the pool."""
    names = [f"t{number}" for number in range(tenants)]
    cumulative = list(itertools.accumulate(weights(tenants, exponent)))
    hits = 0
    with override_settings(TENANCY_POOL_SIZE=budget):
        pool = Pool()
        for number, alias in enumerate(
            random.Random(seed).choices(names, cum_weights=cumulative, k=requests)
        ):
            connection: Any = pool.take(alias)
            if connection is None:
                slot = pool.reserve(alias).slot
                assert slot is not None
                pool.connected(slot)
                connection = Placeholder(pool, slot)
            elif number >= requests // 2:
                hits += 1
            pool.park(connection)
        pool.discard_idle()
    return hits / (requests - requests // 2)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=(__doc__ or "")[:90])
    parser.add_argument("--requests", type=int, default=200_000, help="of each pool (%(default)s)")
    parser.add_argument("--exponent", type=float, default=EXPONENT, help="of Zipf's law (%(default)s)")
    options = parser.parse_args()
    settings.configure()
    table = Table("tenants", title=f"Requests that find a connection open (Zipf, s = {options.exponent:g})")
    for budget in BUDGETS:
        table.add_column(f"budget {budget:,}", justify="right")
    for tenants in TENANTS:
        cells = []
        for budget in BUDGETS:
            cells.append(f"{hit_rate(tenants, budget, options.requests, options.exponent):.0%}")
            sys.stderr.write(f"{tenants:,} tenants, {budget:,} connections\n")
        table.add_row(f"{tenants:,}", *cells)
    memory = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
    Console().print(table, f"Memory of this process at most: {memory:.0f} MiB.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
