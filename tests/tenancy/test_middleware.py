"""One request, one scope: opened empty, filled by the token, and empty again whatever happened."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.http import HttpResponse
from django.test import AsyncClient, RequestFactory

from catalog.views import ProductViewSet
from tenancy.context import current_tenant, enter_request, in_request, tenant_context
from tenancy.middleware import TenantScopeMiddleware
from tenancy.registry import get_registry
from tenancy.testing import databases

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
