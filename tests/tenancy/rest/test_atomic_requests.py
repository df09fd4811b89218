"""A call as one transaction of its tenant's: opted in for all calls, or by one view."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connections
from django.http import StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.views import APIView

from catalog.models import Category
from tenancy.context import tenant_context
from tenancy.rest.errors import Conflict
from tenancy.rest.views import ApiViewMixin
from tenancy.testing import databases
from tenancy.transactions import tenant_on_commit
from users.permissions import Anyone

pytestmark = [databases("control", "acme", "globex", transaction=True), pytest.mark.urls(__name__)]

seen: list[str] = []


class Writes(ApiViewMixin, APIView):
    """Writes a category, and then ends as the query string says."""

    atomic_requests = True

    def known_parameters(self):
        return {"end"}

    def post(self, request):
        seen.append(",".join(alias for alias in connections if _in_transaction(alias)))
        Category.objects.create(name="written")
        tenant_on_commit(lambda: seen.append("committed"))
        match request.query_params.get("end"):
            case "raises":
                raise ValidationError({"name": ["no"]})
            case "answers":
                return Response({"detail": "no"}, status=409)
            case "breaks":
                raise RuntimeError("a fault of ours")
            case "fails to commit":
                tenant_on_commit(_fail)
            case "streams":
                return StreamingHttpResponse([b"rows"])
        return Response({}, status=201)


def _fail():
    raise IntegrityError("only now")


def _in_transaction(alias):
    return alias != "default" and connections[alias].in_atomic_block


class Plain(Writes):
    atomic_requests = None


class Never(Writes):
    atomic_requests = False


class Open(Writes):
    authentication_classes = ()
    permission_classes = (Anyone,)

    def post(self, request):
        return Response({"in": _in_transaction("control")})


urlpatterns = [
    path("writes/", Writes.as_view()),
    path("plain/", Plain.as_view()),
    path("never/", Never.as_view()),
    path("open/", Open.as_view()),
]


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


def names():
    with tenant_context("acme"):
        return list(Category.objects.values_list("name", flat=True))


def test_a_call_that_went_well_is_committed(ada):
    assert ada.post("/writes/").status_code == 201
    assert names() == ["written"]
    assert seen == [
        "acme",
        "committed",
    ]  # the tenant's database alone, never another's or the control plane's


@pytest.mark.parametrize(("end", "status"), [("raises", 400), ("answers", 409)])
def test_a_call_that_is_answered_with_an_error_leaves_nothing(ada, end, status):
    assert ada.post(f"/writes/?end={end}").status_code == status
    assert names() == []
    assert seen == ["acme"]
    assert not connections["acme"].in_atomic_block


def test_a_call_that_breaks_leaves_nothing(ada):
    ada.raise_request_exception = False
    assert ada.post("/writes/?end=breaks").status_code == 500
    assert names() == []


@pytest.mark.parametrize("end", ["raises", "answers"])
def test_without_it_an_error_leaves_what_was_written(ada, end):
    """The negative control, and the default."""
    ada.post(f"/plain/?end={end}")
    assert names() == ["written"]
    assert seen == ["", "committed"]


def test_what_fails_when_it_is_committed_is_answered_as_an_error(ada):
    response = ada.post("/writes/?end=fails to commit")
    assert (response.status_code, response.json()["code"]) == (409, Conflict.default_code)
    assert response["Content-Type"] == "application/json"


def test_a_setting_opts_in_for_every_call_and_a_view_out(ada):
    with override_settings(TENANCY_ATOMIC_REQUESTS=True):
        ada.post("/plain/?end=answers")
        assert names() == []
        ada.post("/never/?end=answers")
        assert names() == ["written"]


def test_a_streamed_body_comes_after_the_transaction(ada):
    assert ada.post("/writes/?end=streams").getvalue() == b"rows"
    assert seen == ["acme", "committed"]


def test_a_call_without_a_tenant_opens_no_transaction(client):
    assert client.post("/open/").json() == {"in": False}


def test_a_refused_call_opens_no_transaction(client):
    assert client.post("/writes/").status_code == 401
    assert seen == []
