"""Who gets what from every operation of the API: a cell for each operation, caller and id.

Which operations there are, and where an id stands in one, comes from the OpenAPI description; how to call
each stands in ``ROWS``. What each caller may expect follows from a few rules (``expected``), and what a row
says otherwise.

Every object of acme has a twin of the same key in globex, and each tenant has objects that the other has
not. A leak then shows as the other's data, and a difference between "theirs" and "nobody's" as a difference.
"""

from __future__ import annotations

import copy
import hashlib
import json
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone
from rest_framework.serializers import ModelSerializer
from rest_framework.test import APIClient

from catalog.models import Category, Product
from catalog.views import ProductViewSet
from tenancy.audit.trail import SERVICE, record
from tenancy.context import enter_request, tenant_context
from tenancy.registry import get_registry
from tenancy.testing import databases, twins
from tests.project.test_openapi import BEARER, KEYS, operations
from tests.users import forge
from users.api_keys import create, note_use
from users.families import TokenPair, end_family, open_family
from users.models import ApiKey, Invitation, Membership, Role, TokenFamily, User
from users.passwords import reset_tokens
from users.permissions import HasAccess
from users.testing import PASSWORD
from users.tokens import TenantRefreshToken

pytestmark = databases("control", "acme", "globex")

OTHER = {"acme": "globex", "globex": "acme"}
WRITES = {"POST", "PUT", "PATCH", "DELETE"}

OWN, THEIRS, RANDOM = "own id", "the other tenant's id", "random id"


@dataclass(frozen=True)
class Answer:
    """A status and, of an error, its code and the name it complains of."""

    status: int
    code: str | None = None
    about: str | None = None


NOT_AUTHENTICATED = Answer(401, "not_authenticated")
TOKEN_NOT_VALID = Answer(401, "token_not_valid")
KEY_NOT_VALID = Answer(401, "key_not_valid")
INVALID_CREDENTIALS = Answer(401, "invalid_credentials")
TENANT_FORBIDDEN = Answer(403, "tenant_forbidden")
FORBIDDEN = Answer(403, "forbidden")
PERSON_REQUIRED = Answer(403, "person_required")
NOT_FOUND = Answer(404, "not_found")
LINK_NOT_VALID = Answer(400, "link_not_valid")
#: Who of the cast looks after people, in the tenants that the callers are signed in to.
MANAGERS = {"ada"}
#: Whose session stands for those of a tenant.
OWNERS = {"acme": "ada", "globex": "bob"}


def invalid(name):
    return Answer(400, "invalid", name)


# Callers


def forged(token, **claims):
    """The token with other claims, signed by us."""
    return forge.sign(forge.header_of(token), forge.claims_of(token) | claims)


def expired(token):
    now = int(time.time())
    return forged(token, iat=now - 7200, exp=now - 3600)


def revoke(user, pair):
    end_family(TenantRefreshToken.read(pair.refresh))


def as_a_token(credentials):
    return credentials.replace("Api-Key", "Bearer")


def deactivate(user, pair):
    user.is_active = False
    user.save()


def remove(user, pair):
    Membership.objects.filter(user=user).delete()


def revoke_keys(user, pair):
    ApiKey.objects.filter(created_by=user).update(revoked_at=timezone.now())


def expire_keys(user, pair):
    ApiKey.objects.filter(created_by=user).update(expires_at=timezone.now())


@dataclass(frozen=True)
class Caller:
    """Somebody of the cast, and what they do to get in."""

    name: str
    who: str = "ada"
    #: The tenant whose token they have.
    home: str = "acme"
    token: Callable[[Any], str | None] = lambda pair: getattr(pair, "access", pair)
    #: What happened after they signed in.
    since: Callable[[User, TokenPair], None] | None = None
    #: What every operation that is not open answers them.
    refused: Answer | None = None
    may_write: bool = True
    #: What a machine's key may do that they made, and asks with; None for a person.
    key: Role | None = None
    #: How they name another tenant: each adds to the request.
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, str] = field(default_factory=dict)


CALLERS = [
    Caller("ada"),
    Caller("no token", token=lambda _: None, refused=NOT_AUTHENTICATED),
    Caller("garbage token", token=lambda _: "garbage", refused=TOKEN_NOT_VALID),
    Caller("expired token", token=lambda pair: expired(pair.access), refused=TOKEN_NOT_VALID),
    Caller("refresh token as access token", token=lambda pair: pair.refresh, refused=TOKEN_NOT_VALID),
    Caller("bob of globex", who="bob", home="globex"),
    Caller(
        "bob with a forged token for acme",
        who="bob",
        home="globex",
        token=lambda pair: forged(pair.access, tenant_id="acme"),
        refused=TOKEN_NOT_VALID,
    ),
    # As after a lost membership: all about the session is right, and the tenant is not hers.
    Caller("eve with a session in acme", who="eve", refused=TENANT_FORBIDDEN),
    Caller(
        "eve with a forged token for acme",
        who="eve",
        token=lambda pair: forged(pair.access, sid=str(uuid.uuid4())),
        refused=TOKEN_NOT_VALID,
    ),
    Caller("revoked session", since=revoke, refused=TOKEN_NOT_VALID),
    Caller("deactivated user", since=deactivate, refused=TOKEN_NOT_VALID),
    Caller("grace, a viewer of acme", who="grace", may_write=False),
    Caller("ada's key", key=Role.MEMBER),
    Caller("ada's key to read", key=Role.VIEWER, may_write=False),
    Caller("a key for globex", who="bob", home="globex", key=Role.MEMBER),
    Caller("grace's key to write", who="grace", key=Role.MEMBER, may_write=False),
    Caller("garbage key", key=Role.MEMBER, token=lambda key: f"{key}x", refused=KEY_NOT_VALID),
    Caller("a key as a token", key=Role.MEMBER, token=as_a_token, refused=TOKEN_NOT_VALID),
    Caller("revoked key", key=Role.MEMBER, since=revoke_keys, refused=KEY_NOT_VALID),
    Caller("expired key", key=Role.MEMBER, since=expire_keys, refused=KEY_NOT_VALID),
    Caller("a key whose maker was removed", key=Role.MEMBER, since=remove, refused=KEY_NOT_VALID),
    Caller("a key whose maker was deactivated", key=Role.MEMBER, since=deactivate, refused=KEY_NOT_VALID),
    Caller(
        "a key naming X-Tenant",
        key=Role.MEMBER,
        headers={"X-Tenant": "globex"},
        refused=invalid("X-Tenant"),
    ),
    Caller("ada naming X-Tenant", headers={"X-Tenant": "globex"}, refused=invalid("X-Tenant")),
    Caller("ada naming X-Tenant-Id", headers={"X-Tenant-Id": "globex"}, refused=invalid("X-Tenant-Id")),
    Caller("ada naming ?tenant", query={"tenant": "globex"}),
    Caller("ada naming ?tenant_id", query={"tenant_id": "globex"}),
    Caller("ada naming tenant in the body", body={"tenant": "globex"}),
    Caller("ada naming tenant_id in the body", body={"tenant_id": "globex"}),
]
ADA = CALLERS[0]


# Operations


@dataclass(frozen=True)
class Entered:
    """A caller in a test: who they are and the tokens they were given."""

    caller: Caller
    user: User
    pair: TokenPair


OPEN, SIGNED_IN, TENANT = "open to anyone", "for the signed-in", "of the tenant"
#: For owners and admins of the tenant: what these calls change is in the control plane.
PEOPLE = "of the tenant's people"


@dataclass(frozen=True)
class Row:
    """How to call an operation rightly, and who may."""

    operation: str
    access: str
    success: int
    #: Where an id stands, as in ``path.id``, ``query.category`` and ``body.parent``, and the id of what.
    ids: dict[str, str] = field(default_factory=dict)
    #: The rest of the body; None for an operation without one.
    body: Callable[[Entered], dict[str, Any]] | None = None
    #: What a right answer shows, with ``{home}`` for the tenant's id and ``{name}`` for its name.
    shows: str = ""
    #: Whether a viewer may call it.
    viewer: bool = True
    #: What callers get in spite of the rules, by name.
    otherwise: dict[str, Answer] = field(default_factory=dict)

    @property
    def method(self):
        return self.operation.partition(" ")[0]

    @property
    def path(self):
        return self.operation.partition(" ")[2]


TOKEN_CLAIM = '"tenant_id": "{home}"'
SHELF, EMPTY_SHELF, THING, SESSION = "a category", "an empty category", "a product", "a session"
MEMBER, INVITED, KEY = "a member", "an invitation", "an API key"

ROWS = [
    Row(
        "POST /api/token/",
        OPEN,
        200,
        body=lambda entered: {"email": entered.user.email, "password": PASSWORD},
        shows=TOKEN_CLAIM,
        otherwise={
            "eve with a session in acme": TENANT_FORBIDDEN,
            "eve with a forged token for acme": TENANT_FORBIDDEN,
            "deactivated user": INVALID_CREDENTIALS,
            "grace, a viewer of acme": Answer(400, "tenant_required"),
            "ada naming tenant_id in the body": TENANT_FORBIDDEN,
        },
    ),
    Row(
        "POST /api/token/refresh/",
        OPEN,
        200,
        body=lambda entered: {"refresh": entered.pair.refresh},
        shows=TOKEN_CLAIM,
        otherwise={
            "eve with a session in acme": TENANT_FORBIDDEN,
            "eve with a forged token for acme": TENANT_FORBIDDEN,
            "revoked session": TOKEN_NOT_VALID,
            "deactivated user": TOKEN_NOT_VALID,
        },
    ),
    Row("POST /api/token/revoke/", OPEN, 204, body=lambda entered: {"refresh": entered.pair.refresh}),
    Row(
        "POST /api/token/switch/",
        SIGNED_IN,
        200,
        body=lambda entered: {"tenant_id": entered.caller.home},
        shows=TOKEN_CLAIM,
        otherwise={"ada naming tenant_id in the body": TENANT_FORBIDDEN},
    ),
    Row("GET /api/me/", SIGNED_IN, 200, shows='"tenant":{{"id":"{home}","name":"{name}"}}'),
    Row("GET /api/me/tenants/", SIGNED_IN, 200, shows='{{"id":"{home}","name":"{name}"'),
    Row("GET /.well-known/jwks.json", OPEN, 200),
    Row("GET /api/me/sessions/", SIGNED_IN, 200, shows='"tenant":{{"id":"{home}","name":"{name}"}}'),
    Row("DELETE /api/me/sessions/", SIGNED_IN, 204),
    Row("DELETE /api/me/sessions/{id}/", SIGNED_IN, 204, ids={"path.id": SESSION}),
    Row(
        "POST /api/me/password/",
        SIGNED_IN,
        200,
        body=lambda _: {"current_password": PASSWORD, "new_password": "a-brand-new-password"},
        shows=TOKEN_CLAIM,
    ),
    Row("POST /api/password/reset/", OPEN, 202, body=lambda entered: {"email": entered.user.email}),
    Row(
        "POST /api/password/reset/confirm/",
        OPEN,
        204,
        body=lambda entered: {"token": reset_token(entered.user), "password": "a-brand-new-password"},
        otherwise={"deactivated user": LINK_NOT_VALID},
    ),
    Row(
        "POST /api/invitations/accept/",
        OPEN,
        200,
        body=lambda entered: {"token": f"invitation to {entered.caller.home}", "password": "a-brand-new-one"},
        shows='"tenant":{{"id":"{home}","name":"{name}"}}',
        # Who was deactivated had sent it.
        otherwise={"deactivated user": LINK_NOT_VALID},
    ),
    Row("GET /api/keys/", PEOPLE, 200, shows="key-of-{home}"),
    Row("POST /api/keys/", PEOPLE, 201, body=lambda _: {"name": "New", "role": "member"}),
    Row("DELETE /api/keys/{id}/", PEOPLE, 204, ids={"path.id": KEY}),
    Row("GET /api/audit/", PEOPLE, 200, shows="done-in-{home}"),
    Row("GET /api/members/", PEOPLE, 200, shows="member-of-{home}"),
    Row(
        "PATCH /api/members/{id}/",
        PEOPLE,
        200,
        ids={"path.id": MEMBER},
        body=lambda _: {"role": "member"},
        shows="member-of-{home}",
    ),
    Row("DELETE /api/members/{id}/", PEOPLE, 204, ids={"path.id": MEMBER}),
    Row("GET /api/invitations/", PEOPLE, 200, shows="invited-to-{home}"),
    Row("POST /api/invitations/", PEOPLE, 201, body=lambda _: {"email": "else@example.com"}),
    Row("DELETE /api/invitations/{id}/", PEOPLE, 204, ids={"path.id": INVITED}),
    Row("GET /api/categories/", TENANT, 200, shows="Things of {home}"),
    Row(
        "POST /api/categories/",
        TENANT,
        201,
        ids={"body.parent": EMPTY_SHELF},
        body=lambda _: {"name": "New"},
        viewer=False,
    ),
    Row("GET /api/categories/{id}/", TENANT, 200, ids={"path.id": SHELF}, shows="Things of {home}"),
    Row(
        "PUT /api/categories/{id}/",
        TENANT,
        200,
        ids={"path.id": SHELF, "body.parent": EMPTY_SHELF},
        body=lambda _: {"name": "New"},
        shows="canary-{home}",
        viewer=False,
    ),
    Row(
        "PATCH /api/categories/{id}/",
        TENANT,
        200,
        ids={"path.id": SHELF, "body.parent": EMPTY_SHELF},
        body=lambda _: {},
        shows="Things of {home}",
        viewer=False,
    ),
    Row("DELETE /api/categories/{id}/", TENANT, 204, ids={"path.id": EMPTY_SHELF}, viewer=False),
    Row("GET /api/products/", TENANT, 200, ids={"query.category": SHELF}, shows="canary-{home}"),
    Row("GET /api/products/export/", TENANT, 200, ids={"query.category": SHELF}, shows="canary-{home}"),
    Row(
        "POST /api/products/",
        TENANT,
        201,
        ids={"body.category": SHELF},
        body=lambda _: {"sku": "N-1", "name": "New", "price": "1.00", "currency": "EUR"},
        viewer=False,
    ),
    Row("GET /api/products/{id}/", TENANT, 200, ids={"path.id": THING}, shows="canary-{home}"),
    Row(
        "PUT /api/products/{id}/",
        TENANT,
        200,
        ids={"path.id": THING, "body.category": SHELF},
        body=lambda _: {"sku": "A-1", "name": "New", "price": "1.00", "currency": "EUR"},
        shows="canary-{home}",
        viewer=False,
    ),
    Row(
        "PATCH /api/products/{id}/",
        TENANT,
        200,
        ids={"path.id": THING, "body.category": SHELF},
        body=lambda _: {"stock": 9},
        shows="canary-{home}",
        viewer=False,
    ),
    Row("DELETE /api/products/{id}/", TENANT, 204, ids={"path.id": THING}, viewer=False),
]


@dataclass(frozen=True)
class Cell:
    """One call: which of the ids in it is not the caller's own, and whose it is instead."""

    row: Row
    caller: Caller
    place: str = ""
    whose: str = OWN

    def __str__(self):
        where = f" as {self.place}" if self.place else ""
        return f"{self.row.operation}, {self.caller.name}, {self.whose}{where}"


def cells(row):
    for caller in CALLERS:
        if row.access == OPEN and caller.key and caller.name != "ada's key":
            continue  # nobody looks at a key there: one is enough to see that
        yield Cell(row, caller)
        for place in row.ids:
            yield Cell(row, caller, place, THEIRS)
            yield Cell(row, caller, place, RANDOM)


def expected(cell):
    """The rules, in the order in which they are asked."""
    row, caller, foreign = cell.row, cell.caller, cell.place.partition(".")[0]
    if caller.name in row.otherwise:
        return row.otherwise[caller.name]
    if caller.refused and row.access != OPEN:
        return caller.refused
    if caller.key and row.access in (SIGNED_IN, PEOPLE):
        return PERSON_REQUIRED
    if not (caller.may_write or row.viewer):
        return FORBIDDEN
    if row.access == PEOPLE and caller.who not in MANAGERS:
        return FORBIDDEN
    for name in caller.query:
        return invalid(name)
    if foreign == "path":
        return NOT_FOUND
    for name in caller.body if row.body else ():
        return invalid(name)
    if foreign == "body":
        return invalid(cell.place.partition(".")[2])
    return Answer(row.success)


# Calls


@dataclass(frozen=True)
class Seen:
    """All that a caller sees of an answer."""

    status: int
    headers: dict[str, str]
    body: str


def contents(alias, *models):
    """Every row of some tables. Not through the ORM, which is slower, and is what is being tested."""
    found = []
    with connections[alias].cursor() as cursor:
        for model in models:
            cursor.execute(f"SELECT * FROM {model._meta.db_table} ORDER BY id")
            found.append(cursor.fetchall())
    return found


class Scene:
    """Two tenants, a cast, and one caller at the door."""

    def __init__(self, cast, caller, ids):
        user = getattr(cast, caller.who)
        pair = open_family(user, caller.home)
        if caller.key is None:
            token = caller.token(pair)
            credentials = None if token is None else f"Bearer {token}"
        else:
            key, text = create(caller.home, "Job", caller.key, None, maker=user, who=SERVICE)
            note_use(key)  # so that this call is not the one that writes it
            credentials = caller.token(f"Api-Key {text}")
        self.home, self.other = caller.home, OTHER[caller.home]
        self.ids = {
            OWN: ids["both"]
            | {what: ids[caller.home][what] for what in (MEMBER, INVITED, KEY)}
            | {SESSION: ids["sessions"][caller.who, caller.home]},
            THEIRS: ids[self.other] | {SESSION: ids["sessions"][OWNERS[self.other], self.other]},
        }
        self.client = APIClient()
        if credentials is not None:
            self.client.credentials(HTTP_AUTHORIZATION=credentials)
        if caller.since:
            caller.since(user, pair)
        self.entered = Entered(caller, user, pair)
        member_of = Membership.objects.filter(user=user).values_list("tenant_id", flat=True)
        self.is_member_of_the_other = self.other in member_of

    def call(self, row, place="", whose=OWN):
        caller = self.entered.caller
        own = {each: self.ids[OWN][what] for each, what in row.ids.items()}
        asked = own.get(place)
        if whose != OWN:
            asked = uuid.uuid4() if whose == RANDOM else self.ids[whose][row.ids[place]]
        values = own | {place: asked}
        path, query = row.path, dict(caller.query)
        body = row.body(self.entered) if row.body else {}
        for each, value in values.items():
            kind, _, name = each.partition(".")
            if kind == "path":
                path = path.replace(f"{{{name}}}", str(value))
            elif kind == "query":
                query[name] = str(value)
            elif kind == "body":
                body[name] = str(value)
        body |= caller.body
        response = self.client.generic(
            row.method,
            path,
            json.dumps(body) if body else "",
            content_type="application/json",
            headers=caller.headers,
            query_params=query,
        )
        return seen(response, asked)

    @cached_property
    def before(self):
        """What there was before the first call. Each is undone, so that it is there before the next."""
        return self.rows()

    def rows(self):
        """All there is in each database that a call may touch."""
        found = {"control": contents("control", User, Membership, TokenFamily, Invitation, ApiKey)}
        for tenant_id in OTHER:
            with tenant_context(tenant_id):
                found[tenant_id] = contents(tenant_id, Category, Product)
        return found

    def leaks(self, answer):
        """What of the other tenant stands in an answer. An id that was asked for is masked there."""
        secrets = [f"canary-{self.other}", f"Things of {self.other}", f"Only in {self.other}"]
        secrets += [f"{what}-{self.other}" for what in ("member-of", "invited-to", "done-in", "key-of")]
        secrets += [str(key) for key in self.ids[THEIRS].values()]
        if not self.is_member_of_the_other:
            secrets += [self.other, get_registry().get(self.other).name]
        text = f"{answer.headers} {answer.body}"
        return [secret for secret in secrets if secret in text]


def reset_token(user):
    return f"{user.pk.hex}.{reset_tokens.make_token(user)}"


def session_of(user, tenant_id):
    """A new session of somebody's, which is not the one that they ask from."""
    return forge.claims_of(open_family(user, tenant_id).access)["sid"]


def seen(response, asked=None):
    """An answer, with the id that was asked for masked and the claims of tokens in plain."""
    body = response.getvalue().decode()
    if response.status_code == 200 and '"access"' in body:
        pair = json.loads(body)
        body += "".join(json.dumps(forge.claims_of(pair[name])) for name in ("access", "refresh"))
    headers = {name: value for name, value in response.items() if name != "X-Request-Id"}
    if asked is None:
        return Seen(response.status_code, headers, body)
    headers = {name: value.replace(str(asked), "ID") for name, value in headers.items()}
    return Seen(response.status_code, headers, body.replace(str(asked), "ID"))


def told(answer):
    """The status, and what an error says of itself."""
    if answer.status < 400:
        return Answer(answer.status)
    body = json.loads(answer.body)
    names = list(body.get("errors", ()))
    return Answer(answer.status, body["code"], ", ".join(names) or None)


def check(scene, cell):
    """Make the call of a cell and compare the answer, and what it left behind, with what is right."""
    row, wanted = cell.row, expected(cell)
    before = scene.before
    answer = scene.call(row, cell.place, cell.whose)
    after = scene.rows()
    assert told(answer) == wanted, "This is not the answer."
    assert scene.leaks(answer) == [], "The answer shows what is another tenant's."
    assert after[scene.other] == before[scene.other], "A row of another tenant has changed."
    if wanted.status >= 400:
        assert after == before, "The call was refused, and changed something."
        assert (wanted.status == 401) == ("WWW-Authenticate" in answer.headers)
    else:
        changed = after[scene.home] != before[scene.home]
        assert changed == (row.access == TENANT and row.method in WRITES)
        if cell.whose == OWN:
            shown = row.shows.format(home=scene.home, name=get_registry().get(scene.home).name)
            assert shown in answer.body, "The answer does not show what is the caller's own."
    if cell.whose == THEIRS:
        assert answer == scene.call(row, cell.place, RANDOM), "An id of another tenant is not a random one."


@pytest.fixture
def ids(cast, twin_products, mails):
    """The keys of what both tenants have, and of what only one has."""
    product, _ = twin_products(description=lambda tenant_id: f"canary-{tenant_id}")
    spare, _ = twins(Category, OTHER, name=lambda tenant_id: f"Spare things of {tenant_id}")
    found = {"both": {THING: product.pk, SHELF: product.category_id, EMPTY_SHELF: spare.pk}}
    for tenant_id in OTHER:
        with tenant_context(tenant_id):
            Category.objects.update(description=f"canary-{tenant_id}")
            # In use: an answer that looked there would be a conflict.
            shelf = Category.objects.create(name=f"Only in {tenant_id}")
            thing = Product.objects.create(
                sku="O-1", name=f"Only in {tenant_id}", category=shelf, price="1.00", currency="EUR"
            )
        found[tenant_id] = {THING: thing.pk, SHELF: shelf.pk, EMPTY_SHELF: shelf.pk}
        member = User.objects.create(email=f"member-of-{tenant_id}@example.com")
        Membership.objects.create(user=member, tenant_id=tenant_id, role=Role.MEMBER)
        invitation = Invitation.objects.create(
            tenant_id=tenant_id,
            email=f"invited-to-{tenant_id}@example.com",
            email_canonical=f"invited-to-{tenant_id}@example.com",
            role=Role.MEMBER,
            invited_by={"acme": cast.ada, "globex": cast.grace}[tenant_id],
            token_hash=hashlib.sha256(f"invitation to {tenant_id}".encode()).hexdigest(),
            expires_at=timezone.now() + timedelta(days=1),
        )
        maker = {"acme": cast.ada, "globex": cast.grace}[tenant_id]
        key, _ = create(tenant_id, f"key-of-{tenant_id}", Role.VIEWER, None, maker=maker, who=SERVICE)
        record("report.run", SERVICE, tenant_id=tenant_id, target=f"done-in-{tenant_id}")
        found[tenant_id] |= {MEMBER: member.pk, INVITED: invitation.pk, KEY: key.pk}
    found["sessions"] = {
        (who, home): session_of(getattr(cast, who), home)
        for who, home in {(caller.who, caller.home) for caller in CALLERS}
    }
    return found


@contextmanager
def undone():
    """Leaves every database as it was: the cast is made once for many cells."""
    with ExitStack() as stack:
        for alias in ("control", *OTHER):
            stack.enter_context(transaction.atomic(using=alias))
            stack.callback(transaction.set_rollback, True, using=alias)
        yield


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.operation)
def test_each_caller_gets_what_is_theirs(cast, ids, row):
    wrong = []
    for caller, of_caller in groupby(cells(row), key=attrgetter("caller")):
        with undone():
            scene = Scene(cast, caller, ids)
            for cell in of_caller:
                try:
                    with undone():
                        check(scene, cell)
                except AssertionError as exc:
                    wrong.append(f"{cell}: {exc}")
    assert wrong == []


# The table is that of the description


@pytest.fixture(scope="module")
def schema():
    return APIClient().get("/api/schema/").json()


def differences(schema, rows):
    """The operations without a row, and the rows without an operation."""
    described = {f"{method.upper()} {url}" for url, method in operations(schema)}
    known = {row.operation for row in rows}
    return described - known, known - described


def places(schema, operation):
    """Where an id stands in a call: what the description says is a UUID, and the client writes."""
    found = {
        f"{each['in']}.{each['name']}"
        for each in operation.get("parameters", ())
        if each["schema"].get("format") == "uuid"
    }
    for content in operation.get("requestBody", {}).get("content", {}).values():
        body = schema["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        found |= {
            f"body.{name}" for name, value in body["properties"].items() if value.get("format") == "uuid"
        }
    return found


def test_every_operation_has_a_row_and_every_row_an_operation(schema):
    assert differences(schema, ROWS) == (set(), set())
    assert len({row.operation for row in ROWS}) == len(ROWS)


def test_an_operation_without_a_row_is_found(schema):
    more = copy.deepcopy(schema)
    more["paths"]["/api/products/{id}/"]["head"] = {}
    more["paths"]["/api/secrets/"] = {"get": {}}
    assert differences(more, ROWS)[0] == {"HEAD /api/products/{id}/", "GET /api/secrets/"}


def test_a_row_without_an_operation_is_found(schema):
    rows = [*ROWS, replace(ROWS[0], operation="POST /api/nothing/")]
    assert differences(schema, rows)[1] == {"POST /api/nothing/"}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.operation)
def test_a_row_says_what_the_description_says(schema, row):
    operation = schema["paths"][row.path][row.method.lower()]
    assert set(row.ids) == places(schema, operation)
    assert (row.body is not None) == ("requestBody" in operation)
    security = {OPEN: ([], [{}]), TENANT: (BEARER + KEYS,)}.get(row.access, (BEARER,))
    assert operation.get("security", []) in security
    answers = {str(expected(cell).status) for cell in cells(row)}
    assert answers <= set(operation["responses"])


def test_a_relation_that_no_row_asks_about_is_found(schema):
    more = copy.deepcopy(schema)
    more["components"]["schemas"]["ProductRequest"]["properties"]["owner"] = {"format": "uuid"}
    operation = more["paths"]["/api/products/"]["post"]
    assert places(more, operation) == {"body.category", "body.owner"}


def test_what_a_row_says_of_a_caller_is_of_a_caller_there_is():
    names = [caller.name for caller in CALLERS]
    assert len(set(names)) == len(names)
    assert {name for row in ROWS for name in row.otherwise} <= set(names)


# The matrix can fail: each of these is a mistake that somebody could make.


def cell_of(operation, name="ada", place="", whose=OWN):
    (row,) = (row for row in ROWS if row.operation == operation)
    (caller,) = (caller for caller in CALLERS if caller.name == name)
    return Cell(row, caller, place, whose)


READ = "GET /api/products/{id}/"
CHANGE = "PATCH /api/products/{id}/"


@pytest.fixture
def enters_globex(monkeypatch):
    """Authentication that takes everybody to globex."""
    monkeypatch.setattr(
        "users.authentication.enter_request", lambda _: enter_request(get_registry().get("globex"))
    )


@pytest.mark.parametrize(
    "operation", [row.operation for row in ROWS if row.access == TENANT and row.method == "GET"]
)
def test_a_read_in_another_tenant_is_found(cast, ids, enters_globex, operation):
    with pytest.raises(AssertionError, match="shows what is another tenant's"):
        check(Scene(cast, ADA, ids), cell_of(operation))


@pytest.mark.parametrize(
    "operation", [row.operation for row in ROWS if row.access == TENANT and row.method in WRITES]
)
def test_a_write_in_another_tenant_is_found(cast, ids, enters_globex, operation):
    with pytest.raises(AssertionError, match="another tenant"):
        check(Scene(cast, ADA, ids), cell_of(operation))


def test_an_object_of_another_tenant_that_is_served_is_no_random_id(cast, ids, enters_globex):
    cell = cell_of(READ, place="path.id", whose=THEIRS)
    scene = Scene(cast, ADA, ids)
    assert scene.call(cell.row, cell.place, THEIRS) != scene.call(cell.row, cell.place, RANDOM)
    with pytest.raises(AssertionError):
        check(scene, cell)


def another_sentence(response, is_theirs):
    if is_theirs:
        response.data = response.data | {"detail": "Not found here."}


def another_header(response, is_theirs):
    response.headers["X-Where"] = "elsewhere" if is_theirs else "nowhere"


@pytest.mark.parametrize("hint", [another_sentence, another_header])
def test_a_hint_that_an_id_exists_elsewhere_is_found(cast, ids, monkeypatch, hint):
    finalize = ProductViewSet.finalize_response

    def finalize_response(self, request, response, *args, **kwargs):
        hint(response, kwargs.get("pk") == str(ids["globex"][THING]))
        return finalize(self, request, response, *args, **kwargs)

    monkeypatch.setattr(ProductViewSet, "finalize_response", finalize_response)
    with pytest.raises(AssertionError, match="is not a random one"):
        check(Scene(cast, ADA, ids), cell_of(READ, place="path.id", whose=THEIRS))


FORGOTTEN = {
    "the role": (
        cell_of(CHANGE, "grace, a viewer of acme"),
        ("users.permissions.MayUseTenant.writers", frozenset(Role)),
    ),
    "that the key was revoked": (
        cell_of(READ, "revoked key"),
        ("users.models.ApiKey.is_alive", lambda _: True),
    ),
    "that a key is not a person": (
        cell_of("GET /api/members/", "ada's key"),
        ("users.permissions.IsPerson.has_permission", HasAccess.has_permission),
    ),
    "that the session ended": (
        cell_of(READ, "revoked session"),
        ("users.models.TokenFamily.is_alive", lambda _: True),
    ),
    "the header": (
        cell_of(READ, "ada naming X-Tenant"),
        ("users.authentication.refuse_other_tenant", lambda *_: None),
    ),
    "the parameter": (
        cell_of(READ, "ada naming ?tenant"),
        ("catalog.views.ProductViewSet.known_parameters", lambda _: {"tenant"}),
    ),
    "the body's name": (
        cell_of(CHANGE, "ada naming tenant in the body"),
        ("tenancy.rest.serializers.StrictMixin.to_internal_value", ModelSerializer.to_internal_value),
    ),
}


@pytest.mark.parametrize(("cell", "patch"), FORGOTTEN.values(), ids=FORGOTTEN)
def test_a_check_that_is_forgotten_is_found(cast, ids, monkeypatch, cell, patch):
    scene = Scene(cast, cell.caller, ids)
    monkeypatch.setattr(*patch)
    with pytest.raises(AssertionError, match="This is not the answer"):
        check(scene, cell)


@pytest.mark.parametrize(
    ("tenant_id", "name", "sentence"),
    [
        ("globex", "ada", "A row of another tenant has changed"),
        ("acme", "grace, a viewer of acme", "was refused, and changed something"),
    ],
)
def test_a_change_where_there_must_be_none_is_found(cast, ids, tenant_id, name, sentence):
    cell = cell_of(CHANGE, name)
    scene = Scene(cast, cell.caller, ids)
    send = scene.client.generic

    def generic(*args, **kwargs):
        response = send(*args, **kwargs)
        with tenant_context(tenant_id):
            Product.objects.update(stock=5)
        return response

    scene.client.generic = generic
    with pytest.raises(AssertionError, match=sentence):
        check(scene, cell)
