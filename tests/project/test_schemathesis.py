"""The service answers as its description says, whatever it is asked: sense, nonsense and borders of both.

The calls are made up from the OpenAPI description and go through the WSGI application; each is undone
before the next. Every check of the tool is on. The same code is asked the same every time;
``FREEHOLD_TEST_EXAMPLES=1000`` asks more of each operation, and something else every time.
"""

from __future__ import annotations

import os
import re
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
import schemathesis
from django.core import signals
from django.db import close_old_connections, transaction
from django.http import HttpResponse
from hypothesis import HealthCheck, given, settings
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.viewsets import ModelViewSet
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance

from catalog.models import Category, Product
from catalog.serializers import CategorySerializer
from project.wsgi import application
from tenancy.context import tenant_context
from tenancy.rest.pagination import Pagination
from tenancy.testing import databases
from tests.settings import ENGINE
from tests.users import forge
from users.api.me import MeView
from users.families import TokenPair, open_family
from users.models import TokenFamily
from users.permissions import Anyone

DATABASES = ("control", "acme", "globex")
pytestmark = databases(*DATABASES)

EXAMPLES = os.environ.get("FREEHOLD_TEST_EXAMPLES", "")

CONFIG = {
    **({} if EXAMPLES else {"seed": 1}),
    "generation": {
        "max-examples": int(EXAMPLES or 20),
        "deterministic": not EXAMPLES,
        "database": "none",
        # No text of ours may hold a NUL: that is a 400, which tests of their own assert, and the description
        # does not say it at every field.
        "allow-x00": False,
        # Every call has Ada's token; that one without it, or with a bad one, is refused is what the check
        # `ignored_auth` asks after each that succeeds.
        "with-security-parameters": False,
    },
    # The borders of every value take half of the time, and are worked out when the tests are collected, in
    # every process. They are asked on the engine that runs in production; on the other, what chance finds.
    "phases": {"coverage": {"enabled": bool(EXAMPLES) or ENGINE == "postgresql"}},
    "checks": {
        # Nonsense may also fail its precondition first, and a good call that of a made-up ETag.
        "negative_data_rejection": {"expected-statuses": [400, 401, 403, 404, 405, 406, 409, 412, 413, 415]},
        "positive_data_acceptance": {"expected-statuses": ["2xx", 304, 401, 403, 404, 409, 412]},
    },
}

schema = schemathesis.openapi.from_wsgi(
    "/api/schema/", application, config=SchemathesisConfig.from_dict(CONFIG)
)


#: What a password has to be, which links are good, who may be invited and when a key has to end no
#: description can say: of these a call as described may be refused.
HAS_RULES = re.compile("/api/(me/password|password/reset/confirm|invitations|keys)/")


@dataclass(frozen=True)
class Door:
    """What a caller who is signed in to acme knows: tokens, and ids that exist."""

    pair: TokenPair
    product: str
    shelf: str
    empty_shelf: str
    session: str

    @property
    def headers(self):
        return {"Authorization": f"Bearer {self.pair.access}"}

    def ask(self, case):
        """Make a call, compare the answer with the description, and undo it."""
        self.know_path(case)
        self.know_body(case)
        excluded = [positive_data_acceptance] if HAS_RULES.match(case.operation.path) else []
        with undone():
            case.call_and_validate(headers=self.headers, excluded_checks=excluded)

    def know_path(self, case):
        """A made-up id is nobody's; put one that exists in the place of a good one. A made-up ETag never
        matches; put one that does in the place of about half of them."""
        if len(case.headers.get("If-Match", "x")) % 2 == 0:
            case.headers["If-Match"] = "*"
        if is_uuid(case.path_parameters.get("id")):
            known = self.product if "products" in case.path else self.shelf
            if case.method == "DELETE" and "categories" in case.path:
                known = self.empty_shelf
            if "sessions" in case.path:
                known = self.session
            case.path_parameters = {"id": known}

    def know_body(self, case):
        """The same for the ids and tokens in a body; and leave out what is taken though it is not offered."""
        if not isinstance(case.body, dict):
            return
        body = case.body
        # White space around a text is taken off before it is measured, but not around a password.
        known = {
            name: value.strip()
            for name, value in body.items()
            if isinstance(value, str) and name != "password"
        }
        # A price may be a number too. The description does not say so, for digits get lost.
        if type(body.get("price")) in (int, float):
            known["price"] = str(body["price"])
        if is_uuid(body.get("category")):
            known["category"] = self.shelf
        if is_uuid(body.get("parent")):
            known["parent"] = self.empty_shelf
        if isinstance(body.get("refresh"), str) and 1 < len(body["refresh"]) <= 16_384:
            known["refresh"] = self.pair.refresh
        case.body = body | known


def is_uuid(value):
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False


@contextmanager
def undone():
    with ExitStack() as stack:
        for alias in DATABASES:
            stack.enter_context(transaction.atomic(using=alias))
        try:
            yield
        finally:
            for alias in DATABASES:
                transaction.set_rollback(True, using=alias)


def rows():
    with tenant_context("acme"):
        return [list(model.objects.order_by("pk").values()) for model in (Category, Product, TokenFamily)]


@pytest.fixture
def door(cast, twin_products, mails):
    product, _ = twin_products()
    # So that her credentials, which the description has for an example, lead somewhere without a choice.
    cast.grace.memberships.filter(tenant_id="acme").delete()
    with tenant_context("acme"):
        empty = Category.objects.create(name="Empty")
    # The end of a request closes its connections; these hold the test's transaction (as in Django's client).
    ends = (signals.request_started, signals.request_finished)
    for signal in ends:
        signal.disconnect(close_old_connections)
    session = forge.claims_of(open_family(cast.ada, "acme").access)["sid"]
    yield Door(
        pair=open_family(cast.ada, "acme"),
        product=str(product.pk),
        shelf=str(product.category_id),
        empty_shelf=str(empty.pk),
        session=session,
    )
    for signal in ends:
        signal.connect(close_old_connections)


# The fixture serves all examples, for each is undone; and a slow machine is no mistake of the service's.
CALM = settings(deadline=None, suppress_health_check=list(HealthCheck))


def answers_as_described(label):
    @schema.include(name=label).parametrize()
    @settings(CALM)
    def test(case, door):
        door.ask(case)

    return test


# One function for each operation: the tests that the plugin makes of one function share one id, and a run
# that is spread over processes would make one of them only.
OPERATIONS = [result.ok() for result in schema.get_all_operations()]
for operation in OPERATIONS:
    name = operation.definition.raw["operationId"]
    globals()[f"test_{name}_answers_as_described"] = answers_as_described(operation.label)


def test_every_operation_is_asked():
    tests = [name for name in globals() if name.endswith("_answers_as_described")]
    described = APIClient().get("/api/schema/").json()["paths"].values()
    assert len(tests) == len(OPERATIONS) == sum(len(methods) for methods in described)


def machine_of(door, operations):
    """Calls in a row, of which a later one uses what an earlier one answered: these show that what was
    deleted is gone. Without the tokens' calls, or the row would end with one.

    That what was made is there, no check can say: `ensure_resource_availability` wants every parameter out of
    the earlier answer, and If-None-Match is in none.
    """

    class Machine(operations.as_state_machine()):
        def setup(self):
            self.end = ExitStack()
            self.end.enter_context(undone())

        def teardown(self):
            self.end.close()

        def before_call(self, case):
            door.know_body(case)
            # An earlier call of the row may have deleted it.
            if isinstance(case.body, dict) and case.body.get("parent") == door.empty_shelf:
                case.body = case.body | {"parent": None}

        def get_call_kwargs(self, case):
            return {"headers": door.headers}

        def validate_response(self, response, case, **kwargs):
            case.validate_response(
                response, headers=door.headers, transport_kwargs=kwargs, recorder=self.recorder
            )

    return Machine


ROWS_OF_CALLS = settings(
    CALM, max_examples=int(EXAMPLES or 25), derandomize=not EXAMPLES, database=None, stateful_step_count=8
)


def test_calls_in_a_row_answer_as_described(door):
    machine_of(
        door, schema.exclude(path_regex="^/api/(token|me/sessions|me/password|members|invitations|keys)/")
    ).run(settings=ROWS_OF_CALLS)


def case_of(path, method="GET", **values):
    return schema[path][method].Case(**values)


def test_what_is_asked_leaves_nothing_behind(door):
    before = rows()
    door.ask(case_of("/api/products/{id}/", "DELETE", path_parameters={"id": door.product}))
    door.ask(case_of("/api/categories/", "POST", body={"name": "New"}))
    assert rows() == before


# The checks can fail: each of these is a service that does not answer as its description says.


def fails(*args, **kwargs):
    raise RuntimeError


def answers(*args, **kwargs):
    return lambda *_: Response(*args, **kwargs)


ME = {
    "id": "9f4a3c1e-0000-4000-8000-000000000000",
    "email": "ada@example.com",
    "name": "Ada",
    "tenant": {"id": "acme", "name": "Acme Corporation"},
    "role": "owner",
}


def test_what_is_described_is_taken(door, monkeypatch):
    """Without this, the next would also pass where every answer is refused."""
    monkeypatch.setattr(MeView, "get", answers(ME))
    door.ask(case_of("/api/me/"))


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (fails, "Server error"),
        (answers(status=503), "Server error"),
        (answers({"detail": "No tea.", "code": "teapot"}, status=418), "Undocumented status code"),
        (lambda *_: HttpResponse("Ada"), "Undocumented Content-Type"),
        (answers(ME | {"id": 5}), "Response violates schema"),
        (answers(ME | {"role": "king"}), "Response violates schema"),
        (answers({"id": ME["id"]}), "Response violates schema"),
    ],
    ids=["error", "busy", "status", "type", "number", "choice", "less"],
)
def test_an_answer_that_is_not_described_is_found(door, monkeypatch, answer, complaint):
    monkeypatch.setattr(MeView, "get", answer)
    with pytest.raises(FailureGroup, match=complaint):
        door.ask(case_of("/api/me/"))


def test_a_page_whose_link_has_another_type_is_found(door, monkeypatch):
    monkeypatch.setattr(Pagination, "get_next_link", lambda _: 2)
    with pytest.raises(FailureGroup, match="Response violates schema"):
        door.ask(case_of("/api/products/"))


def test_an_operation_that_asks_for_no_token_is_found(door, monkeypatch):
    monkeypatch.setattr(MeView, "permission_classes", (Anyone,))
    monkeypatch.setattr(MeView, "get", answers(ME))
    with pytest.raises(FailureGroup, match="without authentication"):
        door.ask(case_of("/api/me/"))


def test_a_fault_that_only_some_calls_meet_is_found(door, monkeypatch):
    def create(self, validated_data):
        assert not validated_data.get("description")
        return Category.objects.create(**validated_data)

    @settings(CALM, max_examples=50, derandomize=True, database=None)
    @given(case=schema["/api/categories/"]["POST"].as_strategy())
    def ask(case):
        door.ask(case)

    ask()
    monkeypatch.setattr(CategorySerializer, "create", create)
    with pytest.raises(FailureGroup, match="Server error"):
        ask()


def test_an_object_that_stays_when_it_is_deleted_is_found(door, monkeypatch):
    """Categories only, and many rows: which calls are drawn depends on what code is loaded, and among all
    operations the three that it takes may never come in a row."""
    categories = schema.include(path_regex="^/api/categories/").exclude(method=["PUT", "PATCH"])
    many = settings(ROWS_OF_CALLS, max_examples=200)
    machine_of(door, categories).run(settings=settings(many, max_examples=25))
    monkeypatch.setattr(ModelViewSet, "perform_destroy", lambda *_: None)
    with pytest.raises(FailureGroup, match="previously deleted"):
        machine_of(door, categories).run(settings=many)
