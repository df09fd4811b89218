"""Every path there is: who may call it without a token is written down here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from rest_framework.permissions import AllowAny
from rest_framework.test import APIClient
from rest_framework.views import APIView

from tenancy.rest.routes import all_routes
from tenancy.rest.views import ApiViewMixin
from tenancy.testing import databases
from users.permissions import Anyone, IsOwner, IsPerson, MayManagePeople, MayUseTenant

# The whole of it. A path that is added here can be called by the whole world.
OPEN_TO_ANYONE = {
    ".well-known/jwks.json",
    "api/invitations/accept/",
    "api/password/reset/",
    "api/password/reset/confirm/",
    "api/token/",
    "api/token/refresh/",
    "api/token/revoke/",
    "api/schema/",
    "api/docs/",
}
# Plain views of Django, which know nothing of tokens. The admin has a sign-in of its own.
WITHOUT_TOKENS = {"livez", "readyz", "", "account/password/", "account/invitation/", "admin", "admin/"}
FOR_THE_SIGNED_IN = {
    "api/me/",
    "api/me/password/",
    "api/me/sessions/",
    "api/me/sessions/<uuid:id>/",
    "api/me/tenants/",
    "api/token/switch/",
}

FOR_OWNERS = {"api/audit/"}
FOR_MANAGERS = {
    "api/keys/",
    "api/keys/<uuid:id>/",
    "api/members/",
    "api/members/<uuid:id>/",
    "api/invitations/",
    "api/invitations/<uuid:id>/",
}

METHODS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Path:
    route: str
    callback: Any

    @property
    def is_api(self) -> bool:
        return hasattr(self.callback, "cls")

    @property
    def permissions(self) -> list[type]:
        """As the view will have them: ``as_view(permission_classes=…)`` beats the class."""
        options = getattr(self.callback, "initkwargs", {})
        return list(options.get("permission_classes", self.callback.cls.permission_classes))

    @property
    def methods(self) -> list[str]:
        actions = getattr(self.callback, "actions", None)
        return [
            method
            for method in METHODS
            if (method in actions if actions else hasattr(self.callback.cls, method))
        ]

    def url(self, key: object) -> str:
        return "/" + re.sub(r"\(\?P<pk>.*?\)|<uuid:\w+>", str(key), self.route).replace("^", "").rstrip("$")


PATHS = [Path(route.path, route.callback) for route in all_routes()]
API_PATHS = [path for path in PATHS if path.is_api]
CLOSED_PATHS = [path for path in API_PATHS if path.route not in OPEN_TO_ANYONE]


def by_route(path):
    return path.route


def test_the_walk_finds_what_is_there():
    routes = {path.route for path in API_PATHS}
    assert routes >= OPEN_TO_ANYONE | FOR_THE_SIGNED_IN
    assert any("products" in route and "pk" in route for route in routes)
    assert len(API_PATHS) >= 12


def test_what_needs_no_token_is_on_the_list():
    assert {path.route for path in API_PATHS if issubclass(path.permissions[0], AllowAny)} == OPEN_TO_ANYONE


@pytest.mark.parametrize(("path", "leads_to"), [("/", "/api/docs/"), ("/admin", "/admin/")])
def test_a_person_who_guesses_is_led_on(path, leads_to):
    response = APIClient().get(path)
    assert (response.status_code, response["Location"]) == (302, leads_to)


def test_views_outside_the_api_are_on_the_list():
    assert {path.route for path in PATHS if not path.is_api} == WITHOUT_TOKENS


@pytest.mark.parametrize("path", API_PATHS, ids=by_route)
def test_every_view_says_who_may_call_it(path):
    """One permission each, of ours, and asked in the ordinary way."""
    (permission,) = path.permissions
    if path.route in OPEN_TO_ANYONE:
        assert permission is Anyone
    elif path.route in FOR_THE_SIGNED_IN:
        assert permission is IsPerson
    elif path.route in FOR_MANAGERS:
        assert permission is MayManagePeople
    elif path.route in FOR_OWNERS:
        assert permission is IsOwner
    else:
        assert permission is MayUseTenant
    for name in ("get_permissions", "check_permissions", "perform_authentication"):
        assert getattr(path.callback.cls, name) is getattr(APIView, name)
    assert path.callback.cls.initial is ApiViewMixin.initial


def test_the_default_for_a_view_that_says_nothing_is_the_strictest():
    assert APIView.permission_classes == [MayUseTenant]


@databases("control")
@pytest.mark.parametrize("path", CLOSED_PATHS, ids=by_route)
def test_it_answers_401_to_strangers(path):
    assert path.methods
    for method in path.methods:
        response = getattr(APIClient(), method)(
            path.url(uuid.uuid4()), {}, format=None if method == "get" else "json"
        )
        assert response.status_code == 401, method
        assert response.json()["code"] == "not_authenticated"
        assert response["WWW-Authenticate"] == 'Bearer realm="api"'


@databases("control")
def test_the_admin_asks_strangers_to_sign_in():
    for url in ("/admin/", "/admin/users/user/", "/admin/users/membership/", "/admin/nothing/"):
        response = APIClient().get(url)
        assert response.status_code == 302
        assert response["Location"].startswith("/admin/login/?next=")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "FOO"])
@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/nothing/", 404, "not_found"),
        ("/livez", 405, "method_not_allowed"),
        ("/readyz", 405, "method_not_allowed"),
    ],
)
def test_what_guards_forms_does_not_answer_for_the_api(method, path, status, code):
    response = Client(enforce_csrf_checks=True).generic(method, path)
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_views_are_imported_in_nobody_s_context():
    """Else a job that builds a link first would make the querysets of views its tenant's."""
    program = (
        "import django, sys; django.setup(); from django.conf import settings;"
        "sys.exit(settings.ROOT_URLCONF not in sys.modules or 'catalog.views' not in sys.modules)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
