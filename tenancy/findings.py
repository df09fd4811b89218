"""What is wrong with how a tenant's data is kept from others, asked without changing anything."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterator, Mapping
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
    """Something that is wrong. ``code`` is for machines and never changes; ``text`` says what to do, holds no
    secret and, of a tenant's border, names no other tenant."""

    code: str
    text: str
    #: It may be so on purpose.
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class _Question:
    """``asks`` is an SQL expression over the tables of ``_FROM``: true, or a number, where something is
    wrong. ``text`` says so; ``{}`` in it is the answer."""

    code: str
    asks: str
    text: str


_HARDEN = "Harden it (`tenancy.provisioning.harden`)."
_LISTED = (
    "`SELECT pg_describe_object(classid, objid, objsubid) FROM pg_shdepend WHERE refobjid = "
    "'its role'::regrole` lists them."
)

# What the role owns ('o') or was given by name ('a') in this database or on the server, outside its schema.
# https://www.postgresql.org/docs/current/catalog-pg-shdepend.html
_OUTSIDE = """
    SELECT count(*) FROM pg_shdepend s CROSS JOIN LATERAL pg_identify_object(s.classid, s.objid, 0) i
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = r.oid AND s.dbid IN (0, d.oid)
    AND s.classid <> ALL ('{pg_database, pg_namespace, pg_default_acl}'::regclass[])
    AND i.schema IS DISTINCT FROM quote_ident(n.nspname)
"""

# In order of weight. Rights are asked of the server where roles inherit them, and read from its lists where
# it matters who holds them. A superuser is no finding but in the tenant's own role.
_QUESTIONS = (
    _Question(
        "superuser",
        "r.rolsuper",
        f"Its role is a superuser, whom no border stops. Name another in its URL. {_HARDEN}",
    ),
    _Question(
        "bypassrls", "r.rolbypassrls AND NOT r.rolsuper", f"Its role may bypass row security. {_HARDEN}"
    ),
    _Question(
        "replication",
        "r.rolreplication AND NOT r.rolsuper",
        f"Its role may replicate, that is copy, the whole server. {_HARDEN}",
    ),
    _Question("createrole", "r.rolcreaterole AND NOT r.rolsuper", f"Its role may make roles. {_HARDEN}"),
    _Question("createdb", "r.rolcreatedb AND NOT r.rolsuper", f"Its role may make databases. {_HARDEN}"),
    _Question(
        "memberships",
        "(SELECT count(*) FROM pg_auth_members WHERE member = r.oid)",
        f"Its role has the rights of other roles: {{}}. {_HARDEN}",
    ),
    _Question(
        "rights_outside",
        f"""({_OUTSIDE} AND s.deptype = 'a'
            AND (%(shared)s OR i.schema = 'pg_catalog' OR s.classid = 'pg_parameter_acl'::regclass))""",
        "Its role was given rights outside its schema, on settings, on the server's own functions or on what "
        f"is others': {{}}. {_LISTED} `REVOKE` what it does not need.",
    ),
    _Question(
        "other_databases",
        """(
            SELECT count(*) FROM pg_database o
            WHERE NOT r.rolsuper AND o.oid <> d.oid AND o.datallowconn AND o.datname <> ALL (%(maintenance)s)
            AND has_database_privilege(o.oid, 'CONNECT')
        )""",
        "Its role may connect to databases that are not its own: {}. Harden the tenants whose they are, and "
        "`REVOKE CONNECT ON DATABASE … FROM PUBLIC` on the others; `\\l` in psql lists them.",
    ),
    _Question(
        "database_owner",
        """NOT EXISTS (
            SELECT FROM pg_roles o
            WHERE o.oid = d.datdba AND (o.rolsuper OR o.oid = r.oid AND NOT %(shared)s)
        )""",
        f"Its database belongs to a role that could drop it or let others in. {_HARDEN}",
    ),
    _Question(
        "public_connect",
        "has_database_privilege('public'::name, d.oid, 'CONNECT')",
        f"Every role of the server may connect to its database. {_HARDEN}",
    ),
    _Question(
        "others_connect",
        """(
            SELECT count(*) FROM pg_roles o
            WHERE o.rolcanlogin AND NOT o.rolsuper AND o.oid <> r.oid
            AND o.rolname <> ALL (%(own)s) AND o.rolname <> ALL (%(neighbours)s)
            AND has_database_privilege(o.oid, d.oid, 'CONNECT')
            AND NOT has_database_privilege('public'::name, d.oid, 'CONNECT')
        )""",
        "Roles that are no tenant's of this database may connect to it: {}. `\\l` in psql lists them; "
        "`REVOKE CONNECT ON DATABASE … FROM` those that have no business there.",
    ),
    _Question("schema_owner", "n.nspowner <> r.oid", f"Its schema belongs to another role. {_HARDEN}"),
    _Question(
        "public_schema",
        "has_schema_privilege('public'::name, n.oid, 'USAGE, CREATE')",
        f"Every role that may connect may use its schema. {_HARDEN}",
    ),
    _Question(
        "shared_schema",
        """EXISTS (
            SELECT FROM pg_namespace p WHERE p.oid <> n.oid AND p.nspname = 'public'
            AND has_schema_privilege('public'::name, p.oid, 'CREATE')
        )""",
        f"Every role may make tables in the schema 'public' of its database. {_HARDEN}",
    ),
    _Question(
        "object_owner",
        f"(SELECT count(*) FROM ({roles.OBJECTS}) o WHERE o.namespace = n.oid AND o.owner <> r.oid)",
        f"Tables, functions, types or others in its schema belong to other roles: {{}}. {_HARDEN}",
    ),
    _Question(
        "objects_outside",
        f"({_OUTSIDE} AND s.deptype = 'o' AND %(shared)s)",
        "Its role owns tables, views, functions or large objects outside its schema, through which roles of "
        f"other schemas may read: {{}}. {_LISTED} Move them into its schema, or drop them.",
    ),
    _Question(
        "others_rights",
        f"""(
            SELECT count(*) FROM (
                SELECT g.grantee FROM ({roles.TABLE_GRANTS}) g WHERE g.namespace = n.oid
                UNION SELECT a.grantee FROM aclexplode(n.nspacl) a
                WHERE a.grantee <> 0 AND a.grantee <> n.nspowner
                UNION SELECT m.member FROM pg_auth_members m WHERE m.roleid = r.oid
            ) g LEFT JOIN pg_roles o ON o.oid = g.grantee
            WHERE g.grantee <> r.oid AND NOT coalesce(o.rolsuper OR o.rolname = ANY (%(own)s), false)
        )""",
        "Others than its role have rights in its schema: {}. Harden it; what is left was given to roles that "
        "are no tenant's, and `\\dp`, `\\dn+` and `\\drg` in psql list it.",
    ),
    _Question(
        "pins",
        "(SELECT s.setconfig FROM pg_db_role_setting s WHERE s.setdatabase = d.oid AND s.setrole = r.oid)",
        f"Not pinned for its role, or differently: {{}}. {_HARDEN}",
    ),
    _Question(
        "search_path",
        "current_schema() IS DISTINCT FROM %(schema)s",
        "Its sessions do not work in its schema. See that the schema is there, and that a pooler passes "
        "`options` on.",
    ),
)

_FROM = """
    FROM pg_roles r
    JOIN pg_database d ON d.datname = current_database()
    LEFT JOIN pg_namespace n ON n.nspname = %(schema)s
    WHERE r.rolname = current_user
"""
# The names of the columns are the codes.
_SELECT = f"SELECT {', '.join(f'{question.asks} AS {question.code}' for question in _QUESTIONS)} {_FROM}"
_TEXTS = {question.code: question.text for question in _QUESTIONS}

_TEXTS_OF_FILES = {
    "file_mode": (
        "Others on the machine may read or write its file, or the -wal or -shm beside it. Run `chmod o-rwx` "
        "on all of them."
    ),
    "folder_mode": "Others on the machine may read or write the folder of its file. Run `chmod o-rw` on it.",
}


def in_postgresql(tenant: Tenant, around: Collection[Tenant]) -> list[Finding]:
    """Asked over the tenant's own connection: what its role sees of itself and of others. ``around`` are the
    other tenants of its database."""
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
            cursor.execute(_SELECT, values)
            names = [column[0] for column in cursor.description]
            answers: dict[str, Any] = dict(zip(names, cursor.fetchone(), strict=True))
    finally:
        close(tenant.id)
    answers["pins"] = ", ".join(roles.unpinned(tenant, answers["pins"]))
    return list(_findings(_TEXTS, answers))


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
    answers = {"file_mode": mode & read_or_write, "folder_mode": folder_mode & read_or_write}
    return list(_findings(_TEXTS_OF_FILES, answers))


def _findings(texts: Mapping[str, str], answers: Mapping[str, Any]) -> Iterator[Finding]:
    return (Finding(code, text.format(answers[code])) for code, text in texts.items() if answers[code])
