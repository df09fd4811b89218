"""The PostgreSQL role of a tenant: the border that the server keeps, whatever the code gets wrong.

One login role per tenant, which may connect to its own database and owns its own schema; nobody else may.
``reconcile`` makes it so, in one transaction: all of it or nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import stringprep
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

import psycopg2
from django.conf import settings
from psycopg2 import extensions, sql

from tenancy import stamp
from tenancy.backends.postgresql.base import LIMITS
from tenancy.database_url import identity, is_same_database
from tenancy.exceptions import NotHardened, SchemaMissing, StampMismatch, UnstampedDatabase
from tenancy.planes import CONTROL_ALIAS
from tenancy.registry import get_registry
from tenancy.superuser import Superuser
from tenancy.tenant import Tenant

#: What has an owner of its own in a schema: tables, views, sequences, functions, types, and what is rarer.
#: What follows another object (a column's sequence, a table's row type) or an extension is left out.
OBJECTS = """
    SELECT o.class, o.id, o.owner, o.namespace FROM (
        SELECT 'pg_class'::regclass, oid, relowner, relnamespace FROM pg_class
        WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL SELECT 'pg_proc'::regclass, oid, proowner, pronamespace FROM pg_proc
        UNION ALL SELECT 'pg_collation'::regclass, oid, collowner, collnamespace FROM pg_collation
        UNION ALL SELECT 'pg_conversion'::regclass, oid, conowner, connamespace FROM pg_conversion
        UNION ALL SELECT 'pg_operator'::regclass, oid, oprowner, oprnamespace FROM pg_operator
        UNION ALL SELECT 'pg_opclass'::regclass, oid, opcowner, opcnamespace FROM pg_opclass
        UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfowner, opfnamespace FROM pg_opfamily
        UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxowner, stxnamespace FROM pg_statistic_ext
        UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgowner, cfgnamespace FROM pg_ts_config
        UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictowner, dictnamespace FROM pg_ts_dict
        UNION ALL SELECT 'pg_type'::regclass, t.oid, t.typowner, t.typnamespace
        FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE t.typtype IN ('d', 'e', 'r') OR c.relkind = 'c'
    ) o (class, id, owner, namespace)
    WHERE NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.id AND d.objsubid = 0
        AND (
            d.deptype IN ('e', 'i')
            OR d.classid = 'pg_class'::regclass AND d.deptype = 'a' AND d.refobjsubid > 0
        )
    )
"""

#: Whom an owner, or somebody with a grant option, gave rights on tables, sequences and columns.
TABLE_GRANTS = """
    SELECT c.relnamespace AS namespace, c.relname AS name, c.relkind AS kind, c.relowner AS owner,
        a.grantor, a.grantee
    FROM pg_class c CROSS JOIN LATERAL (
        SELECT grantor, grantee FROM aclexplode(c.relacl)
        UNION SELECT e.grantor, e.grantee FROM pg_attribute t, aclexplode(t.attacl) e WHERE t.attrelid = c.oid
    ) a
    WHERE a.grantee <> c.relowner AND NOT EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
"""

# As ALTER calls what pg_identify_object() calls otherwise. An aggregate over ``*`` has no arguments to name,
# and only as a routine is that allowed.
_KINDS = {"aggregate": "routine", "statistics object": "statistics"}

#: What the lines call a role that belongs to another tenant, or to the control plane.
STRANGER = "another tenant's role"

_ATTRIBUTES = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
# https://www.postgresql.org/docs/current/catalog-pg-authid.html
_VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):.+")


def own_roles(tenant: Tenant) -> set[str]:
    """The roles that the tenant's URLs name: one, as a rule."""
    return {url["USER"] for url in _urls(tenant) if url.get("USER")}


def neighbours(tenant: Tenant) -> list[Tenant]:
    """The other tenants of the registry that live in the same database, in schemas of their own."""
    return [other for other in _others(tenant) if is_same_database(other.database, tenant.database)]


def roles_of(tenants: Iterable[Tenant]) -> set[str]:
    return {role for tenant in tenants for role in own_roles(tenant)}


def unpinned(tenant: Tenant, pinned: Iterable[str] | None) -> dict[str, str]:
    """What is not pinned as it should be, of what ``pg_db_role_setting`` holds (``name=value``)."""
    found = dict(line.replace('"', "").partition("=")[::2] for line in pinned or ())
    wanted = {"search_path": str(tenant.database["SCHEMA"])}
    wanted |= {name: str(milliseconds) for name, milliseconds in LIMITS.items()}
    return {name: value for name, value in wanted.items() if found.get(name) != value}


def reconcile(
    tenant: Tenant, superuser_url: str, prepare: Callable[[Any], list[str]] | None = None
) -> list[str]:
    """Make the tenant's role and its rights what they should be. See ``tenancy.provisioning.harden``.

    ``prepare`` is called before, in the same transaction, with its cursor; it returns what it did.
    """
    if tenant.engine != "postgresql":
        raise NotHardened(
            tenant.id, "SQLite has no roles; keep its file from others with `chmod o-rwx` instead"
        )
    superuser = Superuser(tenant, superuser_url)
    require_role_of_its_own(tenant, superuser)
    with closing(superuser.connect()) as connection:
        try:
            with connection, connection.cursor() as cursor:
                prepared = prepare(cursor) if prepare is not None else []
                return prepared + _Reconciliation(cursor, tenant).run()
        except psycopg2.Error as exc:
            raise NotHardened(
                tenant.id,
                f"the server refused a step (SQLSTATE {exc.pgcode}); see the cause, and run it again",
            ) from exc


def require_role_of_its_own(tenant: Tenant, superuser: Superuser) -> None:
    """Raise ``NotHardened`` where the user of the tenant's URL is somebody else's role, or none."""
    role = str(tenant.database["USER"])
    if not role:
        raise NotHardened(tenant.id, "its URL names no user; add the role that is to be its own")
    if role in {"postgres", superuser.settings["USER"]}:
        raise NotHardened(tenant.id, "its URL's user is the superuser; name a role of its own there")
    if role.startswith("pg_") or role in {"public", "none"} or len(role.encode()) > 63:
        raise NotHardened(
            tenant.id, "its URL's user cannot be a role's name (reserved, or over 63 bytes); name another"
        )
    server = identity(tenant.database)[:3]
    elsewhere = [
        settings.DATABASES[CONTROL_ALIAS],
        *(url for other in _others(tenant) for url in _urls(other)),
    ]
    if any(url.get("USER") == role and identity(url)[:3] == server for url in elsewhere):
        raise NotHardened(
            tenant.id,
            "its URL's user is also the control plane's, or another tenant's on that server; give each a "
            "role of its own",
        )


def _urls(tenant: Tenant) -> Iterator[Mapping[str, Any]]:
    return (url for url in (tenant.database, tenant.direct, tenant.replica) if url)


def _others(tenant: Tenant) -> list[Tenant]:
    return [other for other in get_registry() if other.id != tenant.id]


def _is_verifier_of(password: str, verifier: str | None) -> bool:
    """Whether ``pg_authid.rolpassword`` was made of this password (RFC 5802, section 3)."""
    match = _VERIFIER.fullmatch(verifier or "")
    if match is None:
        return False
    # libpq prepares a password (RFC 4013), unless that is not possible.
    prepared = "".join(letter for letter in password if not stringprep.in_table_b1(letter))
    salt, stored_key = base64.b64decode(match[2]), base64.b64decode(match[3])
    for form in {password, unicodedata.normalize("NFKC", prepared)}:
        salted = hashlib.pbkdf2_hmac("sha256", form.encode(), salt, int(match[1]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        if hmac.compare_digest(hashlib.sha256(client_key).digest(), stored_key):
            return True
    return False


class _Reconciliation:
    """One run, in one transaction of a superuser's. Every step looks first, and changes what differs.

    It takes back what was given by an owner, to PUBLIC and to the roles of other tenants and of the
    control plane. What a role of nobody's in the registry (a backup's) holds is somebody's decision.
    """

    def __init__(self, cursor: Any, tenant: Tenant) -> None:
        self.cursor = cursor
        self.tenant = tenant
        self.neighbours = neighbours(tenant)
        self.shared = bool(self.neighbours) or tenant.database["SCHEMA"] != "public"
        self.values: dict[str, Any] = {
            "role": tenant.database["USER"],
            "database": tenant.database["NAME"],
            "schema": tenant.database["SCHEMA"],
        }
        self.names = {name: sql.Identifier(value) for name, value in self.values.items()}
        control = {str(settings.DATABASES[CONTROL_ALIAS].get("USER", ""))}
        self.strangers = self.existing((roles_of(_others(tenant)) | control) - own_roles(tenant))
        self.changes: list[str] = []

    def run(self) -> list[str]:
        self.require_superuser()
        # Two runs in one database would otherwise change one row of a catalogue at once, which is an error.
        # Not an advisory lock: every role may hold one, and so could stop this for good.
        self.ask("SELECT 1 FROM pg_database WHERE datname = %(database)s FOR UPDATE")
        self.require_stamp()
        self.make_role()
        self.end_memberships()
        self.close_database()
        self.close_schema()
        self.take_objects()
        self.close_tables()
        self.pin()
        return self.changes

    def ask(self, query: str, **values: Any) -> list[Any]:
        self.cursor.execute(query, self.values | values)
        rows: list[Any] = self.cursor.fetchall()
        return rows

    def change(self, line: str, statement: str, **names: sql.Composable) -> None:
        self.cursor.execute(sql.SQL(statement).format(**(self.names | names)))
        if line not in self.changes:
            self.changes.append(line)

    def existing(self, roles: Iterable[str]) -> set[str]:
        """Those that the server has. A superuser's rights are not given, so they cannot be taken."""
        query = "SELECT rolname FROM pg_roles WHERE rolname = ANY(%(roles)s) AND NOT rolsuper"
        return {name for (name,) in self.ask(query, roles=list(roles))}

    def require_superuser(self) -> None:
        if not self.ask("SELECT 1 FROM pg_roles WHERE rolname = current_user AND rolsuper"):
            raise NotHardened(self.tenant.id, "the superuser's URL leads to a role that is none; name one")
        if self.ask("SELECT 1 FROM pg_roles WHERE rolname = %(role)s AND rolsuper"):
            raise NotHardened(self.tenant.id, "its URL's user is a superuser; name a role of its own there")

    def require_stamp(self) -> None:
        """Whose database is it? One that is stamped for somebody else is left alone, and so is one with
        tables and no stamp: the superuser's URL may lead to another server than the tenant's."""
        if not self.ask("SELECT 1 FROM pg_namespace WHERE nspname = %(schema)s"):
            raise SchemaMissing(self.tenant.id, self.values["schema"])
        rows = self.ask(
            "SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relname = %(stamp)s AND c.relpersistence <> 't'",
            stamp=stamp.TABLE,
        )
        stamped = {schema for (schema,) in rows}
        mine = self.values["schema"]
        strange = stamped - {mine} - {other.database["SCHEMA"] for other in self.neighbours}
        if strange and (mine == "public" or "public" in strange):
            raise StampMismatch(self.tenant.id)
        if mine in stamped:
            self.require_own_stamp()
        elif self.ask(
            "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            # A whole database is its own, whatever the schema; of a shared one the neighbours' parts are not.
            "WHERE (n.nspname = %(schema)s OR %(schema)s = 'public' AND n.nspname !~ '^pg_' "
            "AND n.nspname <> 'information_schema' AND n.nspname <> ALL(%(others)s)) "
            "AND c.relkind IN ('r', 'p', 'v', 'm', 'f') "
            # Django makes it before anything else, so an interrupted first migration leaves it alone.
            "AND c.relname <> 'django_migrations' AND NOT EXISTS ("
            "SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid "
            "AND d.deptype = 'e') LIMIT 1",
            others=[str(other.database["SCHEMA"]) for other in self.neighbours],
        ):
            raise UnstampedDatabase(self.tenant.id)

    def require_own_stamp(self) -> None:
        table = sql.Identifier(self.values["schema"], stamp.TABLE)
        # Locked, so that it stays what it is: a superuser that selects from a tenant's view runs the
        # view's functions as a superuser.
        self.cursor.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(table))
        if not self.ask(
            "SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %(schema)s AND c.relname = %(stamp)s AND c.relkind = 'r'",
            stamp=stamp.TABLE,
        ):
            raise NotHardened(self.tenant.id, f"its {stamp.TABLE} is not a table; find out who replaced it")
        self.cursor.execute(sql.SQL("SELECT tenant_id FROM ONLY {}").format(table))
        owners = {owner for (owner,) in self.cursor.fetchall()}
        if not owners:
            raise UnstampedDatabase(self.tenant.id)
        if owners != {self.tenant.id}:
            raise StampMismatch(self.tenant.id)

    def make_role(self) -> None:
        rows = self.ask(
            "SELECT rolcanlogin, rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls, rolpassword "
            "FROM pg_authid WHERE rolname = %(role)s"
        )
        can_login, may_too_much, verifier = rows[0] if rows else (False, False, None)
        if not rows:
            self.change("made its role", f"CREATE ROLE {{role}} {_ATTRIBUTES}")
        elif may_too_much or not can_login:
            self.change("made its role one that may log in and no more", f"ALTER ROLE {{role}} {_ATTRIBUTES}")
        password = str(self.tenant.database["PASSWORD"])
        if password and not _is_verifier_of(password, verifier):
            # Made here, so that the password itself reaches neither the server nor its log.
            verifier = extensions.encrypt_password(
                password, self.values["role"], self.cursor.connection, "scram-sha-256"
            )
            self.change(
                "set its role's password",
                "ALTER ROLE {role} PASSWORD {verifier}",
                verifier=sql.Literal(verifier),
            )

    def end_memberships(self) -> None:
        rows = self.ask(
            "SELECT pg_get_userbyid(roleid), pg_get_userbyid(member), pg_get_userbyid(grantor) "
            "FROM pg_auth_members WHERE pg_get_userbyid(member) = %(role)s OR "
            "pg_get_userbyid(roleid) = %(role)s AND pg_get_userbyid(member) = ANY(%(strangers)s)",
            strangers=list(self.strangers),
        )
        for group, member, grantor in rows:
            own = member == self.values["role"]
            self.change(
                f"took {'its role' if own else STRANGER} out of {'another role' if own else 'its role'}",
                "REVOKE {group} FROM {member} GRANTED BY {grantor} CASCADE",
                group=sql.Identifier(group),
                member=sql.Identifier(member),
                grantor=sql.Identifier(grantor),
            )

    def close_database(self) -> None:
        ((owner, owner_is_superuser),) = self.ask(
            "SELECT r.rolname, r.rolsuper FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba "
            "WHERE d.datname = %(database)s"
        )
        if not owner_is_superuser and (self.shared or owner != self.values["role"]):
            # An owner can drop a database, and let anybody in.
            self.change(
                "gave the database to the superuser", "ALTER DATABASE {database} OWNER TO CURRENT_USER"
            )
        grants = self.ask(
            "SELECT r.rolname, a.privilege_type FROM pg_database d "
            "CROSS JOIN aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a "
            "LEFT JOIN pg_roles r ON r.oid = a.grantee "
            "WHERE d.datname = %(database)s AND a.grantor = d.datdba"
        )
        roles_inside = self.existing(roles_of(self.neighbours)) - own_roles(self.tenant)
        self.take_back("database", "DATABASE {database}", {role for role, _ in grants} - roles_inside)
        for role in (self.values["role"], *sorted(roles_inside)):
            if not {(role, "CONNECT"), (role, "TEMPORARY")} <= set(grants):
                # PUBLIC's right was also the neighbours'; they are not to lose it before it is their turn.
                own = role == self.values["role"]
                self.change(
                    f"let {'its role' if own else 'the role of a tenant in the same database'} connect",
                    "GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {holder}",
                    holder=sql.Identifier(role),
                )

    def close_schema(self) -> None:
        if self.ask(
            "SELECT 1 FROM pg_namespace WHERE nspname = %(schema)s AND pg_get_userbyid(nspowner) <> %(role)s"
        ):
            self.change("gave the schema to its role", "ALTER SCHEMA {schema} OWNER TO {role}")
        query = (
            "SELECT r.rolname FROM pg_namespace n "
            "CROSS JOIN aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a "
            "LEFT JOIN pg_roles r ON r.oid = a.grantee "
            "WHERE n.nspname = %(schema)s AND a.grantor = n.nspowner AND a.grantee <> n.nspowner "
        )
        self.take_back("schema", "SCHEMA {schema}", {role for (role,) in self.ask(query)})
        everybodys = f"{query} AND a.grantee = 0 AND a.privilege_type = 'CREATE'"
        if self.values["schema"] != "public" and self.ask(everybodys, schema="public"):
            self.change(
                "took CREATE in the schema 'public' from PUBLIC", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
            )

    def take_objects(self) -> None:
        rows = self.ask(
            f"SELECT i.type, i.identity FROM ({OBJECTS}) o CROSS JOIN pg_identify_object(o.class, o.id, 0) i "
            "WHERE o.namespace = to_regnamespace(quote_ident(%(schema)s)) "
            "AND pg_get_userbyid(o.owner) <> %(role)s"
        )
        for kind, identity_of_object in rows:
            # The server quoted both, and named the schema, for its path is pg_catalog.
            thing = sql.SQL(f"{_KINDS.get(kind, kind)} {identity_of_object}")
            self.change(
                "gave what is in the schema to its role", "ALTER {thing} OWNER TO {role}", thing=thing
            )

    def close_tables(self) -> None:
        rows = self.ask(
            f"SELECT DISTINCT g.name, g.kind, r.rolname FROM ({TABLE_GRANTS}) g "
            "LEFT JOIN pg_roles r ON r.oid = g.grantee "
            "WHERE g.namespace = to_regnamespace(quote_ident(%(schema)s)) AND g.grantor = g.owner"
        )
        for name, kind, role in rows:
            noun = sql.SQL("SEQUENCE {}" if kind == "S" else "TABLE {}")
            self.take_back(
                "tables", "{table}", [role], table=noun.format(sql.Identifier(self.values["schema"], name))
            )

    def take_back(
        self, what: str, thing: str, holders: Iterable[str | None], **names: sql.Composable
    ) -> None:
        for holder in holders:
            if holder is None:
                self.change(
                    f"closed the {what} to PUBLIC", f"REVOKE ALL ON {thing} FROM PUBLIC CASCADE", **names
                )
            elif holder in self.strangers:
                self.change(
                    f"closed the {what} to {STRANGER}",
                    f"REVOKE ALL ON {thing} FROM {{holder}} CASCADE",
                    holder=sql.Identifier(holder),
                    **names,
                )

    def pin(self) -> None:
        rows = self.ask(
            "SELECT s.setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase "
            "WHERE d.datname = %(database)s AND pg_get_userbyid(s.setrole) = %(role)s"
        )
        for name, value in unpinned(self.tenant, rows[0][0] if rows else None).items():
            self.change(
                f"pinned {name}",
                "ALTER ROLE {role} IN DATABASE {database} SET {name} = {value}",
                name=sql.Identifier(name),
                value=sql.Literal(value),
            )
