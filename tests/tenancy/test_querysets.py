"""Querysets remember their tenant; those that are nobody's yet are bound when they are used."""

from __future__ import annotations

import copy
import pickle
from contextlib import nullcontext

import pytest
from django.db import models
from django.db.models import Case, Prefetch, Q, QuerySet, Value, When, prefetch_related_objects, sql

from tenancy.context import tenant_context
from tenancy.exceptions import NoTenant, WrongTenant
from tenancy.querysets import TenantManager, TenantQuery, TenantQuerySet
from tenancy.testing import databases
from tests.isolation.worlds import KEYS, fill
from tests.workshop.models import Label, Maker, Tool

pytestmark = databases("acme", "globex")

#: As at a class or in a module: made where there is no tenant.
UNBOUND = Label.objects.order_by("name")


@pytest.fixture(autouse=True)
def rows(db):
    fill("acme")
    fill("globex")


def names(rows):
    return [label.name for label in rows]


USES = {
    "iterate": lambda rows: names(rows),
    "list": lambda rows: [str(row) for row in list(rows)],
    "len": lambda rows: ["blue of ?"] * len(rows),
    "bool": lambda rows: ["blue of ?", ""] if rows else [],
    "index": lambda rows: [str(rows[0]), ""],
    "slice": lambda rows: names(rows[:2]),
    "pickle": lambda rows: names(pickle.loads(pickle.dumps(rows))),
    "get": lambda rows: [str(rows.get(pk=KEYS["blue"])), ""],
    "clone": lambda rows: names(rows.all()),
    "iterator": lambda rows: names(rows.iterator()),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_an_unbound_queryset_keeps_no_rows(use):
    """The same object, used for one tenant and then for the other: each sees its own."""
    for tenant_id in ("acme", "globex", "acme"):
        with tenant_context(tenant_id):
            found = use(UNBOUND)
        assert len(found) == 2
        assert found[0] in (f"blue of {tenant_id}", "blue of ?")
        assert UNBOUND._result_cache is None


def test_an_unbound_queryset_is_refused_without_a_tenant():
    for use in (list, len, bool, repr):
        with pytest.raises(NoTenant):
            use(UNBOUND)


def test_a_queryset_is_bound_when_it_is_made_or_cloned_in_a_context():
    assert UNBOUND._tenant_id is None
    with tenant_context("acme"):
        assert UNBOUND.all()._tenant_id == Label.objects.all()._tenant_id == "acme"
        bound = UNBOUND.filter(name__startswith="b")
    assert bound.exclude(name="")._tenant_id == "acme"


def test_named_by_alias_it_keeps_its_rows_where_there_is_no_context():
    labels = Label.objects.using("acme").order_by("name")
    assert names(labels) == names(labels) == ["blue of acme", "red of acme"]
    assert labels._result_cache is not None
    with tenant_context("globex"), pytest.raises(WrongTenant):
        labels.count()


def test_rows_are_not_shared_with_a_deep_copy():
    with tenant_context("acme"):
        labels = Label.objects.all()
        assert len(labels) == 2
        assert copy.deepcopy(labels)._result_cache is None
        assert copy.deepcopy(labels)._tenant_id == "acme"


def test_it_says_what_belongs_to_whom():
    with tenant_context("acme"):
        labels = Label.objects.all()
    with tenant_context("globex"):
        with pytest.raises(
            WrongTenant, match=r"query of 'workshop\.Label' belongs to tenant 'acme'.*'globex'"
        ):
            list(labels)
        with pytest.raises(WrongTenant, match="The database belongs to tenant 'acme'"):
            list(Label.objects.using("acme"))


def test_a_plain_query_put_in_by_hand_remembers_nothing():
    labels = Label.objects.all()
    labels.query = sql.Query(Label)
    with tenant_context("acme"):
        assert len(labels.all()) == 2
        assert labels.all()._tenant_id == "acme"
        assert len(Label.objects.all() | labels) == 2


def test_a_query_is_bound_by_what_stands_in_it():
    with tenant_context("acme"):
        anna = Maker.objects.get(pk=KEYS["anna"])
    tools = Tool.objects.filter(maker=anna)
    assert tools._tenant_id == "acme"
    with tenant_context("globex"), pytest.raises(WrongTenant):
        list(tools)
    assert (Tool.objects.all() | tools)._tenant_id == "acme"


def test_a_query_without_a_model_can_be_described():
    nameless = TenantQuery(None)
    nameless.bind("acme", None)
    with pytest.raises(WrongTenant, match="This query belongs"):
        nameless.get_compiler(using="globex")


def test_an_object_in_a_condition_is_still_checked_by_django():
    with tenant_context("acme"), pytest.raises(ValueError, match='Must be "Maker" instance'):
        Tool.objects.filter(maker=Label.objects.first())


def test_managers_have_its_methods():
    class OfItsOwn(TenantQuerySet):
        def red(self):
            return self

    manager = OfItsOwn.as_manager()
    assert isinstance(manager, TenantManager)
    assert manager._built_with_as_manager
    assert callable(manager.red)
    assert issubclass(TenantManager.from_queryset(OfItsOwn), TenantManager)
    assert isinstance(Tool.objects, models.Manager)


def test_templates_cannot_call_update():
    assert Label.objects.all().update.alters_data


def test_a_related_manager_removes_what_is_its_own():
    with tenant_context("acme"):
        saw = Tool.objects.get(pk=KEYS["saw"])
        saw.labels.remove(Label.objects.get(pk=KEYS["red"]))
        assert not saw.labels.exists()
        saw.labels.add(KEYS["red"])
        saw.labels.remove(KEYS["red"])
        assert not saw.labels.exists()


def test_a_clone_has_what_djangos_own_has():
    """``_clone`` spares Django's constructor: a release that gives querysets a new attribute shows here."""
    with tenant_context("acme"):
        rows = Tool.objects.select_related("maker").prefetch_related("labels").values("name").using("acme")
        rows._known_related_objects = {"field": {}}
        ours, stock = rows._clone(), QuerySet._clone(rows)
    assert type(ours) is type(stock)
    assert vars(ours).keys() == vars(stock).keys()
    for name, value in vars(stock).items():
        if name != "_query":
            assert vars(ours)[name] == value, name
    assert ours._query is not rows._query
    assert str(ours.query) == str(stock.query)


def test_a_queryset_with_a_constructor_of_its_own_is_cloned_by_it():
    class Counted(TenantQuerySet):
        made = 0

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            Counted.made += 1

    with tenant_context("acme"):
        rows = Counted(Tool)
        rows.filter(name="saw")
    assert Counted.made == 2


def test_a_query_can_be_printed():
    with tenant_context("acme"):
        query = Label.objects.filter(name="blue").query
    assert str(query).endswith('WHERE "workshop_label"."name" = blue')
    with pytest.raises(NoTenant, match=r"This query of 'workshop\.Label'"):
        str(UNBOUND.query)
    with tenant_context("globex"):
        assert str(UNBOUND.query).endswith('ORDER BY "workshop_label"."name" ASC')


def test_what_an_unbound_queryset_began_to_iterate_is_refused_to_another():
    with tenant_context("acme"):
        rows = UNBOUND.iterator(
            chunk_size=100
        )  # all are fetched with the first: no connection is asked again
        next(rows)
    with tenant_context("globex"), pytest.raises(WrongTenant):
        next(rows)


SHARED = Tool.objects.order_by("name")
PREFETCHING = Maker.objects.order_by("name").prefetch_related(Prefetch("tools", queryset=SHARED))


def made_by(makers):
    return {str(tool) for maker in makers for tool in maker.tools.all()}


@pytest.mark.parametrize(
    "makers",
    [
        lambda: PREFETCHING.all(),
        lambda: Maker.objects.prefetch_related(Prefetch("tools", queryset=SHARED)),
        lambda: Maker.objects.prefetch_related(Prefetch("tools", queryset=SHARED.filter(name__gt=""))),
    ],
    ids=["lookup", "queryset", "clone"],
)
def test_a_prefetch_whose_queryset_all_tenants_share_belongs_to_none(makers):
    for tenant_id in ("acme", "globex", "acme"):
        with tenant_context(tenant_id):
            found = made_by(makers())
            assert found
            assert found <= {str(tool) for tool in Tool.objects.all()}
            assert SHARED.count() == Tool.objects.count()
    assert SHARED._hints == {}
    assert SHARED.query.tenant_id is None


@pytest.mark.parametrize(
    ("model", "lookup"),
    [
        (Tool, "maker"),
        (Tool, Prefetch("maker", queryset=Maker.objects.order_by("name"))),
        (Tool, "labels"),
        (Tool, "maker__tools"),
        (Maker, "tools"),
    ],
    ids=["forward", "forward with a queryset", "many to many", "and on", "reverse"],
)
@pytest.mark.parametrize("order", [1, -1], ids=["own first", "other's first"])
def test_objects_of_two_tenants_are_not_prefetched_together(model, lookup, order):
    """Django asks the first for its database, and takes the keys of all."""
    with tenant_context("acme"):
        others = list(model.objects.order_by("name"))
        prefetch_related_objects(others[:1], lookup)
    with tenant_context("globex"):
        own = list(model.objects.order_by("name"))
        with pytest.raises(WrongTenant):
            prefetch_related_objects([*own, *others[1:]][::order], lookup)
        nobodys = [model(pk=own[0].pk, **({"maker_id": own[0].maker_id} if model is Tool else {}))]
        nobodys[0]._made_for = None
        with pytest.raises(WrongTenant):
            prefetch_related_objects([*nobodys, *others[1:]], lookup)
        prefetch_related_objects(own, lookup)


SHARED_MAKERS = Maker.objects.order_by("name")


@pytest.mark.parametrize(
    ("model", "lookup"),
    [(Maker, Prefetch("tools", queryset=SHARED)), (Tool, Prefetch("maker", queryset=SHARED_MAKERS))],
    ids=["tools of makers", "maker of tools"],  # the second asks by keys only
)
def test_a_shared_prefetch_over_another_tenants_objects_is_refused(model, lookup):
    with tenant_context("acme"):
        objects = list(model.objects.all())
    with tenant_context("globex"), pytest.raises(WrongTenant):
        prefetch_related_objects(objects, lookup)


@pytest.mark.parametrize(
    "update",
    [
        lambda maker: Tool.objects.update(note=Case(When(maker=maker, then=Value("x")), default=Value("y"))),
        lambda maker: Tool.objects.filter(name__gt="").update(
            note=Case(When(Q(maker=maker), then=Value("x")), default=Value("y"))
        ),
    ],
    ids=["all", "some"],
)
def test_another_tenants_object_in_the_values_of_an_update_is_refused(update):
    with tenant_context("acme"):
        maker = Maker.objects.first()
        assert update(maker)
    with tenant_context("globex"):
        before = list(Tool.objects.order_by("pk").values_list("note", flat=True))
        with pytest.raises(WrongTenant):
            update(maker)
        assert list(Tool.objects.order_by("pk").values_list("note", flat=True)) == before


class Counted(QuerySet):
    """A queryset to mix in, as other libraries have them: it may stand before or after ours."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.kept = "fresh"

    def _clone(self):
        clone = super()._clone()
        clone.kept = "cloned"
        return clone

    def count(self):
        return super().count(), "counted"

    def exists(self):
        return super().exists(), "looked"

    def __iter__(self):
        return iter(["first", *super().__iter__()])


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_mixin_is_asked_wherever_it_stands(before):
    bases = (Counted, TenantQuerySet) if before else (TenantQuerySet, Counted)
    counting = type("Counting", bases, {})
    with tenant_context("acme"):
        rows = counting(Tool)
        assert rows.kept == "fresh"
        clone = rows.all()
        assert (clone.kept, clone.count(), clone.exists()) == ("cloned", (3, "counted"), (True, "looked"))
        assert next(iter(clone)) == "first"


RAW = "SELECT * FROM workshop_tool ORDER BY name"


@pytest.mark.parametrize(
    "begin",
    [
        lambda: iter(Tool.objects.raw(RAW)),
        lambda: Tool.objects.raw(RAW).iterator(),
        lambda: iter(Tool.objects.raw(RAW).using("acme")),
    ],
    ids=["iter", "iterator", "using"],
)
def test_raw_rows_that_were_begun_are_refused_to_another(begin):
    with tenant_context("acme"):
        rows = begin()
        next(rows)
    with tenant_context("globex"), pytest.raises(WrongTenant):
        next(rows)
    with tenant_context("acme"):
        rows = begin()
        assert len(list(rows)) == 3


@pytest.mark.parametrize(
    ("fetch", "inside"),
    [
        (lambda: Tool.objects.raw(RAW).using("acme"), True),
        (lambda: Tool.objects.using("acme").raw(RAW), True),
        (lambda: Tool.objects.using("acme").raw(RAW), False),
        (lambda: Tool.objects.raw(RAW, using="acme"), False),
    ],
    ids=["raw, using", "using, raw", "using, raw, outside", "raw with using, outside"],
)
def test_raw_rows_once_fetched_are_read_by_their_own_only(fetch, inside):
    with tenant_context("acme") if inside else nullcontext():
        rows = fetch()
        assert len(rows) == 3
    for use in (list, len, bool, lambda rows: rows[0]):
        with tenant_context("globex"), pytest.raises(WrongTenant):
            use(rows)
    with tenant_context("acme"):
        assert len(list(rows)) == 3
