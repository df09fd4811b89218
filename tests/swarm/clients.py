"""Clients: each a thread that reads, writes, errs and leaves, and checks every answer it gets."""

from __future__ import annotations

import base64
import itertools
import json
import random
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlencode

from tests.swarm import report, world
from tests.swarm.canaries import canary, owners
from tests.swarm.ledger import Entry, Ledger, Tally
from tests.swarm.report import Figures, Report
from tests.swarm.stage import PASSWORD, Session
from tests.swarm.wire import Answer, Broken, Call, Cut, Wire
from tests.swarm.world import COUNTER_KEYS, TENANTS, Fields

#: Rows of its own that a client keeps in one tenant, before it rather deletes one.
_PRODUCTS, _CATEGORIES = 30, 6
#: Seconds after which an access token (good for 300) is refreshed.
_TOKEN_AGE = 180
#: Characters beyond ASCII travel too: cut in two, they show.
_WORDS = (
    *("anvil", "bolt", "čep", "dynamo", "étau", "façade", "gücü", "häkchen", "Ωmega"),
    *("螺丝", "ключ", "ボルト"),
)


@dataclass
class Seat:
    """A session as it goes on: its tokens change."""

    session: Session
    access: str
    refresh: str
    since: float = field(default_factory=time.monotonic)
    products: Ledger = field(default_factory=Ledger)
    categories: Ledger = field(default_factory=Ledger)

    @property
    def tenant_id(self) -> str:
        return self.session.tenant_id

    def take(self, pair: Mapping[str, str]) -> None:
        self.access, self.refresh, self.since = pair["access"], pair["refresh"], time.monotonic()


@dataclass
class Common:
    """What all clients of a run share."""

    port: int
    total: int
    report: Report
    figures: Figures
    #: The share of requests whose client leaves.
    leaves: float
    has_export: bool = True
    stop: threading.Event = field(default_factory=threading.Event)
    #: Ids that somebody made, with their tenant: in every other tenant there is no such thing.
    made: list[tuple[str, str]] = field(default_factory=list)
    etags: dict[tuple[str, str], str] = field(default_factory=dict)
    start: float = field(default_factory=time.monotonic)
    _numbers: Any = field(default_factory=itertools.count)

    def one_more(self) -> bool:
        """Whether another request may be made. (``next`` of a count is one step for all threads.)"""
        return not self.stop.is_set() and next(self._numbers) < self.total

    def done(self) -> None:
        """A client has ended; the last one's figures stay."""
        seconds = time.monotonic() - self.start
        self.figures.facts["seconds"] = round(seconds, 1)
        self.figures.facts["per second"] = round(self.figures.requests / seconds)

    def remember(self, tenant_id: str, row_id: str) -> None:
        if len(self.made) < 500:
            self.made.append((tenant_id, row_id))
        else:
            self.made[random.randrange(500)] = (tenant_id, row_id)


class Enough(Exception):
    """All requests of this run are made."""


class Client(threading.Thread):
    def __init__(self, number: int, sessions: list[Session], common: Common, seed: int) -> None:
        super().__init__(name=f"client-{number:02}", daemon=True)
        self.number = number
        self.common = common
        self.report = common.report
        self.figures = common.figures
        self.rng = random.Random(f"{seed}/{number}")
        self.wire = Wire(common.port)
        self.seats = [Seat(session, session.access, session.refresh) for session in sessions]
        self.tally: dict[str, Tally] = defaultdict(Tally)
        self._serial = itertools.count(1)
        self._latency: dict[str, float] = defaultdict(lambda: 0.03)
        self._ops, self._weights = zip(
            *((op, weight) for op, weight in self._mix() if common.has_export or op != self.export),
            strict=True,
        )

    def _mix(self) -> list[tuple[Callable[[Seat], None], float]]:
        return [
            (self.read_equal_key, 14),
            (self.read_own, 5),
            (self.list_products, 9),
            (self.list_categories, 3),
            (self.search_own, 5),
            (self.search_equal, 3),
            (self.export, 4),
            (self.me, 3),
            (self.my_tenants, 1),
            (self.create_product, 14),
            (self.change_product, 10),
            (self.delete_product, 7),
            (self.create_category, 3),
            (self.change_category, 2),
            (self.delete_category, 2),
            (self.raise_counter, 4),
            (self.touch_foreign, 5),
            (self.err, 5),
            (self.conflict, 2),
            (self.come_as_nobody, 1),
            (self.refresh, 0.5),
            (self.switch, 0.4),
            (self.sign_in, 0.1),
        ]

    def run(self) -> None:
        try:
            while True:
                seat = self.rng.choice(self.seats)
                if time.monotonic() - seat.since > _TOKEN_AGE:
                    self.refresh(seat)
                if self.rng.random() < 0.3:
                    self.settle(seat)
                self.rng.choices(self._ops, self._weights)[0](seat)
        except Enough:
            pass
        except Exception as exc:  # noqa: BLE001  # a thread that dies in silence would look like success
            self.report.problem(report.BROKEN, f"{self.name} died: {type(exc).__name__}: {exc}")
        finally:
            self.common.done()
            self.wire.close()

    # Asking

    def ask(
        self,
        op: str,
        seat: Seat | None,
        method: str,
        path: str,
        body: Any = None,
        *,
        expect: set[int],
        headers: Mapping[str, str] | None = None,
        may_leave: bool = True,
        may_name: frozenset[str] | None = None,
    ) -> Answer:
        """One request and the checks that every answer must pass. ``body`` is sent as JSON, bytes as they
        are. ``may_name`` are the tenants whose canaries may be in the answer; without it, the seat's."""
        if not self.common.one_more():
            raise Enough
        tenants = frozenset({seat.tenant_id} if seat else ()) if may_name is None else may_name
        request_id = f"{seat.tenant_id if seat else 'nobody'}.{self.number:02}.{next(self._serial):07}"
        sent = {"X-Request-Id": request_id}
        if seat:
            sent["Authorization"] = f"Bearer {seat.access}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        call = Call(method, path, data, sent | dict(headers or {}))
        try:
            if may_leave and self.rng.random() < self.common.leaves * (2 if op == "export" else 1):
                cut = self._cut(op, call)
                delay = self._latency[op] * self.rng.uniform(0, 1.3)
                answer = self.wire.leave(call, cut, delay=delay, rng=self.rng)
                self.figures.left_early(op, cut.value)
            else:
                answer = self.wire.ask(call)
                self.figures.answered(op, answer.status, answer.seconds)
                self._latency[op] += 0.1 * (answer.seconds - self._latency[op])
        except Broken as exc:
            self.figures.answered(op, 0, 0.0)
            self.report.problem(report.BROKEN, f"{op} {request_id}: {exc}")
            return Answer(0, {}, "", 0.0, Cut.UNANSWERED)
        if answer.status:
            self._check(op, call, answer, expect, tenants, request_id)
        return answer

    def _cut(self, op: str, call: Call) -> Cut:
        if len(call.body) > 1 and self.rng.random() < 0.15:
            return Cut.HALF_BODY
        return Cut.HALF_ANSWER if self.rng.random() < (0.7 if op == "export" else 0.25) else Cut.UNANSWERED

    def _check(
        self,
        op: str,
        call: Call,
        answer: Answer,
        expect: set[int],
        tenants: frozenset[str],
        request_id: str,
    ) -> None:
        what = f"{op} {request_id}: {call.method} {call.path} -> {answer.status}"
        headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        for part, text in (("headers", headers), ("body", answer.text)):
            if strangers := owners(text) - tenants:
                self.report.problem(
                    report.LEAK, f"{what} names {sorted(strangers)} in its {part}: {text[:300]}"
                )
        if answer.headers.get("X-Request-Id", request_id) != request_id:
            self.report.problem(report.LEAK, f"{what} answers {answer.headers['X-Request-Id']}")
        if answer.status == 503:
            if not answer.headers.get("Retry-After"):
                self.report.problem(report.STATUS, f"{what} without Retry-After: {answer.text[:300]}")
        elif answer.status not in expect:
            self.report.problem(report.STATUS, f"{what}, expected {sorted(expect)}: {answer.text[:300]}")
        is_read = call.method in ("GET", "HEAD") and answer.status == 200
        if is_read and answer.headers.get("Cache-Control") != "private, no-cache":
            self.report.problem(report.WRONG, f"{what} may be kept by others: {headers}")

    def _wrong(self, op: str, seat: Seat, sentence: str) -> None:
        self.report.problem(report.WRONG, f"{op} of client {self.number:02} in {seat.tenant_id}: {sentence}")

    # Reading

    def read_equal_key(self, seat: Seat) -> None:
        """A row whose key is the same in every tenant, sometimes with an ETag, perhaps another tenant's."""
        number = self.rng.randrange(world.ORDINARY + world.FAT)
        wanted: world.Product | world.Category
        if self.rng.random() < 0.2:
            wanted = world.categories(seat.tenant_id)[number % world.CATEGORIES]
            path = f"/api/categories/{wanted.id}/"
        else:
            wanted = world.product(seat.tenant_id, number)
            path = f"/api/products/{wanted.id}/"
        whose = self.rng.choice(TENANTS) if self.rng.random() < 0.5 else seat.tenant_id
        etag = self.common.etags.get((whose, path), "")
        unchanged = bool(etag) and whose == seat.tenant_id
        answer = self.ask(
            "read equal key",
            seat,
            "GET",
            path,
            headers={"If-None-Match": etag} if etag else {},
            expect={304} if unchanged else {200},
        )
        if answer.cut or answer.status != 200:
            return
        self.common.etags[seat.tenant_id, path] = answer.headers["ETag"]
        row = json.loads(answer.text)
        if _fields(row) != wanted.fields or row["id"] != wanted.id:
            self._wrong("read equal key", seat, f"{row} is not {wanted}")

    def read_own(self, seat: Seat) -> None:
        entry = self._some(seat.products)
        if entry is None:
            return
        answer = self.ask("read own", seat, "GET", f"/api/products/{entry.id}/", expect={200})
        if answer.status == 200 and not answer.cut and _fields(json.loads(answer.text)) != entry.fields:
            self._wrong("read own", seat, f"{answer.text} is not {entry}")

    def list_products(self, seat: Seat) -> None:
        first, end = world.price_band(seat.tenant_id)
        names = ("name", "sku", "price", "stock", "created_at", "updated_at")
        query: dict[str, object] = {"page_size": self.rng.choice((1, 5, 10, 20))}
        query["ordering"] = self.rng.choice(("", "-")) + self.rng.choice(names)
        # Whatever the filters are, the oracle is the same: only rows of this tenant.
        filters = {
            "category": world.key("category", self.rng.randrange(world.CATEGORIES)),
            "min_price": first + self.rng.randrange(20),
            "max_price": end - 1,
            "in_stock": "true",
            "is_active": "true",
        }
        for name in self.rng.sample(sorted(filters), self.rng.randrange(3)):
            query[name] = filters[name]
        method = "HEAD" if self.rng.random() < 0.1 else "GET"
        answer = self.ask("list products", seat, method, f"/api/products/?{urlencode(query)}", expect={200})
        if method == "GET" and answer.status == 200 and not answer.cut:
            for row in json.loads(answer.text)["results"]:
                self._check_product("list products", seat, row)

    def list_categories(self, seat: Seat) -> None:
        answer = self.ask("list categories", seat, "GET", "/api/categories/?page_size=200", expect={200})
        if answer.status != 200 or answer.cut:
            return
        rows = {row["name"]: row for row in json.loads(answer.text)["results"]}
        for wanted in world.categories(seat.tenant_id):
            row = rows.get(wanted.name)
            if row is None or (row["id"], _fields(row)) != (wanted.id, wanted.fields):
                self._wrong("list categories", seat, f"{row} is not {wanted}")
        self._compare_own("list categories", seat, seat.categories, rows)

    def search_own(self, seat: Seat) -> None:
        """What this client wrote, all of it and nothing else."""
        answer = self.ask(
            "search own",
            seat,
            "GET",
            f"/api/products/?page_size=200&search={quote(self._prefix(seat))}",
            expect={200},
        )
        if answer.status == 200 and not answer.cut:
            rows = {row["sku"]: row for row in json.loads(answer.text)["results"]}
            for row in rows.values():
                self._check_product("search own", seat, row)
            self._compare_own("search own", seat, seat.products, rows)

    def search_equal(self, seat: Seat) -> None:
        """What every tenant has, by a word that names none: ten rows each."""
        answer = self.ask(
            "search equal", seat, "GET", "/api/products/?page_size=20&search=seed-01", expect={200}
        )
        if answer.status == 200 and not answer.cut:
            page = json.loads(answer.text)
            if page["count"] != 10:
                self._wrong("search equal", seat, f"{page['count']} rows, not 10")
            for row in page["results"]:
                self._check_product("search equal", seat, row)

    def export(self, seat: Seat) -> None:
        answer = self.ask("export", seat, "GET", "/api/products/export/", expect={200})
        if answer.status != 200 or answer.cut:
            return
        if answer.headers.get("Content-Type", "").partition(";")[0] != "application/x-ndjson":
            self._wrong("export", seat, f"Content-Type {answer.headers.get('Content-Type')}")
        lines = [json.loads(line) for line in answer.text.splitlines()]
        rows = {row["sku"]: row for row in lines}
        if len(rows) != len(lines):
            self._wrong("export", seat, f"{len(lines)} lines, {len(rows)} different ones")
        for row in lines:
            self._check_product("export", seat, row)
        if missing := {product.sku for product in world.products(seat.tenant_id)} - set(rows):
            self._wrong("export", seat, f"lacks {sorted(missing)}")
        own = {sku: row for sku, row in rows.items() if sku.startswith(self._prefix(seat))}
        self._compare_own("export", seat, seat.products, own)

    def me(self, seat: Seat) -> None:
        answer = self.ask("me", seat, "GET", "/api/me/", expect={200})
        if answer.status == 200 and not answer.cut:
            told = json.loads(answer.text)
            if (told["email"], told["tenant"]["id"]) != (seat.session.email, seat.tenant_id):
                self._wrong("me", seat, f"{told} is not {seat.session}")

    def my_tenants(self, seat: Seat) -> None:
        answer = self.ask(
            "my tenants", seat, "GET", "/api/me/tenants/", expect={200}, may_name=seat.session.tenants
        )
        if answer.status == 200 and not answer.cut:
            told = {row["id"] for row in json.loads(answer.text)}
            if told != seat.session.tenants:
                self._wrong("my tenants", seat, f"{sorted(told)}")

    # Writing

    def create_product(self, seat: Seat) -> None:
        if len(seat.products.certain()) >= _PRODUCTS:
            self.delete_product(seat)
            return
        body = self._new_product(seat)
        entry = seat.products.add(body["sku"])
        answer = self.ask("create product", seat, "POST", "/api/products/", body, expect={201})
        self._written("create product", seat, seat.products, entry, _fields(body), answer)

    def change_product(self, seat: Seat) -> None:
        """Some fields or all; with the right ETag, the wrong one, or none."""
        entry = self._some(seat.products)
        if entry is None:
            return
        body = self._new_product(seat) | {"sku": entry.key}
        method, sent = "PUT", body
        if self.rng.random() < 0.5:
            some = self.rng.sample(("name", "price", "stock", "is_active", "category"), 2)
            method, sent = "PATCH", {name: body[name] for name in some}
            body |= dict(zip(_PRODUCT_FIELDS, entry.fields or (), strict=True)) | sent
        fails = self.rng.random() < 0.1
        answer = self.ask(
            "change product",
            seat,
            method,
            f"/api/products/{entry.id}/",
            sent,
            headers={"If-Match": '"never-was"'} if fails else {},
            expect={412} if fails else {200},
        )
        self._written("change product", seat, seat.products, entry, _fields(body), answer)

    def delete_product(self, seat: Seat) -> None:
        entry = self._some(seat.products)
        if entry is None:
            return
        answer = self.ask("delete product", seat, "DELETE", f"/api/products/{entry.id}/", expect={204})
        self._written("delete product", seat, seat.products, entry, None, answer)

    def create_category(self, seat: Seat) -> None:
        if len(seat.categories.certain()) >= _CATEGORIES:
            self.delete_category(seat)
            return
        body = {
            "name": f"{self._prefix(seat)}{next(self._serial):07}",
            "description": self._text(seat),
            "parent": self.rng.choice([None, world.key("category", 1)]),
        }
        entry = seat.categories.add(body["name"])
        answer = self.ask("create category", seat, "POST", "/api/categories/", body, expect={201})
        self._written("create category", seat, seat.categories, entry, _fields(body), answer)

    def change_category(self, seat: Seat) -> None:
        entry = self._some(seat.categories)
        if entry is None:
            return
        body = {"description": self._text(seat), "parent": world.key("category", self.rng.randrange(3))}
        answer = self.ask(
            "change category", seat, "PATCH", f"/api/categories/{entry.id}/", body, expect={200}
        )
        self._written("change category", seat, seat.categories, entry, _fields(body), answer)

    def delete_category(self, seat: Seat) -> None:
        used = {
            state[_PRODUCT_FIELDS.index("category")]
            for product in seat.products
            for state in product.states
            if state is not None
        }
        entry = self._some(seat.categories)
        if entry is None or entry.id in used:
            return
        answer = self.ask("delete category", seat, "DELETE", f"/api/categories/{entry.id}/", expect={204})
        self._written("delete category", seat, seat.categories, entry, None, answer)

    def raise_counter(self, seat: Seat) -> None:
        """Read a row that all write to, and write it back one higher, unless somebody was faster."""
        counter = self.rng.choice(COUNTER_KEYS)
        path = f"/api/products/{counter}/"
        read = self.ask("read counter", seat, "GET", path, expect={200}, may_leave=False)
        if read.status != 200:
            return
        row = json.loads(read.text)
        self._check_product("read counter", seat, row)
        answer = self.ask(
            "raise counter",
            seat,
            "PATCH",
            path,
            {"stock": row["stock"] + 1},
            headers={"If-Match": read.headers["ETag"]},
            expect={200, 412},
        )
        self.tally[seat.tenant_id].raised(counter, answer)

    def settle(self, seat: Seat) -> None:
        """Find out about a write whose answer was lost, when it surely has ended."""
        for ledger, kind in ((seat.products, "products"), (seat.categories, "categories")):
            entry = ledger.unsettled()
            if entry is None:
                continue
            answer = self.ask(
                "settle",
                seat,
                "GET",
                f"/api/{kind}/?search={quote(entry.key)}",
                expect={200},
                may_leave=False,
            )
            if answer.status != 200:
                return
            rows = json.loads(answer.text)["results"]
            found = _fields(rows[0]) if rows else None
            if found not in entry.states or len(rows) > 1:
                self._wrong("settle", seat, f"{rows} is none of {entry.states}")
            if rows:
                entry.id = rows[0]["id"]
            self.report.settled("found" if entry.settle(found) else "not found")
            ledger.forget_gone(entry)

    # Erring

    def touch_foreign(self, seat: Seat) -> None:
        """A row that another tenant has and this one has not is not there, whatever is done to it."""
        foreign = [
            (tenant_id, row_id) for tenant_id, row_id in self._sample_made() if tenant_id != seat.tenant_id
        ]
        if not foreign:
            return
        _, row_id = foreign[0]
        method = self.rng.choice(("GET", "PATCH", "DELETE", "PUT"))
        body = self._new_product(seat) if method in ("PATCH", "PUT") else None
        kind = self.rng.choice(("products", "products", "categories"))
        if kind == "categories" and body:
            body = {"name": self._text(seat)}
        self.ask("touch foreign", seat, method, f"/api/{kind}/{row_id}/", body, expect={404})

    def err(self, seat: Seat) -> None:
        good = self._new_product(seat)
        other = self.rng.choice([tenant_id for tenant_id in TENANTS if tenant_id != seat.tenant_id])
        foreign = next(
            (row_id for tenant_id, row_id in self._sample_made() if tenant_id != seat.tenant_id), ""
        )
        products = "/api/products/"
        method, path, body, headers, status = self.rng.choice(
            [
                ("POST", products, json.dumps(good).encode()[:-1], {}, 400),
                ("POST", products, good | {"tenant": other}, {}, 400),
                ("POST", products, good | {"price": "-5"}, {}, 400),
                ("POST", products, good | {"stock": 10**12}, {}, 400),
                ("POST", products, good | {"name": good["name"] + "\0"}, {}, 400),
                ("POST", products, good | {"category": foreign or str(uuid.uuid4())}, {}, 400),
                ("POST", products, good, {"Content-Type": "text/plain"}, 415),
                ("POST", products, good, {"X-Tenant": other}, 400),
                ("PUT", products, good, {}, 405),
                ("GET", f"{products}?page=9999", None, {}, 404),
                ("GET", f"{products}?ordering=secret", None, {}, 400),
                ("GET", f"{products}?min_price=cheap", None, {}, 400),
                ("GET", f"{products}?tenant={other}", None, {}, 400),
                ("GET", f"{products}?search={'x' * 201}", None, {}, 400),
                ("GET", products, None, {"Accept": "text/csv"}, 406),
                ("GET", f"{products}{uuid.uuid4()}/", None, {}, 404),
                ("GET", f"{products}not-a-key/", None, {}, 404),
                ("DELETE", f"/api/categories/{world.key('category', 0)}/", None, {}, 409),
            ]
        )
        self.ask("err", seat, method, path, body, headers=headers, expect={status})

    def conflict(self, seat: Seat) -> None:
        """A SKU that is taken here; it is in another tenant, too, but that is another one's."""
        sku = world.product(seat.tenant_id, self.rng.randrange(world.ORDINARY)).sku
        body = self._new_product(seat) | {"sku": sku}
        self.ask("conflict", seat, "POST", "/api/products/", body, expect={409})

    def come_as_nobody(self, seat: Seat) -> None:
        token = self.rng.choice(("", "garbage", seat.refresh, f"{seat.access[:-6]}AAAAAA"))
        self.ask(
            "come as nobody",
            None,
            "GET",
            f"/api/products/{world.key('product', 1)}/",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            expect={401},
        )

    # Signing in. Nobody leaves here: a pair of tokens that is lost ends the session.

    def refresh(self, seat: Seat) -> None:
        answer = self.ask(
            "refresh",
            None,
            "POST",
            "/api/token/refresh/",
            {"refresh": seat.refresh},
            expect={200},
            may_leave=False,
        )
        self._take_tokens("refresh", seat, answer)

    def switch(self, seat: Seat) -> None:
        """To another tenant of this person's; or to one that is not, which is forbidden."""
        to = next((other for other in self.seats if other is not seat), None)
        if to is None:
            other = self.rng.choice([tenant_id for tenant_id in TENANTS if tenant_id != seat.tenant_id])
            self.ask(
                "switch",
                seat,
                "POST",
                "/api/token/switch/",
                {"tenant_id": other},
                expect={403},
                may_leave=False,
            )
            return
        to = self.rng.choice([other for other in self.seats if other is not seat])
        answer = self.ask(
            "switch",
            seat,
            "POST",
            "/api/token/switch/",
            {"tenant_id": to.tenant_id},
            expect={200},
            may_leave=False,
        )
        self._take_tokens("switch", to, answer)

    def sign_in(self, seat: Seat) -> None:
        body = {"email": seat.session.email, "password": PASSWORD}
        names_one = self.rng.random() < 0.7
        if names_one:
            body["tenant_id"] = seat.tenant_id
        fine = names_one or len(seat.session.tenants) == 1
        answer = self.ask(
            "sign in",
            None,
            "POST",
            "/api/token/",
            body,
            expect={200 if fine else 400},
            may_leave=False,
            may_name=seat.session.tenants,
        )
        self._take_tokens("sign in", seat, answer)

    def _take_tokens(self, op: str, seat: Seat, answer: Answer) -> None:
        if answer.status != 200:
            return
        pair = json.loads(answer.text)
        for name in ("access", "refresh"):
            payload = pair[name].split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
            if claims["tenant_id"] != seat.tenant_id:
                self._wrong(op, seat, f"a token of {claims['tenant_id']}")
        seat.take(pair)

    # Rows

    def _prefix(self, seat: Seat) -> str:
        """What the SKUs of this client's products, and the names of its categories, start with."""
        return canary(seat.tenant_id, f"w{self.number:02}-")

    def _text(self, seat: Seat) -> str:
        words = " ".join(self.rng.choices(_WORDS, k=self.rng.randrange(1, 30)))
        return canary(seat.tenant_id, f"{words} {self.rng.getrandbits(48):x}")

    def _new_product(self, seat: Seat) -> dict[str, Any]:
        start, _ = world.price_band(seat.tenant_id)
        shelves = [entry.id for entry in seat.categories.certain() if entry.id]
        shelves += [world.key("category", number) for number in range(world.CATEGORIES)]
        return {
            "sku": f"{self._prefix(seat)}{next(self._serial):07}",
            "name": self._text(seat)[:150].strip(),
            "description": self._text(seat),
            "category": self.rng.choice(shelves),
            "price": f"{start + self.rng.randrange(world.BAND)}.{self.rng.randrange(100):02}",
            "currency": self.rng.choice(("EUR", "USD", "CHF")),
            "stock": self.rng.randrange(1000),
            "is_active": self.rng.random() < 0.9,
        }

    def _some(self, ledger: Ledger) -> Entry | None:
        """A row of our own that may be written to."""
        there = [entry for entry in ledger.certain() if entry.id]
        return self.rng.choice(there) if there else None

    def _sample_made(self) -> list[tuple[str, str]]:
        made = self.common.made
        return [made[self.rng.randrange(len(made))] for _ in range(6)] if made else []

    def _written(
        self, op: str, seat: Seat, ledger: Ledger, entry: Entry, new: Fields | None, answer: Answer
    ) -> None:
        entry.write(new, answer)
        if answer.status in (200, 201) and not answer.cut:
            row = json.loads(answer.text)
            if _fields(row) != new:
                self._wrong(op, seat, f"wrote {new}, was answered {row}")
            entry.id = row["id"]
            self.common.remember(seat.tenant_id, entry.id)
        ledger.forget_gone(entry)

    def _check_product(self, op: str, seat: Seat, row: Mapping[str, Any]) -> None:
        """A row in an answer: of this tenant, and as it was written."""
        first, end = world.price_band(seat.tenant_id)
        if not first <= Decimal(row["price"]) < end:
            self.report.problem(report.LEAK, f"{op} in {seat.tenant_id}: another's price: {row}")
        if wanted := world.product_by_sku(seat.tenant_id, row["sku"]):
            found = _fields(row)
            if row["id"] in COUNTER_KEYS:
                found = wanted.with_stock(row["stock"]).fields == found and wanted.fields
            if (row["id"], found) != (wanted.id, wanted.fields):
                self._wrong(op, seat, f"{row} is not {wanted}")
        elif row["sku"].startswith(self._prefix(seat)):
            entry = seat.products.get(row["sku"])
            if entry is None or _fields(row) not in entry.states:
                self._wrong(op, seat, f"{row} is not {entry}")

    def _compare_own(
        self, op: str, seat: Seat, ledger: Ledger, rows: Mapping[str, Mapping[str, Any]]
    ) -> None:
        """Every row of ours that must be there is, and none that must not be."""
        for entry in ledger:
            row = rows.get(entry.key)
            if (None if row is None else _fields(row)) not in entry.states:
                self._wrong(op, seat, f"{row} (of {len(rows)}, {time.monotonic():.2f}) is not {entry}")
        ours = {key for key in rows if key.startswith(self._prefix(seat))}
        if extra := {key for key in ours if key not in ledger}:
            self._wrong(op, seat, f"{sorted(extra)} should not be there")


_PRODUCT_FIELDS = ("name", "description", "category", "price", "currency", "stock", "is_active")
_CATEGORY_FIELDS = ("description", "parent")


def _fields(row: Mapping[str, Any]) -> Fields:
    """What the swarm compares of a row in JSON."""
    return tuple(row[name] for name in (_PRODUCT_FIELDS if "sku" in row else _CATEGORY_FIELDS))
