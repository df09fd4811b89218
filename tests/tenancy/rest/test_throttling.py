"""Throttles: per tenant where there is one, and for all together where there is none."""

from __future__ import annotations

import pytest
from django.test import override_settings
from django.urls import path
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.throttling import AnonRateThrottle, UserRateThrottle
from rest_framework.views import APIView

from tenancy import checks
from tenancy.exceptions import NoTenant
from tenancy.rest.throttling import SharedThrottleMixin
from tenancy.testing import databases


class AnonThrottle(SharedThrottleMixin, AnonRateThrottle):
    rate = "2/hour"


class TenantsAnonThrottle(AnonRateThrottle):
    rate = "2/hour"


class UserThrottle(UserRateThrottle):
    rate = "2/hour"


class OpenView(APIView):
    permission_classes = ()
    authentication_classes = ()
    throttle_classes = (AnonThrottle,)

    def get(self, request):
        return Response({})


class TenantsView(APIView):
    throttle_classes = (UserThrottle,)

    def get(self, request):
        return Response({})


urlpatterns = [
    path("open/", OpenView.as_view()),
    path("as-django-has-it/", OpenView.as_view(throttle_classes=(TenantsAnonThrottle,))),
    path("tenants/", TenantsView.as_view()),
]


@pytest.fixture(autouse=True)
def urls():
    with override_settings(ROOT_URLCONF=__name__):
        yield


def test_without_a_tenant_it_counts_for_all_and_says_when_to_come_back():
    client = APIClient()
    assert [client.get("/open/").status_code for _ in range(3)] == [200, 200, 429]
    response = client.get("/open/")
    assert response.json()["code"] == "throttled"
    assert 3590 <= int(response["Retry-After"]) <= 3600


@databases("control")
def test_djangos_own_is_refused_there():
    with pytest.raises(NoTenant):
        APIClient().get("/as-django-has-it/")


def test_e203_names_it():
    (error,) = checks.check_throttles()
    assert error.id == "tenancy.E203"
    assert "'as-django-has-it/'" in error.msg
    assert "TenantsAnonThrottle" in error.msg
    with override_settings(ROOT_URLCONF=""):
        assert checks.check_throttles() == []


@databases("control", "acme", "globex")
def test_each_tenant_has_counts_of_its_own(cast):
    for tenant_id in ("acme", "globex"):
        client = cast.client(cast.grace, tenant_id)
        assert [client.get("/tenants/").status_code for _ in range(3)] == [200, 200, 429]
