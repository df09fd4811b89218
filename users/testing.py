"""The cast: who is who in every test of the API.

Ada owns acme, Bob is a member of globex, Grace is in both with different roles, Eve is in none. They all
have the same password, hashed once.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from rest_framework.test import APIClient

from users.families import open_family
from users.models import Membership, Role, User

PASSWORD = "correct-horse-battery"

ROLES: dict[str, dict[str, Role]] = {
    "ada": {"acme": Role.OWNER},
    "bob": {"globex": Role.MEMBER},
    "grace": {"acme": Role.VIEWER, "globex": Role.ADMIN},
    "eve": {},
}


@functools.cache
def _hashed_password() -> str:
    return make_password(PASSWORD)


@dataclass(frozen=True)
class Cast:
    ada: User
    bob: User
    grace: User
    eve: User

    def client(self, user: User, tenant_id: str) -> APIClient:
        """An API client that is signed in as ``user`` to a tenant."""
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {open_family(user, tenant_id).access}")
        return client


@pytest.fixture
def cast(db: Any) -> Cast:
    """Ada, Bob, Grace and Eve. Needs ``@databases("control", …)``."""
    people = {}
    for name, roles in ROLES.items():
        user = User.objects.create(
            email=f"{name}@example.com", name=name.title(), password=_hashed_password()
        )
        for tenant_id, role in roles.items():
            Membership.objects.create(user=user, tenant_id=tenant_id, role=role)
        people[name] = user
    return Cast(**people)


@pytest.fixture
def ada(cast: Cast) -> APIClient:
    """Signed in to acme, which she owns."""
    return cast.client(cast.ada, "acme")


@pytest.fixture
def bob(cast: Cast) -> APIClient:
    """Signed in to globex, where he is a member."""
    return cast.client(cast.bob, "globex")


@pytest.fixture
def grace(cast: Cast) -> APIClient:
    """Signed in to acme, where she may only read; she is an admin of globex too."""
    return cast.client(cast.grace, "acme")


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch, mailoutbox: list[Any]) -> list[Any]:
    """The mails that were sent. They are sent at once, in the test's transaction, as a worker would later."""
    for module in ("passwords", "invitations"):
        monkeypatch.setattr(f"users.api.{module}.later", lambda task, *arguments: task.run(*arguments))
    return mailoutbox


def token_in(mail: Any) -> str:
    """What stands behind the ``#`` of a mail's link."""
    found = re.search(r"https?://\S+#(\S+)", str(mail.body))
    assert found is not None, "There is no link in this mail."
    return found[1]
