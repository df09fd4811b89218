"""The schema of one database: in a few letters, to be compared, and in parts, to say what differs.

Taken are tables with their columns and constraints, indexes, views and triggers: what migrations make. Left
out is what differs between databases that are alike: the schema's name, the order of columns, internal
numbers, extensions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

#: What it is, whose (a table's name), and its own name.
Part = tuple[str, str, str]
#: Of each part how it is defined.
Parts = Mapping[Part, str]

#: Definitions that are longer do not help whoever reads a line.
_MOST_LETTERS = 60

# Names are shown as the search path finds them. With "public" behind the tenant's own schema in it, what is
# there (an extension's types) is called the same in all. Two statements of one query are one transaction,
# with which the path goes.
# https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CATALOG
_PATH = "SELECT set_config('search_path', quote_ident(%(schema)s) || ', public', true);"
_PARTS = """
    WITH own AS (
        SELECT c.oid, c.relname, c.relkind, c.relrowsecurity
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = %(schema)s AND c.relkind IN ('r', 'p', 'f', 'v', 'm') AND NOT EXISTS (
            SELECT FROM pg_depend d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
        )
    )
    SELECT CASE WHEN relkind IN ('v', 'm') THEN 'view' ELSE 'table' END AS kind, relname::text AS owner,
        relname::text AS name,
        CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid, true)
            WHEN relrowsecurity THEN 'ROW SECURITY' ELSE '' END AS definition
    FROM own
    UNION ALL
    SELECT 'column', o.relname, a.attname, concat_ws(' ',
        format_type(a.atttypid, a.atttypmod),
        CASE WHEN a.attcollation <> t.typcollation THEN 'COLLATE ' || l.collname END,
        CASE WHEN a.attnotnull THEN 'NOT NULL' END,
        CASE a.attidentity WHEN 'a' THEN 'IDENTITY ALWAYS' WHEN 'd' THEN 'IDENTITY' END,
        CASE WHEN d.oid IS NULL THEN NULL WHEN a.attgenerated = '' THEN 'DEFAULT' ELSE 'GENERATED' END,
        pg_get_expr(d.adbin, d.adrelid))
    FROM own o
    JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_collation l ON l.oid = a.attcollation
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE o.relkind IN ('r', 'p', 'f')
    UNION ALL
    -- Without NOT NULL, which is the column's: the server makes up the names.
    SELECT 'constraint', o.relname, k.conname, pg_get_constraintdef(k.oid, true)
    FROM own o JOIN pg_constraint k ON k.conrelid = o.oid AND k.contype <> 'n'
    UNION ALL
    SELECT 'index', o.relname, c.relname,
        pg_get_indexdef(c.oid, 0, true) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
    FROM own o JOIN pg_index i ON i.indrelid = o.oid JOIN pg_class c ON c.oid = i.indexrelid
    WHERE NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT 'trigger', o.relname, g.tgname, pg_get_triggerdef(g.oid, true)
        || CASE g.tgenabled WHEN 'O' THEN '' ELSE ' ' || g.tgenabled::text END
    FROM own o JOIN pg_trigger g ON g.tgrelid = o.oid AND NOT g.tgisinternal
"""
# In the order of bytes, which no server's language changes; the server's own sum, to send little.
_SUM = f"""
    SELECT encode(sha256(convert_to(coalesce(string_agg(p.line, chr(10) ORDER BY p.line COLLATE "C"), ''),
        'UTF8')), 'hex')
    FROM (SELECT row_to_json(p)::text AS line FROM ({_PARTS}) p) p
"""

# https://www.sqlite.org/schematab.html
_SCHEMA_TABLE = "SELECT type, tbl_name, name, sql FROM sqlite_master WHERE sql IS NOT NULL"
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|[(),]""")
_NAME = re.compile(r"""(?:"((?:[^"]|"")*)"|`((?:[^`]|``)*)`|\[([^\]]*)\]|([^\s(]+))\s*""")
_OF_THE_TABLE = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})


def fingerprint(connection: Any) -> str:
    """The same for databases whose schemas are alike. In one query."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(_PATH + _SUM, {"schema": connection.settings_dict["SCHEMA"]})
            text = str(cursor.fetchone()[0])
    else:
        text = hashlib.sha256(repr(sorted(read_parts(connection).items())).encode()).hexdigest()
    return text[:16]


def read_parts(connection: Any) -> Parts:
    """What the fingerprint is made of."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_PATH + _PARTS, {"schema": connection.settings_dict["SCHEMA"]})
            return {(kind, owner, name): text for kind, owner, name, text in cursor.fetchall()}
        cursor.execute(_SCHEMA_TABLE)
        rows = cursor.fetchall()
    return {part: text for row in rows if not row[2].startswith("sqlite_") for part, text in _read_row(*row)}


def differences(parts: Parts, others: Parts) -> list[str]:
    """How a schema differs from the others', in words; of a table that is missing, not its columns too."""
    tables = {part[1] for part in parts.keys() ^ others.keys() if part[0] in ("table", "view")}
    found = []
    for part in sorted(parts.keys() | others.keys()):
        kind, owner, name = part
        if owner in tables and kind not in ("table", "view"):
            continue
        what = f"{kind} {owner}.{name}" if kind == "column" else f"{kind} {name}"
        if part not in parts:
            found.append(f"{what} is missing")
        elif part not in others:
            found.append(f"{what} is not in the others")
        elif parts[part] != others[part]:
            found.append(f"{what} {_is_another(parts[part], others[part])}")
    return found


def _is_another(mine: str, others: str) -> str:
    if max(len(mine), len(others)) > _MOST_LETTERS:
        return "differs"
    return f"is '{mine}' and in the others '{others}'"


def _read_row(kind: str, owner: str, name: str, sql: str) -> Iterator[tuple[Part, str]]:
    """SQLite keeps the text that made a thing. A table's is taken apart, for the order of its columns says
    only in which order they came."""
    if kind != "table":
        yield (kind, owner, name), " ".join(sql.split())
        return
    definitions, rest = _take_apart(sql)
    yield ("table", owner, name), rest
    for text in definitions:
        own_name, definition = _split_name(text)
        if own_name.upper() in _OF_THE_TABLE and not text.startswith(('"', "`", "[")):
            if own_name.upper() == "CONSTRAINT":
                own_name, definition = _split_name(definition)
                yield ("constraint", owner, own_name), definition
            else:
                yield ("constraint", owner, text), text
        else:
            yield ("column", owner, own_name), definition


def _take_apart(sql: str) -> tuple[list[str], str]:
    """The definitions between a table's brackets, and what stands behind them."""
    definitions, depth, start = [], 0, 0
    for token in _TOKEN.finditer(sql):
        letter = token[0]
        if letter == "(":
            depth += 1
            start = token.end() if depth == 1 else start
        elif letter == ")" or (letter == "," and depth == 1):
            depth -= letter == ")"
            if depth == 0 or letter == ",":
                definitions.append(" ".join(sql[start : token.start()].split()))
                start = token.end()
            if depth == 0:
                break
    return definitions, " ".join(sql[start:].split())


def _split_name(text: str) -> tuple[str, str]:
    match = _NAME.match(text)
    if match is None:
        return text, ""
    return next(name for name in match.groups() if name is not None), text[match.end() :]
