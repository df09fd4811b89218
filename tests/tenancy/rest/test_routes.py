"""Which paths answer without a token, as far as can be said without calling them."""

from __future__ import annotations

import pytest
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.views import APIView

from tenancy.rest.routes import Route, all_routes
from users.permissions import Anyone, IsPerson, MayUseTenant


class RulesOfItsOwn(APIView):
    def get_permissions(self):
        return []


def view(**options):
    return APIView.as_view(**options)


@pytest.mark.parametrize(
    ("callback", "is_open"),
    [
        (view(permission_classes=[MayUseTenant]), False),
        (view(permission_classes=[IsPerson, Anyone]), False),
        (view(permission_classes=[Anyone]), True),
        (view(permission_classes=[AllowAny]), True),
        (view(permission_classes=[]), True),
        (view(permission_classes=[IsPerson | Anyone]), True),
        (view(permission_classes=[BasePermission]), False),
        (view(), False),
        (RulesOfItsOwn.as_view(), True),
        (lambda _: None, True),
        (None, True),
    ],
)
def test_a_view_is_open_when_it_lets_strangers_in_or_cannot_be_read(callback, is_open):
    assert Route("api/", callback).is_open is is_open


def test_the_admin_is_one_path():
    paths = [route.path for route in all_routes()]
    assert paths.count("admin/") == 1
    assert not [path for path in paths if path.startswith("admin/") and path != "admin/"]
