"""The body of a streamed response is made for the tenant of its request, under both kinds of server."""

from __future__ import annotations

import asyncio
import gc
import io
from tempfile import TemporaryFile

import pytest
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.core.files.base import ContentFile
from django.db import connections
from django.http import FileResponse, StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory

from tenancy.context import (
    current_request_id,
    current_tenant,
    current_user_id,
    enter_request,
    identify_user,
    in_request,
    tenant_context,
)
from tenancy.exceptions import NoTenant, TenantLocked
from tenancy.middleware import TenantScopeMiddleware
from tenancy.registry import get_registry
from tenancy.testing import databases
from tests.isolation.worlds import fill
from tests.workshop.models import Tool

REQUEST = RequestFactory().get("/", headers={"X-Request-Id": "r-1"})


def current_id():
    tenant = current_tenant()
    return tenant and tenant.id


def nobody():
    return current_tenant() is None and not in_request()


def serve(body, tenant_id="acme", response_class=StreamingHttpResponse):
    """A response whose body is still to be made, after its request is over."""

    def view(request):
        enter_request(get_registry().get(tenant_id))
        identify_user("u-1")
        return response_class(body())

    response = TenantScopeMiddleware(view)(REQUEST)
    assert nobody()
    return response


async def serve_async(body, tenant_id="acme"):
    async def view(request):
        enter_request(get_registry().get(tenant_id))
        return StreamingHttpResponse(body())

    response = await TenantScopeMiddleware(view)(AsyncRequestFactory().get("/"))
    assert nobody()
    return response


def names():
    for tool in Tool.objects.order_by("name").iterator(chunk_size=1):
        yield f"{tool.name};"


@pytest.fixture
def rows(db):
    fill("acme")
    fill("globex")


OF = "axe of {0};drill of {0};saw of {0};"

in_databases = databases("acme", "globex", transaction=True)


@in_databases
@pytest.mark.parametrize("around", [None, "globex"], ids=["in no context", "in another's context"])
def test_a_body_reads_its_own_tenants_rows(rows, around):
    for tenant_id in ("acme", "globex"):
        response = serve(names, tenant_id)
        if around is None:
            assert response.getvalue().decode() == OF.format(tenant_id)
        else:
            with tenant_context(around):
                assert response.getvalue().decode() == OF.format(tenant_id)
                assert current_id() == around
        response.close()
    assert nobody()


@in_databases
def test_two_bodies_pulled_in_turn_in_one_thread_stay_apart(rows):
    ours, theirs = serve(names, "acme"), serve(names, "globex")
    chunks = []
    for pair in zip(ours, theirs, strict=True):
        chunks += pair
        assert nobody()
    assert b"".join(chunks[::2]).decode() == OF.format("acme")
    assert b"".join(chunks[1::2]).decode() == OF.format("globex")


def test_a_body_is_locked_as_its_request_was():
    def body():
        yield f"{current_id()} {in_request()} {current_request_id()} {current_user_id()}"
        with pytest.raises(TenantLocked), tenant_context("globex"):
            pass

    assert serve(body).getvalue() == b"acme True r-1 u-1"


def test_a_body_that_is_not_read_to_its_end_is_ended_for_its_tenant():
    seen = []

    def body():
        try:
            yield "one"
            yield "two"
        finally:
            seen.append(current_id())

    response = serve(body)
    assert next(iter(response)) == b"one"
    with tenant_context("globex"):
        response.close()
        assert current_id() == "globex"
    assert seen == ["acme"]
    assert nobody()


def test_a_body_that_fails_leaves_nothing():
    def body():
        yield "one"
        raise KeyError

    response = serve(body)
    with pytest.raises(KeyError):
        list(response)
    assert nobody()


def test_who_keeps_a_body_past_the_end_of_its_response_finds_no_tenant():
    kept = []

    def body():
        async def later():
            return current_id()

        kept.append(later)
        yield "one"
        yield current_id() or "nobody"

    response = serve(body)
    chunks = iter(response)
    assert next(chunks) == b"one"
    response._resource_closers.pop(0)  # a server that closes the response, but not the generator
    response.close()
    assert next(chunks) == b"nobody"


def test_a_file_is_left_to_the_server():
    file = TemporaryFile()  # noqa: SIM115  # the response closes it
    response = serve(lambda: file, response_class=FileResponse)
    assert response.file_to_stream is file
    response.close()
    content = ContentFile(b"of a storage")
    response = serve(lambda: content, response_class=FileResponse)
    assert response.file_to_stream is content
    response.close()


def test_what_only_looks_like_a_file_is_read_for_its_tenant():
    class Rows:
        def __init__(self):
            self.rows = io.BytesIO(b"rows")

        def read(self, size):
            return current_id().encode() + b":" + rest if (rest := self.rows.read(size)) else b""

    response = serve(Rows, response_class=FileResponse)
    assert response.file_to_stream is None
    assert response.getvalue() == b"acme:rows"


def test_without_it_a_body_has_no_tenant(monkeypatch):
    """The negative control."""
    monkeypatch.setattr("tenancy.middleware.carry_stream", lambda *_, **__: None)
    with pytest.raises(NoTenant):
        serve(names).getvalue()


# Under ASGI.


async def collect(response):
    async with ThreadSensitiveContext():  # a thread for each request, as under ASGI
        return b"".join([chunk async for chunk in response]).decode()


async def async_names():
    try:
        async for tool in Tool.objects.order_by("name").aiterator(chunk_size=1):
            yield f"{tool.name};"
    finally:
        await sync_to_async(connections.close_all)()


def closing_names():
    try:
        yield from names()
    finally:
        connections.close_all()


@in_databases
@pytest.mark.parametrize("body", [closing_names, async_names], ids=["a generator", "an async generator"])
def test_asynchronous_bodies_read_their_own_tenants_rows(rows, body):
    async def work():
        ours, theirs = await serve_async(body, "acme"), await serve_async(body, "globex")
        with tenant_context("globex"):
            answers = await asyncio.gather(collect(ours), collect(theirs))
            assert current_id() == "globex"
        return answers, nobody()

    assert asyncio.run(work()) == ([OF.format("acme"), OF.format("globex")], True)


def test_a_generator_is_pulled_chunk_by_chunk_not_read_to_its_end():
    pulled = []

    def body():
        for number in range(3):
            pulled.append(number)
            yield str(number)

    async def work():
        chunks = aiter(await serve_async(body))
        await anext(chunks)
        return pulled[:]

    assert asyncio.run(work()) == [0]


def test_an_async_body_that_nobody_reads_on_is_ended_for_its_tenant():
    """A client leaves: the response is dropped, by code that may work for another tenant."""
    seen = []

    async def body():
        try:
            yield "one"
            yield "two"
        finally:
            await asyncio.sleep(0)
            seen.append((current_id(), in_request()))

    async def work():
        response = await serve_async(body)
        chunks = aiter(response)
        assert await anext(chunks) == b"one"
        with tenant_context("globex"):
            del response, chunks
            gc.collect()
            for _ in range(10):
                await asyncio.sleep(0)
            assert current_id() == "globex"

    asyncio.run(work())
    assert seen == [("acme", True)]


def test_an_async_body_that_is_closed_is_ended_for_its_tenant():
    seen = []

    async def body():
        try:
            yield "one"
        finally:
            seen.append(current_id())

    async def work():
        response = await serve_async(body)
        await anext(response._iterator)
        with tenant_context("globex"):
            await response._iterator.aclose()

    asyncio.run(work())
    assert seen == ["acme"]


def test_an_iterator_without_an_end_of_its_own_is_let_go():
    class Numbers:
        def __aiter__(self):
            return self

        async def __anext__(self):
            return current_id()

    async def work():
        response = await serve_async(Numbers)
        chunk = await anext(response._iterator)
        await response._iterator.aclose()
        return chunk, await anext(response._iterator)

    assert asyncio.run(work()) == ("acme", None)
