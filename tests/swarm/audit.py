"""The last word: what the databases and the log hold when all is over."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from tests.swarm import ledger, report, world
from tests.swarm.canaries import owners
from tests.swarm.clients import Client
from tests.swarm.ledger import Ledger
from tests.swarm.report import Report
from tests.swarm.stage import Stage
from tests.swarm.world import COUNTER_KEYS, TENANTS, Fields

#: What a healthy service never logs, whatever its clients do.
_TROUBLE = re.compile(
    r"Traceback|WrongTenant|NoTenant|NoRequestScope|TenantLocked|StampMismatch|Internal Server Error"
    r"|is stamped for another|\bCRITICAL\b|Exception|Error:|was never awaited|Task .* was destroyed"
)
_SHOWN = 300


def audit_databases(stage: Stage, clients: Iterable[Client], result: Report) -> None:
    """Every database holds its seed and what was acknowledged, and nothing else.

    Of a write whose answer was lost, either may be. Call when the servers are gone.
    """
    clients = list(clients)
    for tenant_id in TENANTS:
        stored = stage.stored(tenant_id)
        for stranger in stored.strangers:
            result.problem(report.STORED, f"{tenant_id} holds {stranger}")
        seats = [seat for client in clients for seat in client.seats if seat.tenant_id == tenant_id]
        products = {product.sku: (product.id, product.fields) for product in world.products(tenant_id)}
        _apply_counters(tenant_id, clients, stored.products, products, result)
        _compare(tenant_id, stored.products, products, [seat.products for seat in seats], result)
        categories = {row.name: (row.id, row.fields) for row in world.categories(tenant_id)}
        _compare(tenant_id, stored.categories, categories, [seat.categories for seat in seats], result)


def _apply_counters(
    tenant_id: str,
    clients: list[Client],
    stored: dict[str, tuple[str, Fields]],
    seed: dict[str, tuple[str, Fields]],
    result: Report,
) -> None:
    """A counter is as high as it was raised, once for each answer that said so: no raise is lost to another
    of this tenant, and none of another tenant's, under the same key, is counted here."""
    tally = ledger.total(client.tally[tenant_id] for client in clients)
    for product in world.products(tenant_id):
        if product.id not in COUNTER_KEYS:
            continue
        least = tally.sure[product.id]
        most = least + tally.perhaps[product.id]
        _, found = stored.get(product.sku, ("", None))
        stock = found[5] if found else None
        if isinstance(stock, int) and least <= stock <= most:
            seed[product.sku] = (product.id, product.with_stock(stock).fields)
        else:
            kind = report.EXTRA if isinstance(stock, int) and stock > most else report.LOST
            result.problem(
                kind, f"{tenant_id}: counter {product.sku} is {stock}, and was raised {least} to {most} times"
            )
            seed.pop(product.sku)
            stored.pop(product.sku, None)


def _compare(
    tenant_id: str,
    stored: dict[str, tuple[str, Fields]],
    seed: dict[str, tuple[str, Fields]],
    ledgers: list[Ledger],
    result: Report,
) -> None:
    entries = {entry.key: entry for ledger in ledgers for entry in ledger}
    for key, wanted in seed.items():
        if key not in stored:
            result.problem(report.LOST, f"{tenant_id}: {key} of the seed is gone")
        elif stored[key] != wanted:
            result.problem(report.EXTRA, f"{tenant_id}: {key} of the seed became {stored[key]}"[:_SHOWN])
    for key, entry in entries.items():
        row_id, found = stored.get(key, ("", None))
        if not entry.is_certain:
            result.settled("found" if found != entry.before else "not found")
        if found in entry.states:
            if found is not None and entry.id and row_id != entry.id:
                result.problem(report.EXTRA, f"{tenant_id}: {key} has the id {row_id}, not {entry.id}")
            continue
        kind = report.LOST if entry.is_certain else report.EXTRA
        result.problem(kind, f"{tenant_id}: {key} is {found}, and may be {entry.states}")
    for key in set(stored) - set(seed) - set(entries):
        result.problem(report.EXTRA, f"{tenant_id}: {key} is there, and nobody was told so: {stored[key]}")


def audit_log(log: Path, result: Report) -> None:
    """No line of a tenant's request names another tenant's data, and none tells of trouble.

    Whose request it was is said by the line's request id, which the clients chose, and by ``tenant``, which
    the service wrote; the two must agree.
    """
    lines = attributed = 0
    with log.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            lines += 1
            attributed += _check_line(line.rstrip(), result)
    result.facts["log lines"] = result.facts.get("log lines", 0) + lines
    result.facts["with their tenant"] = result.facts.get("with their tenant", 0) + attributed


def _check_line(line: str, result: Report) -> bool:
    """Whether the line says whose it is."""
    if _TROUBLE.search(line):
        result.problem(report.TROUBLE, line)
    try:
        record = json.loads(line)
    except ValueError:
        record = {}
    if not isinstance(record, dict):
        record = {}
    tenant_id = record.get("tenant") or ""
    asked = str(record.get("request_id") or "").partition(".")[0]
    whose = {name for name in (tenant_id, asked) if name in TENANTS}
    # Before it is known who asks, a line has no tenant; "nobody" asks for a token, and gets one of a tenant.
    if len(whose) > 1:
        result.problem(report.LOG, f"the request of '{asked}' is logged as that of '{tenant_id}': {line}")
    strangers = owners(line) - whose
    if strangers and (whose or len(strangers) > 1):
        result.problem(report.LOG, f"a line of {sorted(whose)} names {sorted(strangers)}: {line}")
    return bool(whose)
