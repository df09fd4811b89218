"""The service with one guard switched off, and the test that is to notice.

``MUTANT=<name> pytest -p tests.isolation.mutants <test>`` runs a test against a mutant. Each change is made in
memory, in that process only. ``docs/isolation.md`` lists them; ``laboratory.py`` tries them all, faster.
"""

from __future__ import annotations

import contextvars
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

TENANCY = "tests/tenancy"


@dataclass(frozen=True)
class Mutant:
    """``test`` passes against the service and has to fail against the mutant."""

    guard: str  # what is off, as docs/isolation.md has it
    test: str
    mutate: Callable[[], None]
    engine: str = ""  # the one it shows on; empty for both


MUTANTS: dict[str, Mutant] = {}


def mutant(name: str, guard: str, test: str, engine: str = "") -> Callable[[Callable[[], None]], None]:
    def register(mutate: Callable[[], None]) -> None:
        MUTANTS[name] = Mutant(guard, test, mutate, engine)

    return register


def pytest_collection_finish(session: pytest.Session) -> None:
    """As a plugin: mutate when the project is loaded and no test has run."""
    if name := os.environ.get("MUTANT"):
        MUTANTS[name].mutate()


# Layer 1: the router.


@mutant(
    "hint-not-compared",
    "the router compares the instance's database",
    f"{TENANCY}/test_routers.py::test_the_router_alone_refuses_another_tenants_object",
)
def _() -> None:
    from tenancy.routers import TenantRouter

    careful = TenantRouter.db_for_read
    TenantRouter.db_for_read = TenantRouter.db_for_write = lambda self, model, **_: careful(self, model)


@mutant(
    "relation-always-allowed",
    "the router compares the databases of two objects",
    f"{TENANCY}/test_routers.py::test_objects_may_be_related_when_one_database_holds_both",
)
def _() -> None:
    from tenancy.routers import TenantRouter

    TenantRouter.allow_relation = lambda *_, **__: True


@mutant(
    "no-tenant-is-the-control-plane",
    "the router raises without a tenant",
    f"{TENANCY}/test_routers.py::test_without_a_tenant_it_raises",
)
def _() -> None:
    from tenancy.context import current_tenant
    from tenancy.routers import TenantRouter

    careful = TenantRouter.db_for_read
    TenantRouter.db_for_read = TenantRouter.db_for_write = lambda self, model, **hints: (
        careful(self, model, **hints) if current_tenant() else "control"
    )


# Layer 2: tenant models and querysets.


@mutant(
    "queries-forget",
    "a query becomes SQL for its own tenant only",
    "tests/isolation/test_primitives.py::test_it_works_for_its_own_tenant_only[Exists-sync]",
)
def _() -> None:
    from django.db.models import sql

    from tenancy.querysets import TenantQuery

    TenantQuery.get_compiler = sql.Query.get_compiler


@mutant(
    "objects-forget",
    "an object is used on its own tenant's database only",
    "tests/isolation/test_primitives.py::test_it_works_for_its_own_tenant_only[save a new one-sync]",
)
def _() -> None:
    from tenancy import memory

    memory.require_database = lambda *_: None


@mutant(
    "conditions-not-looked-at",
    "an object in a condition is looked at",
    "tests/isolation/test_primitives.py::test_it_works_for_its_own_tenant_only[filter by an object-sync]",
)
def _() -> None:
    from django.db.models import sql

    from tenancy.querysets import TenantQuery

    TenantQuery.check_query_object_type = sql.Query.check_query_object_type


@mutant(
    "rows-are-anybodys",
    "rows once fetched are read in their own context only",
    "tests/isolation/test_primitives.py::test_it_works_for_its_own_tenant_only[rows once fetched-sync]",
)
def _() -> None:
    from tenancy import memory

    memory.require_context = lambda *_: None


@mutant(
    "nobodys-queryset-keeps-rows",
    "an unbound queryset keeps no rows",
    f"{TENANCY}/test_querysets.py::test_an_unbound_queryset_keeps_no_rows",
)
def _() -> None:
    from tenancy.querysets import TenantQuerySet

    TenantQuerySet._bound_here = lambda self: self


@mutant(
    "equal-by-key-alone",
    "objects of two tenants are never equal",
    f"{TENANCY}/test_models.py::test_two_tenants_objects_are_never_equal",
)
def _() -> None:
    from django.db.models import Model

    from tenancy.models import TenantModel

    TenantModel.__eq__ = Model.__eq__
    TenantModel.__hash__ = Model.__hash__


@mutant(
    "prefetch-asks-the-first",
    "all objects of a prefetch are looked at, not the first alone",
    f"{TENANCY}/test_querysets.py::test_objects_of_two_tenants_are_not_prefetched_together",
)
def _() -> None:
    from tenancy.relations import _PrefetchesOneTenants

    del _PrefetchesOneTenants.get_prefetch_querysets


@mutant(
    "relations-change-unseen",
    "`remove()` and `set()` of a relation look at their objects",
    f"{TENANCY}/test_models.py::test_what_was_made_for_another_tenant_is_related_to_nothing_here",
)
def _() -> None:
    from tenancy import memory

    memory.require_databases = lambda *_: None


@mutant(
    "links-forget",
    "the table of a many-to-many field is a tenant model",
    f"{TENANCY}/test_models.py::test_links_remember_their_tenant",
)
def _() -> None:
    from django.db import models
    from django.db.models.base import ModelBase

    from tests.workshop.models import Tool

    links = Tool.labels.through
    links.__bases__ = (models.Model,)
    links.__class__ = ModelBase
    links._meta.local_managers.clear()
    links.add_to_class("objects", models.Manager())


@mutant(
    "raw-rows-are-anybodys",
    "raw rows are read in their own context only",
    f"{TENANCY}/test_querysets.py::test_raw_rows_once_fetched_are_read_by_their_own_only",
)
def _() -> None:
    from tenancy.querysets import TenantRawQuerySet

    TenantRawQuerySet._require_readable = lambda _: None


@mutant(
    "values-of-an-update-not-looked-at",
    "an object in the values of an update is looked at",
    f"{TENANCY}/test_querysets.py::test_another_tenants_object_in_the_values_of_an_update_is_refused",
)
def _() -> None:
    from django.db.models import sql

    from tenancy.querysets import TenantQuery

    TenantQuery.chain = sql.Query.chain


@mutant(
    "deserialised-anywhere",
    "an object is looked at where `save_base` is jumped over",
    f"{TENANCY}/test_models.py::test_a_deserialised_object_is_saved_for_its_own_tenant_only",
)
def _() -> None:
    from django.db.models.signals import pre_save

    from tenancy import models

    assert pre_save.disconnect(models._require_own_database)


# Layer 3: the connection.


@mutant(
    "guard-at-opening-only",
    "a connection looks at every statement and fetch",
    f"{TENANCY}/test_guard.py::test_a_kept_cursor_is_dead_in_another_tenants_context",
)
def _() -> None:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from tenancy.backends.wrapper import TenancyWrapper

    TenancyWrapper.require_admission = lambda _: None
    TenancyWrapper.validate_no_broken_transaction = BaseDatabaseWrapper.validate_no_broken_transaction


@mutant(
    "drivers-ways-unguarded",
    "a cursor guards what the driver can and Django does not know",
    f"{TENANCY}/test_guard.py::test_a_kept_cursor_is_dead_by_whatever_way_the_driver_has",
)
def _() -> None:
    from django.db.backends.utils import CursorWrapper

    from tenancy.backends.cursors import GuardedRows

    GuardedRows.__getattr__ = CursorWrapper.__getattr__


@mutant(
    "other-files-attached",
    "an SQLite connection reads its own file only",
    f"{TENANCY}/test_backends.py::test_no_other_file_is_attached",
    "sqlite",
)
def _() -> None:
    import sqlite3

    sqlite3.SQLITE_LIMIT_ATTACHED = sqlite3.SQLITE_LIMIT_WORKER_THREADS


@mutant(
    "strangers-not-refused",
    "a connection refuses other tenants",
    f"{TENANCY}/test_backends.py::test_in_a_request_a_connection_needs_the_tenant",
)
def _() -> None:
    from tenancy.backends.wrapper import TenancyWrapper

    TenancyWrapper._refuse_strangers = lambda _: None


@mutant(
    "commit-not-guarded",
    "a connection refuses to commit for another tenant",
    f"{TENANCY}/test_guard.py::test_a_transaction_is_not_committed_in_another_tenants_context",
)
def _() -> None:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from tenancy.backends.wrapper import TenancyWrapper

    TenancyWrapper.commit = BaseDatabaseWrapper.commit


@mutant(
    "outdated-connection-kept",
    "a tenant whose entry has changed is not served over its old connection",
    f"{TENANCY}/test_live.py::test_a_repointed_tenant_is_not_served_over_its_old_connection",
)
def _() -> None:
    from tenancy.backends.wrapper import TenancyWrapper
    from tenancy.registry import registry_changed

    registry_changed.receivers = []
    TenancyWrapper.is_current = lambda _: True  # type: ignore[method-assign]


@mutant(
    "swapped-entries-served",
    "two entries that are swapped while the service runs show nothing",
    f"{TENANCY}/test_live.py::test_two_tenants_that_are_swapped_never_show_each_others_data",
)
def _() -> None:
    from tenancy import stamp

    stamp.shake_hands = lambda _: None


# Layer 4: the stamp.


@mutant(
    "stamp-not-read",
    "a new connection is asked whose database it is",
    f"{TENANCY}/test_backends.py::test_a_connection_that_did_not_pass_is_closed_and_asked_again",
)
def _() -> None:
    from tenancy import stamp

    stamp.shake_hands = lambda _: None


@mutant(
    "owner-not-asked-by-hand",
    "a connection by hand is asked whose database it is, too",
    f"{TENANCY}/test_backends.py::test_a_connection_by_hand_to_another_tenants_database_does_not_pass",
)
def _() -> None:
    from tenancy.backends.wrapper import TenancyWrapper

    TenancyWrapper._ask_for_the_owner_once = lambda _: None


@mutant(
    "migrated-whosever-it-is",
    "the fleet migrates nobody else's database",
    f"{TENANCY}/test_rollout.py::test_somebody_elses_database_is_not_migrated[plain]",
)
def _() -> None:
    from tenancy import standing

    standing.needs_stamp = lambda _: False


# Layer 5: PostgreSQL.


@mutant(
    "roles-not-hardened",
    "PostgreSQL lets a role into its own database only",
    f"{TENANCY}/test_hardening.py::test_a_role_that_could_read_another_tenants_database_can_no_longer_connect",
    "postgresql",
)
def _() -> None:
    from tenancy.roles import _Reconciliation

    _Reconciliation.close_database = lambda _: None


# The context.


@mutant(
    "context-not-cleared",
    "nothing is left when a request ends",
    f"{TENANCY}/test_middleware.py::test_an_exception_leaves_the_scope",
)
def _() -> None:
    from tenancy import context, middleware

    @contextmanager
    def request_scope(request_id: str = "") -> Iterator[None]:
        frame = context.Frame(None, is_request=True, request_id=request_id)
        context._frame.set(frame)
        yield
        context._frame.set(context.NOBODY)

    middleware.request_scope = request_scope


@mutant(
    "request-not-emptied",
    "a task that outlives its request loses the tenant",
    f"{TENANCY}/test_context.py::test_a_task_that_outlives_its_request_loses_the_tenant",
)
def _() -> None:
    from tests.tenancy import test_context

    @contextmanager
    def request_scope(request_id: str = "") -> Iterator[None]:
        from tenancy import context

        context._frame.set(context.Frame(None, is_request=True))
        try:
            yield
        finally:
            context._frame.set(context.NOBODY)

    test_context.request_scope = request_scope


@mutant(
    "request-not-locked",
    "a request cannot be entered for another tenant",
    f"{TENANCY}/test_context.py::test_a_block_in_a_request_may_name_its_own_tenant_only",
)
def _() -> None:
    from tenancy import context
    from tests.tenancy import test_context

    @contextmanager
    def tenant_context(tenant: Any) -> Iterator[Any]:
        tenant = context.get_registry().get(tenant)
        with context._entered(context.Frame(tenant, is_request=context.in_request())):
            yield tenant

    test_context.tenant_context = tenant_context


@mutant(
    "stream-not-carried",
    "a streamed body is made for its request's tenant",
    f"{TENANCY}/test_streams.py::test_a_body_reads_its_own_tenants_rows",
)
def _() -> None:
    from tenancy import middleware

    middleware.carry_stream = lambda *_, **__: None


@mutant(
    "callback-not-carried",
    "a callback runs for who made it",
    f"{TENANCY}/test_transactions.py::test_a_callback_runs_for_who_made_it_whoever_commits",
)
def _() -> None:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from tenancy.backends.wrapper import TenancyWrapper

    TenancyWrapper.on_commit = BaseDatabaseWrapper.on_commit


# The pool.

CONNECTIONS = f"{TENANCY}/test_connections.py"


@mutant(
    "parked-in-use",
    "a connection in use is given to nobody",
    f"{CONNECTIONS}::TestAnAsyncRequest::test_cancelled_in_a_query_hands_nothing_on",
)
def _() -> None:
    """When the scope ends its connection goes to the next request, while the thread of a cancelled one is still
    inside a query."""
    from tenancy.backends.wrapper import TenancyWrapper

    TenancyWrapper._is_in_order = lambda _: True  # type: ignore[method-assign]


@mutant(
    "parked-in-one-place",
    "an idle connection goes to its own tenant only",
    f"{CONNECTIONS}::TestABlock::test_hands_it_to_another_thread_too_which_finds_its_own_tenants_rows",
)
def _() -> None:
    from tenancy.pool import Pool

    own = Pool.take

    def take(self: Any, alias: str) -> Any:
        return own(self, next((connection.alias for connection, _ in self._idle.values()), alias))

    Pool.take = take  # type: ignore[method-assign]


@mutant(
    "changed-session-kept",
    "a connection whose session may have been changed goes to nobody",
    f"{CONNECTIONS}::test_a_connection_on_which_something_is_left_over_is_closed[leave_a_setting]",
)
def _() -> None:
    from tenancy.backends import cursors

    cursors._may_change_session = lambda _: False


@mutant(
    "old-entry-kept",
    "a connection made from an old entry goes to nobody",
    f"{CONNECTIONS}::test_a_connection_to_where_the_tenant_was_before_is_not_kept",
)
def _() -> None:
    from tenancy.backends.wrapper import TenancyWrapper

    TenancyWrapper.is_current = lambda _: True  # type: ignore[method-assign]


@mutant(
    "read-only-written",
    "a connection of a read-only tenant refuses writes",
    f"{CONNECTIONS}::TestAReadOnlyTenant::test_is_not_written_by_whatever_way",
)
def _() -> None:
    from tenancy.backends.wrapper import TenancyWrapper

    TenancyWrapper.must_be_read_only = lambda _: False  # type: ignore[method-assign]


@mutant(
    "threads-inherit",
    "a new thread has no tenant",
    f"{TENANCY}/test_context.py::test_a_new_thread_has_no_tenant",
)
def _() -> None:
    import threading

    start = threading.Thread.start

    def start_with_context(thread: threading.Thread) -> None:
        thread.run = functools.partial(contextvars.copy_context().run, thread.run)  # type: ignore[method-assign]
        start(thread)

    threading.Thread.start = start_with_context  # type: ignore[method-assign]


# What stops being global.


@mutant(
    "cache-keys-shared",
    "a cache key begins with the tenant",
    "tests/tenancy/test_cache.py::test_a_method_finds_no_other_tenants_entry",
)
def _() -> None:
    from django.core.cache.backends.base import default_key_func

    from tenancy.cache import TenantCacheMixin

    TenantCacheMixin.key_function = staticmethod(default_key_func)


@mutant(
    "storage-root-kept",
    "the root of files is the tenant's, at each call",
    "tests/tenancy/test_storage.py::test_a_method_finds_no_other_tenants_file",
)
def _() -> None:
    from django.core.files.storage import FileSystemStorage

    from tenancy.storage import TenantFileSystemStorage

    TenantFileSystemStorage.base_location = FileSystemStorage.base_location
    TenantFileSystemStorage.location = FileSystemStorage.location


# Who may enter.


@mutant(
    "membership-not-checked",
    "a membership is looked up on every request",
    "tests/users/test_authentication.py::test_a_lost_membership_acts_at_once",
)
def _() -> None:
    from users import authentication

    find = authentication.find_family

    def find_family(claims: Any) -> Any:
        family = find(claims)
        if family is not None and family.role is None:
            family.role = "member"
        return family

    authentication.find_family = find_family


@mutant(
    "retired-key-believed",
    "a remembered signature is good for as long as its key is",
    "tests/users/test_verified.py::test_a_key_that_was_taken_out_of_the_ring_vouches_for_nothing",
)
def _() -> None:
    from users.verified import VerifiedTokens

    careful = VerifiedTokens.find

    def find(self: Any, text: str, keys: Any, terms: Any) -> Any:
        kept = {verified.kid: verified.key for verified in self._found.values()}
        return careful(self, text, kept, terms)

    VerifiedTokens.find = find  # type: ignore[method-assign]


@mutant(
    "suspended-served",
    "a suspended tenant is closed",
    "tests/users/test_permissions.py::test_a_suspended_tenant_is_closed_to_its_members",
)
def _() -> None:
    from tenancy.tenant import Status
    from users import permissions

    class Open:
        SUSPENDED = object()
        READ_ONLY = Status.READ_ONLY

    permissions.Status = Open


# Jobs.


@mutant(
    "task-for-anybody",
    "a task is sent in a tenant's context only",
    f"{TENANCY}/test_tasks.py::test_without_a_broker_it_runs_at_once",
)
def _() -> None:
    from tenancy.tasks import TenantTask

    TenantTask._sender = lambda *_: "acme"


@mutant(
    "message-needs-no-tenant",
    "a worker refuses a message without a tenant",
    f"{TENANCY}/test_tasks.py::test_a_message_without_one_is_refused_by_the_worker[headers0]",
)
def _() -> None:
    from tenancy.context import tenant_context
    from tenancy.tasks import TenantTask

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with tenant_context((self.request.headers or {}).get("tenant_id", "acme")):
            return self.run(*args, **kwargs)

    TenantTask.__call__ = call


@mutant(
    "reports-write",
    "a report's connection cannot write",
    f"{TENANCY}/reports/test_reading.py::test_it_cannot_write_in_or_out_of_a_transaction",
)
def _() -> None:
    from tenancy.backends.pooled import PooledWrapper

    PooledWrapper.must_be_read_only = lambda self: False  # type: ignore[method-assign]


@mutant(
    "answers-are-anybodys",
    "a worker's answer is of the tenant that was asked",
    f"{TENANCY}/reports/test_distributed.py::test_a_message_carries_every_value_exactly",
)
def _() -> None:
    from dataclasses import replace

    from tenancy.reports import message

    careful = message.unpack
    message.unpack = lambda report, tenant, facts: careful(report, replace(tenant, id=facts["tenant"]), facts)

    import tests.tenancy.reports.test_distributed as test

    test.unpack = message.unpack


# People and keys: what belongs to a tenant in the control plane, which all tenants share.

USERS = "tests/users"


@mutant(
    "host-not-a-lock",
    "on a tenant's host only its credentials are good",
    f"{USERS}/test_hosts.py::test_on_a_tenants_host_only_its_token_is_good[/api/products/-shop.acme.example]",
)
def _() -> None:
    from users import authentication

    authentication.refuse_other_host = lambda *_: None


@mutant(
    "members-of-all-tenants",
    "the people of a tenant are its own",
    f"{USERS}/test_members.py::test_another_tenants_member_is_nobody",
)
def _() -> None:
    from users import members
    from users.models import Membership

    members.members_of = lambda _: Membership.objects.select_related("user")
    careful = members._locked

    def anybodys(tenant_id: str, user_id: Any) -> Any:
        member = Membership.objects.filter(user_id=user_id).first()
        return careful(member.tenant_id if member else tenant_id, user_id)

    members._locked = anybodys


@mutant(
    "invitations-of-all-tenants",
    "the invitations of a tenant are its own",
    f"{USERS}/test_invitations.py::test_two_tenants_invite_without_knowing_of_each_other",
)
def _() -> None:
    from users import invitations
    from users.models import Invitation

    invitations.pending = lambda tenant_id, key=None: Invitation.objects.filter(
        **{} if key is None else {"pk": key}
    )


@mutant(
    "inviter-not-asked",
    "an invitation is as good as its sender is now",
    f"{USERS}/test_invitations.py::test_an_invitation_is_as_good_as_who_sent_it_is_now[deactivated]",
)
def _() -> None:
    from users import invitations

    invitations._check_inviter = lambda _: None


@mutant(
    "trail-of-all-tenants",
    "an owner reads the audit trail of their tenant only",
    f"{USERS}/test_audit.py::test_an_owner_sees_that_of_their_tenant",
)
def _() -> None:
    from tenancy.audit.models import Event
    from users.api.audit import EventsView

    EventsView.get_queryset = lambda _: Event.objects.all()  # type: ignore[method-assign]


@mutant(
    "sessions-of-everybody",
    "one sees and ends one's own sessions only",
    f"{USERS}/test_sessions.py::test_nobody_ends_anothers",
)
def _() -> None:
    from users.api.sessions import OwnSessionsView
    from users.models import TokenFamily

    OwnSessionsView.get_queryset = lambda _: TokenFamily.objects.all()  # type: ignore[method-assign]


@mutant(
    "keys-of-all-tenants",
    "the API keys of a tenant are its own",
    f"{USERS}/test_api_keys.py::TestWhoMayMakeOne::test_another_tenants_are_not_there",
)
def _() -> None:
    from users import api_keys
    from users.models import ApiKey

    careful = api_keys.keys_of
    api_keys.keys_of = lambda tenant_id, key=None: (
        careful(tenant_id, key) if key is None else api_keys._with_maker(ApiKey.objects.filter(pk=key))
    )


@mutant(
    "key-outlives-its-maker",
    "a key is good while its maker belongs to its tenant",
    f"{USERS}/test_api_keys.py::TestItIsOver::test_when_its_maker_belongs_elsewhere_only",
)
def _() -> None:
    from users import api_keys
    from users.models import Membership

    def of_any_tenant(keys: Any) -> Any:
        membership = Membership.objects.filter(user_id=api_keys.OuterRef("created_by_id")).order_by()
        role = api_keys.Subquery(membership.values("role")[:1])
        return keys.select_related("created_by").annotate(maker_role=role)

    api_keys._with_maker = of_any_tenant
    api_keys._find_key._statement = None


@mutant(
    "secret-not-compared",
    "of a key the secret is compared, not its prefix alone",
    f"{USERS}/test_api_keys.py::test_what_is_not_quite_the_key_is_refused",
)
def _() -> None:
    from users import api_keys

    class Trusting:
        compare_digest = staticmethod(lambda *_: True)

    api_keys.hmac = Trusting


@mutant(
    "keys-are-people",
    "a key looks after no people",
    f"{USERS}/test_api_keys.py::test_it_is_no_person[get-/api/members/]",
)
def _() -> None:
    from users.permissions import HasAccess, IsPerson

    IsPerson.has_permission = HasAccess.has_permission  # type: ignore[method-assign]
