"""tenants.yaml: every fault is refused in one line that names its place, and what is right arrives whole."""

from __future__ import annotations

import json
import re
import time
from dataclasses import FrozenInstanceError
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tenancy.database_url import parse_database_url
from tenancy.exceptions import TenantsFileError
from tenancy.tenant import RESERVED_IDS, Status
from tenancy.tenants_file import MAX_FILE_BYTES, read
from tests.tenancy.test_database_url import BAD_URLS, DIFFERENT, ENVIRON, SAME, SECRET

URL = f"postgres://app:{SECRET}@db1.internal/acme"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tenants.yaml"


def load(file, text, *, environ=ENVIRON, production=False, control=None, **options):
    """The tenants of a file with this text (or these bytes)."""
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(file, control=control, production=production, environ=environ, **options)[0]


def problems_of(file, text, **options):
    """The lines of the refusal, none of which holds a secret."""
    with pytest.raises(TenantsFileError) as caught:
        load(file, text, **options)
    error = caught.value
    lines = str(error).split("\n")
    assert len(lines) == len(error.problems)
    for line in lines:
        assert SECRET not in line
        assert line.isprintable()
        assert len(line) < 400
        # Nothing says only that something is wrong.
        assert re.fullmatch(r"tenants\.yaml:[1-9][0-9]*: .{5,}", line)
    # The causes, which a logged traceback would show, repeat no secret either.
    for cause in (error.__cause__, None if error.__suppress_context__ else error.__context__):
        assert cause is None or SECRET not in str(cause)
    return lines


def one_tenant(*lines):
    """A file whose tenant's own lines begin in line 4."""
    return "version: 1\ntenants:\n  acme:\n" + "".join(f"    {line}\n" for line in lines)


def with_url(url):
    """A file with this URL in line 5."""
    quoted = json.dumps(url) if re.search(r"[\n\u202e]", url) else "'" + url.replace("'", "''") + "'"
    return one_tenant("name: Acme", f"url: {quoted}")


def with_id(written):
    """A file with this id in line 3."""
    return f"version: 1\ntenants:\n  {written}:\n    name: Acme\n    url: {URL}\n"


GOOD = one_tenant("name: Acme", f"url: {URL}")

# Text or bytes, line, key path, what the message says.
BAD_FILES = [
    # Not text
    pytest.param(GOOD.encode("utf-16"), 1, "", "not UTF-8; save the file as UTF-8", id="UTF-16"),
    pytest.param(
        GOOD.encode("utf-16-le"), 1, "", "control character U+0000; remove it", id="UTF-16 without a mark"
    ),
    pytest.param(GOOD.encode("utf-32"), 1, "", "not UTF-8", id="UTF-32"),
    pytest.param(
        GOOD.encode("utf-8-sig"), 1, "", "control character U+FEFF; remove it", id="byte order mark"
    ),
    pytest.param(GOOD.replace("Acme", "Zoë").encode("latin-1"), 4, "", "not UTF-8", id="latin-1"),
    pytest.param(GOOD.encode().replace(b"Acme", b"\xc0\x80"), 4, "", "not UTF-8", id="overlong NUL"),
    pytest.param(GOOD.encode().replace(b"Acme", b"\xed\xa0\x80"), 4, "", "not UTF-8", id="surrogate"),
    pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(100), 1, "", "not UTF-8", id="a picture"),
    # Control characters
    pytest.param(GOOD.replace("Acme", "Ac\0me"), 4, "", "control character U+0000; remove it", id="NUL"),
    pytest.param(GOOD.replace("/acme", "/ac\0me"), 5, "", "U+0000; remove it", id="NUL in a URL"),
    pytest.param(GOOD.replace("Acme", "\x1b[31mAcme"), 4, "", "U+001B; remove it", id="terminal escape"),
    pytest.param(GOOD.replace("Acme", "Ac\x7fme"), 4, "", "U+007F; remove it", id="DEL"),
    pytest.param(GOOD.replace("Acme", "Ac\x85me"), 4, "", "U+0085; remove it", id="C1"),
    pytest.param(GOOD.replace("Acme", "Ac\u2028me"), 4, "", "U+2028; remove it", id="line separator"),
    pytest.param(GOOD.replace("Acme", "\u202eemcA"), 4, "", "U+202E; remove it", id="bidi override"),
    pytest.param(GOOD.replace("Acme", "\u2066Acme"), 4, "", "U+2066; remove it", id="bidi isolate"),
    pytest.param(GOOD.replace("acme:", "ac\u200bme:"), 3, "", "U+200B; remove it", id="zero width space"),
    pytest.param(
        GOOD.replace("  acme", "# x\r  acme"), 3, "", "U+000D; remove it", id="lone carriage return"
    ),
    pytest.param(
        one_tenant(r'name: "a\0b"', f"url: {URL}"), 4, "tenants.acme.name", "U+0000", id="escaped NUL"
    ),
    pytest.param(
        one_tenant(r'name: "a\x1bb"', f"url: {URL}"), 4, "tenants.acme.name", "U+001B", id="escaped ESC"
    ),
    pytest.param(
        one_tenant(r'name: "\u202e"', f"url: {URL}"), 4, "tenants.acme.name", "U+202E", id="escaped bidi"
    ),
    pytest.param(
        one_tenant(r'name: "a\nb"', f"url: {URL}"), 4, "tenants.acme.name", "one line", id="escaped break"
    ),
    pytest.param(
        one_tenant(r'url: "\0"', "name: A"), 4, "tenants.acme.url", "U+0000; remove", id="NUL in url"
    ),
    pytest.param(
        one_tenant(r'"na\0me": A'), 4, "tenants.acme", "U+0000; remove it", id="escaped NUL in a key"
    ),
    # Not one document
    pytest.param("", 1, "", "empty; start with `version: 1` and `tenants:`", id="empty"),
    pytest.param(" \n\n", 1, "", "empty; start with", id="blank"),
    pytest.param("# nothing\n# yet\n", 1, "", "empty; start with", id="only comments"),
    pytest.param("---\n...\n", 2, "", "nothing where a map with `version` is needed", id="empty document"),
    pytest.param(GOOD + "---\n" + GOOD, 6, "", "more than one document; keep one", id="two documents"),
    pytest.param(GOOD + "...\n---\nx: y\n", 7, "", "more than one document", id="two documents with dots"),
    # Conveniences of YAML
    pytest.param(with_url("x").replace("'x'", f"&u {URL}"), 5, "tenants.acme.url", "an anchor", id="anchor"),
    pytest.param(with_url("x").replace("'x'", "*u"), 5, "tenants.acme.url", "an alias", id="alias"),
    pytest.param(
        GOOD.replace("acme:", "acme: &acme") + "  globex: *acme\n",
        3,
        "tenants.acme",
        "an anchor",
        id="shared map",
    ),
    pytest.param(
        one_tenant("<<: {name: Acme}", f"url: {URL}"),
        4,
        "tenants.acme",
        "merge key '<<'; write each",
        id="merge key",
    ),
    pytest.param(one_tenant("<<: *base"), 4, "tenants.acme", "merge key '<<'", id="merge key with an alias"),
    pytest.param(one_tenant("name: !!str Acme"), 4, "tenants.acme.name", "a tag ('!…'); remove it", id="tag"),
    pytest.param(one_tenant("name: ! Acme"), 4, "tenants.acme.name", "a tag", id="non-specific tag"),
    pytest.param(one_tenant("name: !env ACME"), 4, "tenants.acme.name", "a tag", id="tag of our own"),
    pytest.param(
        one_tenant("name: !!python/object/apply:os.system ['true']"),
        4,
        "tenants.acme.name",
        "a tag",
        id="code",
    ),
    pytest.param("!!map\nversion: 1\n", 1, "", "a tag", id="tag on the root"),
    pytest.param(
        "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n",
        1,
        "a",
        "an anchor",
        id="a billion laughs",
    ),
    # Duplicates
    pytest.param(
        "version: 1\nversion: 1\ntenants: {}\n", 2, "version", "duplicate key (the first", id="version twice"
    ),
    pytest.param(
        "version: 1\ntenants: {}\ntenants: {}\n",
        3,
        "tenants",
        "(the first is in line 2); remove one",
        id="tenants twice",
    ),
    pytest.param(
        GOOD + f"  acme: {{name: B, url: '{URL}2'}}\n",
        *(6, "tenants.acme", "duplicate key (the first is in line 3)"),
        id="id twice",
    ),
    pytest.param(
        GOOD + f"  'acme': {{name: B, url: '{URL}2'}}\n",
        6,
        "tenants.acme",
        "duplicate key",
        id="id twice, quoted",
    ),
    pytest.param(
        GOOD + f"    url: {URL}2\n", 6, "tenants.acme.url", "duplicate key (the first", id="url twice"
    ),
    pytest.param(
        GOOD + "    labels: {plan: a, plan: b}\n",
        6,
        "tenants.acme.labels.plan",
        "duplicate key",
        id="label twice",
    ),
    # Unknown keys
    pytest.param(
        "version: 1\ntenants: {}\ntenant: {}\n", 3, "tenant", "did you mean 'tenants'?", id="tenant"
    ),
    pytest.param(
        "version: 1\ntenants: {}\ninclude: x\n", 3, "include", "known are version, tenants", id="include"
    ),
    pytest.param(
        GOOD + "    direct_ur: x\n", 6, "tenants.acme.direct_ur", "did you mean 'direct_url'?", id="direct_ur"
    ),
    pytest.param(
        GOOD + "    Status: active\n", 6, "tenants.acme.Status", "did you mean 'status'?", id="Status"
    ),
    pytest.param(GOOD + "    host: [a]\n", 6, "tenants.acme.host", "did you mean 'hosts'?", id="host"),
    pytest.param(
        GOOD + f"    password: {SECRET}\n",
        6,
        "tenants.acme.password",
        "unknown key; known are",
        id="password",
    ),
    pytest.param(
        GOOD + f"    {URL}: x\n", 6, "tenants.acme.…", "unknown key; known are", id="a URL as a key"
    ),
    pytest.param(
        f"version: 1\ntenants:\n  acme: {{name: A, url_env: GOOD, uri {URL}}}\n",
        *(3, "tenants.acme.…", "unknown key"),
        id="no colon",
    ),
    pytest.param(
        GOOD + f"    ? {'x' * 5000}\n    : y\n", 6, "tenants.acme.…", "unknown key", id="a key of 5,000"
    ),
    # Ids
    *(
        pytest.param(
            with_id(written),
            3,
            "tenants",
            f"key '{written}' is read as {kind}, not as text",
            id=f"id {written}",
        )
        for written, kind in (
            ("no", "true or false"),
            ("on", "true or false"),
            ("true", "true or false"),
            ("0123", "a number"),
            ("123", "a number"),
            ("1_000", "a number"),
            ("12:30:45", "a number"),
            (".inf", "a number"),
            ("2024-01-01", "a date"),
            ("null", "nothing"),
            ("~", "nothing"),
        )
    ),
    pytest.param("version: 1\ntenants:\n  ?\n  : {name: A}\n", 3, "tenants", "key '' is read as", id="no id"),
    pytest.param(
        "version: 1\ntenants:\n  [a]: {name: A}\n", 3, "tenants", "a key that is a list", id="list as id"
    ),
    pytest.param(
        "version: 1\ntenants:\n  ? {a: b}\n  : x\n", 3, "tenants", "a key that is a map", id="map as id"
    ),
    *(
        pytest.param(
            with_id(written),
            3,
            f"tenants.{shown}",
            "an id has 2 to 40 characters, starts with",
            id=f"id {written!r}",
        )
        for written, shown in (
            ("1e3", "1e3"),
            ("'0123'", "0123"),
            ("a", "a"),
            ("a" * 41, "a" * 41),
            ("''", "…"),
            ("Acme", "Acme"),
            ("ACME", "ACME"),
            ("acmE", "acmE"),
            ("\u0430cme", "\u0430cme"),  # the first letter is Cyrillic
            ("\uff41cme", "\uff41cme"),  # and here full-width
            ("acmé", "acmé"),
            ("ac٣me", "ac٣me"),
            ("ac_me", "ac_me"),
            ("ac.me", "ac.me"),
            ("ac me", "ac me"),
            ("-acme", "-acme"),
            ("__class__", "__class__"),
            ("__proto__", "__proto__"),
            ("../acme", "../acme"),
            ("'acme;drop'", "…"),
            ("'${PW}'", "…"),
            ("'acme\u00a0'", "…"),
        )
    ),
    pytest.param(with_id(r'"acme\n"'), 3, "tenants", "write it on one line", id="id with a line break"),
    pytest.param(with_id('"ac\n\n  me"'), 3, "tenants", None, id="id over two lines"),
    *(
        pytest.param(
            with_id(name), 3, f"tenants.{name}", "this id is reserved; choose another", id=f"reserved {name}"
        )
        for name in sorted(RESERVED_IDS)
    ),
    # Versions
    pytest.param(
        "tenants: {}\n", 1, "version", "missing; add `version: 1` as the first line", id="no version"
    ),
    pytest.param(
        "# x\ntenants: {}\n", 2, "version", "missing; add `version: 1`", id="no version, after a comment"
    ),
    *(
        pytest.param(
            f"tenants: {{}}\nversion: {written}\n",
            2,
            "version",
            "write `version: 1`",
            id=f"version {written}",
        )
        for written in ("2", "0", "'1'", '"1"', "1.0", "01", "0x1", "+1", "one", "true", "", "[1]", "{a: 1}")
    ),
    # Shapes
    pytest.param("tenants\n", 1, "", "text where a map with `version` is needed", id="only a word"),
    pytest.param("- version: 1\n", 1, "", "a list where a map with `version`", id="a list"),
    pytest.param("42\n", 1, "", "a number where a map with `version` is needed", id="a number"),
    pytest.param("version: 1\n", 1, "tenants", "missing; add `tenants:` with one entry", id="no tenants"),
    pytest.param(
        "version: 1\ntenants:\n", 2, "tenants", "nothing where a map of tenants", id="tenants without any"
    ),
    pytest.param(
        "version: 1\ntenants: []\n", 2, "tenants", "a list where a map of tenants", id="tenants as a list"
    ),
    pytest.param(
        "version: 1\ntenants: acme\n", 2, "tenants", "text where a map of tenants", id="tenants as text"
    ),
    pytest.param(
        one_tenant(), 3, "tenants.acme", "nothing where `name` and `url` are needed", id="tenant of nothing"
    ),
    pytest.param(
        f"version: 1\ntenants:\n  acme: {URL}\n", 3, "tenants.acme", "text where `name`", id="tenant as URL"
    ),
    pytest.param(
        "version: 1\ntenants:\n  acme: []\n", 3, "tenants.acme", "a list where `name`", id="tenant as a list"
    ),
    pytest.param(GOOD.replace("    url", "   url"), 5, "", "not valid YAML: ", id="crooked indentation"),
    pytest.param(GOOD.replace("    url", "\turl"), 5, "", "not valid YAML: ", id="tab"),
    pytest.param(GOOD.replace("url: ", f"url: {SECRET}: "), 5, "", "not valid YAML: ", id="two colons"),
    pytest.param(GOOD.replace("url: ", "url: @"), 5, "", "not valid YAML: ", id="reserved character"),
    pytest.param(
        GOOD.rstrip("\n"), 5, "tenants.acme.url", "the file ends within this line", id="no last line break"
    ),
    pytest.param(
        GOOD + "    labels: " + "[" * 20 + "]" * 20 + "\n",
        6,
        None,
        "nested deeper than 20 levels",
        id="depth",
    ),
    pytest.param(
        GOOD.replace("  acme", "<<<<<<< HEAD\n  acme"),
        3,
        "",
        "git conflict marker; resolve the merge",
        id="git: ours",
    ),
    pytest.param(GOOD + "=======\n", 6, "", "git conflict marker", id="git: middle"),
    pytest.param(GOOD + ">>>>>>> feature/x\n", 6, "", "git conflict marker", id="git: theirs"),
    pytest.param(GOOD + "||||||| base\n", 6, "", "git conflict marker", id="git: base"),
    # name, status, labels, hosts
    pytest.param(one_tenant(f"url: {URL}"), 4, "tenants.acme.name", "missing; add `name:`", id="no name"),
    *(
        pytest.param(
            one_tenant(f"name: {written}", f"url: {URL}"),
            4,
            "tenants.acme.name",
            text,
            id=f"name {written[:20]}",
        )
        for written, text in (
            ("", "nothing where text is needed; put it in quotes"),
            ("no", "true or false where text is needed; put it in quotes"),
            ("42", "a number where text is needed; put it in quotes"),
            ("1999-12-31", "a date where text is needed; put it in quotes"),
            ("[Acme]", "a list where text is needed"),
            ("{a: b}", "a map where text is needed"),
            ("''", "empty; give it a value or remove the key"),
            ("'  '", "empty; give it a value"),
            ("x" * 201, "over 200 characters; shorten it"),
        )
    ),
    *(
        pytest.param(
            GOOD + f"    status: {written}\n", 6, "tenants.acme.status", text, id=f"status {written}"
        )
        for written, text in (
            ("off", "true or false where text is needed"),
            ("deleted", "unknown status; use one of active, read_only, suspended"),
            ("Active", "unknown status; use one of"),
            ("read-only", "unknown status; use one of"),
            ("''", "empty; give it a value"),
            ("", "nothing where text is needed"),
            ("[active]", "a list where text is needed"),
            (SECRET, "unknown status; use one of"),
        )
    ),
    *(
        pytest.param(
            GOOD + f"    labels: {written}\n", 6, f"tenants.acme.labels{path}", text, id=f"labels {written}"
        )
        for written, path, text in (
            ("[gold]", "", "labels are a map, text to text: {plan: gold}"),
            ("gold", "", "labels are a map"),
            ("", "", "labels are a map"),
            ("{plan: 1}", ".plan", "a number where text is needed; put it in quotes"),
            ("{plan: no}", ".plan", "true or false where text is needed"),
            ("{plan}", ".plan", "nothing where text is needed"),
            ("{plan: [a]}", ".plan", "a list where text is needed"),
            ("{plan: ''}", ".plan", "empty; give it a value"),
            ("{2024: x}", "", "key '2024' is read as a number"),
        )
    ),
    *(
        pytest.param(
            GOOD + f"    hosts: {written}\n", 6, f"tenants.acme.hosts{path}", text, id=f"hosts {written[:40]}"
        )
        for written, path, text in (
            ("acme.example", "", "hosts are a list of host names"),
            ("{a: b}", "", "hosts are a list"),
            ("", "", "hosts are a list"),
            ("[acme.example, Acme.example]", "[1]", "not a host name in lower case"),
            ("[acme.example.]", "[0]", "not a host name"),
            ("['*.example']", "[0]", "not a host name"),
            ("[a..b]", "[0]", "not a host name"),
            ("[-a.example]", "[0]", "not a host name"),
            ("['a:80']", "[0]", "not a host name"),
            (f"[{'a' * 64}.example]", "[0]", "not a host name"),
            (f"[{'a.' * 127}aa]", "[0]", "not a host name"),
            ("[80]", "[0]", "a number where text is needed"),
            ("[[a]]", "[0]", "a list where text is needed"),
            ("[a.example, a.example]", "[1]", "is already used in line 6 (tenants.acme.hosts[0])"),
        )
    ),
    # URLs
    pytest.param(
        one_tenant("name: Acme"), 4, "tenants.acme.url", "missing; add `url:` or `url_env:`", id="no url"
    ),
    pytest.param(
        one_tenant("name: Acme", f"direct_url: {URL}"), 4, "tenants.acme.url", "missing", id="only direct_url"
    ),
    pytest.param(
        GOOD + "    url_env: PW\n",
        6,
        "tenants.acme.url_env",
        "stands beside 'url'; keep one",
        id="url, url_env",
    ),
    pytest.param(
        GOOD + "    replica_url: sqlite:///a\n    replica_url_env: PW\n",
        *(7, "tenants.acme.replica_url_env", "stands beside 'replica_url'"),
        id="replica_url, replica_url_env",
    ),
    *(
        pytest.param(
            one_tenant("name: Acme", f"url: {written}"), 5, "tenants.acme.url", text, id=f"url {written}"
        )
        for written, text in (
            ("", "nothing where text is needed"),
            ("''", "empty; give it a value"),
            ("5432", "a number where text is needed"),
            ("[sqlite:///a]", "a list where text is needed"),
            ("{NAME: acme}", "a map where text is needed"),
        )
    ),
    pytest.param(
        GOOD + "    direct_url: mysql://h/d\n",
        6,
        "tenants.acme.direct_url",
        "unknown scheme",
        id="direct_url",
    ),
    pytest.param(
        GOOD + "    replica_url: mysql://h/d\n", 6, "tenants.acme.replica_url", "unknown", id="replica_url"
    ),
    *(
        pytest.param(
            one_tenant("name: Acme", f"url_env: {written}"),
            5,
            "tenants.acme.url_env",
            text,
            id=f"url_env {written}",
        )
        for written, text in (
            ("UNSET", "environment variable UNSET is unset or empty; set it"),
            ("EMPTY", "environment variable EMPTY is unset or empty; set it"),
            ("${PW}", "not the name of an environment variable"),
            (URL, "not the name of an environment variable"),
            ("A-B", "not the name of an environment variable"),
            ("1A", "not the name of an environment variable"),
            ("", "nothing where text is needed"),
            ("''", "empty; give it a value"),
            ("[PW]", "a list where text is needed"),
            ("PW", "unknown scheme"),
            ("WITH_PLACEHOLDER", "a placeholder that is not closed, or not allowed here"),
            ("WITH_BREAK", "a control character, or a space around it; remove it"),
            ("WITH_OPTION", "option 'host' is not allowed"),
        )
    ),
    # Host names of two tenants
    pytest.param(
        GOOD
        + "    hosts: [a.example]\n  globex: {name: G, url: 'sqlite:///g', hosts: [b.example, a.example]}\n",
        *(7, "tenants.globex.hosts[1]", "this host name is already used in line 6 (tenants.acme.hosts[0])"),
        id="one host name for two tenants",
    ),
]

MORE_ENVIRON = ENVIRON | {
    "GOOD": "sqlite:///acme.sqlite3",
    "WITH_PLACEHOLDER": "postgres://app:${PW}@db1/acme",
    "WITH_BREAK": f"{URL}\n",
    "WITH_OPTION": f"{URL}?host=other",
}


@pytest.mark.parametrize(("text", "line", "path", "message"), BAD_FILES)
def test_it_refuses_a_bad_file_in_one_line(file, text, line, path, message):
    [said] = problems_of(file, text, environ=MORE_ENVIRON)
    if path is None:
        assert said.startswith(f"tenants.yaml:{line}: ")
    else:
        assert said.startswith(f"tenants.yaml:{line}: {path}{': ' if path else ''}")
    assert message is None or message in said


@pytest.mark.parametrize(("url", "message"), BAD_URLS)
def test_it_refuses_a_bad_url_in_one_line(file, url, message):
    if re.search(r"[\ud800-\udfff]", url):
        text = one_tenant("name: Acme", "url_env: URL")  # bytes that no UTF-8 file can hold
        [said] = problems_of(file, text, environ=ENVIRON | {"URL": url})
        assert said.startswith("tenants.yaml:5: tenants.acme.url_env: ")
        return
    [said] = problems_of(file, with_url(url))
    assert said.startswith("tenants.yaml:5: tenants.acme.url: ")


@pytest.mark.parametrize("password", [SECRET, f"${{PW:-{SECRET}}}", f"${{UNSET:-{SECRET}}}"])
@pytest.mark.parametrize("key", ["url", "direct_url", "replica_url"])
def test_production_refuses_a_plaintext_password_that_development_accepts(file, key, password):
    text = one_tenant("name: Acme", *([] if key == "url" else ["url: sqlite:///a.sqlite3"]))
    text += f"    {key}: postgres://app:{password}@db1/acme\n"
    line = text.count("\n")
    [said] = problems_of(file, text, production=True)
    assert said.startswith(
        f"tenants.yaml:{line}: tenants.acme.{key}: a password in plain text; in production"
    )
    tenant = load(file, text)["acme"]
    found = {"url": tenant.database, "direct_url": tenant.direct, "replica_url": tenant.replica}[key]
    assert found["PASSWORD"] == SECRET


def test_production_accepts_a_whole_url_from_the_environment(file):
    tenants = load(file, one_tenant("name: A", "url_env: THE_URL"), production=True, environ={"THE_URL": URL})
    assert tenants["acme"].database["PASSWORD"] == SECRET


# Shared databases

TWO = "version: 1\ntenants:\n  acme: {{name: A, url: '{}'}}\n  globex: {{name: G, url: '{}'}}\n"


@pytest.mark.parametrize("other", [*SAME, SAME[0].replace("acme", "acme?currentSchema=public")])
def test_it_refuses_two_tenants_in_one_database(file, other):
    [said] = problems_of(file, TWO.format(SAME[0], other))
    assert said == (
        "tenants.yaml:4: tenants.globex.url: the same database as tenant 'acme'; each needs its own"
    )


@pytest.mark.parametrize(
    "hosts", [("localhost", "127.0.0.1"), ("localhost", "[::1]"), ("[::1]", "127.0.0.1"), ("db.", "DB")]
)
def test_it_refuses_two_tenants_on_two_spellings_of_a_host(file, hosts):
    one, other = (f"postgres://{host}/shared" for host in hosts)
    [said] = problems_of(file, TWO.format(one, other))
    assert "the same database as tenant 'acme'" in said


@pytest.mark.parametrize("other", DIFFERENT)
def test_it_accepts_two_tenants_in_two_databases_or_schemas(file, other):
    assert list(load(file, TWO.format(SAME[0], other))) == ["acme", "globex"]


@pytest.mark.parametrize(
    "spelling",
    [
        "a.db",
        "./a.db",
        "x/../a.db",
        "x//..//a.db",
        "%61.db",
        "link.db",
        "folder/a.db",
        "{folder}/a.db",
        "loop/../a.db",
    ],
)
def test_it_refuses_two_tenants_in_one_file(file, spelling):
    folder = file.parent
    (folder / "link.db").symlink_to("a.db")
    (folder / "folder").symlink_to(folder)
    (folder / "loop").symlink_to("loop")
    (folder / "x").mkdir()
    [said] = problems_of(file, TWO.format("sqlite:///a.db", f"sqlite:///{spelling.format(folder=folder)}"))
    assert said.startswith("tenants.yaml:4: tenants.globex.url: the same database as tenant 'acme'; ")


@pytest.mark.parametrize("key", ["direct_url", "replica_url"])
def test_a_second_url_of_one_tenant_may_not_be_anothers_database(file, key):
    text = f"version: 1\ntenants:\n  acme: {{name: A, url: '{URL}', {key}: '{URL}'}}\n"
    assert list(load(file, text)) == ["acme"]  # its own is fine
    text += f"  globex:\n    name: G\n    url: 'sqlite:///g.db'\n    {key}: '{URL}'\n"
    [said] = problems_of(file, text)
    assert said.startswith(f"tenants.yaml:7: tenants.globex.{key}: the same database as tenant 'acme'")


def test_a_shared_database_is_found_when_its_url_comes_from_the_environment(file):
    text = GOOD + "  globex:\n    name: G\n    url_env: THE_URL\n"
    [said] = problems_of(file, text, environ={"THE_URL": URL})
    assert said.startswith("tenants.yaml:8: tenants.globex.url_env: the same database as tenant 'acme'")


@pytest.mark.parametrize(
    ("control", "tenant"),
    [
        ("postgres://root@db1.internal/control", "postgresql://app@DB1.internal.:5432/control"),
        ("postgres://root@db1.internal/control", "postgres://app@db1.internal/control?currentSchema=acme"),
        ("postgres://root@localhost/control", "postgres://app@127.0.0.1/control"),
        ("sqlite:///control.db", "sqlite:///./x/../control.db"),
    ],
    ids=["spelling", "another schema", "loopback", "file"],
)
def test_it_refuses_a_tenant_in_the_control_planes_database(file, control, tenant):
    parsed = parse_database_url(control, folder=file.parent, environ={})
    [said] = problems_of(file, with_url(tenant), control=parsed)
    assert said == (
        "tenants.yaml:5: tenants.acme.url: the same database as the control plane; each needs its own"
    )
    assert load(file, with_url(tenant.replace("control", "other")), control=parsed)


# Files


def test_a_missing_file_is_told_in_one_line(file):
    with pytest.raises(TenantsFileError) as caught:
        read(file, control=None, production=True, environ={})
    assert str(caught.value).startswith("tenants.yaml:1: no such file: ")
    assert str(caught.value).endswith("; create it, or set TENANTS_FILE")


def test_a_folder_or_a_dead_link_is_no_file(file):
    for make in (file.mkdir, lambda: file.symlink_to("gone"), lambda: file.symlink_to("tenants.yaml")):
        make()
        with pytest.raises(TenantsFileError, match=r"^tenants\.yaml:1: no such file: .*; create it"):
            read(file, control=None, production=True, environ={})
        file.rmdir() if file.is_dir() else file.unlink()


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    with pytest.raises(TenantsFileError) as caught:
        read(tmp_path / ("x" * 300), control=None, production=True, environ={})
    assert str(caught.value).endswith(":1: cannot be read: File name too long")


def test_a_file_that_goes_while_it_is_read_is_missing(file, monkeypatch):
    monkeypatch.setattr(type(file), "is_file", lambda file: file.parent.is_dir())
    with pytest.raises(TenantsFileError, match="no such file"):
        read(file, control=None, production=True, environ={})


def test_the_size_limit_counts_bytes_and_says_how_to_raise_it(file):
    size = len(GOOD.encode())
    assert load(file, GOOD, max_bytes=size)
    [said] = problems_of(file, GOOD, max_bytes=size - 1)
    assert said == f"tenants.yaml:1: over {size - 1} bytes; raise TENANCY_MAX_FILE_BYTES if that is meant"


def test_a_file_over_four_mebibytes_is_refused_at_once(file):
    assert MAX_FILE_BYTES == 4 * 1024 * 1024
    started = time.perf_counter()
    [said] = problems_of(file, GOOD + "#" * MAX_FILE_BYTES)
    assert "over 4194304 bytes" in said
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    "filler",
    ["# comment\n", "\n", "a", "- x\n", "x: y\n", "[", "'", "&a [", "? ", "  "],
    ids=repr,
)
def test_the_largest_file_is_refused_in_reasonable_time(file, filler):
    """Whatever it is full of: no quadratic reading, no deep recursion."""
    text = "version: 1\n" + filler * ((MAX_FILE_BYTES - 100) // len(filler))
    started = time.perf_counter()
    with pytest.raises(TenantsFileError):
        load(file, text)
    assert time.perf_counter() - started < 15


def test_a_thousand_tenants_are_read(file):
    """How long it takes is the benchmark ``growth``'s to say."""
    text = "version: 1\ntenants:\n" + "".join(
        f"  tenant-{number}:\n    name: Tenant {number}\n    labels: {{plan: gold}}\n"
        f"    url: postgres://t{number}:${{PW}}@db{number % 7}.internal/tenant_{number}\n"
        for number in range(1000)
    )
    control = parse_database_url("postgres://db0.internal/control", folder=file.parent, environ={})
    tenants = load(file, text, production=True, control=control)
    assert len(tenants) == 1000
    assert tenants["tenant-999"].database["NAME"] == "tenant_999"


# Good files

WHOLE = dedent(
    """\
    # The example of the contract, with every key.
    version: 1
    tenants:
      acme:
        name: Acme Corporation
        url: sqlite:///var/tenants/acme.sqlite3
      globex:
        name: Globex
        status: read_only
        labels: {plan: gold, region: eu}
        hosts: [globex.example, www.globex.example]
        direct_url: postgres://globex_owner:${GLOBEX_DB_PASSWORD}@db1.internal:5432/globex
        replica_url_env: GLOBEX_REPLICA
        url: postgres://globex_app:${GLOBEX_DB_PASSWORD}@pooler:6432/globex?sslmode=verify-full
      hooli:
        name: Hooli · "naïve" 株式会社
        status: suspended
        url_env: HOOLI_DATABASE_URL
      initech:
        name: 'Initech'
        url: postgres://initech_app:${INITECH_DB_PASSWORD}@db1.internal/shared?currentSchema=initech
    """
)

WHOLE_ENVIRON = {
    "GLOBEX_DB_PASSWORD": "@/:#?%${X}",
    "GLOBEX_REPLICA": "postgres://report@db2.internal/globex",
    "HOOLI_DATABASE_URL": f"postgres://hooli:{SECRET}@db3.internal/hooli",
    "INITECH_DB_PASSWORD": SECRET,
    "X": "expanded",
}


def test_every_field_arrives(file):
    tenants = load(file, WHOLE, environ=WHOLE_ENVIRON, production=True)
    assert list(tenants) == ["acme", "globex", "hooli", "initech"]

    acme = tenants["acme"]
    assert (acme.id, acme.name, acme.status) == ("acme", "Acme Corporation", Status.ACTIVE)
    assert (acme.labels, acme.hosts, acme.direct, acme.replica) == ({}, (), None, None)
    assert acme.engine == "sqlite3"
    assert acme.database["NAME"] == str(file.parent / "var/tenants/acme.sqlite3")

    globex = tenants["globex"]
    assert globex.status is Status.READ_ONLY
    assert globex.labels == {"plan": "gold", "region": "eu"}
    assert globex.hosts == ("globex.example", "www.globex.example")
    assert globex.engine == "postgresql"
    assert (globex.database["HOST"], globex.database["PORT"]) == ("pooler", "6432")
    assert globex.database["PASSWORD"] == globex.direct["PASSWORD"] == "@/:#?%${X}"
    assert globex.database["OPTIONS"]["sslmode"] == "verify-full"
    assert (globex.direct["USER"], globex.direct["HOST"]) == ("globex_owner", "db1.internal")
    assert (globex.replica["USER"], globex.replica["HOST"]) == ("report", "db2.internal")

    hooli = tenants["hooli"]
    assert (hooli.name, hooli.status) == ('Hooli · "naïve" 株式会社', Status.SUSPENDED)
    assert (hooli.database["NAME"], hooli.database["PASSWORD"]) == ("hooli", SECRET)

    assert tenants["initech"].database["SCHEMA"] == "initech"


def test_a_tenant_shows_no_secret_and_does_not_change(file):
    tenants = load(file, WHOLE, environ=WHOLE_ENVIRON)
    for tenant in tenants.values():
        assert SECRET not in repr(tenant)
        assert "db1" not in repr(tenant)
    assert "Initech" in repr(tenants["initech"])
    with pytest.raises(FrozenInstanceError):
        tenants["acme"].name = "Other"
    with pytest.raises(TypeError):
        tenants["globex"].labels["plan"] = "free"


def test_a_relative_path_follows_the_file_and_not_the_working_folder(file, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    load(file, with_url("sqlite:///a.sqlite3"))
    monkeypatch.chdir(elsewhere)
    (elsewhere / "linked.yaml").symlink_to(file)
    for name in (file, elsewhere / "linked.yaml"):
        tenants, _ = read(name, control=None, production=True, environ={})
        assert tenants["acme"].database["NAME"] == str(tmp_path / "a.sqlite3")


def test_it_returns_the_bytes_it_read(file):
    load(file, GOOD)
    assert read(file, control=None, production=False, environ={})[1] == GOOD.encode()


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\ntenants: {}\n",
        "---\nversion: 1\ntenants: {}\n...\n",
        "%YAML 1.2\n---\nversion: 1\ntenants: {}\n",
        '{"version": 1, "tenants": {}}',
        "tenants: {}\r\nversion: 1\r\n",
    ],
    ids=["block", "with marks", "with a directive", "JSON", "CRLF"],
)
def test_a_file_without_tenants_is_valid(file, text):
    assert load(file, text) == {}


@pytest.mark.parametrize("written", ["ab", "a" * 40, "a-", "a1-2-3", "'no'", "'null'", "'yes'", "xn--acme"])
def test_it_accepts_the_id(file, written):
    assert list(load(file, with_id(written))) == [written.strip("'")]


def test_all_faults_are_told_in_the_files_order(file):
    text = dedent(
        f"""\
        version: 2
        tenants:
          Acme: {{name: A, url: '{URL}'}}
          globex:
            status: gone
            labels: {{plan: 1}}
            hosts: [A.example]
            url: postgres://app:{SECRET}@db1/postgres
            urls: x
          hooli: {{name: H, url: '{URL}'}}
          initech: {{name: I, url: '{URL}'}}
        extra: x
        """
    )
    said = problems_of(file, text)
    assert [line.split(": ")[0].split(":")[1] + " " + line.split(": ")[1] for line in said] == [
        "1 version",
        "3 tenants.Acme",
        "5 tenants.globex.name",
        "5 tenants.globex.status",
        "6 tenants.globex.labels.plan",
        "7 tenants.globex.hosts[0]",
        "8 tenants.globex.url",
        "9 tenants.globex.urls",
        "11 tenants.initech.url",
        "12 extra",
    ]


# Half-written files and nonsense


def is_part(tenants, whole):
    """Whether these are the first of the whole file's tenants, each as it is there. Databases are left out
    of the tenants' own comparison."""
    return all(
        found == expected
        and (found.database, found.direct, found.replica)
        == (expected.database, expected.direct, expected.replica)
        for found, expected in zip(tenants.values(), whole.values(), strict=False)
    )


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_file_cut_at_any_byte_is_refused_or_says_nothing_wrong(file, line_end):
    """Each entry ends with its URL: what is optional and stands after it could be lost unseen."""
    data = WHOLE.replace("\n", line_end).encode()
    whole = load(file, data, environ=WHOLE_ENVIRON)
    accepted = set()
    for length in range(len(data)):
        if tenants := load_or_refuse(file, data[:length]):
            assert is_part(tenants, whole), data[:length].decode()
            accepted.add(len(tenants))
    assert accepted <= {1, 2, 3, 4}
    assert accepted  # an end between two entries cannot be told from a shorter file


TOKENS = (
    b"version~: ~1~\n~tenants~  ~acme~url~name~- ~[~]~{~}~'~\"~,~&a ~*a~!!str ~<<~? ~|~>~#~---\n~...\n~\\x~"
    b"%YAML 1.1\n~${PW}~postgres://~sqlite:///~@~/~?~=~\t~\r~\0~\xc3\xa9~null~0123~2024-01-01"
).split(b"~")

ANYTHING = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(st.sampled_from(TOKENS), max_size=60).map(b"".join),
)

EXPECTED = settings(
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=400,
)


def load_or_refuse(file, data):
    """Tenants, or none when refused by a ``TenantsFileError`` of whole lines without a secret."""
    try:
        return load(file, data, environ=WHOLE_ENVIRON)
    except TenantsFileError as exc:
        error = exc
    lines = str(error).split("\n")
    assert len(lines) == len(error.problems) >= 1
    assert all(re.match(r"tenants\.yaml:[1-9]", line) and line.isprintable() for line in lines)
    assert SECRET not in str(error)
    return {}


@EXPECTED
@given(data=ANYTHING)
@example(data=b"\xff")
@example(data=b"? ")
def test_random_bytes_never_raise_anything_else(file, data):
    load_or_refuse(file, data)


SNIPPETS = st.one_of(
    st.sampled_from(
        b"|\n| |:|'|\"|{|}|[|]|${|&a |*a|@|/|//|..|%|%00|?|? |\t|\r|\0|\xff|---\n|#|!|- |<<: ".split(b"|")
    ),
    st.binary(max_size=4),
    st.text(max_size=4).map(lambda text: text.encode("utf-8", "surrogatepass")),
)
CHANGES = st.lists(
    st.tuples(st.integers(0, len(WHOLE.encode())), st.integers(0, 12), SNIPPETS), min_size=1, max_size=4
)


@EXPECTED
@given(changes=CHANGES)
def test_a_damaged_file_never_raises_anything_else(file, changes):
    data = WHOLE.encode()
    for position, removed, inserted in changes:
        data = data[:position] + inserted + data[position + removed :]
    tenants = load_or_refuse(file, data)
    # Whatever was accepted, no two tenants meet in one database.
    places = [
        tuple(str(tenant.database.get(part)) for part in ("HOST", "PORT", "NAME", "SCHEMA"))
        for tenant in tenants.values()
    ]
    assert len(set(places)) == len(places)
