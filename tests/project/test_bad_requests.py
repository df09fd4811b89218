"""What must never work, and never be a 500: a row for each attack over HTTP, with the answers it may get.

The numbers are stable names of the attacks. Bad tokens have a table of their own
(``tests/users/test_tokens.py``); here are the requests around them.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from rest_framework.test import APIClient

from catalog.models import Product
from tenancy.context import tenant_context
from tenancy.testing import databases
from users.testing import PASSWORD, token_in

pytestmark = databases("control", "acme", "globex")

JSON = "application/json"


@dataclass
class Scene:
    """Ada at the door of acme, with a product that she knows."""

    cast: Any
    client: APIClient
    product: Product
    theirs: Product
    mails: list[Any]

    def post(
        self, body: bytes | str, path: str = "/api/products/", content_type: str = JSON, **extra: Any
    ) -> Any:
        return self.client.generic("POST", path, body, content_type=content_type, **extra)

    def create(self, **values: Any) -> Any:
        body = {"sku": "N-1", "name": "New", "price": "1.00", "currency": "EUR"}
        return self.post(json.dumps(body | {"category": str(self.product.category_id)} | values))

    def list(self, **query: Any) -> Any:
        return self.client.get("/api/products/", query)

    def sign_in(self, email: str, password: str = PASSWORD, **extra: Any) -> Any:
        body = json.dumps({"email": email, "password": password})
        return APIClient().generic("POST", "/api/token/", body, content_type=JSON, **extra)

    def reset(self, token: str) -> Any:
        body = {"token": token, "password": "a-brand-new-password"}
        return APIClient().post("/api/password/reset/confirm/", body)

    def reset_token(self) -> str:
        APIClient().post("/api/password/reset/", {"email": "ada@example.com"})
        return token_in(self.mails[-1])

    @property
    def url(self) -> str:
        return f"/api/products/{self.product.pk}/"


@pytest.fixture
def scene(cast, ada, twin_products, mails):
    product, _ = twin_products()
    with tenant_context("globex"):
        theirs = Product.objects.create(
            sku="G-1", name="Theirs", price="1.00", currency="EUR", category_id=product.category_id
        )
    ada.raise_request_exception = False
    return Scene(cast, ada, product, theirs, mails)


DEEP = "[" * 5000 + "]" * 5000
BIG = json.dumps({"name": "x" * 10_000_000})

#: Attack: the calls, and what each of them may be answered.
ATTACKS: dict[str, tuple[Callable[[Scene], Any], set[int]]] = {
    "31 empty body": (lambda s: s.post(""), {400}),
    "32 bad JSON": (lambda s: s.post('{"sku": canary-of-the-body'), {400}),
    "33 nested 5000 deep": (lambda s: s.post(DEEP), {400}),
    "34 ten megabytes": (lambda s: s.post(BIG), {413}),
    "35 another content type": (
        lambda s: [s.post("sku=1", content_type=kind) for kind in ("text/plain", "application/xml", "")],
        {415},
    ),
    "36 bad UTF-8": (lambda s: s.post(b'{"sku": "\xff"}'), {400}),
    "37 NUL in a text": (lambda s: s.create(name="a\0b"), {400}),
    "38 half a surrogate": (lambda s: s.create(name="a\ud800b"), {400}),
    "39 numbers beyond the database's": (
        lambda s: [s.create(stock=10**30), s.create(price=10**30), s.create(stock=2**63)],
        {400},
    ),
    "40 no numbers": (
        lambda s: [s.create(price=float(word)) for word in ("nan", "inf", "-inf")],
        {400},
    ),
    "41 a name twice": (lambda s: s.post('{"sku": "1", "sku": "2"}'), {400}),
    "42 an unknown name": (lambda s: s.create(tenant="globex"), {400}),
    "43 pages that are none": (
        lambda s: [s.list(page=page) for page in ("-1", "0", "abc", "1e9", "9" * 400)],
        {400, 404},
    ),
    "44 a page of all there is": (lambda s: s.list(page_size="1000000000"), {200}),
    "45 a forged cursor": (lambda s: s.list(cursor="cD0x"), {400}),
    "46 ordering by what is not listed": (
        lambda s: [s.list(ordering=name) for name in ("password", "category__parent__name", "-id", "?")],
        {400},
    ),
    "47 filters of the ORM's": (
        lambda s: [
            s.list(**{name: "x"})
            for name in ("_connector", "name__regex", "category__name", "_negated", "pk")
        ],
        {400},
    ),
    "48 ids that are none": (
        lambda s: [s.client.get(f"/api/products/{key}/") for key in ("abc", "1", "%00", "0" * 500)],
        {404},
    ),
    "49 the other tenant's key in a body": (lambda s: s.create(category=str(uuid.uuid4())), {400}),
    "51 another method in a header": (
        lambda s: s.client.get(s.url, headers={"X-HTTP-Method-Override": "DELETE"}),
        {200},
    ),
    "52 another tenant in a header or parameter": (
        lambda s: [
            s.client.get("/api/products/", headers={"X-Tenant": "globex"}),
            s.client.get("/api/products/", headers={"X-Tenant-Id": "globex"}),
            s.list(tenant="globex"),
            s.list(tenant_id="globex"),
        ],
        {400},
    ),
    "53 another host": (
        lambda s: [
            s.client.get("/api/products/", HTTP_HOST=host)
            for host in ("evil.test", "localhost@evil.test", "evil.test:80", "a b", "")
        ],
        {400},
    ),
    "57 methods that are none": (
        lambda s: [
            s.client.generic(method, s.url) for method in ("TRACE", "CONNECT", "PROPFIND", "get ", "X" * 99)
        ],
        {405},
    ),
    "58 paths that are none": (
        lambda s: [
            s.client.get(path)
            for path in (
                "//api/products/",
                "/api//products/",
                "/api/%2e%2e/admin/",
                "/api/products/%00/",
                "/%ff",
            )
        ],
        {404},
    ),
    "60 a password of 200 kB": (lambda s: s.sign_in("ada@example.com", "x" * 200_000), {400}),
    "63 a reset's token again, of another, in pieces": (
        lambda s: [
            s.reset(text)
            for token in [s.reset_token()]
            for text in (
                f"{s.cast.bob.pk.hex}.{token.partition('.')[2]}",
                token[:-1],
                token.replace(".", "-"),
                "x",
            )
        ],
        {400},
    ),
    "64 addresses that look alike, or break headers": (
        lambda s: [
            s.sign_in(email)
            for email in (
                "ad\u0430@example.com",
                "ada@example.com\r\nBcc: x@example.com",
                "ada@example.com\0",
                "ada@" + "x" * 300,
                "ada@example.com'--",
            )
        ],
        {400, 401},
    ),
    "65 a file where there is none to upload": (
        lambda s: s.post(
            b'--x\r\nContent-Disposition: form-data; name="f"; filename="../../etc/passwd"\r\n\r\nx\r\n--x--',
            content_type="multipart/form-data; boundary=x",
        ),
        {415},
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_is_answered_as_it_should_be(scene, attack):
    call, allowed = ATTACKS[attack]
    with tenant_context("acme"):
        before = list(Product.objects.order_by("pk").values())
    found = call(scene)
    for response in found if isinstance(found, list) else [found]:
        assert response.status_code in allowed, response.content
        text = response.content.decode()
        assert "canary-of-the-body" not in text
        assert not {"Traceback", "SELECT", "catalog_product", "globex"} & set(text.split())
        if response.status_code >= 400:
            assert {"detail", "code"} <= set(response.json())
    with tenant_context("acme"):
        assert list(Product.objects.order_by("pk").values()) == before, "Nothing has changed."


def test_49_the_other_tenants_object_is_like_a_random_one(scene):
    keys = [str(scene.theirs.pk), str(uuid.uuid4())]
    answers = [scene.create(category=key) for key in keys]
    assert [answer.status_code for answer in answers] == [400, 400]
    texts = [answer.content.decode().replace(key, "ID") for answer, key in zip(answers, keys, strict=True)]
    assert texts[0] == texts[1]


def test_50_what_the_client_does_not_write_is_ignored(scene):
    other = str(uuid.uuid4())
    response = scene.client.patch(scene.url, {"id": other, "created_at": "2000-01-01T00:00:00Z", "stock": 5})
    assert response.status_code == 200
    assert response.json()["id"] == str(scene.product.pk)
    assert not response.json()["created_at"].startswith("2000")


def test_54_a_forged_address_does_not_dodge_the_brakes(scene):
    statuses = [
        scene.sign_in(
            "ada@example.com", "wrong", HTTP_X_FORWARDED_FOR=f"203.0.113.{number}", REMOTE_ADDR="192.0.2.1"
        ).status_code
        for number in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2


def test_59_failed_sign_ins_are_equal_to_the_byte(scene):
    scene.cast.bob.is_active = False
    scene.cast.bob.save()
    scene.cast.grace.set_unusable_password()
    scene.cast.grace.save()
    answers = [
        scene.sign_in("nobody@example.com"),
        scene.sign_in("ada@example.com", "wrong"),
        scene.sign_in("bob@example.com"),
        scene.sign_in("grace@example.com"),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    headers = [{k: v for k, v in answer.items() if k != "X-Request-Id"} for answer in answers]
    assert all(each == headers[0] for each in headers)


def test_61_a_hundred_sign_ins_that_fail_are_slowed_down(scene):
    answers = [scene.sign_in(f"person{number}@example.com", "wrong") for number in range(101)]
    assert [answer.status_code for answer in answers[:100]] == [401] * 100
    assert answers[100].status_code == 429
    assert int(answers[100]["Retry-After"]) > 0
