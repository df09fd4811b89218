"""What is wrong with how a tenant's data is kept from others, asked without changing anything."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import connections

from tenancy import roles
from tenancy.connections import close
from tenancy.database_url import MAINTENANCE_DATABASES
from tenancy.exceptions import DatabaseUnavailable
from tenancy.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Finding:
    """One gap in a tenant's border. ``code`` is for machines and never changes; ``text`` names no other
    tenant and no secret, and says what to do."""

    code: str
    text: str


_HARDEN = "Harden it (`tenancy.provisioning.harden`)."

#: By code, in order of weight. ``{}`` is a number, or the names of settings.
_TEXTS = {
    "superuser": f"Its role is a superuser, whom no border stops. Name another in its URL. {_HARDEN}",
    "bypassrls": f"Its role may bypass row security. {_HARDEN}",
    "replication": f"Its role may replicate, that is copy, the whole server. {_HARDEN}",
    "createrole": f"Its role may make roles. {_HARDEN}",
    "createdb": f"Its role may make databases. {_HARDEN}",
    "memberships": f"Its role has the rights of other roles: {{}}. {_HARDEN}",
    "other_databases": (
        "Its role may connect to databases that are not its own: {}. Harden the tenants whose they are, and "
        "`REVOKE CONNECT ON DATABASE … FROM PUBLIC` on the others; `\\l` in psql lists them."
    ),
    "database_owner": f"Its database belongs to a role that could drop it or let others in. {_HARDEN}",
    "public_connect": f"Every role of the server may connect to its database. {_HARDEN}",
    "others_connect": (
        "Roles that are no tenant's of this database may connect to it: {}. `\\l` in psql lists them; "
        "`REVOKE CONNECT ON DATABASE … FROM` those that have no business there."
    ),
    "schema_owner": f"Its schema belongs to another role. {_HARDEN}",
    "public_schema": f"Every role that may connect may use its schema. {_HARDEN}",
    "shared_schema": f"Every role may make tables in the schema 'public' of its database. {_HARDEN}",
    "object_owner": f"Tables, functions or types in its schema belong to other roles: {{}}. {_HARDEN}",
    "others_rights": (
        "Others than its role have rights in its schema: {}. Harden it; what is left was given to roles that "
        "are no tenant's, and `\\dp`, `\\dn+` and `\\drg` in psql list it."
    ),
    "pins": f"Not pinned for its role, or differently: {{}}. {_HARDEN}",
    "search_path": (
        "Its sessions do not work in its schema. See that the schema is there, and that a pooler passes "
        "`options` on."
    ),
    "file_mode": (
        "Others on the machine may read or write its file, or the -wal or -shm beside it. Run `chmod o-rwx` "
        "on all of them."
    ),
    "folder_mode": "Others on the machine may read or write the folder of its file. Run `chmod o-rw` on it.",
}

# Column names are codes. Rights are asked of the server where roles inherit them, and read from its lists
# where it matters who holds them. A superuser is no finding but in the tenant's own role.
_QUESTIONS = f"""
    WITH me AS (SELECT * FROM pg_roles WHERE rolname = current_user)
    SELECT
        r.rolsuper AS superuser,
        r.rolbypassrls AND NOT r.rolsuper AS bypassrls,
        r.rolreplication AND NOT r.rolsuper AS replication,
        r.rolcreaterole AND NOT r.rolsuper AS createrole,
        r.rolcreatedb AND NOT r.rolsuper AS createdb,
        (SELECT count(*) FROM pg_auth_members WHERE member = r.oid) AS memberships,
        (
            SELECT count(*) FROM pg_database o
            WHERE NOT r.rolsuper AND o.oid <> d.oid AND o.datallowconn AND o.datname <> ALL (%(maintenance)s)
            AND has_database_privilege(o.oid, 'CONNECT')
        ) AS other_databases,
        NOT EXISTS (
            SELECT FROM pg_roles o
            WHERE o.oid = d.datdba AND (o.rolsuper OR o.oid = r.oid AND NOT %(shared)s)
        ) AS database_owner,
        has_database_privilege('public'::name, d.oid, 'CONNECT') AS public_connect,
        (
            SELECT count(*) FROM pg_roles o
            WHERE o.rolcanlogin AND NOT o.rolsuper AND o.oid <> r.oid
            AND o.rolname <> ALL (%(own)s) AND o.rolname <> ALL (%(neighbours)s)
            AND has_database_privilege(o.oid, d.oid, 'CONNECT')
            AND NOT has_database_privilege('public'::name, d.oid, 'CONNECT')
        ) AS others_connect,
        n.nspowner <> r.oid AS schema_owner,
        has_schema_privilege('public'::name, n.oid, 'USAGE, CREATE') AS public_schema,
        EXISTS (
            SELECT FROM pg_namespace p WHERE p.oid <> n.oid AND p.nspname = 'public'
            AND has_schema_privilege('public'::name, p.oid, 'CREATE')
        ) AS shared_schema,
        (
            SELECT count(*) FROM ({roles.OBJECTS}) o WHERE o.namespace = n.oid AND o.owner <> r.oid
        ) AS object_owner,
        (
            SELECT count(*) FROM (
                SELECT g.grantee FROM ({roles.TABLE_GRANTS}) g WHERE g.namespace = n.oid
                UNION SELECT a.grantee FROM aclexplode(n.nspacl) a
                WHERE a.grantee <> 0 AND a.grantee <> n.nspowner
                UNION SELECT m.member FROM pg_auth_members m WHERE m.roleid = r.oid
            ) g LEFT JOIN pg_roles o ON o.oid = g.grantee
            WHERE g.grantee <> r.oid AND NOT coalesce(o.rolsuper OR o.rolname = ANY (%(own)s), false)
        ) AS others_rights,
        current_schema() IS DISTINCT FROM %(schema)s AS search_path,
        (
            SELECT s.setconfig FROM pg_db_role_setting s WHERE s.setdatabase = d.oid AND s.setrole = r.oid
        ) AS pinned
    FROM me r
    JOIN pg_database d ON d.datname = current_database()
    LEFT JOIN pg_namespace n ON n.nspname = %(schema)s
"""


def in_postgresql(tenant: Tenant) -> list[Finding]:
    """Asked over the tenant's own connection: what its role sees of itself and of others."""
    around = roles.neighbours(tenant)
    schema = str(tenant.database["SCHEMA"])
    values: dict[str, Any] = {
        "schema": schema,
        "shared": bool(around) or schema != "public",
        "own": sorted(roles.own_roles(tenant)),
        "neighbours": sorted(roles.roles_of(around)),
        "maintenance": sorted(MAINTENANCE_DATABASES),
    }
    try:
        with connections[tenant.id].cursor() as cursor:
            cursor.execute(_QUESTIONS, values)
            names = [column[0] for column in cursor.description]
            answers: dict[str, Any] = dict(zip(names, cursor.fetchone(), strict=True))
    finally:
        close(tenant.id)
    answers["pins"] = ", ".join(roles.unpinned(tenant, answers.pop("pinned")))
    return list(_findings(answers))


def in_sqlite(tenant: Tenant) -> list[Finding]:
    """SQLite has no roles: what keeps others out is the mode of the file and of its folder."""
    file = Path(tenant.database["NAME"]).resolve()  # SQLite keeps what belongs to it beside the real one
    try:
        mode = file.stat().st_mode
        # The logs hold rows too, and keep the mode that the file had when they were made.
        for name in (f"{file.name}-wal", f"{file.name}-shm", f"{file.name}-journal"):
            beside = file.with_name(name)
            mode |= beside.stat().st_mode if beside.exists() else 0
        folder_mode = file.parent.stat().st_mode
    except OSError as exc:
        raise DatabaseUnavailable(tenant.id, "its file cannot be looked at") from exc
    read_or_write = stat.S_IROTH | stat.S_IWOTH
    return list(_findings({"file_mode": mode & read_or_write, "folder_mode": folder_mode & read_or_write}))


def _findings(answers: Mapping[str, Any]) -> Iterator[Finding]:
    return (Finding(code, text.format(answers[code])) for code, text in _TEXTS.items() if answers.get(code))
