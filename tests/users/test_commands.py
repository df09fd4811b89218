"""``manage.py membership``: who belongs to which tenant, said and done from a terminal."""

from __future__ import annotations

import sys

import pytest
from django.db import connections

from tenancy.audit.models import Event
from tenancy.management import execute
from tenancy.testing import databases, only_tenants
from users.models import Membership, Role

pytestmark = databases("control")


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command as ``manage.py`` does; returns its exit code and what it wrote."""
    # Django closes all connections after a command; here they hold the test's transaction.
    monkeypatch.setattr(connections, "close_all", lambda: None)

    def run(*arguments):
        try:
            execute(["manage.py", "membership", *arguments])
            code = 0
        except SystemExit as exc:
            code = exc.code
            if isinstance(code, str):  # Python prints what sys.exit() is given as text, and exits 1
                sys.stderr.write(f"{code}\n")
                code = 1
        written = capsys.readouterr()
        return code, written.out, written.err

    return run


def test_granting_makes_a_member(cast, run):
    assert run("grant", "eve@example.com", "acme") == (0, "eve@example.com is now member of acme.\n", "")
    assert cast.eve.memberships.get().role == Role.MEMBER


def test_granting_twice_is_as_good_as_once(cast, run):
    for _ in range(2):
        code, out, _ = run("grant", "eve@example.com", "acme", "--role", "admin")
        assert (code, out) == (0, "eve@example.com is now admin of acme.\n")
    assert cast.eve.memberships.get().role == Role.ADMIN


def test_granting_another_role_changes_it(cast, run):
    run("grant", "ada@example.com", "acme", "--role", "viewer", "--force")
    assert cast.ada.memberships.get().role == Role.VIEWER
    assert cast.grace.memberships.get(tenant_id="acme").role == Role.VIEWER
    assert cast.grace.memberships.get(tenant_id="globex").role == Role.ADMIN


def test_the_address_may_be_typed_in_any_case(cast, run):
    assert run("grant", "EVE@Example.com", "acme")[1] == "eve@example.com is now member of acme.\n"


def test_removing_twice_is_as_good_as_once(cast, run):
    for message in ("no longer belongs to acme", "did not belong to acme"):
        code, out, _ = run("remove", "grace@example.com", "acme")
        assert (code, out) == (0, f"grace@example.com {message}.\n")
    assert [membership.tenant_id for membership in cast.grace.memberships.all()] == ["globex"]
    assert cast.ada.memberships.exists()


def test_a_membership_of_a_tenant_that_is_gone_can_be_removed(cast, run):
    with only_tenants("acme"):
        assert run("remove", "bob@example.com", "globex")[0] == 0
    assert not Membership.objects.filter(tenant_id="globex", user=cast.bob).exists()


def test_the_list_is_that_of_one_tenant(cast, run):
    code, out, _ = run("list", "acme")
    assert code == 0
    assert sorted(out.splitlines()) == ["ada@example.com  owner", "grace@example.com  viewer"]
    assert run("list", "initech") == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("grant", "nobody@example.com", "acme"), "No user has the e-mail 'nobody@example.com'"),
        (("grant", "", "acme"), "No user has the e-mail ''"),
        (("remove", "nobody@example.com", "acme"), "No user has the e-mail 'nobody@example.com'"),
        (("grant", "ada@example.com", "acmee"), "Unknown tenant 'acmee' (did you mean 'acme'?)"),
        (("grant", "ada@example.com", "ACME"), "Unknown tenant 'ACME'"),
        (("list", "nosuch"), "Unknown tenant 'nosuch'"),
    ],
)
def test_an_error_is_one_line_and_exits_1(cast, run, arguments, message):
    before = list(Membership.objects.values_list("user", "tenant_id", "role"))
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert list(Membership.objects.values_list("user", "tenant_id", "role")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("invite",),
        ("grant",),
        ("grant", "eve@example.com"),
        ("grant", "eve@example.com", "acme", "--role", "root"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2(cast, run, arguments):
    code, _, err = run(*arguments)
    assert code == 2
    assert "usage:" in err
    assert not cast.eve.memberships.exists()


def test_the_last_owner_is_taken_away_by_force_only(cast, run):
    code, _, err = run("remove", "ada@example.com", "acme")
    assert code == 1
    assert "the last owner of acme" in err
    assert "--force" in err
    assert run("grant", "ada@example.com", "acme", "--role", "viewer")[0] == 1
    assert cast.ada.memberships.get().role == Role.OWNER
    assert run("remove", "ada@example.com", "acme", "--force")[0] == 0
    assert not cast.ada.memberships.exists()


def test_what_it_does_is_on_record(cast, run):
    run("grant", "eve@example.com", "acme", "--role", "admin")
    run("grant", "eve@example.com", "acme", "--role", "viewer")
    run("remove", "eve@example.com", "acme")
    events = Event.objects.order_by("at")
    assert [event.action for event in events] == ["member.added", "member.role_changed", "member.removed"]
    assert {event.actor_kind for event in events} == {"operator"}
    assert {event.target for event in events} == {"eve@example.com"}
