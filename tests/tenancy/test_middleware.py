"""One request, one scope: opened empty, filled by the token, and empty again whatever happened."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import threading
import uuid

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.core.management import BaseCommand, call_command
from django.core.signals import request_finished, request_started
from django.db import connections
from django.db.models.signals import post_save
from django.http import HttpResponse
from django.test import AsyncClient, RequestFactory
from rest_framework.response import Response

from catalog.models import Product
from catalog.views import ProductViewSet
from tenancy.context import (
    current_request_id,
    current_tenant,
    current_user_id,
    enter_request,
    identify_user,
    in_request,
    tenant_context,
)
from tenancy.exceptions import NoTenant
from tenancy.log import JSONFormatter, TenantFilter
from tenancy.middleware import TenantScopeMiddleware
from tenancy.registry import get_registry
from tenancy.testing import databases
from tenancy.transactions import tenant_atomic

with_databases = databases("control", "acme", "globex")
REQUEST = RequestFactory().get("/")


def nobody():
    return current_tenant() is None and not in_request()


def test_it_is_the_outermost_middleware():
    assert settings.MIDDLEWARE[0] == "tenancy.middleware.TenantScopeMiddleware"


def test_it_opens_and_closes_a_scope():
    seen = []

    def view(request):
        seen.append((in_request(), current_tenant()))
        enter_request(get_registry().get("acme"))
        seen.append(current_tenant().id)
        return HttpResponse("ok")

    assert TenantScopeMiddleware(view)(REQUEST).content == b"ok"
    assert seen == [(True, None), "acme"]
    assert nobody()


def test_it_opens_and_closes_a_scope_in_a_coroutine():
    async def view(request):
        assert in_request()
        assert current_tenant() is None
        enter_request(get_registry().get("acme"))
        await asyncio.sleep(0)
        assert current_tenant().id == "acme"
        return HttpResponse("ok")

    async def serve():
        response = await TenantScopeMiddleware(view)(REQUEST)
        return response.content, nobody()

    assert asyncio.run(serve()) == (b"ok", True)


def test_requests_side_by_side_in_one_event_loop_stay_apart():
    async def view(request):
        tenant = get_registry().get(request.GET["tenant"])
        enter_request(tenant)
        for _ in range(3):
            await asyncio.sleep(0)
            assert current_tenant() is tenant
        return HttpResponse(tenant.id)

    async def serve():
        serve_one = TenantScopeMiddleware(view)
        requests = [RequestFactory().get("/", {"tenant": name}) for name in ["acme", "globex", "initech"]]
        responses = await asyncio.gather(*(serve_one(request) for request in requests))
        return [response.content.decode() for response in responses], nobody()

    assert asyncio.run(serve()) == (["acme", "globex", "initech"], True)


def test_a_cancelled_request_leaves_its_scope():
    async def view(request):
        enter_request(get_registry().get("acme"))
        await asyncio.Event().wait()

    async def serve_and_look():
        try:
            await TenantScopeMiddleware(view)(REQUEST)
        except asyncio.CancelledError:
            return nobody()

    async def work():
        task = asyncio.create_task(serve_and_look())
        await asyncio.sleep(0)
        task.cancel()
        return await task

    assert asyncio.run(work())


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt], ids=["an error", "an interrupt"])
def test_an_exception_leaves_the_scope(error):
    def view(request):
        enter_request(get_registry().get("acme"))
        raise error

    with pytest.raises(error):
        TenantScopeMiddleware(view)(REQUEST)
    assert nobody()

    async def async_view(request):
        enter_request(get_registry().get("acme"))
        raise RuntimeError

    async def serve():
        with pytest.raises(RuntimeError):
            await TenantScopeMiddleware(async_view)(REQUEST)
        return nobody()

    assert asyncio.run(serve())


@with_databases
def test_a_request_through_all_middleware_leaves_nothing(ada, bob):
    assert ada.get("/api/products/").status_code == 200
    assert nobody()
    assert bob.get("/api/products/").status_code == 200
    assert nobody()


@with_databases
def test_a_view_that_fails_leaves_nothing(ada, monkeypatch):
    seen = []

    def fail(self, request, *args, **kwargs):
        seen.append(current_tenant().id)
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(ProductViewSet, "list", fail)
    ada.raise_request_exception = False
    assert ada.get("/api/products/").status_code == 500
    assert seen == ["acme"]
    assert nobody()


@with_databases
@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/api/products/", "Bearer garbage", 401),
        ("/api/products/", None, 401),
        ("/api/me/", None, 401),
        ("/livez", None, 200),
        ("/readyz", None, 200),
        ("/api/schema/", None, 200),
        ("/no/such/path", None, 404),
    ],
    ids=["bad token", "no token", "no token for me", "livez", "readyz", "schema", "no such path"],
)
def test_a_request_without_a_tenant_leaves_nothing(client, path, token, status):
    headers = {"Authorization": token} if token else {}
    assert client.get(path, headers=headers).status_code == status
    assert nobody()


@with_databases
def test_a_call_inside_a_block_is_bound_by_its_token_alone(ada, twin_products):
    """A test that calls the client inside a context: the token decides, not what is around."""
    twin_products()
    with tenant_context("globex"):
        assert [row["name"] for row in ada.get("/api/products/").json()["results"]] == ["canary-acme"]
        assert nobody()


@with_databases
def test_asynchronous_requests_are_bound_by_their_tokens(ada, bob, twin_products):
    product, _ = twin_products()

    async def ask(client):
        token = client._credentials["HTTP_AUTHORIZATION"]
        response = await AsyncClient().get(f"/api/products/{product.pk}/", headers={"Authorization": token})
        return response.json()["name"], nobody()

    # Not asyncio.run: this runs the views in this thread, whose transaction holds the data.
    assert async_to_sync(ask)(ada) == ("canary-acme", True)
    assert async_to_sync(ask)(bob) == ("canary-globex", True)
    assert nobody()


# The request's id.


@pytest.mark.parametrize("given", ["abc-123.X_y", "a" * 64])
def test_a_proxys_id_of_the_request_is_kept(client, given):
    assert client.get("/livez", headers={"X-Request-Id": given})["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", "a" * 65, "two words", "ünïcode", "a;b", 'a"b'])
def test_an_id_that_could_do_harm_is_replaced(client, given):
    got = client.get("/livez", headers={"X-Request-Id": given})["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f]{32}", got)


def test_the_log_knows_request_and_user_inside_and_nobody_outside():
    def view(request):
        identify_user("u-1")
        return HttpResponse(f"{current_request_id()} {current_user_id()}")

    request = RequestFactory().get("/", headers={"X-Request-Id": "r-1"})
    assert TenantScopeMiddleware(view)(request).content == b"r-1 u-1"
    assert (current_request_id(), current_user_id()) == ("", "")
    with tenant_context("acme"):
        assert (current_request_id(), current_user_id()) == ("", "")


@with_databases
def test_authentication_says_whose_request_it_is(ada, cast, monkeypatch):
    seen = []
    monkeypatch.setattr(ProductViewSet, "list", lambda *_, **__: seen.append(current_user_id()) or Response())
    ada.get("/api/products/")
    assert seen == [str(cast.ada.pk)]


# Signals and commands.


@with_databases
def test_a_signal_runs_for_who_caused_it(ada, twin_products):
    product, _ = twin_products()
    seen = []

    def saved(sender, instance, **kwargs):
        seen.append((current_tenant().id, Product.objects.get(pk=instance.pk).name))

    post_save.connect(saved, sender=Product)
    try:
        ada.patch(f"/api/products/{product.pk}/", {"name": "canary-acme 2"})
    finally:
        post_save.disconnect(saved, sender=Product)
    assert seen == [("acme", "canary-acme 2")]


@with_databases
@pytest.mark.parametrize("signal", [request_started, request_finished])
def test_signals_around_a_request_have_no_tenant(ada, signal):
    seen = []

    def note(**kwargs):
        seen.append(nobody())

    signal.connect(note)
    try:
        ada.get("/api/products/").close()
    finally:
        signal.disconnect(note)
    assert seen
    assert all(seen)


@with_databases
def test_a_command_works_for_the_tenant_of_its_caller_and_leaves_nothing(twin_products, capsys):
    class Command(BaseCommand):
        def handle(self, *args, **options):
            self.stdout.write(Product.objects.get().name)

    twin_products()
    for tenant_id in ("acme", "globex"):
        with tenant_context(tenant_id):
            call_command(Command())
        assert capsys.readouterr().out.strip() == f"canary-{tenant_id}"
    with pytest.raises(NoTenant):
        call_command(Command())
    assert nobody()


# Asynchronous views.


def test_an_async_view_and_what_it_awaits_work_for_its_tenant():
    async def view(request):
        enter_request(get_registry().get(request.GET["tenant"]))
        in_a_thread = await sync_to_async(lambda: current_tenant().id)()
        in_a_task = await asyncio.create_task(one_more())
        return HttpResponse(f"{in_a_thread} {in_a_task}")

    async def one_more():
        await asyncio.sleep(0)
        return current_tenant().id

    async def serve():
        middleware = TenantScopeMiddleware(view)
        requests = [RequestFactory().get("/", {"tenant": name}) for name in ("acme", "globex")]
        responses = await asyncio.gather(*(middleware(request) for request in requests))
        return [response.content.decode() for response in responses], nobody()

    assert asyncio.run(serve()) == (["acme acme", "globex globex"], True)


@databases("acme", "globex", transaction=True)
def test_a_cancelled_requests_thread_can_do_no_more(twin_products):
    """The client left, the scope is closed, and the request's thread is still at work."""
    twin_products()
    in_query, may_go_on, done = threading.Event(), threading.Event(), threading.Event()
    seen = []

    def work():
        try:
            with tenant_atomic():
                Product.objects.update(name="changed")
                in_query.set()
                may_go_on.wait(10)
                Product.objects.count()
        except NoTenant as exc:
            seen.append(exc)
        finally:
            connections.close_all()
            done.set()

    async def view(request):
        enter_request(get_registry().get("acme"))
        await sync_to_async(work)()

    async def serve():
        task = asyncio.create_task(TenantScopeMiddleware(view)(REQUEST))
        await asyncio.to_thread(in_query.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not seen
        may_go_on.set()
        await asyncio.to_thread(done.wait, 10)
        return nobody()

    assert asyncio.run(serve())
    assert len(seen) == 1
    with tenant_context("acme"):
        assert Product.objects.get().name == "canary-acme"  # and what it had begun is undone


@with_databases
def test_what_django_logs_of_an_answer_says_whose_it_was(ada, cast):
    """It does so when all middleware is done, and the scope is over."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(TenantFilter())
    handler.setFormatter(JSONFormatter())
    logging.getLogger("django.request").addHandler(handler)
    try:
        ada.get(f"/api/products/{uuid.uuid4()}/", headers={"X-Request-Id": "r-1"})
    finally:
        logging.getLogger("django.request").removeHandler(handler)
    line = json.loads(stream.getvalue())
    assert "Not Found" in line["message"]
    assert (line["tenant"], line["user"], line["request_id"]) == ("acme", str(cast.ada.pk), "r-1")
    assert nobody()
