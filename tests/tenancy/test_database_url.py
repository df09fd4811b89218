"""Database URLs: what each part becomes, and every way to reach another database that is refused."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg2.extensions
import pytest

from tenancy.database_url import SSL_MODES, identity, is_same_database, parse_database_url
from tenancy.exceptions import DatabaseURLError

SECRET = "hunter2-s3cret"
AWKWARD = "@/:#?%${X} %41'\"\\=ü"


def parse(url, folder=Path("/srv/freehold"), **options):
    return parse_database_url(url, folder=folder, environ=options.pop("environ", {}), **options)


def refusal(url, **options):
    with pytest.raises(DatabaseURLError) as caught:
        parse(url, **options)
    text = str(caught.value)
    assert SECRET not in text
    assert "\n" not in text
    # A message shown with its cause would show the URL after all.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return text


def test_every_part_of_a_postgresql_url_arrives():
    settings = parse(
        "postgres://globex_app:p%40ss@db1.internal:6432/globex"
        "?sslmode=verify-full&sslrootcert=/etc/ca.pem&currentSchema=tenants_1"
    )
    assert settings["ENGINE"] == "tenancy.backends.postgresql"
    assert (settings["HOST"], settings["PORT"], settings["NAME"]) == ("db1.internal", "6432", "globex")
    assert (settings["USER"], settings["PASSWORD"]) == ("globex_app", "p@ss")
    assert settings["SCHEMA"] == "tenants_1"
    assert settings["OPTIONS"] == {
        "sslmode": "verify-full",
        "sslrootcert": "/etc/ca.pem",
        "connect_timeout": 2,
        "tcp_user_timeout": 2000,
        "keepalives_idle": 30,
        "keepalives_interval": 5,
        "keepalives_count": 3,
    }
    assert settings["TEST"] == {"DEPENDENCIES": []}
    assert settings["ATOMIC_REQUESTS"] is False


def test_what_a_postgresql_url_leaves_out_is_empty_and_the_schema_public():
    settings = parse("postgresql://db1.internal/acme")
    assert [settings[name] for name in ("USER", "PASSWORD", "PORT", "SCHEMA")] == ["", "", "", "public"]


@pytest.mark.parametrize("mode", SSL_MODES)
def test_every_ssl_mode_passes(mode):
    assert parse(f"postgres://h/d?sslmode={mode}")["OPTIONS"]["sslmode"] == mode


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("postgres://u@%2Fvar%2Frun%2FPostgreSQL/acme", "/var/run/PostgreSQL"),
        ("postgres://u@%2fsock%2fa:5433/acme", "/sock/a"),
        ("postgres://u@[::1]:5432/acme", "::1"),
        ("postgres://u@192.0.2.7/acme", "192.0.2.7"),
        ("postgres://u@DB1.Internal/acme", "db1.internal"),
    ],
)
def test_hosts_are_names_addresses_or_socket_folders(url, host):
    assert parse(url)["HOST"] == host


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:///acme.sqlite3", "/srv/freehold/acme.sqlite3"),
        ("sqlite:///var/./x/../acme.sqlite3", "/srv/freehold/var/acme.sqlite3"),
        ("sqlite:////data/acme.sqlite3", "/data/acme.sqlite3"),
        ("SQLite:///acme.sqlite3", "/srv/freehold/acme.sqlite3"),
        ("sqlite:///a%20b%3Fmode=ro%23.sqlite3", "/srv/freehold/a b?mode=ro#.sqlite3"),
        ("sqlite:///file:acme.sqlite3", "/srv/freehold/file:acme.sqlite3"),
        ("sqlite:///ann@example.com/acme.sqlite3", "/srv/freehold/ann@example.com/acme.sqlite3"),
    ],
)
def test_a_relative_sqlite_path_is_relative_to_the_folder(url, file):
    settings = parse(url)
    assert settings["ENGINE"] == "tenancy.backends.sqlite3"
    assert settings["NAME"] == file
    assert settings["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_a_loop_of_links_is_a_path_like_any_other(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert parse("sqlite:///loop/acme.sqlite3", folder=tmp_path)["NAME"].endswith("loop/acme.sqlite3")


BAD_URLS = [
    # Schemes
    pytest.param(f"mysql://app:{SECRET}@db1/acme", "unknown scheme; use one of postgres, ", id="mysql"),
    pytest.param(f"postgis://app:{SECRET}@db1/acme", "unknown scheme", id="known to dj-database-url only"),
    pytest.param(f"{SECRET}", "unknown scheme", id="no scheme"),
    pytest.param(f"app:{SECRET}@db1/acme", "unknown scheme", id="the user taken for the scheme"),
    pytest.param("//db1/acme", "unknown scheme", id="only slashes"),
    pytest.param("file:///srv/acme.sqlite3", "unknown scheme", id="file"),
    pytest.param("sqlite3:///acme.sqlite3", "unknown scheme", id="sqlite3"),
    pytest.param("p\u043estgres://db1/acme", "unknown scheme", id="Cyrillic scheme"),
    pytest.param("sqlite:acme.sqlite3", "write sqlite://", id="no slashes, first letter lost"),
    pytest.param("sqlite:/data/acme.sqlite3", "write sqlite://", id="one slash, absolute path lost"),
    pytest.param(f"postgres:app:{SECRET}@db1/acme", "write postgres://", id="postgres without slashes"),
    # Hosts
    pytest.param("postgres:///acme", "no host; ", id="no host"),
    pytest.param(f"postgres://app:{SECRET}@/acme", "no host; ", id="user and no host"),
    pytest.param(f"postgres://app:{SECRET}@:5432/acme", "no host; ", id="port and no host"),
    pytest.param(f"postgres://app:{SECRET}@db1,db2/acme", "several hosts; name one", id="two hosts"),
    pytest.param("postgres://db1%2Cdb2/acme", "several hosts; name one", id="two hosts, escaped comma"),
    pytest.param(f"postgres://app:{SECRET}@db1:1,db2:2/acme", "not a port", id="two hosts with ports"),
    pytest.param("postgres://db1%20host=evil/acme", "a host that is neither", id="space in the host"),
    pytest.param("postgres://db1%27/acme", "a host that is neither", id="quote in the host"),
    pytest.param("postgres://%40abstract/acme", "a host that is neither", id="abstract socket"),
    pytest.param(
        "postgres://d\uff41tabase/acme", "a host that is neither", id="full-width letter in the host"
    ),
    pytest.param("postgres://db1\uff0fevil/acme", "not a database URL", id="full-width slash in the host"),
    pytest.param("postgres://[::1/acme", "not a database URL; check the host", id="bracket not closed"),
    pytest.param(f"postgres://app:{SECRET}@db1:abc/acme", "not a port after the host", id="port in letters"),
    pytest.param(f"postgres://app:{SECRET}@db1:65536/acme", "not a port after the host", id="port too high"),
    pytest.param("postgres://db1:-1/acme", "not a port after the host", id="port negative"),
    pytest.param("postgres://db1:٥٤٣٢/acme", "not a port after the host", id="port in Arabic digits"),
    pytest.param("postgres://db1:0/acme", "port 0; ", id="port 0"),
    # Passwords that end the URL's first part early
    pytest.param(
        "postgres://app:12/hunter2-s3cret@db1/acme", "a '@' after the host", id="slash in a password"
    ),
    pytest.param("postgres://app:12?hunter=hunter2-s3cret@db1/a", "a '@' after", id="? in a password"),
    pytest.param("postgres://app:12#hunter2-s3cret@db1/acme", "a '@' after the host", id="# in a password"),
    pytest.param("postgres://app:hunter2-s3cret/x@db1/acme", "a '@' after the host", id="/ and letters"),
    # Database names
    pytest.param(f"postgres://app:{SECRET}@db1", "no database name; add it", id="no database name"),
    pytest.param(f"postgres://app:{SECRET}@db1/", "no database name; add it", id="only a slash"),
    pytest.param("postgres://db1/" + "a" * 64, "over 63 bytes", id="64 bytes"),
    pytest.param("postgres://db1/" + "ü" * 32, "over 63 bytes", id="64 bytes in 32 letters"),
    pytest.param("postgres://db1/" + "%C3%BC" * 32, "over 63 bytes", id="64 bytes, escaped"),
    pytest.param("postgres://db1/a%20b", "a database name with a space", id="space"),
    pytest.param("postgres://db1/dbname=other", "a database name with a space", id="connection string"),
    pytest.param(
        "postgres://db1/host%3Dh%20dbname%3Dx", "a database name with", id="escaped connection string"
    ),
    pytest.param("postgres://db1/postgresql:%2F%2Fh%2Fother", "a database name with", id="a URL as the name"),
    pytest.param("postgres://db1/acme/other", "a database name with", id="two names"),
    pytest.param("postgres://db1//acme", "a database name with", id="two slashes"),
    pytest.param("postgres://db1/ac'me", "a database name with", id="quote"),
    pytest.param("postgres://db1/ac%22me", "a database name with", id="double quote"),
    pytest.param("postgres://db1/ac%5Cme", "a database name with", id="backslash"),
    *(
        pytest.param(f"postgres://app:{SECRET}@db1/{name}", "is a maintenance database", id=name)
        for name in ("postgres", "template0", "template1", "%70ostgres")
    ),
    # Options
    *(
        pytest.param(
            f"postgres://app:{SECRET}@db1/acme?{option}=x",
            f"option '{option}' is not allowed; allowed are ",
            id=option,
        )
        for option in (
            *("host", "hostaddr", "port", "dbname", "user", "password", "passfile", "service", "servicefile"),
            *("options", "target_session_attrs", "load_balance_hosts", "application_name", "client_encoding"),
            *(
                "connect_timeout",
                "replication",
                "sslpassword",
                "HOST",
                "SSLMODE",
                "currentschema",
                "search_path",
            ),
        )
    ),
    pytest.param("postgres://db1/acme?h%6Fst=evil", "option 'host' is not allowed", id="escaped option"),
    pytest.param("postgres://db1/acme?sslmode=require&host=h", "option 'host' is", id="second option"),
    pytest.param(f"postgres://db1/acme?{SECRET}", "option 'that' is not allowed", id="option not shown"),
    pytest.param("postgres://db1/acme?host", "option 'host' is not allowed", id="option without a value"),
    pytest.param("postgres://db1/acme?=x", "option 'that' is not allowed", id="value without an option"),
    pytest.param(
        "postgres://db1/acme?sslmode=require&sslmode=disable",
        "option 'sslmode' is given twice",
        id="option twice",
    ),
    pytest.param(
        "postgres://db1/acme?sslmode=&sslmode=require", "given twice", id="option twice, once empty"
    ),
    pytest.param(
        "postgres://db1/acme?sslmode=maybe", "an unknown sslmode; use one of disable,", id="sslmode"
    ),
    pytest.param("postgres://db1/acme?sslmode=", "an unknown sslmode", id="sslmode empty"),
    pytest.param(
        "postgres://db1/acme?sslcert=%00", "option 'sslcert' holds a control", id="NUL in an option"
    ),
    pytest.param("postgres://db1/acme?sslcert=²", "not a database URL", id="a digit that is no number"),
    # Schemas
    *(
        pytest.param(
            f"postgres://db1/acme?currentSchema={schema}",
            "a currentSchema that is not",
            id=f"schema {schema}",
        )
        for schema in (
            "",
            "Acme",
            "1a",
            "a-b",
            "a,public",
            "a%20b",
            "%22a%22",
            "a" * 64,
            "schéma",
            "a;b",
            "$user",
        )
    ),
    pytest.param("postgres://db1/a?currentSchema=pg_catalog", "PostgreSQL's own", id="pg_catalog"),
    pytest.param(
        "postgres://db1/a?currentSchema=information_schema", "PostgreSQL's own", id="information_schema"
    ),
    # Fragments, control characters, escapes
    pytest.param("postgres://db1/acme#x", "a '#'; write it as %23", id="fragment"),
    pytest.param("sqlite:///acme#1.sqlite3", "a '#'; write it as %23", id="fragment in a path"),
    pytest.param("postgres://db1/ac\nme", "a control character", id="line break inside"),
    pytest.param(
        "postgres://db1/acme\n", "a control character, or a space around", id="line break at the end"
    ),
    pytest.param(" postgres://db1/acme", "a control character, or a space around", id="space before"),
    pytest.param("postgres://db1/ac\u202eme", "a control character", id="bidi override"),
    pytest.param("postgres://db1/ac\udcffme", "a control character", id="surrogate from the environment"),
    *(
        pytest.param(url, "an escape like %00", id=url)
        for url in (
            "postgres://a%00b@db1/acme",
            f"postgres://a:{SECRET}%00@db1/acme",
            "postgres://a:%ff@db1/acme",
            "postgres://db1%0A/acme",
            "postgres://db1/ac%00me",
            "postgres://db1/ac%0Dme",
            "postgres://db1/%C3",
            "sqlite:///ac%00me.sqlite3",
            "sqlite:///ac%0Ame.sqlite3",
        )
    ),
    # SQLite
    pytest.param("sqlite://", "an SQLite URL needs a file", id="sqlite without a path"),
    pytest.param("sqlite:///", "an SQLite URL needs a file", id="sqlite with an empty path"),
    pytest.param("sqlite:///:memory:", "an SQLite URL needs a file", id="memory"),
    pytest.param("sqlite://:memory:", "not a port after the host", id="memory in dj-database-url's spelling"),
    pytest.param("sqlite://acme.sqlite3", "a path needs three slashes", id="two slashes for a path"),
    pytest.param("sqlite://host/acme.sqlite3", "a path needs three slashes", id="host in an SQLite URL"),
    pytest.param(
        f"sqlite://app:{SECRET}@/acme.sqlite3", "a path needs three", id="password in an SQLite URL"
    ),
    pytest.param("sqlite:///a.sqlite3?mode=memory", "option 'mode' is not allowed", id="sqlite option"),
    pytest.param(
        "sqlite:///a.sqlite3?sslmode=require", "is for PostgreSQL; remove it", id="sslmode for SQLite"
    ),
    pytest.param(
        "sqlite:///a.sqlite3?currentSchema=a", "is for PostgreSQL; remove it", id="schema for SQLite"
    ),
    # Placeholders
    pytest.param("postgres://app@${PW}/acme", "in the user and the password only", id="placeholder: host"),
    pytest.param("postgres://app@db1/${PW}", "in the user and the password only", id="placeholder: name"),
    pytest.param("postgres://app@db1:${PW}/a", "in the user and the password only", id="placeholder: port"),
    pytest.param(
        "postgres://db1/a?sslmode=${PW}", "in the user and the password", id="placeholder: option's value"
    ),
    pytest.param("postgres://db1/a?${PW}=1", "in the user and the password only", id="placeholder: option"),
    pytest.param("postgres://db1/a?currentSchema=${PW}", "in the user and", id="placeholder: schema"),
    pytest.param("postgres://db1/a#${PW}", "in the user and the password only", id="placeholder: fragment"),
    pytest.param("sqlite:///${PW}.sqlite3", "in the user and the password only", id="placeholder: path"),
    pytest.param("${PW}://app@db1/acme", "unknown scheme", id="placeholder: scheme"),
    pytest.param("${PW}", "unknown scheme", id="placeholder: everything"),
    pytest.param(
        "postgres://app:${PW@db1/acme", "a placeholder that is not closed", id="placeholder not closed"
    ),
    pytest.param(
        "postgres://app:${A:-${PW}}@db1/acme", "not closed, or not allowed", id="nested in a fallback"
    ),
    pytest.param("postgres://app:${${PW}}@db1/acme", "not closed, or not allowed", id="nested in a name"),
    *(
        pytest.param(f"postgres://app:{text}@db1/acme", "a malformed placeholder; write ${NAME} or", id=text)
        for text in (
            "${}",
            "${1A}",
            "${A B}",
            "${A-B}",
            "${A:B}",
            "${A-x}",
            "${A:=x}",
            "${:-x}",
            "${Ä}",
            "${A?}",
        )
    ),
    pytest.param("postgres://app:${UNSET}@db1/acme", "variable UNSET is unset or empty; set it", id="unset"),
    pytest.param("postgres://app:${EMPTY}@db1/acme", "variable EMPTY is unset or empty; set it", id="empty"),
    pytest.param("postgres://${UNSET}@db1/acme", "variable UNSET is unset or empty; set it", id="unset user"),
    pytest.param(
        "postgres://app:${BREAK}@db1/acme", "BREAK holds a control character; remove", id="line break"
    ),
    pytest.param(
        "postgres://app:${BYTES}@db1/acme", "BYTES holds a control character; remove", id="not UTF-8"
    ),
]

ENVIRON = {
    "PW": SECRET,
    "EMPTY": "",
    "BREAK": f"{SECRET}\n",
    "BYTES": f"{SECRET}\udcff",
    "AWKWARD": AWKWARD,
    "X": "expanded",
}


@pytest.mark.parametrize(("url", "text"), BAD_URLS)
def test_it_refuses_the_url_and_never_repeats_a_secret(url, text):
    assert text in refusal(url, environ=ENVIRON)


@pytest.mark.parametrize("host", ["postgres://a:b@%2Fsock/acme", "postgres://db1/acme"])
@pytest.mark.parametrize("name", ["a" * 63, "ü" * 31 + "a"], ids=["63 letters", "63 bytes"])
def test_a_name_of_sixty_three_bytes_passes(host, name):
    assert parse(host.replace("acme", name))["NAME"] == name


# Placeholders


def test_a_secret_is_set_as_it_is_and_not_expanded_again():
    settings = parse("postgres://${AWKWARD}:x${AWKWARD}y${PW}@db1/acme", environ=ENVIRON)
    assert settings["USER"] == AWKWARD
    assert settings["PASSWORD"] == f"x{AWKWARD}y{SECRET}"
    assert (settings["HOST"], settings["NAME"]) == ("db1", "acme")


def test_a_secret_that_looks_like_our_own_token_is_not_expanded():
    environ = {"A": "freehold0placeholder1x", "B": SECRET}
    settings = parse("postgres://${A}:${B}@db1/acme", environ=environ)
    assert settings["USER"] == "freehold0placeholder1x"
    assert parse("postgres://freehold0placeholder9x:x@db1/acme")["USER"] == "freehold0placeholder9x"


def test_many_placeholders_do_not_mix():
    environ = {f"V{number}": f"<{number}>" for number in range(12)}
    url = "postgres://u:" + "".join(f"${{V{number}}}" for number in range(12)) + "@db1/acme"
    assert parse(url, environ=environ)["PASSWORD"] == "".join(f"<{number}>" for number in range(12))


@pytest.mark.parametrize(
    ("placeholder", "password"),
    [
        ("${PW:-fallback}", SECRET),
        ("${UNSET:-fallback}", "fallback"),
        ("${EMPTY:-fallback}", "fallback"),
        ("${UNSET:-a:-b@/c}", "a:-b@/c"),
        ("${UNSET:-}", ""),
        ("%24%7BPW%7D", "${PW}"),
        ("$PW", "$PW"),
    ],
)
def test_a_fallback_stands_in_for_what_is_unset_or_empty(placeholder, password):
    assert parse(f"postgres://app:{placeholder}@db1/acme", environ=ENVIRON)["PASSWORD"] == password


def test_without_placeholders_none_is_read():
    assert "not allowed here" in refusal("postgres://app:${PW}@db1/acme", environ=ENVIRON, placeholders=False)


@pytest.mark.parametrize(
    "password",
    [SECRET, f"${{PW:-{SECRET}}}", f"${{UNSET:-{SECRET}}}", f"{SECRET}${{PW}}", f"${{PW}}{SECRET}"],
)
def test_production_refuses_a_password_in_plain_text(password):
    url = f"postgres://app:{password}@db1/acme"
    assert "a password in plain text; in production take it from the environment" in refusal(
        url, environ=ENVIRON, production=True
    )
    assert SECRET in parse(url, environ=ENVIRON)["PASSWORD"]


@pytest.mark.parametrize("user", ["app", "app:", "app:${PW}", "app:${PW:-}", "${UNSET:-app}:${PW}"])
def test_production_accepts_a_password_from_the_environment_or_none(user):
    settings = parse(f"postgres://{user}@db1/acme", environ=ENVIRON, production=True)
    assert settings["USER"] == "app"
    assert settings["PASSWORD"] == (SECRET if "PW" in user else "")


# Identity

SAME = [
    "postgres://db1.internal/acme",
    "postgresql://db1.internal/acme",
    "POSTGRES://db1.internal:5432/acme",
    "postgres://DB1.INTERNAL/acme",
    "postgres://db1.internal./acme",
    "postgres://db1.internal:/acme",
    "postgres://other:user@db1.internal/%61cme",
    "postgres://db1.internal/acme?sslmode=require",
    "postgres://db1.internal/acme?currentSchema=public",
    "postgres://db1%2Einternal/acme?",
]

DIFFERENT = [
    "postgres://db1.internal/acme?currentSchema=acme",
    "postgres://db1.internal:5433/acme",
    "postgres://db2.internal/acme",
    "postgres://db1.internal/Acme",
    "postgres://db1.internal/acme2",
    "sqlite:///acme",
]


@pytest.mark.parametrize("other", SAME[1:])
def test_spellings_of_one_database_share_an_identity(other):
    assert identity(parse(SAME[0])) == identity(parse(other))


@pytest.mark.parametrize("other", DIFFERENT)
def test_different_databases_do_not(other):
    assert identity(parse(SAME[0])) != identity(parse(other))


@pytest.mark.parametrize(
    "spellings",
    [
        ("localhost", "127.0.0.1", "[::1]", "LocalHost", "localhost.", "[0:0:0:0:0:0:0:1]", "127.0.0.2"),
        ("[2001:db8::7]", "[2001:0db8:0:0:0:0:0:7]", "[2001:DB8::7]"),
        ("%2Fvar%2Frun%2Fpostgresql", "%2Fvar%2Frun%2Fpostgresql%2F", "%2Fvar%2F.%2Frun%2F%2Fpostgresql"),
    ],
    ids=["loopback", "IPv6", "socket"],
)
def test_spellings_of_one_host_share_an_identity(spellings):
    assert len({identity(parse(f"postgres://{host}/acme")) for host in spellings}) == 1


def test_socket_folders_keep_their_case():
    assert identity(parse("postgres://%2Fa/x")) != identity(parse("postgres://%2FA/x"))


def test_a_database_is_the_same_in_two_schemas():
    one = parse("postgres://db1/shared?currentSchema=a")
    other = parse("postgres://db1/shared?currentSchema=b")
    assert identity(one) != identity(other)
    assert is_same_database(one, other)
    assert not is_same_database(one, parse("postgres://db1/other?currentSchema=a"))


def test_spellings_of_one_file_share_an_identity(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "acme.sqlite3").touch()
    (tmp_path / "linked").symlink_to("data")
    (tmp_path / "acme-link.sqlite3").symlink_to("data/acme.sqlite3")
    spellings = [
        "sqlite:///data/acme.sqlite3",
        "sqlite:///./data/acme.sqlite3",
        "sqlite:///data/../data//acme.sqlite3",
        "sqlite:///d%61ta/acme.sqlite3",
        "sqlite:///linked/acme.sqlite3",
        "sqlite:///acme-link.sqlite3",
        f"sqlite:///{tmp_path}/data/acme.sqlite3",
    ]
    assert len({identity(parse(url, folder=tmp_path)) for url in spellings}) == 1
    assert not is_same_database(
        parse(spellings[0], folder=tmp_path), parse("sqlite:///data/Acme.sqlite3", folder=tmp_path)
    )


def test_a_link_that_is_made_later_shows(tmp_path):
    """The identity follows links when it is asked for, not only when the URL was parsed."""
    one = parse("sqlite:///one.sqlite3", folder=tmp_path)
    other = parse("sqlite:///other.sqlite3", folder=tmp_path)
    assert identity(one) != identity(other)
    Path(other["NAME"]).symlink_to(one["NAME"])
    assert identity(one) == identity(other)


def test_libpq_reads_the_same_database_as_the_url_shows():
    """The settings, as Django hands them on, survive libpq's own parser unchanged."""
    settings = parse("postgres://${AWKWARD}:${AWKWARD}@db1.internal/a-b%2Ec", environ=ENVIRON)
    dsn = psycopg2.extensions.make_dsn(
        host=settings["HOST"], dbname=settings["NAME"], user=settings["USER"], password=settings["PASSWORD"]
    )
    assert psycopg2.extensions.parse_dsn(dsn) == {
        "host": "db1.internal",
        "dbname": "a-b.c",
        "user": AWKWARD,
        "password": AWKWARD,
    }


def test_the_environment_of_the_process_is_not_read(monkeypatch):
    monkeypatch.setenv("ONLY_OUTSIDE", SECRET)
    assert os.environ["ONLY_OUTSIDE"] == SECRET
    assert "ONLY_OUTSIDE is unset" in refusal("postgres://app:${ONLY_OUTSIDE}@db1/acme")
