"""``python -m tests.swarm``: a swarm by hand."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from tests.swarm.progress import Bar, Lines, is_terminal, say
from tests.swarm.run import Plan, run
from tests.swarm.servers import KINDS
from tests.swarm.world import TENANTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.swarm", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000, help="in all (%(default)s)")
    parser.add_argument("--server", choices=[*KINDS, "both"], default="both", help="(%(default)s)")
    parser.add_argument("--clients", type=int, default=16, help="threads (%(default)s)")
    parser.add_argument("--seed", type=int, default=None, help="of the clients' dice")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("--leaks", default="", help="servers that leak, to test the oracle: see leaky.py")
    options = parser.parse_args()
    # Every "finally" runs, and so ends what was started; also in a shell's background, which ignores SIGINT.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    kinds = KINDS if options.server == "both" else (options.server,)
    seed = options.seed if options.seed is not None else time.time_ns() % 2**32
    whole = Plan(tuple(kinds), options.requests // len(kinds), options.clients, seed)
    plans = [
        replace(whole, servers=(kind,), leak=leak)
        for kind in kinds
        for leak in options.leaks.split(",")
        if leak
    ] or [whole]
    say(f"Starting PostgreSQL and {len(TENANTS)} tenants; the seed is {seed}.")
    try:
        with Bar() if is_terminal() else nullcontext(Lines()) as progress:
            reports = run(plans, progress)
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130
    for report in reports:
        say(f"\n{report.as_text()}")
    if options.json:
        options.json.write_text(json.dumps([report.as_json() for report in reports], indent=1))
    return 0 if all(report.is_clean for report in reports) else 1


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
