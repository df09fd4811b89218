"""What clients must not send: always a 4xx in JSON that says what is wrong, never a 500, never a row."""

from __future__ import annotations

import json
import uuid

import pytest
from django.db import connections
from django.http import UnreadablePostError

from catalog.models import Category, Product
from tenancy.context import tenant_context
from tenancy.testing import databases

pytestmark = databases("control", "acme")

URL = "/api/products/"
DEEP = 5000
MEGABYTES_10 = 10 * 1024 * 1024


def rows():
    with tenant_context("acme"):
        return list(Category.objects.values()), list(Product.objects.values())


def assert_refused(response, status, code):
    assert response.status_code == status, response.content[:500]
    assert response["Content-Type"] == "application/json"
    body = response.json()
    assert body["code"] == code
    assert isinstance(body["detail"], str)
    assert body["detail"]
    assert set(body) <= {"detail", "code", "errors"}
    for messages in body.get("errors", {}).values():
        assert messages
        assert all(isinstance(message, str) for message in messages)
    return body


def send(client, method, url, body, content_type="application/json", **extra):
    return client.generic(method, url, body, content_type=content_type, **extra)


# Bodies that are refused before anybody looks at a field.
MALFORMED = {
    "nothing but a brace": b"{",
    "cut off": b'{"name": "Ham',
    "a trailing comma": b'{"name": "N",}',
    "single quotes": b"{'name': 'N'}",
    "a comment": b'{"name": "N"} // done',
    "two documents": b"{}{}",
    "spaces only": b"   ",
    "XML": b"<name>N</name>",
    "lists 5000 deep": b"[" * DEEP + b"]" * DEEP,
    "objects 5000 deep": b'{"name":' * DEEP + b"1" + b"}" * DEEP,
    "unclosed lists 100000 deep": b"[" * 100_000,
    "an escaped half character under 900 lists": b"[" * 900 + b'"\\ud800"' + b"]" * 900,
    "bytes that are not UTF-8": b'{"name": "\xff\xfe"}',
    "an overlong NUL": b'{"name": "\xc0\x80"}',
    "a surrogate in UTF-8": b'{"name": "\xed\xa0\x80"}',
    "UTF-16": '{"name": "N"}'.encode("utf-16"),
    "UTF-16 without a mark": '{"name": "N"}'.encode("utf-16-le"),
    "UTF-32": '{"name": "N"}'.encode("utf-32"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a raw control character": b'{"name": "a\x00b"}',
    "a half character as a value": b'{"name": "\\ud800"}',
    "the other half": b'{"name": "\\uDFFF"}',
    "the halves in the wrong order": b'{"name": "\\udc00\\ud800"}',
    "a half character as a name": b'{"\\ud800": 1}',
    "a half character as a category": b'{"category": "\\ud800"}',
    "an integer of 5000 digits": b'{"stock": ' + b"1" * 5000 + b"}",
    "NaN": b'{"price": NaN}',
    "Infinity": b'{"price": Infinity}',
    "-Infinity": b'{"price": -Infinity}',
    "1e400": b'{"price": 1e400}',
    "-1e400": b'{"price": -1e400}',
    "1e400 as a name": b'{"name": 1e400}',
    "1e400 as stock": b'{"stock": 1e400}',
    "a name twice": b'{"name": "a", "name": "b"}',
    "a name twice, once escaped": b'{"name": "a", "n\\u0061me": "b"}',
    "a name twice, deep inside": b'{"name": [{"a": 1, "a": 2}]}',
}


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_it_refuses_a_malformed_body(ada, make_product, method, body):
    url = URL if method == "POST" else f"{URL}{make_product().pk}/"
    before = rows()
    assert_refused(send(ada, method, url, body), 400, "invalid")
    assert rows() == before


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_empty_body_lacks_every_field(ada, make_product, method):
    url = URL if method == "POST" else f"{URL}{make_product().pk}/"
    body = assert_refused(send(ada, method, url, b""), 400, "invalid")
    assert set(body["errors"]) == {"sku", "name", "category", "price", "currency"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("body", [b"null", b"[]", b"[{}]", b'"text"', b"5", b"1.5", b"true", b"false"])
def test_the_body_must_be_an_object(ada, make_product, method, body):
    url = URL if method == "POST" else f"{URL}{make_product().pk}/"
    before = rows()
    refused = assert_refused(send(ada, method, url, body), 400, "invalid")
    assert list(refused["errors"]) == ["non_field_errors"]
    assert rows() == before


def test_it_says_where_the_json_is_wrong_and_does_not_repeat_it(ada):
    body = assert_refused(send(ada, "POST", URL, b'{\n "name": secret-word}'), 400, "invalid")
    assert "line 2, column 10" in body["detail"]
    assert "secret-word" not in body["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_body_over_the_limit_is_too_large(ada, make_product, method):
    url = URL if method == "POST" else f"{URL}{make_product().pk}/"
    body = b'{"name": "' + b"a" * MEGABYTES_10 + b'"}'
    assert_refused(send(ada, method, url, body), 413, "payload_too_large")


def test_the_limit_is_exact(ada, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 20
    assert send(ada, "POST", URL, b'{"name": "123456789"}').status_code == 413
    assert send(ada, "POST", URL, b'{"name": "12345678"}').status_code == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/html",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/jsonp",
        "application/vnd.api+json",
        "json",
        ";;",
        "",
    ],
)
def test_it_speaks_json_only(ada, make_product, product_body, method, content_type):
    url = URL if method == "POST" else f"{URL}{make_product().pk}/"
    before = rows()
    response = send(ada, method, url, json.dumps(product_body), content_type)
    assert_refused(response, 415, "unsupported_media_type")
    assert rows() == before


# One field of an otherwise good body: what is refused, and where.
HUGE = 10**30
FIELDS = {
    "name is missing its value": {"name": None},
    "name is empty": {"name": ""},
    "name is blank": {"name": " \t "},
    "name is too long": {"name": "x" * 201},
    "name has a NUL": {"name": "a\0b"},
    "name is a number": {"name": 5},
    "name is a fraction": {"name": 1.5},
    "name is a boolean": {"name": True},
    "name is a list": {"name": ["N"]},
    "name is an object": {"name": {"$ne": ""}},
    "sku is empty": {"sku": ""},
    "sku is too long": {"sku": "x" * 65},
    "sku has a NUL": {"sku": "\0"},
    "sku is a number": {"sku": 5},
    "description is null": {"description": None},
    "description is too long": {"description": "x" * 20_001},
    "description has a NUL": {"description": "\0"},
    "description is a list": {"description": []},
    "category is null": {"category": None},
    "category is empty": {"category": ""},
    "category is no UUID": {"category": "tools"},
    "category is unknown": {"category": str(uuid.UUID(int=5))},
    "category is a number": {"category": 5},
    "category is a huge number": {"category": 2**128},
    "category is negative": {"category": -1},
    "category is a fraction": {"category": 1.5},
    "category is a boolean": {"category": True},
    "category is a list": {"category": []},
    "category is an object": {"category": {"id": 1}},
    "category has a NUL": {"category": "\0"},
    "category is SQL": {"category": "' OR 1=1 --"},
    "price is null": {"price": None},
    "price is empty": {"price": ""},
    "price is negative": {"price": "-0.01"},
    "price has three decimals": {"price": "1.234"},
    "price has too many digits": {"price": "12345678901"},
    "price has 5000 digits": {"price": "9" * 5000},
    "price is a huge number": {"price": HUGE},
    "price is NaN in quotes": {"price": "NaN"},
    "price is sNaN in quotes": {"price": "sNaN"},
    "price is Infinity in quotes": {"price": "Infinity"},
    "price is -Infinity in quotes": {"price": "-inf"},
    "price is 1e400 in quotes": {"price": "1e400"},
    "price is 1e-400 in quotes": {"price": "1e-400"},
    "price has a huge exponent": {"price": "1e99999999999999999999"},
    "price is a boolean": {"price": True},
    "price is a list": {"price": ["1.00"]},
    "price is an object": {"price": {}},
    "price is a word": {"price": "cheap"},
    "price has a NUL": {"price": "1\0"},
    "price has a comma": {"price": "1,50"},
    "price has a sign of currency": {"price": "€1"},
    "currency is empty": {"currency": ""},
    "currency is small": {"currency": "eur"},
    "currency is short": {"currency": "EU"},
    "currency is long": {"currency": "EURO"},
    "currency has a line break inside": {"currency": "E\nR"},
    "currency is not ASCII": {"currency": "ÄÖÜ"},
    "currency has a NUL": {"currency": "EU\0"},
    "currency is a number": {"currency": 978},
    "stock is null": {"stock": None},
    "stock is negative": {"stock": -1},
    "stock is over the column": {"stock": 2**31},
    "stock is over 64 bits": {"stock": 2**63},
    "stock is huge": {"stock": HUGE},
    "stock is hugely negative": {"stock": -HUGE},
    "stock is a fraction": {"stock": 1.5},
    "stock is text": {"stock": "7"},
    "stock is 5000 digits in quotes": {"stock": "1" * 5000},
    "stock is a boolean": {"stock": True},
    "stock is a list": {"stock": [1]},
    "stock is an object": {"stock": {}},
    "is_active is null": {"is_active": None},
    "is_active is a word": {"is_active": "yes"},
    "is_active is the word true": {"is_active": "true"},
    "is_active is a number": {"is_active": 1},
    "is_active is huge": {"is_active": HUGE},
    "is_active is a list": {"is_active": []},
    "is_active is an object": {"is_active": {}},
    "an unknown field": {"colour": "red"},
    "a misspelt field": {"is_activ": True},
    "the column of a field": {"category_id": str(uuid.UUID(int=5))},
    "a lookup": {"category__name": "Tools"},
    "a dunder": {"__class__": "x"},
    "the owner": {"owner": "bob"},
    "the key": {"pk": str(uuid.UUID(int=5))},
    "a name that is empty": {"": 1},
    "a name with a NUL": {"na\0me": 1},
    "a very long name": {"n" * 100_000: 1},
}


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("change", FIELDS.values(), ids=FIELDS)
def test_it_refuses_a_bad_field_and_names_it(ada, make_product, product_body, method, change):
    url = URL if method == "POST" else f"{URL}{make_product().pk}/"
    before = rows()
    body = change if method == "PATCH" else product_body | change
    refused = assert_refused(send(ada, method, url, json.dumps(body)), 400, "invalid")
    assert list(refused["errors"]) == list(change)
    assert rows() == before


CATEGORY_FIELDS = {
    "name is missing its value": {"name": None},
    "name is empty": {"name": ""},
    "name is too long": {"name": "x" * 121},
    "name has a NUL": {"name": "\0"},
    "name is a number": {"name": 5},
    "description is too long": {"description": "x" * 5001},
    "parent is unknown": {"parent": str(uuid.UUID(int=5))},
    "parent is empty": {"parent": ""},
    "parent is no UUID": {"parent": "top"},
    "parent is a huge number": {"parent": HUGE},
    "parent is a boolean": {"parent": False},
    "parent is a list": {"parent": []},
    "parent is an object": {"parent": {"name": "Top"}},
    "an unknown field": {"children": []},
    "the column of a field": {"parent_id": None},
}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("change", CATEGORY_FIELDS.values(), ids=CATEGORY_FIELDS)
def test_it_refuses_a_bad_field_of_a_category_and_names_it(ada, category, method, change):
    url = "/api/categories/" if method == "POST" else f"/api/categories/{category.pk}/"
    before = rows()
    refused = assert_refused(send(ada, method, url, json.dumps({"name": "N"} | change)), 400, "invalid")
    assert list(refused["errors"]) == list(change)
    assert rows() == before


def test_it_names_every_unknown_field_at_once(ada, product_body):
    body = product_body | {"b": 1, "a": 2}
    refused = assert_refused(ada.post(URL, body, format="json"), 400, "invalid")
    assert refused["errors"] == {"a": ["Unknown field."], "b": ["Unknown field."]}


def test_a_whole_character_outside_the_first_plane_may_be_escaped(ada, product_body):
    response = send(ada, "POST", URL, json.dumps(product_body | {"name": "🔨"}))
    assert response.status_code == 201
    assert response.json()["name"] == "🔨"


@pytest.mark.parametrize(
    "query", ["x=1", "page=1", "_connector=OR", "tenant=acme", "%00=1", "ordering=name", "format=json"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_it_refuses_a_parameter_that_the_call_does_not_have(ada, make_product, product_body, method, query):
    url = URL if method == "POST" else f"{URL}{make_product().pk}/"
    before = rows()
    assert_refused(send(ada, method, f"{url}?{query}", json.dumps(product_body)), 400, "invalid")
    assert rows() == before


@pytest.mark.parametrize(
    "method", ["TRACE", "OPTIONS", "CONNECT", "PROPFIND", "FOO", "__CLASS__", "DISPATCH", "LIST", "POST"]
)
def test_a_method_that_is_not_known_here_is_not_allowed(ada, make_product, method):
    response = send(ada, method, f"{URL}{make_product().pk}/", b"{}")
    assert_refused(response, 405, "method_not_allowed")
    assert response["Allow"] == "GET, HEAD, PUT, PATCH, DELETE"


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PUT", "PATCH", "DELETE", "FOO"])
def test_a_list_can_be_read_and_added_to_only(ada, method):
    response = send(ada, method, URL, b"{}")
    assert_refused(response, 405, "method_not_allowed")
    assert response["Allow"] == "GET, HEAD, POST"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/api/me/", "/api/schema/", "/api/docs/"])
@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "DELETE", "FOO"])
def test_other_paths_refuse_other_methods_in_json_too(ada, path, method):
    assert_refused(send(ada, method, path, b""), 405, "method_not_allowed")


@pytest.mark.parametrize(
    "header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Method"]
)
def test_a_header_does_not_change_the_method(ada, make_product, header):
    url = f"{URL}{make_product().pk}/"
    before = rows()
    assert ada.get(url, headers={header: "DELETE"}).status_code == 200
    assert_refused(send(ada, "POST", url, b"{}", headers={header: "DELETE"}), 405, "method_not_allowed")
    assert_refused(
        send(ada, "POST", f"{url}?_method=DELETE", b"{}", headers={header: "DELETE"}),
        405,
        "method_not_allowed",
    )
    assert rows() == before


BAD_IDS = {
    "a word": "abc",
    "a number": "1",
    "a NUL": "%00",
    "a byte that is no UTF-8": "%FF",
    "a line break after a good id": "{pk}%0A",
    "dots": "%2e%2e",
    "a suffix": "{pk}.json",
    "a star": "*",
    "SQL": "'%20OR%201=1",
    "one character less": "{short}",
    "5000 characters": "a" * 5000,
}


@pytest.mark.parametrize("bad", BAD_IDS.values(), ids=BAD_IDS)
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_an_id_that_is_none_is_not_found(ada, make_product, product_body, method, bad):
    pk = str(make_product().pk)
    url = f"{URL}{bad.format(pk=pk, short=pk[:-1])}/"
    before = rows()
    assert_refused(send(ada, method, url, json.dumps(product_body)), 404, "not_found")
    assert rows() == before


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/",
        "/api/products",
        "/api/products.json",
        "/api//products/",
        "/api/%2e%2e/api/products/",
        "/api/../api/products/",
        "/api/products/%00/",
        "/%00",
        "/%ff",
        "/api/products/..%2f..%2f/",
        "/static/../manage.py",
        "/static/%2e%2e/manage.py",
        "/static/nothing.css",
        "/.git/config",
        "/tenants.yaml",
        "/nothing" + "/x" * 2000,
    ],
)
def test_a_path_that_leads_nowhere_is_not_found_in_json(ada, path):
    assert_refused(ada.get(path), 404, "not_found")


def test_a_path_of_two_slashes_is_not_taken_for_a_host(ada):
    # Through PATH_INFO: an HTTP client would read it as a host.
    assert_refused(ada.get("/api/products/", PATH_INFO="//api/products/"), 404, "not_found")


@pytest.mark.parametrize(
    "host", ["evil.example", "testserver.evil.example", "testserver:abc", "a b", "[::1", "@"]
)
@pytest.mark.parametrize("path", [URL, "/livez", "/nothing", "/api/schema/"])
def test_a_host_that_is_not_ours_is_refused(ada, host, path):
    body = assert_refused(ada.get(path, HTTP_HOST=host), 400, "bad_request")
    assert host not in body["detail"]


def test_a_forwarded_host_is_not_believed(ada, make_product):
    make_product()
    make_product()
    body = ada.get(f"{URL}?page_size=1", headers={"X-Forwarded-Host": "evil.example"}).json()
    assert body["next"] == "http://testserver/api/products/?page=2&page_size=1"


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "text/csv", "image/*", "nonsense", ""])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_accepts_no_json_gets_none(ada, product_body, method, accept):
    before = rows()
    response = send(ada, method, URL, json.dumps(product_body), headers={"Accept": accept})
    assert_refused(response, 406, "not_acceptable")
    assert rows() == before


@pytest.mark.parametrize("accept", ["application/json", "*/*", "application/*", "text/html, */*;q=0.1"])
def test_who_accepts_json_among_others_gets_it(ada, accept):
    response = ada.get(URL, headers={"Accept": accept})
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_the_body_is_read_before_a_transaction_is_open(ada, make_product, method):
    """Else a client that sends slowly holds a lock for as long as it likes."""
    url = URL if method == "POST" else f"{URL}{make_product().pk}/"
    open_before = len(connections["acme"].savepoint_ids)
    seen = []

    class Body:
        def read(self, size=-1):
            seen.append(len(connections["acme"].savepoint_ids) - open_before)
            return b"{"

        readline = read

    response = ada.generic(
        method, url, b"{", content_type="application/json", **{"wsgi.input": Body(), "CONTENT_LENGTH": "1"}
    )
    assert_refused(response, 400, "invalid")
    assert set(seen) == {0}


def test_a_mistake_of_ours_is_a_500_that_tells_nothing(cast, monkeypatch):
    def fail(self, queryset):
        raise RuntimeError("secret-word")

    monkeypatch.setattr("catalog.views.ProductViewSet.filter_queryset", fail)
    client = cast.client(cast.ada, "acme")
    client.raise_request_exception = False
    response = client.get(URL)
    assert_refused(response, 500, "server_error")
    assert b"secret-word" not in response.content


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_body_in_chunks_is_refused_rather_than_taken_for_none(ada, make_product, method):
    """Django reads no body without a length: a PATCH would be answered with 200 and change nothing."""
    product = make_product()
    url = URL if method == "POST" else f"{URL}{product.pk}/"
    before = rows()
    response = ada.generic(method, url, headers={"Transfer-Encoding": "chunked"})
    assert_refused(response, 411, "length_required")
    assert rows() == before


def test_a_body_that_breaks_off_is_malformed_not_a_fault_of_ours(ada, monkeypatch):
    def broken(*args):
        raise UnreadablePostError("connection reset")

    monkeypatch.setattr("django.core.handlers.wsgi.LimitedStream.read", broken)
    response = ada.post("/api/categories/", {"name": "x"}, format="json")
    assert (response.status_code, response.json()["code"]) == (400, "invalid")
