"""From an exception to an answer: the status, the code, and what a stranger may read."""

from __future__ import annotations

import json
import sqlite3

import pytest
from django.core.exceptions import PermissionDenied
from django.db import DataError, IntegrityError, InterfaceError, OperationalError, ProgrammingError
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404
from django.test import RequestFactory
from rest_framework import exceptions

from tenancy.context import tenant_context
from tenancy.exceptions import (
    DatabaseBusy,
    DatabaseUnavailable,
    RegistryUnavailable,
    StampMismatch,
    TenantMigrating,
)
from tenancy.rest import errors

SECRET = "db1.internal"


def answer(exc):
    response = errors.exception_handler(exc, {})
    return response.status_code, response.data["code"], dict(response.headers)


def with_alias(exc, alias):
    exc.alias = alias
    return exc


def with_cause(exc, code):
    exc.__cause__ = sqlite3.OperationalError(SECRET)
    exc.__cause__.sqlite_errorcode = code
    return exc


@pytest.mark.parametrize(
    ("exc", "status", "code"),
    [
        (Http404(f"No Product at {SECRET}"), 404, "not_found"),
        (PermissionDenied(SECRET), 403, "forbidden"),
        (exceptions.PermissionDenied(), 403, "forbidden"),
        (exceptions.NotAuthenticated(), 401, "not_authenticated"),
        (exceptions.AuthenticationFailed(), 401, "token_not_valid"),
        (exceptions.ParseError(), 400, "invalid"),
        (exceptions.ValidationError({"x": ["bad"]}), 400, "invalid"),
        (exceptions.MethodNotAllowed("GET"), 405, "method_not_allowed"),
        (exceptions.NotAcceptable(), 406, "not_acceptable"),
        (exceptions.UnsupportedMediaType("x"), 415, "unsupported_media_type"),
        (exceptions.Throttled(), 429, "throttled"),
        (exceptions.APIException(), 500, "server_error"),
        (errors.Conflict(), 409, "conflict"),
        (errors.PreconditionFailed(), 412, "precondition_failed"),
        (errors.PayloadTooLarge(), 413, "payload_too_large"),
        (ProtectedError(SECRET, set()), 409, "conflict"),
        (RestrictedError(SECRET, set()), 409, "conflict"),
        (RegistryUnavailable(SECRET), 503, "tenant_unavailable"),
        (DatabaseUnavailable("acme", SECRET), 503, "tenant_unavailable"),
        (StampMismatch("acme"), 503, "tenant_unavailable"),
        (DatabaseBusy("acme", SECRET), 503, "tenant_busy"),
        (TenantMigrating("acme", SECRET), 503, "tenant_migrating"),
        (DatabaseUnavailable("control", SECRET), 503, "control_unavailable"),
        (DatabaseBusy("control", SECRET), 503, "control_unavailable"),
        (with_alias(OperationalError(SECRET), "acme"), 503, "tenant_unavailable"),
        (with_alias(InterfaceError(SECRET), "acme"), 503, "tenant_unavailable"),
        (with_alias(OperationalError(SECRET), "control"), 503, "control_unavailable"),
        (with_cause(OperationalError(SECRET), sqlite3.SQLITE_BUSY), 503, "control_unavailable"),
        (IntegrityError(SECRET), 409, "conflict"),
        (DataError(SECRET), 400, "invalid"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_it_answers_and_tells_nothing(exc, status, code):
    assert answer(exc)[:2] == (status, code)
    assert SECRET not in json.dumps(errors.exception_handler(exc, {}).data)


@pytest.mark.parametrize("exc", [RuntimeError("x"), KeyError("x"), ProgrammingError("x")], ids=repr)
def test_a_mistake_of_ours_is_not_an_answer(exc):
    assert errors.exception_handler(exc, {}) is None


def test_an_error_without_an_alias_is_the_tenants_in_context():
    with tenant_context("acme"):
        assert answer(with_cause(OperationalError(), sqlite3.SQLITE_BUSY))[1] == "tenant_busy"
    assert answer(with_cause(OperationalError(), sqlite3.SQLITE_BUSY))[1] == "control_unavailable"


@pytest.mark.parametrize(
    ("exc", "wait"),
    [
        (DatabaseUnavailable("acme"), "5"),
        (DatabaseBusy("acme"), "1"),
        (TenantMigrating("acme", "is behind"), "5"),
        (DatabaseUnavailable("control"), "5"),
        (RegistryUnavailable("x"), "5"),
        (exceptions.Throttled(wait=7), "7"),
        (exceptions.Throttled(wait=0.2), "1"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_it_says_when_to_try_again(exc, wait):
    assert answer(exc)[2]["Retry-After"] == wait


@pytest.mark.parametrize("exc", [exceptions.NotAuthenticated(), exceptions.AuthenticationFailed()])
def test_a_401_says_how_to_sign_in(exc):
    assert answer(exc)[2]["WWW-Authenticate"] == 'Bearer realm="api"'


def test_other_errors_carry_neither_header():
    headers = answer(errors.Conflict())[2]
    assert not {"WWW-Authenticate", "Retry-After"} & set(headers)


def test_the_details_are_logged_for_the_operator(caplog):
    errors.exception_handler(OperationalError(SECRET), {})
    assert "Database 'control' is unavailable" in caplog.text
    assert SECRET in caplog.text


def test_what_says_it_all_is_logged_without_a_traceback(caplog):
    fault = DatabaseUnavailable("acme", "it is gone")
    fault.__cause__ = OperationalError(SECRET)
    errors.exception_handler(fault, {})
    (record,) = caplog.records
    assert record.getMessage() == f"The database of 'acme' is unavailable: it is gone. ({SECRET})"
    assert record.exc_info is None


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ({"name": ["bad"]}, {"name": ["bad"]}),
        ("bad", {"non_field_errors": ["bad"]}),
        (["bad", "worse"], {"non_field_errors": ["bad", "worse"]}),
    ],
    ids=["by field", "one", "several"],
)
def test_errors_are_by_field(detail, expected):
    body = errors.body_of(exceptions.ValidationError(detail))
    assert body == {
        "detail": "The request is not valid; see errors.",
        "code": "invalid",
        "errors": expected,
    }


@pytest.mark.parametrize(
    ("handler", "status", "code"),
    [
        (errors.bad_request, 400, "bad_request"),
        (errors.permission_denied, 403, "forbidden"),
        (errors.not_found, 404, "not_found"),
        (errors.method_not_allowed, 405, "method_not_allowed"),
        (errors.server_error, 500, "server_error"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_no_view_sees_is_answered_in_json_as_well(handler, status, code):
    response = handler(RequestFactory().get("/x"))
    assert response.status_code == status
    assert response["Content-Type"] == "application/json"
    body = json.loads(response.content)
    assert set(body) == {"detail", "code"}
    assert body["code"] == code
