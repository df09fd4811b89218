"""Two tenants with the same rows under the same keys, told apart by their text; and dumps to compare."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections, transaction

from tenancy.context import tenant_context
from tests.flush import insertion
from tests.workshop.models import Label, Maker, Manual, PowerTool, Tool

TENANTS = ("acme", "globex")

#: The keys of the rows, equal in both tenants.
KEYS = {
    name: uuid.uuid5(uuid.NAMESPACE_OID, name)
    for name in ("anna", "bert", "red", "blue", "saw", "axe", "drill")
}


def fill(tenant_id: str) -> None:
    """Give a tenant its rows. Every text names the tenant."""
    with tenant_context(tenant_id):
        anna, bert = (
            Maker.objects.create(pk=KEYS[name], name=f"{name} of {tenant_id}") for name in ("anna", "bert")
        )
        red, _ = (
            Label.objects.create(pk=KEYS[name], name=f"{name} of {tenant_id}") for name in ("red", "blue")
        )
        saw, _ = (
            Tool.objects.create(
                pk=KEYS[name], name=f"{name} of {tenant_id}", note=f"note of {tenant_id}", maker=anna
            )
            for name in ("saw", "axe")
        )
        saw.labels.add(red)
        saw.owner = anna
        saw.save()
        Manual.objects.create(tool=saw, text=f"manual of {tenant_id}")
        PowerTool.objects.create(pk=KEYS["drill"], name=f"drill of {tenant_id}", maker=bert)


#: The tests' own app, what refers to others before those.
TABLES = tuple(
    f"workshop_{table}" for table in ("tool_labels", "manual", "powertool", "tool", "label", "maker")
)
_filled: dict[str, dict[str, list[tuple[Any, ...]]]] = {}


def empty(alias: str) -> None:
    """Take every row of the tests' own app, faster than a flush."""
    with connections[alias].cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table}")


def restore(tenant_id: str) -> None:
    """Empty it and give it its rows: the first time as the service does, from then on those that came of it.

    Most of a test of a primitive is this. In one transaction, and on PostgreSQL one message.
    """
    if tenant_id not in _filled:
        empty(tenant_id)
        fill(tenant_id)
        with connections[tenant_id].cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"SELECT * FROM {table}")
                _filled.setdefault(tenant_id, {})[table] = cursor.fetchall()
        return
    statements: list[tuple[str, list[Any]]] = [(f"DELETE FROM {table}", []) for table in TABLES]
    statements += [insertion(table, rows) for table, rows in reversed(_filled[tenant_id].items())]
    if connections[tenant_id].vendor == "postgresql":
        texts, values = zip(*statements, strict=True)
        statements = [("; ".join(texts), list(itertools.chain(*values)))]
    with transaction.atomic(using=tenant_id), connections[tenant_id].cursor() as cursor:
        for statement, values in statements:
            cursor.execute(statement, values)


@dataclass(frozen=True)
class Dump:
    """Every row of every table of one database."""

    tables: dict[str, list[Any]]

    @classmethod
    def of(cls, alias: str) -> Dump:
        labels = settings.CONTROL_APPS if alias == "control" else settings.TENANT_APPS
        models = [
            model
            for label in labels
            for model in apps.get_app_config(label).get_models(include_auto_created=True)
            if not model._meta.proxy
        ]
        tables: dict[str, list[Any]] = {model._meta.db_table: [] for model in models}
        with connections[alias].cursor() as cursor:
            if connections[alias].vendor == "postgresql":
                # One question instead of one for each table: most of what these tests wait for.
                question = " UNION ALL ".join(
                    f"SELECT '{table}', t::text FROM \"{table}\" t" for table in tables
                )
                cursor.execute(question)
                for table, row in cursor.fetchall():
                    tables[table].append(row)
            else:
                for table in tables:
                    cursor.execute(f'SELECT * FROM "{table}"')
                    tables[table] = list(cursor.fetchall())
        return cls({table: sorted(rows, key=repr) for table, rows in tables.items()})
