"""The compiled registry: says what tenants.yaml says, keeps no secret, and is believed only with a seal that
fits."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest

from tenancy import compiled, tenants_file
from tenancy.compiled import Entries, Terms, read_line, seal, unseal
from tenancy.exceptions import TenantsFileError
from tenancy.tenant import Tenant

SECRET = "hunter2-s3cret"
KEY = "the-key-of-the-seal"
FOLDER = Path("/srv/freehold")
CONTROL = {"ENGINE": "tenancy.backends.postgresql", "HOST": "db0", "PORT": "", "NAME": "control"}
CONTROL |= {"PASSWORD": SECRET}
TERMS = Terms("tenants.yaml", production=True, control=CONTROL, secret=KEY)
ENVIRON = {
    "ACME_PW": f"{SECRET}-1",
    "OWNER": "owner",
    "HOOLI": f"postgres://app:{SECRET}-2@db3.internal/hooli",
    "FILE": "sqlite:///elsewhere.sqlite3",
    "OTHER": "not in the file",
}
CONTENT = dedent(
    """\
    version: 1
    tenants:
      acme:
        name: "Acme \\u2603 株式会社"
        status: read_only
        labels: {plan: gold, region: eu}
        hosts: [acme.example]
        url: postgres://app:${ACME_PW}@pooler:6432/acme
        direct_url: postgres://${OWNER:-nobody}:${ACME_PW}@db1/acme
        replica_url: postgres://report@db2/acme
      globex: {name: Globex, url: 'sqlite:///globex.sqlite3'}
      hooli: {name: Hooli, url_env: HOOLI}
      initech: {name: Initech, url_env: FILE}
    """
).encode()


def sealed(content=CONTENT, folder=FOLDER, terms=TERMS, environ=ENVIRON):
    return seal(content, folder, terms, environ)


def opened(data, content=CONTENT, folder=FOLDER, terms=TERMS, environ=ENVIRON):
    return unseal(data, terms.digest(content, folder), terms, environ)


def entries(data, environ=ENVIRON):
    return Entries(opened(data).lines, environ=environ, known={})


def test_it_says_what_the_file_says():
    options = {"control": CONTROL, "production": True, "environ": ENVIRON}
    read = tenants_file.parse(CONTENT, name="tenants.yaml", folder=FOLDER, **options)
    found = entries(sealed())
    assert list(found) == list(read)
    for tenant_id, expected in read.items():
        tenant = found[tenant_id]
        assert tenant == expected
        assert (tenant.labels, tenant.hosts, tenant.status) == (
            expected.labels,
            expected.hosts,
            expected.status,
        )
        assert (tenant.database, tenant.direct, tenant.replica) == (
            expected.database,
            expected.direct,
            expected.replica,
        )
    assert found["acme"].database["PASSWORD"] == f"{SECRET}-1"
    with pytest.raises(TypeError):
        found["acme"].labels["plan"] = "free"


def test_it_holds_no_secret_and_nothing_to_guess_one_by():
    data = sealed()
    assert b"${ACME_PW}" in data
    for hidden in (SECRET, KEY, "db3.internal"):
        assert hidden.encode() not in data
    # Whoever has the file, and tries the right password, cannot tell that it is right without the key.
    other = Terms("tenants.yaml", production=True, control=CONTROL, secret="another key")
    assert opened(data, terms=other) is None
    assert SECRET not in repr(TERMS)
    assert KEY not in repr(TERMS)


def test_an_unchanged_environment_opens_it():
    assert list(opened(sealed()).lines) == ["acme", "globex", "hooli", "initech"]
    assert opened(sealed(), environ=ENVIRON | {"OTHER": "changed", "NEW": "x"}) is not None


@pytest.mark.parametrize("name", ["ACME_PW", "OWNER", "HOOLI", "FILE"])
@pytest.mark.parametrize("value", ["changed", "", None])
def test_another_environment_does_not(name, value):
    environ = {key: text for key, text in (ENVIRON | {name: value}).items() if text is not None}
    assert opened(sealed(), environ=environ) is None


@pytest.mark.parametrize(
    "other",
    [
        {"content": CONTENT + b"# more\n"},
        {"folder": Path("/srv/other")},
        {"terms": Terms("tenants.yaml", production=False, control=CONTROL, secret=KEY)},
        {"terms": Terms("other.yaml", production=True, control=CONTROL, secret=KEY)},
        {"terms": Terms("tenants.yaml", production=True, control=None, secret=KEY)},
        {"terms": Terms("tenants.yaml", production=True, control=CONTROL | {"NAME": "c2"}, secret=KEY)},
        {"terms": Terms("tenants.yaml", production=True, control=CONTROL, secret=KEY + "x")},
    ],
    ids=["content", "folder", "production", "name", "no control", "control", "key"],
)
def test_it_is_believed_only_for_what_it_was_made_from(other):
    assert opened(sealed(), **other) is None
    assert opened(sealed(**other), **other) is not None


def test_the_control_planes_password_does_not_matter():
    other = Terms("tenants.yaml", production=True, control=CONTROL | {"PASSWORD": "new"}, secret=KEY)
    assert opened(sealed(), terms=other) is not None


def test_new_code_believes_nothing_that_old_code_made(monkeypatch):
    data = sealed()
    monkeypatch.setattr(compiled, "code_version", lambda: "next")
    assert opened(data) is None


def test_the_codes_version_is_of_all_that_reads_the_file(tmp_path, monkeypatch):
    before = compiled.code_version()
    assert before == compiled.code_version.__wrapped__()
    for module in compiled._MODULES:
        changed = tmp_path / "changed.py"
        changed.write_bytes(Path(module.__file__).read_bytes() + b"\n")
        with monkeypatch.context() as patch:
            patch.setattr(module, "__file__", str(changed))
            assert compiled.code_version.__wrapped__() != before


def test_what_is_cut_off_anywhere_is_not_believed():
    data = sealed()
    assert all(opened(data[:length]) is None for length in range(len(data)))


def test_a_flipped_bit_anywhere_is_not_believed():
    data = sealed()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1
        assert opened(bytes(damaged)) is None


@pytest.mark.parametrize(
    "header",
    [b"", b"null", b"[]", b"{}", b'{"environment": 1}', b'{"environment": [1]}', b'{"environment": [[]]}'],
)
def test_nonsense_is_not_believed(header):
    magic, mac, _ = sealed().split(b"\n", 2)
    assert opened(b"\n".join((magic, mac, header, b""))) is None
    assert opened(b"\xff\xfe" * 1000) is None


def test_a_file_that_is_refused_is_remembered_as_such():
    content = CONTENT.replace(b"acme.example", b"ACME.example").replace(b"${ACME_PW}@pooler", b"plain@pooler")
    found = opened(sealed(content), content)
    assert found.lines == {}
    with pytest.raises(TenantsFileError) as caught:
        tenants_file.parse(
            content,
            name="tenants.yaml",
            folder=FOLDER,
            control=CONTROL,
            production=True,
            environ=ENVIRON,
        )
    assert found.problems == caught.value.problems
    assert len(found.problems) == 2


def test_a_variable_that_was_missing_is_looked_for_again():
    environ = {name: value for name, value in ENVIRON.items() if name != "HOOLI"}
    data = sealed(environ=environ)
    assert "HOOLI is unset" in opened(data, environ=environ).problems[0].text
    assert opened(data) is None


def test_no_tenants_are_a_registry_too():
    content = b"version: 1\ntenants: {}\n"
    assert opened(sealed(content), content) == compiled.Compiled({})


def test_an_entry_depends_on_the_files_folder_only_where_its_database_is_a_file():
    """Kubernetes puts every version of a mounted file into a folder of its own."""
    elsewhere = Path("/srv/..2026_11_25")
    one, two = opened(sealed()).lines, opened(sealed(folder=elsewhere), folder=elsewhere).lines
    assert {name for name in one if one[name] == two[name]} == {"acme", "hooli"}
    assert read_line(two["globex"], ENVIRON).database["NAME"] == str(elsewhere / "globex.sqlite3")


def test_a_line_is_read_once_for_all_registries_that_have_it():
    lines, known = opened(sealed()).lines, {}
    before = Entries(lines, environ=ENVIRON, known=known)
    acme = before["acme"]
    after = Entries({"acme": lines["acme"]}, environ=ENVIRON, known=known)
    assert after["acme"] is acme
    assert before["acme"] is acme
    changed = json.loads(lines["acme"])
    changed[1] = "New name"
    later = Entries({"acme": json.dumps(changed).encode()}, environ=ENVIRON, known=known)
    assert later["acme"].name == "New name"
    assert before["acme"] is acme


def test_nothing_is_read_before_it_is_asked_for():
    known = {}
    found = Entries(opened(sealed()).lines, environ=ENVIRON, known=known)
    assert len(found) == 4
    assert list(found) == ["acme", "globex", "hooli", "initech"]
    assert "acme" in found
    assert "default" not in found
    assert known == {}
    assert isinstance(found["globex"], Tenant)
    assert len(known) == 1
    with pytest.raises(KeyError):
        found["umbrella"]
