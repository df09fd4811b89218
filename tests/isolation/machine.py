"""Any sequence of steps, against a model that is one dictionary per tenant.

Each step either gives what the model says or is refused, when the model says that it must be. After each,
the tenant in context is the model's, and the databases hold what the model holds, no more and no less.
"""

from __future__ import annotations

import asyncio
import contextvars
import pickle
import threading
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from tenancy.context import carry, current_tenant, enter_request, request_scope, tenant_context
from tenancy.exceptions import NoTenant, TenantLocked, WrongTenant
from tenancy.registry import get_registry
from tenancy.transactions import tenant_atomic, tenant_on_commit
from tests.isolation.worlds import TENANTS, empty
from tests.workshop.models import Label, Maker, Tool

#: Few, so that both tenants come to have rows under the same keys.
KEYS = [uuid.UUID(int=number) for number in range(1, 5)]

tenants = st.sampled_from(TENANTS)
keys = st.sampled_from(KEYS)
words = st.sampled_from(["red", "green", "blue", "grey"])


@dataclass(frozen=True)
class Kept:
    """Something that was made while a tenant (or none) was in context, and may be used under another."""

    thing: Any
    tenant_id: str | None


class Refused(Exception):
    """What the model raises where the service must refuse."""


def apart(function: Callable[[], Any]) -> Any:
    """Call it where no tenant is in context, and an alias may be named."""
    return contextvars.Context().run(function)


class TenantsMachine(RuleBasedStateMachine):
    queries = Bundle("queries")
    labels = Bundle("labels")
    tools = Bundle("tools")
    iterators = Bundle("iterators")

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[tuple[str, AbstractContextManager[Any]]] = []
        #: The model: names by key, and the keys of each tool's labels.
        self.names: dict[str, dict[uuid.UUID, str]] = {tenant_id: {} for tenant_id in TENANTS}
        self.marks: dict[str, dict[uuid.UUID, set[uuid.UUID]]] = {tenant_id: {} for tenant_id in TENANTS}
        for alias in TENANTS:
            empty(alias)
            with tenant_context(alias):
                maker = Maker.objects.create(name=f"maker of {alias}", pk=KEYS[0])
                for key in KEYS[:2]:
                    Tool.objects.create(pk=key, name=f"tool {key}", maker=maker)
                    self.marks[alias][key] = set()

    # The model.

    @property
    def current(self) -> str | None:
        return self.blocks[-1][0] if self.blocks else None

    def home(self, *kept: Kept) -> str:
        """The tenant whose rows a step with these things works on. Raises ``Refused``."""
        remembered = {thing.tenant_id for thing in kept} - {None}
        if self.current is None or remembered - {self.current}:
            raise Refused
        return self.current

    def attempt(self, expected: Callable[[], Any], action: Callable[[], Any]) -> Any:
        """Do both. Either both refuse, or both give the same."""
        try:
            wanted = expected()
        except Refused:
            try:
                got = action()
            except (NoTenant, WrongTenant):
                return None
            except ValueError as exc:
                if "router prevents" in str(exc) or "is on database" in str(exc):
                    return None
                raise
            raise AssertionError(f"It was not refused, and gave {got!r}.") from None
        got = action()
        if wanted is not None:
            assert got == wanted
        return got

    # Context.

    @rule(tenant_id=tenants)
    def enter(self, tenant_id: str) -> None:
        block = tenant_context(tenant_id)
        block.__enter__()
        self.blocks.append((tenant_id, block))

    @precondition(lambda self: self.blocks)
    @rule(error=st.booleans())
    def leave(self, error: bool) -> None:
        _, block = self.blocks.pop()
        if not error:
            block.__exit__(None, None, None)
            return
        exc = KeyError("raised inside")
        assert not block.__exit__(KeyError, exc, None)

    @rule(tenant_id=tenants)
    def raise_inside_a_nested_block(self, tenant_id: str) -> None:
        try:
            with tenant_context(tenant_id):
                raise KeyError
        except KeyError:
            pass

    @precondition(lambda self: not self.blocks)
    @rule(tenant_id=tenants, other=tenants)
    def serve_a_request(self, tenant_id: str, other: str) -> None:
        with request_scope():
            enter_request(get_registry().get(tenant_id))
            assert {str(label) for label in Label.objects.all()} == set(self.names[tenant_id].values())
            try:
                with tenant_context(other):
                    assert other == tenant_id
            except TenantLocked:
                assert other != tenant_id

    # Querysets.

    @rule(target=queries, word=st.none() | words)
    def build(self, word: str | None) -> Kept:
        rows = Label.objects.order_by("name", "pk")
        return Kept((rows if word is None else rows.filter(name=word), word), self.current)

    @rule(target=queries, query=queries)
    def pickle_a_query(self, query: Kept) -> Any:
        """Pickling a queryset evaluates it: here the query alone."""
        rows, word = query.thing
        again = Label.objects.all()
        again.query = pickle.loads(pickle.dumps(rows.query))
        return Kept((again, word), query.tenant_id)

    @rule(target=queries, query=queries)
    def clone(self, query: Kept) -> Kept:
        rows, word = query.thing
        # A clone of what is nobody's belongs to the tenant in context.
        return Kept((rows.all(), word), query.tenant_id or self.current)

    def matching(self, tenant_id: str, word: str | None) -> list[str]:
        return sorted(name for name in self.names[tenant_id].values() if word in (None, name))

    @rule(query=queries)
    def evaluate(self, query: Kept) -> None:
        rows, word = query.thing
        # Not kept: what is evaluated once keeps its rows, and the model has none of a moment ago.
        self.attempt(
            lambda: self.matching(self.home(query), word),
            lambda: [label.name for label in rows.iterator()],
        )

    @rule(query=queries)
    def count(self, query: Kept) -> None:
        rows, word = query.thing
        self.attempt(lambda: len(self.matching(self.home(query), word)), rows.count)

    @rule(query=queries)
    def use_as_a_subquery(self, query: Kept) -> None:
        rows, word = query.thing
        self.attempt(
            lambda: self.matching(self.home(query), word),
            lambda: sorted(
                Label.objects.filter(pk__in=rows.order_by().values("pk")).values_list("name", flat=True)
            ),
        )

    @rule(query=queries, word=words)
    def update(self, query: Kept, word: str) -> None:
        rows, old = query.thing

        def expected() -> int:
            names = self.names[self.home(query)]
            found = [key for key, name in names.items() if old in (None, name)]
            names.update(dict.fromkeys(found, word))
            return len(found)

        self.attempt(expected, lambda: rows.order_by().update(name=word))

    @rule(target=iterators, query=queries)
    def begin_to_iterate(self, query: Kept) -> Any:
        """A generator that was pulled once belongs to who pulled it."""
        rows, word = query.thing
        tenant_id = query.tenant_id or self.current
        begun: list[Any] = []
        left: list[str] = []

        def expected() -> str:
            left.extend(self.matching(self.home(query), word))
            return left.pop(0) if left else ""

        def action() -> str:
            begun.append(iter(rows.all()))
            return str(next(begun[0], ""))

        self.attempt(expected, action)
        return Kept((begun[0] if begun else iter(()), left), tenant_id)

    @rule(iterator=iterators)
    def go_on(self, iterator: Kept) -> None:
        rows, left = iterator.thing
        if left:  # at its end, or refused once, a generator is over
            self.attempt(lambda: (self.home(iterator), left.pop(0))[1], lambda: str(next(rows)))
            if self.current != iterator.tenant_id:
                left.clear()

    # Objects.

    @rule(target=labels, key=keys, word=words)
    def construct(self, key: uuid.UUID, word: str) -> Kept:
        return Kept(Label(pk=key, name=word), self.current)

    @rule(target=labels, key=keys)
    def load(self, key: uuid.UUID) -> Any:
        if self.current is None or key not in self.names[self.current]:
            return self.construct_apart(key)
        label = Label.objects.get(pk=key)
        assert label.name == self.names[self.current][key]
        return Kept(label, self.current)

    def construct_apart(self, key: uuid.UUID) -> Kept:
        return Kept(Label(pk=key, name="grey"), self.current)

    @rule(target=labels, label=labels)
    def pickle_an_object(self, label: Kept) -> Kept:
        return Kept(pickle.loads(pickle.dumps(label.thing)), label.tenant_id)

    @rule(label=labels, word=words)
    def save(self, label: Kept, word: str) -> None:
        def expected() -> None:
            self.names[self.home(self.now(label))][label.thing.pk] = word

        def action() -> None:
            copy = pickle.loads(pickle.dumps(label.thing))
            copy.name = word
            copy._state.adding = False  # an UPDATE, and an INSERT where there is no row
            copy.save()

        self.attempt(expected, action)

    def now(self, kept: Kept) -> Kept:
        return Kept(kept.thing, kept.thing._tenant_id)

    @rule(label=labels)
    def delete(self, label: Kept) -> None:
        def expected() -> None:
            tenant_id = self.home(label)
            self.names[tenant_id].pop(label.thing.pk, None)
            for marks in self.marks[tenant_id].values():
                marks.discard(label.thing.pk)

        self.attempt(expected, pickle.loads(pickle.dumps(label.thing)).delete)

    @rule(label=labels)
    def refresh(self, label: Kept) -> None:
        def expected() -> str:
            return self.names[self.home(label)].get(label.thing.pk, "gone")

        def action() -> str:
            copy = pickle.loads(pickle.dumps(label.thing))
            try:
                copy.refresh_from_db()
            except Label.DoesNotExist:
                return "gone"
            return str(copy.name)

        self.attempt(expected, action)

    @rule(label=labels, word=words)
    def bulk_create(self, label: Kept, word: str) -> None:
        copy = pickle.loads(pickle.dumps(label.thing))
        copy.name = word

        def expected() -> None:
            self.names[self.home(label)][copy.pk] = word

        self.attempt(
            expected,
            lambda: (
                Label.objects.bulk_create(
                    [copy], update_conflicts=True, unique_fields=["id"], update_fields=["name"]
                )
                and None
            ),
        )

    @rule(label=labels, word=words)
    def bulk_update(self, label: Kept, word: str) -> None:
        copy = pickle.loads(pickle.dumps(label.thing))
        copy.name = word

        def expected() -> int:
            names = self.names[self.home(label)]
            if copy.pk not in names:
                return 0
            names[copy.pk] = word
            return 1

        self.attempt(expected, lambda: Label.objects.bulk_update([copy], ["name"]))

    # Many to many.

    @rule(target=tools, key=st.sampled_from(KEYS[:2]))
    @precondition(lambda self: self.blocks)
    def load_a_tool(self, key: uuid.UUID) -> Kept:
        return Kept(Tool.objects.get(pk=key), self.current)

    @rule(tool=tools, label=labels)
    def mark(self, tool: Kept, label: Kept) -> None:
        if label.thing._state.adding:
            return  # Django refuses an object that was never saved, whoever asks

        def expected() -> None:
            tenant_id = self.home(tool, label)
            if label.thing.pk in self.names[tenant_id]:
                self.marks[tenant_id][tool.thing.pk].add(label.thing.pk)

        def action() -> None:
            if (
                self.current is None
                or label.thing.pk in self.names[self.current]
                or label.tenant_id != self.current
            ):
                tool.thing.labels.add(label.thing)

        self.attempt(expected, action)

    @rule(tool=tools)
    def read_marks(self, tool: Kept) -> None:
        self.attempt(
            lambda: sorted(
                self.names[tenant_id][key]
                for tenant_id in [self.home(tool)]
                for key in self.marks[tenant_id][tool.thing.pk]
            ),
            lambda: sorted(str(label) for label in tool.thing.labels.all()),
        )

    @rule(tool=tools)
    def clear_marks(self, tool: Kept) -> None:
        self.attempt(
            lambda: self.marks[self.home(tool)][tool.thing.pk].clear(), lambda: tool.thing.labels.clear()
        )

    # Later and elsewhere.

    @precondition(lambda self: self.blocks)
    @rule(other=tenants, key=keys, word=words, fails=st.booleans())
    def commit(self, other: str, key: uuid.UUID, word: str, fails: bool) -> None:
        """A callback runs for the tenant it was made under, and only after a commit."""
        seen: list[Any] = []

        def callback() -> None:
            tenant = current_tenant()
            seen.append((tenant and tenant.id, Label.objects.get(pk=key).name))

        try:
            with tenant_atomic():
                Label.objects.update_or_create(pk=key, defaults={"name": word})
                tenant_on_commit(callback)
                with tenant_context(other):
                    Label.objects.count()
                if fails:
                    raise KeyError
        except KeyError:
            assert seen == []
        else:
            assert self.current is not None
            self.names[self.current][key] = word
            assert seen == [(self.current, word)]

    @rule(carried=st.booleans())
    def count_in_a_thread(self, carried: bool) -> None:
        """A thread has the tenant if it was carried, and none otherwise."""

        def count() -> None:
            try:
                seen.append(Label.objects.count())
            except NoTenant:
                seen.append(None)

        seen: list[int | None] = []
        thread = threading.Thread(target=carry(count) if carried else count)
        thread.start()
        thread.join()
        assert seen == [len(self.names[self.current]) if carried and self.current else None]

    @rule(other=tenants)
    def await_a_task(self, other: str) -> None:
        """A task keeps the tenant it was made under, whoever awaits it."""

        def count() -> int | None:
            try:
                return Label.objects.count()
            except NoTenant:
                return None
            finally:
                connections.close_all()

        async def work() -> Any:
            task = asyncio.create_task(sync_to_async(count)())
            with tenant_context(other):
                return await task, await sync_to_async(count)()

        mine = len(self.names[self.current]) if self.current else None
        assert asyncio.run(work()) == (mine, len(self.names[other]))

    # After each step.

    @invariant()
    def the_context_is_the_models(self) -> None:
        tenant = current_tenant()
        assert (tenant and tenant.id) == self.current

    @invariant()
    def each_database_holds_what_the_model_holds(self) -> None:
        apart(self.compare)

    def compare(self) -> None:
        for alias in TENANTS:
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT id, name FROM workshop_label")
                assert {as_uuid(key): name for key, name in cursor.fetchall()} == self.names[alias]
                cursor.execute("SELECT tool_id, label_id FROM workshop_tool_labels")
                pairs = {(as_uuid(tool), as_uuid(label)) for tool, label in cursor.fetchall()}
            wanted = {(tool, label) for tool, labels in self.marks[alias].items() for label in labels}
            assert pairs == wanted

    def teardown(self) -> None:
        while self.blocks:
            self.blocks.pop()[1].__exit__(None, None, None)
        assert current_tenant() is None


def as_uuid(value: Any) -> uuid.UUID:
    """SQLite keeps a UUID as text."""
    return value if isinstance(value, uuid.UUID) else uuid.UUID(value)
