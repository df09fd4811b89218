"""Conditional requests: 304, 412, and the race that they are for."""

from __future__ import annotations

import pytest

from catalog.models import Category, Product
from tenancy.context import tenant_context
from tenancy.testing import databases

pytestmark = databases("control", "acme")

STALE = '"0123456789abcdef0123456789abcdef"'


@pytest.fixture
def url(make_product):
    return f"/api/products/{make_product().pk}/"


@pytest.fixture
def etag(ada, url):
    return ada.get(url)["ETag"]


def stored_name():
    with tenant_context("acme"):
        return Product.objects.get().name


def test_an_etag_is_strong_and_stays_while_nothing_changes(ada, url, etag):
    assert etag.startswith('"')
    assert etag.endswith('"')
    assert ada.get(url)["ETag"] == etag


def test_an_etag_changes_with_the_object(ada, url, etag):
    written = ada.patch(url, {"stock": 1}, format="json")
    assert written["ETag"] != etag
    assert ada.get(url)["ETag"] == written["ETag"]


def test_an_etag_is_the_same_for_every_reader(grace, url, etag):
    assert grace.get(url)["ETag"] == etag


@pytest.mark.parametrize(
    "form",
    ["{etag}", "W/{etag}", "*", ' "x", {etag} ', '{etag},"x"', 'W/"x" , W/{etag}'],
    ids=["strong", "weak", "any", "last of a list", "first of a list", "weak in a list"],
)
@pytest.mark.parametrize("method", ["get", "head"])
def test_who_has_it_already_gets_no_body(ada, url, etag, method, form):
    response = getattr(ada, method)(url, headers={"If-None-Match": form.format(etag=etag)})
    assert response.status_code == 304
    assert response.content == b""
    assert response["ETag"] == etag
    assert response["Cache-Control"] == "private, no-cache"
    assert response["Vary"] == "Authorization, Accept"
    assert "Content-Type" not in response


@pytest.mark.parametrize("value", [STALE, f"W/{STALE}", "", "nonsense", '""', '*, "x"', '"unclosed', "\xff"])
def test_who_has_something_else_gets_it(ada, url, etag, value):
    response = ada.get(url, headers={"If-None-Match": value})
    assert response.status_code == 200
    assert response.json()["name"] == "Hammer"


def test_a_list_has_an_etag_too(ada, url):
    first = ada.get("/api/products/")
    assert ada.get("/api/products/", headers={"If-None-Match": first["ETag"]}).status_code == 304
    ada.patch(url, {"stock": 9}, format="json")
    again = ada.get("/api/products/", headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 200
    assert again["ETag"] != first["ETag"]


@pytest.mark.parametrize("path", ["/api/products/", "/api/categories/", "/api/me/", "/api/me/tenants/"])
def test_a_read_says_who_may_keep_it(ada, url, path):
    response = ada.get(path)
    assert response["Cache-Control"] == "private, no-cache"
    assert response["Vary"] == "Authorization, Accept"


def test_errors_may_not_be_shared_either(ada, client, url):
    for response in (client.get(url), ada.get("/api/products/?x=1"), ada.get(f"{url[:-2]}x/")):
        assert response.status_code >= 400
        assert response["Cache-Control"] == "private, no-cache"
        assert response["Vary"] == "Authorization, Accept"
        assert "ETag" not in response


def write(client, method, url, **headers):
    body = None if method == "delete" else {"name": "New"}
    if method == "put":
        body = client.get(url).json() | body
    return getattr(client, method)(url, body, format="json", headers=headers)


WRITES = ("put", "patch", "delete")


@pytest.mark.parametrize("form", ["{etag}", "*", '"x", {etag}'], ids=["exact", "any", "in a list"])
@pytest.mark.parametrize("method", WRITES)
def test_a_write_with_the_etag_goes_ahead(ada, url, etag, method, form):
    response = write(ada, method, url, **{"If-Match": form.format(etag=etag)})
    assert response.status_code == (204 if method == "delete" else 200)


@pytest.mark.parametrize(
    "form",
    [STALE, "W/{etag}", f"{STALE}, W/{{etag}}", "", "nonsense", '*, "x"', '""'],
    ids=["stale", "weak", "stale and weak", "empty", "nonsense", "any in a list", "empty tag"],
)
@pytest.mark.parametrize("method", WRITES)
def test_a_write_with_another_etag_fails(ada, url, etag, method, form):
    response = write(ada, method, url, **{"If-Match": form.format(etag=etag)})
    assert response.status_code == 412
    assert response.json()["code"] == "precondition_failed"
    assert stored_name() == "Hammer"


@pytest.mark.parametrize("form", ["*", "{etag}", "W/{etag}"], ids=["any", "exact", "weak"])
@pytest.mark.parametrize("method", WRITES)
def test_a_write_that_excludes_this_state_fails(ada, url, etag, method, form):
    response = write(ada, method, url, **{"If-None-Match": form.format(etag=etag)})
    assert response.status_code == 412
    assert response.json()["code"] == "precondition_failed"
    assert stored_name() == "Hammer"


@pytest.mark.parametrize("method", WRITES)
def test_a_write_that_excludes_another_state_goes_ahead(ada, url, method):
    assert write(ada, method, url, **{"If-None-Match": STALE}).status_code in (200, 204)


def test_the_etag_of_a_write_is_good_for_the_next(ada, url, etag):
    for number in range(3):
        response = ada.patch(url, {"stock": number}, format="json", headers={"If-Match": etag})
        assert response.status_code == 200
        etag = response["ETag"]


def test_the_etag_of_a_category_works_the_same(ada, category):
    url = f"/api/categories/{category.pk}/"
    etag = ada.get(url)["ETag"]
    assert ada.patch(url, {"name": "New"}, format="json", headers={"If-Match": etag}).status_code == 200
    assert ada.patch(url, {"name": "Newer"}, format="json", headers={"If-Match": etag}).status_code == 412
    assert ada.delete(url, headers={"If-Match": etag}).status_code == 412
    assert ada.delete(url, headers={"If-Match": ada.get(url)["ETag"]}).status_code == 204


@databases("control", "acme", transaction=True)
def test_of_parallel_puts_with_one_etag_one_wins(cast, make_product, at_once):
    url = f"/api/products/{make_product().pk}/"
    clients = [cast.client(cast.ada, "acme") for _ in range(8)]
    for _ in range(4):
        read = clients[0].get(url)

        def put(number, read=read):
            return clients[number].put(
                url,
                read.json() | {"name": f"Writer {number}"},
                format="json",
                headers={"If-Match": read["ETag"]},
            )

        responses = at_once(*(lambda number=number: put(number) for number in range(8)))
        assert sorted(response.status_code for response in responses) == [200] + [412] * 7
        (winner,) = (response for response in responses if response.status_code == 200)
        assert stored_name() == winner.json()["name"]
        assert clients[0].get(url)["ETag"] == winner["ETag"]


@databases("control", "acme", transaction=True)
def test_of_parallel_puts_to_a_category_with_one_etag_one_wins(cast, category, at_once):
    url = f"/api/categories/{category.pk}/"
    clients = [cast.client(cast.ada, "acme") for _ in range(8)]
    etag = clients[0].get(url)["ETag"]

    def put(number):
        return clients[number].put(
            url, {"name": f"Writer {number}"}, format="json", headers={"If-Match": etag}
        )

    responses = at_once(*(lambda number=number: put(number) for number in range(8)))
    assert sorted(response.status_code for response in responses) == [200] + [412] * 7
    (winner,) = (response for response in responses if response.status_code == 200)
    with tenant_context("acme"):
        assert Category.objects.get().name == winner.json()["name"]


@databases("control", "acme", transaction=True)
def test_of_parallel_deletes_and_puts_with_one_etag_one_wins(cast, make_product, at_once):
    url = f"/api/products/{make_product().pk}/"
    clients = [cast.client(cast.ada, "acme") for _ in range(4)]
    read = clients[0].get(url)
    condition = {"If-Match": read["ETag"]}
    calls = [
        *(lambda client=client: client.delete(url, headers=condition) for client in clients[:2]),
        *(
            lambda client=client: client.put(url, read.json(), format="json", headers=condition)
            for client in clients[2:]
        ),
    ]
    statuses = sorted(response.status_code for response in at_once(*calls))
    # After a delete the object is not there; after a put it is another.
    assert statuses in ([204, 404, 404, 404], [200, 412, 412, 412])
