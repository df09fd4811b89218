"""The log: each record carries whose it is, says it in one line, and tells no secret."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import logging.handlers
import os
import queue
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.db import OperationalError, connections
from hypothesis import given
from hypothesis import strategies as st
from pythonjsonlogger.json import JsonFormatter

from catalog.views import ProductViewSet
from tenancy.context import enter_request, identify_user, request_scope, tenant_context
from tenancy.log import JSONFormatter, LineFormatter, TenantFilter, without_secrets
from tenancy.registry import get_registry
from tenancy.testing import databases, repointed
from tests.settings import ENGINE

ROOT = Path(__file__).resolve().parents[2]
NOBODY = ("-", "-", "-")


class Output:
    """A logger of its own, and what it wrote."""

    def __init__(self, formatter, *, filtered=True):
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.setFormatter(formatter)
        if filtered:
            self.handler.addFilter(TenantFilter())
        self.logger = logging.Logger("freehold.test")
        self.logger.addHandler(self.handler)

    @property
    def lines(self):
        return self.stream.getvalue().splitlines()

    @property
    def objects(self):
        return [json.loads(line) for line in self.lines]

    @property
    def whose(self):
        return [(line["tenant"], line["user"], line["request_id"]) for line in self.objects]


@pytest.fixture
def output():
    return Output(JSONFormatter())


@pytest.fixture
def factory():
    """Puts the record factory back afterwards."""
    before = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(before)


def enter(tenant_id):
    enter_request(get_registry().get(tenant_id))


# Whose


def test_a_record_says_whose_it_is(output):
    log = output.logger.info
    log("nobody's")
    with tenant_context("acme"):
        log("acme's")
        with tenant_context("globex"):
            log("globex's")
        log("acme's")
    with request_scope("r-1"):
        log("nobody's yet")
        enter("acme")
        log("no user's yet")
        identify_user("u-1")
        log("all three")
    log("nobody's")
    assert output.whose == [
        NOBODY,
        ("acme", "-", "-"),
        ("globex", "-", "-"),
        ("acme", "-", "-"),
        ("-", "-", "r-1"),
        ("acme", "-", "r-1"),
        ("acme", "u-1", "r-1"),
        NOBODY,
    ]


def test_a_thread_says_its_own(output):
    both = threading.Barrier(2, timeout=10)

    def work(tenant_id):
        with tenant_context(tenant_id):
            both.wait()
            output.logger.info("%s", tenant_id)

    with tenant_context("initech"), ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ["acme", "globex"]))
        pool.submit(output.logger.info, "-").result()
    assert [line["message"] for line in output.objects] == [line["tenant"] for line in output.objects]
    assert {line["tenant"] for line in output.objects} == {"acme", "globex", "-"}


def test_a_task_says_its_own_and_after_its_request_no_tenant(output):
    async def later(ended, tenant_id):
        output.logger.info(tenant_id)
        await ended.wait()
        output.logger.info("late")

    async def serve(ended, tenant_id):
        with request_scope(f"r-{tenant_id}"):
            enter(tenant_id)
            identify_user(f"u-{tenant_id}")
            task = asyncio.create_task(later(ended, tenant_id))
            await asyncio.sleep(0)
        return task

    async def work():
        ended = asyncio.Event()
        tasks = await asyncio.gather(*(serve(ended, tenant_id) for tenant_id in ("acme", "globex")))
        ended.set()
        await asyncio.gather(*tasks)

    asyncio.run(work())
    assert output.whose == [
        ("acme", "u-acme", "r-acme"),
        ("globex", "u-globex", "r-globex"),
        # Which request it came from can be told still; its tenant is nobody's any more.
        ("-", "u-acme", "r-acme"),
        ("-", "u-globex", "r-globex"),
    ]


@databases("control", "acme", "globex")
def test_a_request_says_its_tenant_its_user_and_its_id(output, cast, monkeypatch):
    get_queryset = ProductViewSet.get_queryset

    def logs(view):
        output.logger.info("in the view")
        return get_queryset(view)

    monkeypatch.setattr(ProductViewSet, "get_queryset", logs)
    for user, tenant_id in ((cast.ada, "acme"), (cast.bob, "globex"), (cast.grace, "acme")):
        answer = cast.client(user, tenant_id).get("/api/products/", HTTP_X_REQUEST_ID="same-1")
        assert answer.status_code == 200
        assert set(output.whose) == {(tenant_id, str(user.pk), "same-1")}
        output.stream.truncate(0)
        output.stream.seek(0)


@pytest.fixture
def django_request(output):
    """What Django itself writes of an answer, when all middleware is done."""
    logger = logging.getLogger("django.request")
    logger.addHandler(output.handler)
    yield output
    logger.removeHandler(output.handler)


def not_found(client, user):
    assert client.get(f"/api/products/{user.pk}/", HTTP_X_REQUEST_ID="same-1").status_code == 404


@databases("control", "acme", "globex")
def test_what_django_writes_after_the_request_says_whose_it_was(django_request, cast):
    for user, tenant_id in ((cast.ada, "acme"), (cast.bob, "globex")):
        not_found(cast.client(user, tenant_id), user)
    assert [line["message"].partition(":")[0] for line in django_request.objects] == ["Not Found"] * 2
    assert django_request.whose == [
        ("acme", str(cast.ada.pk), "same-1"),
        ("globex", str(cast.bob.pk), "same-1"),
    ]


@databases("control", "acme")
def test_without_a_note_on_the_request_it_would_say_nothing(django_request, cast, monkeypatch):
    """Negative control."""
    monkeypatch.setattr("tenancy.log.note_on", lambda _request: None)
    not_found(cast.client(cast.ada, "acme"), cast.ada)
    assert django_request.whose == [NOBODY]


# Made here, written there


def handed_over(output):
    """Records of two tenants and of nobody, written by another thread."""
    records = queue.SimpleQueue()
    logger = logging.Logger("freehold.test")
    logger.addHandler(logging.handlers.QueueHandler(records))
    listener = logging.handlers.QueueListener(records, output.handler)

    def work(tenant_id):
        with tenant_context(tenant_id):
            logger.info("%s", tenant_id)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, ["acme", "globex"]))
    logger.info("-")
    with tenant_context("initech"):  # whoever starts it, or runs by it
        listener.start()
        listener.stop()
    return [(line["message"], line["tenant"]) for line in output.objects]


def buffered(output):
    """Records that were kept, and are written in another tenant's context."""
    logger = logging.Logger("freehold.test")
    logger.addHandler(logging.handlers.MemoryHandler(100, target=output.handler))
    for tenant_id in ("acme", "globex"):
        with tenant_context(tenant_id):
            logger.info("%s", tenant_id)
    logger.info("-")
    with tenant_context("initech"):
        logger.error("initech")  # writes all that came before
    return [(line["message"], line["tenant"]) for line in output.objects]


@pytest.mark.parametrize("write", [handed_over, buffered])
def test_a_record_says_who_made_it_wherever_it_is_written(output, write):
    written = write(output)
    assert len(written) >= 3
    assert all(message == tenant for message, tenant in written)


@pytest.mark.parametrize("write", [handed_over, buffered])
def test_without_a_note_at_its_making_it_would_say_another(output, write, factory):
    """Negative control: a filter alone asks where the record is written."""
    logging.setLogRecordFactory(logging.LogRecord)
    written = write(output)
    assert not all(message == tenant for message, tenant in written)


def test_a_record_from_another_process_says_who_made_it(output):
    record = logging.getLogger("x").makeRecord("x", logging.INFO, "x", 1, "x", (), None)
    with tenant_context("acme"):
        record = logging.getLogger("x").makeRecord("x", logging.INFO, "x", 1, "x", (), None)
    received = logging.makeLogRecord(dict(record.__dict__))
    with tenant_context("globex"):
        output.handler.handle(received)
    assert output.whose == [("acme", "-", "-")]


def test_a_record_from_before_is_of_whoever_is_asked_first(output):
    record = logging.LogRecord("x", logging.INFO, "x", 1, "x", (), None)
    with tenant_context("acme"):
        TenantFilter().filter(record)
    with tenant_context("globex"):
        output.handler.handle(record)
    assert output.whose == [("acme", "-", "-")]


def test_another_factory_is_kept(factory):
    def marks(*args, **kwargs):
        record = logging.LogRecord(*args, **kwargs)
        record.marked = True
        return record

    logging.setLogRecordFactory(marks)
    TenantFilter()
    ours = logging.getLogRecordFactory()
    TenantFilter()
    assert logging.getLogRecordFactory() is ours
    with tenant_context("acme"):
        record = ours("x", logging.INFO, "x", 1, "x", (), None)
    assert record.marked
    assert TenantFilter().filter(record)
    assert record.tenant == "acme"


# What cannot be forged


FORGED = '{"tenant": "globex"}'
HOSTILE = {
    "line break": "x\n{line}",
    "carriage return": "x\r{line}",
    "both": "x\r\n{line}",
    "vertical tab": "x\x0b{line}",
    "form feed": "x\x0c{line}",
    "file separator": "x\x1c{line}",
    "next line": "x\x85{line}",
    "line separator": "x\u2028{line}",
    "paragraph separator": "x\u2029{line}",
    "terminal": "x\x1b[2K\x1b[1G{line}",
    "NUL": "x\0{line}",
    "backspaces": "x\x08\x08{line}",
    "quote": '", "tenant": "globex", "x": "{line}',
    "surrogate": "x\ud800{line}",
    "format": "%s %(tenant)s {line}",
}
#: What a record of globex looks like in each of the two.
LINES = {
    JSONFormatter: '{{"timestamp": "2026-01-01T00:00:00.000+00:00", "tenant": "globex", "message": "x"}}',
    LineFormatter: "2026-01-01 00:00:00,000 ERROR x [globex u r] x",
}
RECORD = {
    JSONFormatter: re.compile(r"\{.*\}"),
    LineFormatter: re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+ \[acme u-1 r-1\] .*"),
}
both_formats = pytest.mark.parametrize("formatter", LINES)
hostile_texts = pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)


def in_acmes_request(function):
    with request_scope("r-1"):
        enter("acme")
        identify_user("u-1")
        function()


def forged(text, formatter):
    return text.replace("{line}", LINES[formatter].replace("{{", "{").replace("}}", "}"))


@both_formats
@hostile_texts
def test_a_message_is_one_line_whatever_is_in_it(formatter, text):
    output = Output(formatter())
    message = forged(text, formatter)
    in_acmes_request(lambda: output.logger.info("name: %s", message))
    in_acmes_request(lambda: output.logger.info(message))
    assert len(output.lines) == 2
    assert all(RECORD[formatter].fullmatch(line) for line in output.lines)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", "".join(output.lines))
    if formatter is JSONFormatter:
        assert set(output.whose) == {("acme", "u-1", "r-1")}
        assert output.objects[1]["message"] == message


@both_formats
@hostile_texts
def test_a_traceback_looks_like_no_record(formatter, text):
    output = Output(formatter())

    def fail():
        try:
            raise ValueError(forged(text, formatter))
        except ValueError:
            output.logger.exception("It failed", stack_info=True)

    in_acmes_request(fail)
    if formatter is JSONFormatter:
        (line,) = output.objects
        assert (line["tenant"], line["message"]) == ("acme", "It failed")
        assert line["exception"].endswith(f"ValueError: {forged(text, formatter)}")
        assert "Stack (most recent call last)" in line["stack"]
        return
    first, *others = output.lines
    assert RECORD[formatter].fullmatch(first)
    assert len(others) > 5
    assert all(line.startswith("  ") for line in others)
    assert "  Traceback (most recent call last):" in others
    assert "  Stack (most recent call last):" in others


def test_the_standard_format_would_show_a_forged_line():
    """Negative control."""
    output = Output(logging.Formatter("%(asctime)s %(levelname)s %(name)s [%(tenant)s] %(message)s"))
    in_acmes_request(lambda: output.logger.info(forged(HOSTILE["line break"], LineFormatter)))
    assert LINES[LineFormatter] in output.lines


def test_neither_extra_nor_a_message_of_fields_replaces_whose_it_is(output):
    def log():
        output.logger.info("x", extra={"tenant": "globex", "user": "u-2", "request_id": "r-2", "level": "x"})
        output.logger.info({"tenant": "globex", "user": "u-2", "timestamp": "x", "exception": "x"})

    in_acmes_request(log)
    assert output.whose == [("acme", "u-1", "r-1")] * 2
    assert [line["level"] for line in output.objects] == ["INFO", "INFO"]
    assert output.objects[1]["message"].startswith("{'tenant': 'globex'")


def test_the_library_alone_would_believe_a_message_of_fields():
    """Negative control."""
    output = Output(JsonFormatter("{tenant}{message}", style="{"))
    in_acmes_request(lambda: output.logger.info({"tenant": "globex"}))
    assert output.objects[0]["tenant"] == "globex"


def test_a_line_of_json_has_these_fields_and_no_others(output):
    before = datetime.now(UTC)
    in_acmes_request(lambda: output.logger.warning("It is %s", "late", extra={"request": object()}))
    (line,) = output.objects
    written = datetime.fromisoformat(line.pop("timestamp"))
    assert written.utcoffset().total_seconds() == 0
    assert abs((written - before).total_seconds()) < 60
    assert line == {
        "level": "WARNING",
        "logger": "freehold.test",
        "message": "It is late",
        "tenant": "acme",
        "user": "u-1",
        "request_id": "r-1",
    }


@both_formats
def test_no_exception_at_hand_is_no_exception_told(formatter):
    output = Output(formatter())
    output.logger.error("It failed", exc_info=True)
    assert len(output.lines) == 1
    assert "NoneType" not in output.lines[0]


@both_formats
def test_a_traceback_that_came_as_text_is_told(formatter):
    output = Output(formatter())
    output.handler.handle(logging.makeLogRecord({"msg": "x", "exc_text": "Traceback\nValueError: y"}))
    assert "ValueError: y" in output.stream.getvalue()


@both_formats
def test_a_handler_without_the_filter_still_writes(formatter):
    output = Output(formatter(), filtered=False)
    output.logger.info("x")
    assert len(output.lines) == 1


# Secrets

SECRET = "hunter2-hunter2"
LEAKS = [
    f"postgres://acme_app:{SECRET}@db1.internal:5432/acme",
    f"cannot open 'postgres://acme_app:{SECRET}@db1.internal/acme', and mail a@b.example",
    f"postgres://u:x/{SECRET}@h/d",
    f"postgres://u:x@{SECRET}@h/d",
    f"postgres://u:'\"{SECRET}@h/d",
    f"redis://:{SECRET}@cache.internal/0",
    f"connection to 'host=db1 user=acme password={SECRET} dbname=acme' failed",
    f"host=db1 password = '{SECRET} {SECRET}' dbname=acme",
    f"PGPASSWORD={SECRET} psql",
    f"{{'NAME': 'acme', 'PASSWORD': '{SECRET}', 'HOST': 'db1'}}",
    f'{{"password": "{SECRET}"}}',
    f"ALTER ROLE acme_app PASSWORD '{SECRET}'",
    f"ALTER ROLE acme_app PASSWORD E'{SECRET}'",
    f"ALTER ROLE acme_app PASSWORD 'it''s {SECRET}'",
    f"ALTER ROLE acme_app PASSWORD $$it's {SECRET}$$",
    f"ALTER ROLE acme_app PASSWORD $a$it's $$ {SECRET}$a$ VALID UNTIL 'infinity'",
    f"password: {SECRET}",
    f"passwd={SECRET}",
    f"Authorization: Bearer {SECRET}.abc",
    f"{{'HTTP_AUTHORIZATION': 'Basic {SECRET}=='}}",
    f"the token eyJhbGciOiJSUzI1NiJ9.{SECRET}.{SECRET} has expired",
]


@both_formats
@pytest.mark.parametrize("text", LEAKS)
def test_a_password_never_appears(formatter, text):
    output = Output(formatter())

    def fail():
        try:
            raise OperationalError(text)
        except OperationalError as exc:
            output.logger.exception(text)
            output.logger.error("%s", exc)
            output.logger.error("It failed: %r", {"url": text}, exc_info=exc)

    with tenant_context("acme"):
        fail()
    written = output.stream.getvalue()
    assert written.count("***") >= 5
    assert SECRET not in written


def test_the_standard_format_would_tell_them():
    """Negative control."""
    output = Output(logging.Formatter("%(message)s"))
    for text in LEAKS:
        output.logger.info(text)
    assert output.stream.getvalue().count(SECRET) >= len(LEAKS)


words = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=6).filter(
    lambda text: text.split() == [text]
)


def test_a_password_with_a_quote_in_it_is_left_out_whole():
    assert without_secrets(r"password='a \' b' host=h") == "password=*** host=h"
    assert without_secrets(r"'PASSWORD': " + '"a \' b", x') == "'PASSWORD': ***, x"
    assert without_secrets("PASSWORD $a$ $b$ $a$ VALID") == "PASSWORD *** VALID"
    assert without_secrets("PASSWORD 'it''s' VALID") == "PASSWORD *** VALID"


def test_many_that_nobody_closes_take_no_time():
    text = "password $$" * 20_000
    assert len(without_secrets(text)) < len(text)


@given(password=words)
def test_no_password_of_a_url_is_told(password):
    told = without_secrets(f"x postgres://u:{password}@h/d y")
    assert told.startswith("x postgres://***@")
    assert told.endswith(" y")
    assert f":{password}@" not in told
    assert told.count("@") == 1


@pytest.mark.parametrize(
    "text",
    [
        "Not Found: /api/products/",
        "https://freehold.example/api/?next=/x",
        "mail to a@b.example",
        "Your password is too short",
        "A bearer token is needed, basic authentication is not offered",
    ],
)
def test_what_is_no_secret_is_left_alone(text):
    assert without_secrets(text) == text


@pytest.mark.skipif(ENGINE != "postgresql", reason="An SQLite database has no password.")
@databases("acme", transaction=True)
def test_a_server_that_refuses_is_told_without_its_password(output):
    with repointed("acme", USER="nobody", PASSWORD=SECRET), tenant_context("acme"):
        try:
            connections["acme"].ensure_connection()
        except OperationalError:
            output.logger.exception("%r", connections["acme"].settings_dict)
    (line,) = output.objects
    assert "nobody" in line["message"]
    assert "nobody" in line["exception"]
    assert SECRET not in output.stream.getvalue()


# The project's own

PROGRAM = """
import json, logging, sys
from gunicorn.config import Config
from gunicorn.glogging import Logger

Logger(Config())  # as in a worker: gunicorn is first
import django

django.setup()
import asyncio, django.core.servers.basehttp, psycopg2, rest_framework.views, whitenoise.base

from tenancy.context import tenant_context
from tenancy.log import TenantFilter

names = sorted(name for name, of in logging.root.manager.loggerDict.items() if isinstance(of, logging.Logger))
for name in ("", *names):
    logger = logging.getLogger(name)
    while logger:
        for handler in logger.handlers:
            filtered = any(isinstance(each, TenantFilter) for each in handler.filters)
            if not filtered and not isinstance(handler, logging.NullHandler):
                print(name, handler)
        logger = logger.parent if logger.propagate else None
with tenant_context("acme"):
    for name in ("django.request", "django.server", "gunicorn.error", "somebody.else"):
        logging.getLogger(name).error("x\\ny", extra={"status_code": 500})
"""


def run(debug):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "project.settings", "DEBUG": debug},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines(), done.stderr.splitlines()


def test_in_production_every_logger_writes_json_that_says_whose():
    unfiltered, lines = run("")
    assert unfiltered == []
    assert [(line["logger"], line["tenant"], line["message"]) for line in map(json.loads, lines)] == [
        (name, "acme", "x\ny")
        for name in ("django.request", "django.server", "gunicorn.error", "somebody.else")
    ]


def test_in_development_every_logger_writes_a_line_that_says_whose():
    unfiltered, lines = run("1")
    assert unfiltered == []
    assert len(lines) == 4
    assert all(line.endswith(r" [acme - -] x\ny") for line in lines)


# Whose a connection is, on the server


@pytest.mark.skipif(ENGINE != "postgresql", reason="SQLite has no server.")
@databases("control", "acme", "globex")
def test_the_server_is_told_whose_a_connection_is():
    def told(alias):
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()")
            (listed,) = cursor.fetchone()
            cursor.execute("SHOW application_name")
            (shown,) = cursor.fetchone()
        return listed, shown

    assert told("control") == ("control", "control")
    for tenant_id in ("acme", "globex"):
        with tenant_context(tenant_id):
            assert told(tenant_id) == (tenant_id, tenant_id)
