"""Tasks of Celery's: each runs for the tenant it was sent for, or not at all."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from celery import chain, chord, group
from django.db.models import F

from catalog.models import Category, Product
from tenancy.context import current_tenant_id, request_scope, tenant_context
from tenancy.exceptions import DatabaseBusy, NoTenant, TenantNotServed, WrongTenant
from tenancy.pool import pool
from tenancy.tasks import HEADER, TenantTask
from tenancy.tenant import Status
from tenancy.testing import changed_tenant, databases, only_tenants, twins
from tests.tenancy.worker import answer_to, closing, make_app, worker

pytestmark = databases("acme", "globex", transaction=True)


@pytest.fixture(scope="module")
def at_work():
    """An application with a worker, and what is declared in it."""
    app = make_app()
    declared = declare(app)
    with worker(app):
        yield app, declared


@pytest.fixture
def app(at_work):
    with closing(at_work[0]):
        yield at_work[0]


@pytest.fixture
def tasks(app, at_work):
    at_work[1].tries.clear()
    return at_work[1]


def declare(app):
    """What a tenant app might have, and one task of Celery's own base."""

    @app.task(shared=False, base=TenantTask, name="t.names")
    def names():
        return sorted(Category.objects.values_list("name", flat=True))

    @app.task(shared=False, base=TenantTask, name="t.add")
    def add(stock, *others):
        Product.objects.update(stock=F("stock") + stock)
        return Product.objects.get().stock

    @app.task(shared=False, name="t.whose")
    def whose():
        return current_tenant_id()

    @app.task(shared=False, base=TenantTask, name="t.fail")
    def fail():
        Category.objects.create(name="before the failure")
        raise KeyError("x")

    tries = []

    @app.task(shared=False, base=TenantTask, name="t.busy", retry_backoff=False, default_retry_delay=0)
    def busy():
        tries.append(current_tenant_id())
        if len(tries) < 3:
            raise DatabaseBusy("acme")
        return current_tenant_id()

    @app.task(shared=False, base=TenantTask, name="t.other")
    def other(tenant_id):
        return Category.objects.using(tenant_id).count()

    @app.task(shared=False, base=TenantTask, name="t.recursive")
    def recursive(depth):
        Category.objects.create(name=f"{current_tenant_id()} {depth}")
        if not depth:
            with tenant_context("globex"):
                recursive(1)

    return SimpleNamespace(
        recursive=recursive, names=names, add=add, whose=whose, fail=fail, busy=busy, other=other, tries=tries
    )


@pytest.fixture
def canaries():
    category = twins(Category, ["acme", "globex"], name=lambda tenant_id: f"canary-{tenant_id}")[0]
    return twins(
        Product,
        ["acme", "globex"],
        sku="A",
        name="A",
        category_id=category.pk,
        price=1,
        currency="EUR",
        stock=0,
    )


def test_a_task_runs_for_the_tenant_it_was_sent_for(tasks, canaries):
    sent = {}
    for tenant_id in ("acme", "globex", "acme"):
        with tenant_context(tenant_id):
            sent[tasks.names.delay()] = tenant_id
    for result, tenant_id in sent.items():
        assert answer_to(result) == [f"canary-{tenant_id}"]


def test_nothing_is_left_in_the_worker(tasks, canaries):
    """The same thread takes them, one after the other."""
    assert answer_to(tasks.whose.delay()) is None
    with tenant_context("acme"):
        assert answer_to(tasks.names.delay()) == ["canary-acme"]
        failed = tasks.fail.delay()
    with pytest.raises(KeyError):
        answer_to(failed)
    assert answer_to(tasks.whose.delay()) is None
    # What is kept is idle, and goes to nobody but that tenant.
    owners = {holder._thread_ident for holder in pool.holders() if holder.alias == "acme"}
    assert owners - {threading.get_ident()} == {0}


def test_one_without_a_tenant_is_refused_before_it_is_sent(tasks):
    for send in (
        tasks.names.delay,
        tasks.names.apply_async,
        tasks.names.s().delay,
        tasks.names.s().apply_async,
    ):
        with pytest.raises(NoTenant, match=r"Task 't\.names'"):
            send()
    with request_scope(), pytest.raises(NoTenant):
        tasks.names.apply_async(headers={HEADER: "acme"})


@pytest.mark.parametrize("headers", [{}, {HEADER: None}, {HEADER: ["acme"]}, {HEADER: 7}])
def test_a_message_without_one_is_refused_by_the_worker(app, tasks, headers):
    result = app.send_task("t.names", headers=headers)
    with pytest.raises(NoTenant, match="The message of task"):
        answer_to(result)


def test_one_for_another_tenant_is_refused(tasks, canaries):
    with tenant_context("acme"):
        theirs = tasks.names.s()
    with tenant_context("globex"):
        with pytest.raises(WrongTenant):
            theirs.delay()
        with pytest.raises(WrongTenant):
            tasks.names.apply_async(headers={HEADER: "acme"})
    assert answer_to(theirs.delay()) == ["canary-acme"]


def test_inside_it_no_other_tenant_is_reached(tasks, canaries):
    with tenant_context("acme"):
        result = tasks.other.delay("globex")
        assert answer_to(tasks.other.delay("acme")) == 1
    with pytest.raises(Exception, match="belongs to tenant 'globex', but the tenant in context is 'acme'"):
        answer_to(result)


def test_the_rest_of_a_chain_runs_for_the_same_tenant(tasks, canaries):
    with tenant_context("acme"):
        result = chain(tasks.add.s(1), tasks.add.s(10), tasks.add.s(100)).delay()
        # Each is given what the one before returned, as its first argument: 1, then 1 + 1, then 2 + 2.
        assert answer_to(result) == 4
        both = group(tasks.names.s(), tasks.names.s()).delay()
    assert answer_to(both) == [["canary-acme"]] * 2
    with tenant_context("globex"):
        assert Product.objects.get().stock == 0


def test_a_suspended_or_removed_tenant_is_refused(app, tasks, canaries):
    with tenant_context("acme"):
        signature = tasks.fail.s()
    with changed_tenant("acme", status=Status.SUSPENDED), pytest.raises(TenantNotServed):
        answer_to(signature.delay())
    with only_tenants("globex"), pytest.raises(Exception, match="Unknown tenant 'acme'"):
        answer_to(signature.delay())
    with tenant_context("acme"):
        assert Category.objects.count() == 1


def test_what_is_busy_is_tried_again_for_the_same_tenant(tasks):
    with tenant_context("acme"):
        result = tasks.busy.delay()
    assert answer_to(result) == "acme"
    assert tasks.tries == ["acme"] * 3


def test_called_as_a_function_it_works_in_the_callers_tenant(tasks, canaries):
    with pytest.raises(NoTenant):
        tasks.names()
    with tenant_context("globex"):
        assert tasks.names() == ["canary-globex"]


def test_without_a_broker_it_runs_at_once(canaries):
    eager = make_app(task_always_eager=True, task_eager_propagates=True)

    @eager.task(shared=False, base=TenantTask, name="t.names")
    def names():
        return sorted(Category.objects.values_list("name", flat=True))

    with tenant_context("acme"):
        assert names.delay().get() == ["canary-acme"]
    with pytest.raises(NoTenant):
        names.delay()


def test_a_task_that_calls_itself_in_another_context_works_there(tasks, canaries):
    with tenant_context("acme"):
        answer_to(tasks.recursive.delay(0))
        assert Category.objects.filter(name="acme 0").exists()
        assert Category.objects.count() == 2
    with tenant_context("globex"):
        assert Category.objects.filter(name="globex 1").exists()


def test_all_of_a_canvas_is_of_one_tenant_before_anything_is_sent(tasks, canaries):
    with tenant_context("globex"):
        theirs = tasks.add.si(1)
    ours = tasks.add.si(1)  # made without one
    with tenant_context("acme"):
        for canvas in (
            lambda: chain(ours, theirs).delay(),
            lambda: chain(ours, group(ours, theirs), ours).delay(),
            lambda: tasks.add.apply_async((1,), link=theirs),
            lambda: tasks.add.apply_async((1,), link_error=[theirs]),
            lambda: tasks.add.apply_async((1,), link=tasks.whose.si().set(link=[theirs])),
        ):
            with pytest.raises(WrongTenant):
                canvas()
        assert Product.objects.get().stock == 0
        assert answer_to(chain(ours, ours, ours).delay()) == 3
        assert answer_to(chord([ours, ours], tasks.names.si()).delay()) == ["canary-acme"]
    with tenant_context("globex"):
        assert Product.objects.get().stock == 0


def test_it_is_applied_here_as_if_it_had_been_sent(tasks, canaries):
    with tenant_context("acme"):
        assert tasks.names.apply().get() == ["canary-acme"]
    with pytest.raises(NoTenant):
        tasks.names.apply()


def test_a_task_of_celerys_own_base_has_no_tenant(app, tasks, canaries):
    """The negative control: what the base does is what carries the tenant."""
    with tenant_context("acme"):
        assert answer_to(tasks.whose.delay()) is None
