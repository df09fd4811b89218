"""A query whose SQL is made once answers like the one that is made anew."""

from __future__ import annotations

import uuid

import pytest
from django.db import connections
from django.db.models import F, Value
from django.test.utils import CaptureQueriesContext

from tenancy.testing import databases
from users.families import _family, _find_family, open_family
from users.models import TokenFamily, User
from users.prepared import PreparedQuery

pytestmark = databases("control")


@pytest.fixture
def family(cast):
    open_family(cast.grace, "acme")
    return TokenFamily.objects.filter(user=cast.grace, tenant_id="acme").latest("created_at")


def state(model):
    return {field.attname: getattr(model, field.attname) for field in model._meta.concrete_fields}


def test_it_finds_what_the_queryset_finds_with_user_and_role(family):
    values = {"id": family.id, "user": family.user_id, "tenant_id": "acme"}
    made, expected = _find_family.first(**values), _family(**values).get()
    assert state(made) == state(expected) == state(family)
    assert made.role == expected.role == "viewer"
    assert made._state.db == "control"
    assert not made._state.adding
    with CaptureQueriesContext(connections["control"]) as queries:
        assert state(made.user) == state(expected.user)
    assert len(queries) == 0


@pytest.mark.parametrize("name", ["id", "user", "tenant_id"])
def test_it_finds_nothing_for_another_value(family, name):
    values = {"id": family.id, "user": family.user_id, "tenant_id": "acme"}
    other = "globex" if name == "tenant_id" else uuid.uuid4()
    assert _find_family.first(**values | {name: other}) is None


def test_its_values_are_parameters_whatever_is_in_them(family):
    values = {"id": family.id, "user": family.user_id, "tenant_id": "acme' OR '1'='1"}
    assert _find_family.first(**values) is None


def test_a_null_that_an_outer_join_makes_is_none(family, cast):
    cast.grace.memberships.all().delete()
    assert _find_family.first(id=family.id, user=family.user_id, tenant_id="acme").role is None


def test_other_parameters_of_the_query_stay(cast):
    def marked(email):
        return User.objects.annotate(mark=Value("x"), again=F("email")).filter(is_active=True, email=email)

    query = PreparedQuery(marked, email="sample")
    found = query.first(email="ada@example.com")
    assert (found.mark, found.again) == ("x", "ada@example.com")
    assert query.first(email="nobody@example.com") is None


def test_it_is_made_once(family):
    def made(id):  # noqa: A002
        calls.append(1)
        return TokenFamily.objects.filter(id=id)

    calls = []
    query = PreparedQuery(made, id=uuid.uuid4())
    query.first(id=family.id)
    after_one = len(calls)
    assert query.first(id=family.id).pk == family.pk
    assert len(calls) == after_one


def test_a_value_that_the_query_does_not_use_is_refused():
    def forgetful(email, password):
        return User.objects.filter(email=email).exclude(password=f"not {password}")

    query = PreparedQuery(forgetful, email="sample", password="another")
    with pytest.raises(ValueError, match="must appear once"):
        query.first(email="ada@example.com", password="any")
