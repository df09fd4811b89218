"""What a programmer can write with Django's ORM and with SQL, and take over a change of tenant.

Each primitive is prepared in acme's context, and its use is the step that could go to another database. It
is used in acme's context (works), in globex's, in a request without a tenant and outside of everything (each
raises). ``Kind`` says how one sees that it worked.
"""

from __future__ import annotations

import enum
import pickle
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from django.db import connections, transaction
from django.db.models import (
    Case,
    Count,
    Exists,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
    Value,
    When,
    prefetch_related_objects,
)

from tenancy.transactions import tenant_atomic
from tests.isolation.worlds import KEYS
from tests.workshop.models import Label, Maker, Manual, PowerTool, SharpTool, Tool


class Kind(enum.Enum):
    READ = "returns acme's text"
    COUNT = "returns a number"
    WRITE = "changes acme's rows"


@dataclass(frozen=True)
class Primitive:
    name: str
    kind: Kind
    prepare: Callable[[], Any]
    use: Callable[[Any], Any]
    #: Made with this thread's connection, so that it has to be used in the thread it was prepared in.
    bound_to_thread: bool = False
    #: Names its database, which outside a request is an explicit choice and passes.
    names_its_database: bool = False


@dataclass(frozen=True)
class AsyncPrimitive:
    name: str
    kind: Kind
    prepare: Callable[[], Any]
    use: Callable[[Any], Awaitable[Any]]


def text(rows: Any) -> str:
    """What was read, as one text to search for a tenant's name."""
    return ", ".join(str(row) for row in rows)


def tools() -> Any:
    return Tool.objects.order_by("name")


def saw() -> Tool:
    return Tool.objects.get(pk=KEYS["saw"])


def maker() -> Maker:
    return Maker.objects.get(pk=KEYS["anna"])


def other_maker() -> Maker:
    return Maker.objects.get(pk=KEYS["bert"])


def label() -> Label:
    return Label.objects.get(pk=KEYS["blue"])


def new_tool() -> Tool:
    """Made in acme's context, and not saved."""
    return Tool(name="new of acme", maker_id=KEYS["anna"])


def evaluated(queryset: Any) -> Any:
    len(queryset)
    return queryset


def started(rows: Any) -> Any:
    """An iterator whose first row has been read."""
    next(rows)
    return rows


def renamed(tool: Any) -> Any:
    tool.name = "renamed of acme"
    return tool


def pickled(thing: Any) -> Any:
    return pickle.dumps(thing)


def cursor_with_rows() -> Any:
    cursor = connections["acme"].cursor()
    cursor.execute("SELECT name FROM workshop_tool")
    return cursor


def with_query(query: Any) -> Any:
    """A pickled query in a queryset of here, as Django's documentation shows."""
    queryset = Tool.objects.all()
    queryset.query = pickle.loads(query)
    return queryset


def in_transaction(work: Callable[[], Any]) -> Any:
    with tenant_atomic():
        return work()


def commit_elsewhere(block: Any) -> None:
    block.__exit__(None, None, None)


def begun() -> Any:
    """A transaction of acme's with a change in it, not yet committed."""
    block = transaction.atomic(using="acme")
    block.__enter__()
    Tool.objects.filter(pk=KEYS["saw"]).update(note="changed of acme")
    return block


def savepoint_in(block: Any) -> int:
    """A savepoint of a transaction that is undone, which is allowed to everybody."""
    try:
        return len(transaction.savepoint(using="acme"))
    finally:
        block.__exit__(ZeroDivisionError, ZeroDivisionError(), None)


def execute(alias: str, sql: str) -> Any:
    with connections[alias].cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if sql.startswith("SELECT") else cursor.rowcount


SELECT = "SELECT name FROM workshop_tool"
UPDATE = "UPDATE workshop_tool SET note = 'changed of acme'"

READ, COUNT, WRITE = Kind.READ, Kind.COUNT, Kind.WRITE

QUERYSETS = [
    Primitive("iterate", READ, tools, text),
    Primitive("len", COUNT, tools, len),
    Primitive("bool", COUNT, tools, bool),
    Primitive("index", READ, tools, lambda rows: str(rows[0])),
    Primitive("slice", READ, tools, lambda rows: text(rows[:2])),
    Primitive("repr", READ, tools, repr),
    Primitive("first", READ, tools, lambda rows: str(rows.first())),
    Primitive("last", READ, tools, lambda rows: str(rows.last())),
    Primitive("latest", READ, tools, lambda rows: str(rows.latest("made_at"))),
    Primitive("get", READ, tools, lambda rows: str(rows.get(pk=KEYS["saw"]))),
    Primitive("count", COUNT, tools, lambda rows: rows.count()),
    Primitive("exists", COUNT, tools, lambda rows: rows.exists()),
    Primitive("aggregate", COUNT, tools, lambda rows: rows.aggregate(n=Count("pk"))["n"]),
    Primitive("annotate", COUNT, tools, lambda rows: rows.annotate(n=Count("labels")).first().n + 1),
    Primitive("values", READ, lambda: tools().values("name"), text),
    Primitive("values_list", READ, lambda: tools().values_list("name", flat=True), text),
    Primitive("dates", COUNT, lambda: tools().dates("made_at", "year"), len),
    Primitive("in_bulk", READ, tools, lambda rows: text(rows.in_bulk([KEYS["saw"]]).values())),
    Primitive("explain", COUNT, tools, lambda rows: len(rows.explain())),
    Primitive("filter, later", READ, tools, lambda rows: text(rows.filter(is_sharp=True))),
    Primitive("a method of the queryset", READ, tools, lambda rows: text(rows.sharp())),
    Primitive("another manager", READ, lambda: Tool.others.all(), text),
    Primitive("select_related", READ, lambda: tools().select_related("maker"), lambda r: str(r.first().maker)),
    Primitive("prefetch_related", READ, lambda: tools().prefetch_related("labels"), lambda r: text(r[0].labels.all()) + str(r[0])),
    Primitive("Prefetch", READ, lambda: Prefetch("tools", queryset=tools()), lambda p: text(Maker.objects.prefetch_related(p).get(pk=KEYS["anna"]).tools.all())),
    Primitive("iterator", READ, lambda: tools().iterator(chunk_size=1), text, bound_to_thread=True),
    Primitive("iterator, begun", READ, lambda: started(tools().iterator(chunk_size=1)), text, bound_to_thread=True),
    Primitive("iterator with prefetch, begun", READ, lambda: started(tools().prefetch_related("maker").iterator(chunk_size=1)), lambda rows: text(row.maker for row in rows), bound_to_thread=True),
    Primitive("rows once fetched", READ, lambda: evaluated(tools()), text),
    Primitive("rows once fetched, begun", READ, lambda: started(iter(tools())), text),
    Primitive("rows once fetched, by index", READ, lambda: evaluated(tools()), lambda rows: str(rows[0])),
    Primitive("rows once fetched, counted", COUNT, lambda: evaluated(tools()), lambda rows: rows.count()),
    Primitive("raw", READ, lambda: Tool.objects.raw(f"{SELECT[:6]} * FROM workshop_tool"), text),
    Primitive("raw, once fetched", READ, lambda: evaluated(Tool.objects.raw("SELECT * FROM workshop_tool")), text),
    Primitive("raw, cloned", READ, lambda: Tool.objects.raw("SELECT * FROM workshop_tool").prefetch_related("maker"), text),
    Primitive("union", READ, tools, lambda rows: text(rows.order_by().union(Tool.objects.order_by()))),
    Primitive("union, from the other side", READ, tools, lambda rows: text(Tool.objects.order_by().union(rows.order_by()))),
    Primitive("or", READ, tools, lambda rows: text(Tool.objects.all() | rows)),
    Primitive("and", READ, tools, lambda rows: text(rows & Tool.objects.all())),
    Primitive("subquery with in", READ, lambda: Maker.objects.filter(name__startswith="anna"), lambda makers: text(Tool.objects.filter(maker__in=makers))),
    Primitive("subquery of keys", READ, lambda: Maker.objects.values("pk"), lambda makers: text(Tool.objects.filter(maker_id__in=makers))),
    Primitive("Exists", READ, lambda: Maker.objects.filter(pk=OuterRef("maker")), lambda makers: text(Tool.objects.filter(Exists(makers)))),
    Primitive("Subquery", READ, lambda: Maker.objects.filter(pk=OuterRef("maker")).values("name")[:1], lambda names: text(Tool.objects.annotate(by=Subquery(names)).values_list("by", flat=True))),
    Primitive("pickled queryset", READ, lambda: pickled(tools()), lambda data: text(pickle.loads(data))),
    Primitive("pickled query", READ, lambda: pickled(tools().query), lambda query: text(with_query(query))),
    Primitive("select_for_update", READ, lambda: tools().select_for_update(), lambda rows: in_transaction(lambda: text(rows))),
    Primitive("update", WRITE, tools, lambda rows: rows.update(note="changed of acme")),
    Primitive("delete", WRITE, lambda: Manual.objects.all(), lambda rows: rows.delete()),
    Primitive("raw delete", WRITE, lambda: Manual.objects.all(), lambda rows: rows._raw_delete(rows.db)),
]  # fmt: skip

OBJECTS = [
    Primitive("save", WRITE, lambda: renamed(saw()), lambda tool: tool.save()),
    Primitive("save some fields", WRITE, lambda: renamed(saw()), lambda tool: tool.save(update_fields=["name"])),
    Primitive("save under a new key", WRITE, lambda: renamed(saw()), lambda tool: (setattr(tool, "pk", KEYS["blue"]), setattr(tool._state, "adding", True), tool.save())),
    Primitive("save a new one", WRITE, new_tool, lambda tool: tool.save()),
    Primitive("save a pickled one", WRITE, lambda: pickled(renamed(saw())), lambda data: pickle.loads(data).save()),
    Primitive("save a pickled new one", WRITE, lambda: pickled(new_tool()), lambda data: pickle.loads(data).save()),
    Primitive("save a child", WRITE, lambda: renamed(PowerTool.objects.get()), lambda tool: tool.save()),
    Primitive("save a proxy", WRITE, lambda: renamed(SharpTool.objects.get(pk=KEYS["saw"])), lambda tool: tool.save()),
    Primitive("delete an object", WRITE, lambda: Manual.objects.get(), lambda manual: manual.delete()),
    Primitive("delete with a cascade", WRITE, maker, lambda anna: anna.delete()),
    Primitive("refresh_from_db", READ, saw, lambda tool: (tool.refresh_from_db(), str(tool))[1]),
    Primitive("refresh_from_db, from a queryset", READ, saw, lambda tool: (tool.refresh_from_db(from_queryset=Tool.objects.all()), str(tool))[1]),
    Primitive("a deferred field", READ, lambda: Tool.objects.defer("note").get(pk=KEYS["saw"]), lambda tool: tool.note),
    Primitive("full_clean", COUNT, saw, lambda tool: tool.full_clean() is None),
    Primitive("validate_constraints", COUNT, new_tool, lambda tool: tool.validate_constraints() is None),
    Primitive("next by date", READ, saw, lambda tool: str(tool.get_next_by_made_at()), names_its_database=True),
]  # fmt: skip

RELATIONS = [
    Primitive("foreign key", READ, saw, lambda tool: str(tool.maker)),
    Primitive("one to one", READ, lambda: Manual.objects.get(), lambda manual: str(manual.tool)),
    Primitive("one to one, backwards", READ, saw, lambda tool: str(tool.manual)),
    Primitive("the parent of a child, saved", WRITE, lambda: PowerTool.objects.get(), lambda tool: renamed(tool.tool_ptr).save()),
    Primitive("reverse foreign key", READ, maker, lambda anna: text(anna.tools.all())),
    Primitive("reverse foreign key, kept", READ, lambda: maker().tools, lambda manager: text(manager.all())),
    Primitive("reverse foreign key, create", WRITE, maker, lambda anna: anna.tools.create(name="x of acme")),
    Primitive("reverse foreign key, add", WRITE, lambda: Tool.objects.get(pk=KEYS["axe"]), lambda tool: maker().owned_tools.add(tool)),
    Primitive("reverse foreign key, set", WRITE, lambda: list(Tool.objects.filter(pk=KEYS["axe"])), lambda tools: maker().owned_tools.set(tools)),
    Primitive("reverse foreign key, remove", WRITE, saw, lambda tool: maker().owned_tools.remove(tool)),
    Primitive("reverse foreign key, clear", WRITE, maker, lambda anna: anna.owned_tools.clear()),
    Primitive("many to many", READ, saw, lambda tool: text(tool.labels.all())),
    Primitive("many to many, add", WRITE, lambda: (saw(), label()), lambda pair: pair[0].labels.add(pair[1])),
    Primitive("many to many, add a key", WRITE, saw, lambda tool: tool.labels.add(KEYS["blue"])),
    Primitive("many to many, add a kept object", WRITE, label, lambda blue: saw().labels.add(blue)),
    Primitive("many to many, remove a kept object", WRITE, lambda: Label.objects.get(pk=KEYS["red"]), lambda red: saw().labels.remove(red)),
    Primitive("many to many, set", WRITE, saw, lambda tool: tool.labels.set([KEYS["blue"]])),
    Primitive("many to many, clear", WRITE, saw, lambda tool: tool.labels.clear()),
    Primitive("many to many, create", WRITE, saw, lambda tool: tool.labels.create(name="new of acme")),
    Primitive("many to many, backwards", READ, lambda: Label.objects.get(pk=KEYS["red"]), lambda red: text(red.tools.all())),
    Primitive("prefetch_related_objects", READ, saw, lambda tool: (prefetch_related_objects([tool], "labels"), text(tool.labels.all()))[1]),
    Primitive("what was prefetched", READ, lambda: Tool.objects.prefetch_related("labels").get(pk=KEYS["saw"]), lambda tool: text(tool.labels.all())),
]  # fmt: skip


CONDITIONS = [
    Primitive("filter by an object", READ, maker, lambda anna: text(Tool.objects.filter(maker=anna))),
    Primitive("exclude by an object", READ, lambda: Maker.objects.get(pk=KEYS["bert"]), lambda bert: text(Tool.objects.exclude(maker=bert))),
    Primitive("filter by a list of objects", READ, maker, lambda anna: text(Tool.objects.filter(maker__in=[anna]))),
    Primitive("filter by Q", READ, maker, lambda anna: text(Tool.objects.filter(Q(maker=anna) | Q(name="")))),
    Primitive("filter by a Q that was made before", READ, lambda: Q(maker=maker()), lambda q: text(Tool.objects.filter(q))),
    Primitive("filter over a relation", READ, label, lambda blue: text(Maker.objects.exclude(tools__labels=blue))),
    Primitive("filter in a When", READ, maker, lambda anna: text(Tool.objects.annotate(mine=Case(When(maker=anna, then=Value("of acme")), default=Value(""))).values_list("mine", flat=True))),
    Primitive("get by an object", READ, saw, lambda tool: str(Manual.objects.get(tool=tool))),
    Primitive("get_or_create", WRITE, maker, lambda anna: Tool.objects.get_or_create(name="new of acme", defaults={"maker": anna})),
    Primitive("update_or_create", WRITE, other_maker, lambda anna: Tool.objects.update_or_create(name="saw of acme", defaults={"owner": anna})),
    Primitive("create with an object", WRITE, maker, lambda anna: Tool.objects.create(name="new of acme", maker=anna)),
    Primitive("assign an object", WRITE, other_maker, lambda anna: (tool := saw(), setattr(tool, "owner", anna), tool.save())),
    Primitive("bulk_create", WRITE, new_tool, lambda tool: Tool.objects.bulk_create([tool])),
    Primitive("bulk_create over what is there", WRITE, lambda: renamed(saw()), lambda tool: Tool.objects.bulk_create([tool], update_conflicts=True, unique_fields=["id"], update_fields=["name"])),
    Primitive("bulk_update", WRITE, lambda: renamed(saw()), lambda tool: Tool.objects.bulk_update([tool], ["name"])),
    Primitive("update to an object", WRITE, maker, lambda anna: Tool.objects.update(owner=anna)),
    Primitive("contains", COUNT, saw, lambda tool: Tool.objects.contains(tool)),
]  # fmt: skip

SQL = [
    Primitive("a kept cursor, execute", READ, cursor_with_rows, lambda cursor: (cursor.execute(SELECT), text(cursor.fetchall()))[1], bound_to_thread=True, names_its_database=True),
    Primitive("a kept cursor, executemany", WRITE, cursor_with_rows, lambda cursor: cursor.executemany("UPDATE workshop_tool SET note = %s", [["changed of acme"]]), bound_to_thread=True, names_its_database=True),
    Primitive("a kept cursor, fetchone", READ, cursor_with_rows, lambda cursor: str(cursor.fetchone()), bound_to_thread=True, names_its_database=True),
    Primitive("a kept fetch of a cursor", READ, lambda: cursor_with_rows().fetchall, lambda fetch: str(fetch()), bound_to_thread=True, names_its_database=True),
    Primitive("a kept cursor, fetchmany", READ, cursor_with_rows, lambda cursor: str(cursor.fetchmany(1)), bound_to_thread=True, names_its_database=True),
    Primitive("a kept cursor, iterate", READ, cursor_with_rows, text, bound_to_thread=True, names_its_database=True),
    Primitive("a new cursor, read", READ, lambda: None, lambda _: str(execute("acme", SELECT)), names_its_database=True),
    Primitive("a new cursor, write", WRITE, lambda: None, lambda _: execute("acme", UPDATE), names_its_database=True),
    Primitive("using", READ, lambda: None, lambda _: text(Tool.objects.using("acme")), names_its_database=True),
    Primitive("using, get by key", READ, lambda: None, lambda _: str(Tool.objects.using("acme").get(pk=KEYS["saw"])), names_its_database=True),
    Primitive("save with using", WRITE, lambda: renamed(saw()), lambda tool: tool.save(using="acme"), names_its_database=True),
    Primitive("delete with using", WRITE, lambda: Manual.objects.get(), lambda manual: manual.delete(using="acme"), names_its_database=True),
    Primitive("a manager of one database", READ, lambda: None, lambda _: text(Tool.objects.db_manager("acme").all()), names_its_database=True),
    Primitive("a transaction, begin", COUNT, lambda: None, lambda _: transaction.atomic(using="acme")(lambda: True)(), names_its_database=True),
    Primitive("a transaction, commit", WRITE, begun, commit_elsewhere, bound_to_thread=True, names_its_database=True),
    Primitive("a savepoint", COUNT, begun, savepoint_in, bound_to_thread=True, names_its_database=True),
    Primitive("tenant_atomic", READ, tools, lambda rows: in_transaction(lambda: text(rows))),
]  # fmt: skip

PRIMITIVES = [*QUERYSETS, *OBJECTS, *RELATIONS, *CONDITIONS, *SQL]


async def _collected(rows: Any) -> str:
    return text([row async for row in rows])


async def _first(rows: Any) -> str:
    return str(await rows.afirst())


async def _refreshed(tool: Any) -> str:
    await tool.arefresh_from_db()
    return str(tool)


async def _got(rows: Any) -> str:
    return str(await rows.aget(pk=KEYS["saw"]))


ASYNC_PRIMITIVES = [
    AsyncPrimitive("async for", READ, tools, _collected),
    AsyncPrimitive("async for over rows once fetched", READ, lambda: evaluated(tools()), _collected),
    AsyncPrimitive("aiterator", READ, tools, lambda rows: _collected(rows.aiterator(chunk_size=1))),
    AsyncPrimitive("afirst", READ, tools, _first),
    AsyncPrimitive("aget", READ, tools, _got),
    AsyncPrimitive("acount", COUNT, tools, lambda rows: rows.acount()),
    AsyncPrimitive("aexists", COUNT, tools, lambda rows: rows.aexists()),
    AsyncPrimitive("aupdate", WRITE, tools, lambda rows: rows.aupdate(note="changed of acme")),
    AsyncPrimitive("adelete", WRITE, lambda: Manual.objects.all(), lambda rows: rows.adelete()),
    AsyncPrimitive("abulk_create", WRITE, new_tool, lambda tool: Tool.objects.abulk_create([tool])),
    AsyncPrimitive("acontains", COUNT, saw, lambda tool: Tool.objects.acontains(tool)),
    AsyncPrimitive("asave", WRITE, lambda: renamed(saw()), lambda tool: tool.asave()),
    AsyncPrimitive("adelete an object", WRITE, lambda: Manual.objects.get(), lambda manual: manual.adelete()),
    AsyncPrimitive("arefresh_from_db", READ, saw, _refreshed),
    AsyncPrimitive("many to many, aadd", WRITE, saw, lambda tool: tool.labels.aadd(KEYS["blue"])),
    AsyncPrimitive("many to many, aset", WRITE, saw, lambda tool: tool.labels.aset([KEYS["blue"]])),
    AsyncPrimitive("many to many, aclear", WRITE, saw, lambda tool: tool.labels.aclear()),
]  # fmt: skip
