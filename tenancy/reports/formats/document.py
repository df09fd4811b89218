"""JSON: one document, written a tenant at a time."""

from __future__ import annotations

import json
from typing import Any

from tenancy.reports.collected import Collected
from tenancy.reports.formats.lines import plain


def write(found: Collected, stream: Any, *, totals_only: bool = False) -> None:
    report, coverage = found.report, found.coverage
    stream.write("{\n")
    for name, value in {
        "report": report.name,
        "parameters": {name: str(value) for name, value in found.parameters.items()},
        "started": found.started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "complete": coverage.is_complete,
        "coverage": coverage.as_facts(),
    }.items():
        stream.write(f"  {_json(name)}: {_json(value)},\n")
    if not totals_only:
        stream.write('  "tenants": [\n')
        last = len(coverage.outcomes) - 1
        for place, outcome in enumerate(coverage.outcomes):
            facts = {
                "tenant": outcome.tenant.id,
                "result": str(outcome.result),
                "error": outcome.error,
                "seconds": round(outcome.seconds, 4),
                "rows": [plain(report.columns, row) for row in found.spool.rows(outcome.tenant.id)],
            }
            stream.write(f"    {_json(facts)}{'' if place == last else ','}\n")
        stream.write("  ],\n")
    totals = [plain(found.totals.columns, row) for row in found.totals.rows()]
    stream.write(f'  "totals": {_json(totals)}\n')
    stream.write("}\n")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
