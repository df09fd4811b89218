"""Serializers take what their fields are, and nothing else."""

from __future__ import annotations

import pytest
from rest_framework import serializers

from tenancy.rest.serializers import StrictModelSerializer, StrictSerializer
from users.models import User


class Form(StrictSerializer):
    text = serializers.CharField(required=False, allow_null=True)
    number = serializers.IntegerField(required=False)
    flag = serializers.BooleanField(required=False)
    money = serializers.DecimalField(max_digits=6, decimal_places=2, required=False)
    made = serializers.CharField(read_only=True)


class UserForm(StrictModelSerializer):
    class Meta:
        model = User
        fields = ("email",)


def errors_of(data):
    form = Form(data=data)
    return set() if form.is_valid() else set(form.errors)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"text": "x", "number": 1, "flag": False, "money": "1.50"},
        {"text": None},
        {"text": ""} | {"text": "0"},
        {"number": 1.0},
        {"money": 1},
        {"money": 1.5},
        {"made": 5},
        {"made": {"any": ["thing"]}},
    ],
    ids=str,
)
def test_it_takes_the_type_of_the_field(data):
    assert errors_of(data) == set()


@pytest.mark.parametrize(
    "data",
    [
        *({"text": value} for value in (1, 1.5, True, [], {}, ["x"])),
        *({"number": value} for value in ("1", "", True, False, 1.5, None, [], {})),
        *({"flag": value} for value in ("true", "", 1, 0, 1.0, None, [], {})),
        *({"money": value} for value in ("", True, None, [], {})),
        {"other": 1},
        {"text": 5, "flag": "yes"},
    ],
    ids=str,
)
def test_it_refuses_another_type_and_names_the_field(data):
    assert errors_of(data) == set(data)


@pytest.mark.parametrize("data", [None, [], "x", 5, True], ids=repr)
def test_it_refuses_what_is_no_object(data):
    assert errors_of(data) == {"non_field_errors"}


def test_uniqueness_is_left_to_the_database():
    """A query before the write cannot decide a race. Here it would even raise: no database is allowed."""
    assert UserForm(data={"email": "ada@example.com"}).is_valid()


def test_the_other_validators_stay():
    assert not UserForm(data={"email": "not an address"}).is_valid()
