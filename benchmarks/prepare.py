"""``python -m benchmarks.prepare KIND FILE``: make the databases of a kind of variant, and tokens for them.

A process of its own, for Django's settings are read once in one. Called by ``benchmarks.stage``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks import rows
from benchmarks.lifetime import LIFETIME
from benchmarks.stage import CROWD, CROWD_DATABASES, TENANTS, Guest, crowd_id, crowd_place, cursor, tenant_id

HOST = os.environ["BENCH_HOST"]
#: Databases that the naive variant really has.
NAIVE = 8


def execute(database: str, *statements: str) -> None:
    with cursor(HOST, database) as found:
        for statement in statements:
            found.execute(statement)


def migrate(alias: str) -> None:
    from django.core.management import call_command

    call_command("migrate", database=alias, verbosity=0)


def close() -> None:
    """Nobody may be connected to a database that is copied."""
    from django.db import connections

    connections.close_all()


def copy(template: str, name: str) -> None:
    execute("postgres", f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")


def fill(database: str, schema: str = "public", products: int = rows.PRODUCTS) -> None:
    with cursor(HOST, database) as found:
        found.execute(f"SET search_path TO {schema}")
        rows.seed(found, products)
        found.execute("VACUUM ANALYZE")


def single() -> list[Guest]:
    execute("postgres", "CREATE DATABASE single")
    migrate("default")
    fill("single")
    close()
    return [Guest(tenant_id(0), token, "localhost", "single") for token in tokens(1)]


def naive() -> list[Guest]:
    for number in range(NAIVE):
        copy("single", f"naive{number}")
    return [
        Guest(tenant_id(n), token, "localhost", f"naive{n}") for n, token in enumerate(tokens(NAIVE, NAIVE))
    ]


def schemas() -> list[Guest]:
    execute("postgres", "CREATE DATABASE schemas")
    from django.core.management import call_command

    call_command("migrate_schemas", shared=True, verbosity=0)
    from benchmarks.comparators.clients.models import Client, Domain

    Client.objects.create(schema_name="public", name="Public")
    guests = []
    for number, token in enumerate(tokens(TENANTS)):
        name = tenant_id(number)
        client = Client(schema_name=name, name=f"Tenant {name}")
        client.save(verbosity=0)
        Domain.objects.create(domain=f"{name}.localhost", tenant=client, is_primary=True)
        with cursor(HOST, "schemas") as found:
            found.execute(f"SET search_path TO {name}")
            rows.seed(found)
        guests.append(Guest(name, token, f"{name}.localhost", "schemas", name))
    execute("schemas", "VACUUM ANALYZE")
    close()
    return guests


def tokens(count: int, first: int = 0) -> list[str]:
    """Tokens of stock simplejwt, each of a member of one tenant; the claims are those of ours."""
    from django.utils import timezone
    from rest_framework_simplejwt.tokens import AccessToken

    from benchmarks.comparators.people.models import Membership, TokenFamily, User

    found = []
    for number in range(count):
        email = f"person{first + number}@example.com"
        user = User.objects.create(email=email, email_canonical=email, password="!")
        Membership.objects.create(user=user, tenant_id=tenant_id(number), role="member")
        family = TokenFamily.objects.create(
            user=user,
            tenant_id=tenant_id(number),
            refresh_id=hashlib.sha256(email.encode()).hexdigest(),
            auth_hash=user.get_session_auth_hash(),
            expires_at=timezone.now() + LIFETIME,
        )
        token = AccessToken.for_user(user)
        token["tenant_id"], token["sid"] = family.tenant_id, str(family.pk)
        found.append(str(token))
    return found


def ours() -> list[Guest]:
    first = tenant_id(0)
    execute("postgres", "CREATE DATABASE control", f"CREATE DATABASE {first}")
    migrate("control")
    migrate(first)
    fill(first)
    close()
    names = [tenant_id(number) for number in range(TENANTS)]
    for name in names[1:]:
        copy(first, name)
        execute(name, f"UPDATE tenancy_stamp SET tenant_id = '{name}'")
    return [
        Guest(name, token, "localhost", name) for name, token in zip(names, our_tokens(names), strict=True)
    ]


def our_tokens(names: list[str]) -> list[str]:
    """As signing in would give them, to a member of each tenant."""
    from django.utils import timezone

    from users.models import Membership, Role, TokenFamily, User
    from users.tokens import TenantAccessToken

    mails = [f"{name}@example.com" for name in names]
    people = User.objects.bulk_create(
        [User(email=mail, email_canonical=mail, password="!") for mail in mails]
    )
    pairs = list(zip(people, names, strict=True))
    Membership.objects.bulk_create(
        [Membership(user=user, tenant_id=name, role=Role.MEMBER) for user, name in pairs]
    )
    families = TokenFamily.objects.bulk_create(
        [
            TokenFamily(
                id=uuid.uuid4(),
                user=user,
                tenant_id=name,
                refresh_id=hashlib.sha256(name.encode()).hexdigest(),
                auth_hash=user.get_session_auth_hash(),
                expires_at=timezone.now() + timedelta(days=1),
            )
            for user, name in pairs
        ]
    )
    execute("control", "VACUUM ANALYZE")
    return [
        str(TenantAccessToken.issue(user.pk, name, family.pk))
        for (user, name), family in zip(pairs, families, strict=True)
    ]


def crowd() -> list[Guest]:
    """A thousand schemas: one is migrated, its database's others are made like it, and the other databases
    are copies. Needs the control plane of ``ours``."""
    names = [crowd_id(number) for number in range(CROWD)]
    places = [crowd_place(number) for number in range(CROWD)]
    share = CROWD // CROWD_DATABASES
    database, template = places[0]
    execute("postgres", f"CREATE DATABASE {database}")
    execute(database, *(f"CREATE SCHEMA {schema}" for _, schema in places[:share]))
    migrate(names[0])
    close()
    with cursor(HOST, database) as found:
        found.execute(f"SET search_path TO {template}")
        rows.seed(found, products=20)
        found.execute(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE contype = 'f' AND connamespace = %s::regnamespace",
            [template],
        )
        foreign_keys = found.fetchall()
        tables = ("catalog_category", "catalog_product", "django_migrations", "tenancy_stamp")
        for _, schema in places[1:share]:
            found.execute(f"SET search_path TO {schema}")
            for table in tables:
                found.execute(f"CREATE TABLE {table} (LIKE {template}.{table} INCLUDING ALL)")
                found.execute(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {template}.{table}")
            for table, name, definition in foreign_keys:
                found.execute(f"ALTER TABLE {table.rpartition('.')[2]} ADD CONSTRAINT {name} {definition}")
    for number in range(1, CROWD_DATABASES):
        copy(database, places[number * share][0])
    for number in range(CROWD_DATABASES):
        _stamp_crowd(names[number * share :][:share], places[number * share :][:share])
    return [
        Guest(name, token, "localhost", *place)
        for name, token, place in zip(names, our_tokens(names), places, strict=True)
    ]


def _stamp_crowd(names: list[str], places: list[tuple[str, str]]) -> None:
    with cursor(HOST, places[0][0]) as found:
        for name, (_, schema) in zip(names, places, strict=True):
            found.execute(f"UPDATE {schema}.tenancy_stamp SET tenant_id = %s", [name])
        found.execute("VACUUM ANALYZE")


def second() -> list[Guest]:
    """A tenant of ours on a server of its own; whoever belongs to it is known already."""
    host, name = os.environ["BENCH_SECOND"], os.environ["BENCH_SECOND_TENANT"]
    with cursor(host, "postgres") as found:
        found.execute(f"CREATE DATABASE {name}")
    migrate(name)
    with cursor(host, name) as found:
        rows.seed(found)
    return []


KINDS: dict[str, Callable[[], Any]] = {
    "single": single,
    "naive": naive,
    "schemas": schemas,
    "ours": ours,
    "crowd": crowd,
    "second": second,
}


def main(kind: str, file: Path) -> None:
    import django

    django.setup()
    file.write_text(json.dumps([dataclasses.asdict(guest) for guest in KINDS[kind]()]))
    close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
