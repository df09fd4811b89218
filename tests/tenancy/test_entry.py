"""Adding an entry to tenants.yaml: all else stays as it was written, and a broken file is never made."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tenancy.entry import Entry, EntryRefused, add
from tenancy.exceptions import TenantsFileError

BLOCK = """\
# Ours. Do not sort.
version: 1
tenants:

  # the first
  acme: {name: Acme, url: 'sqlite:///acme.sqlite3'}   # in braces
  globex:
      name:   Globex     # with room
      url: sqlite:///globex.sqlite3
      labels: {plan: gold}
      hosts:
        - globex.example.com
  # the end of the tenants

# and of the file
"""
HOOLI = Entry("hooli", "Hooli", "sqlite:///hooli.sqlite3")


@pytest.fixture
def write(tmp_path):
    def write(text, name="tenants.yaml"):
        file = tmp_path / name
        file.write_bytes(text.encode())
        return file

    return write


def put(file, entry=HOOLI, **more):
    return add(file, entry, **{"control": None, "production": False, "environ": {}} | more)


def test_it_stands_after_the_last_and_nothing_else_is_changed(write):
    file = write(BLOCK)
    assert put(file) is True
    after = file.read_text()
    addition = "  hooli:\n    name: Hooli\n    url: sqlite:///hooli.sqlite3\n"
    assert after == BLOCK.replace(
        "        - globex.example.com\n", "        - globex.example.com\n" + addition
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("version: 1\ntenants: {}\n", "version: 1\ntenants:\n  hooli:\n"),
        ("tenants: {}  # none yet\nversion: 1\n", "tenants:\n  hooli:\n"),
        ("version: 1\r\ntenants: {}\r\n", "version: 1\r\ntenants:\r\n  hooli:\r\n"),
        (
            "tenants:\n    acme: {name: A, url: 'sqlite:///a.sqlite3'}\nversion: 1\n",
            "tenants:\n    acme: {name: A, url: 'sqlite:///a.sqlite3'}\n    hooli:\n      name: Hooli\n",
        ),
        (
            "tenants:\n  acme:\n    url: sqlite:///a.sqlite3\n    name: >-\n      Acme\nversion: 1\n",
            "tenants:\n  acme:\n    url: sqlite:///a.sqlite3\n    name: >-\n      Acme\n  hooli:\n",
        ),
    ],
)
def test_it_finds_its_place(write, before, after):
    file = write(before)
    put(file)
    text = file.read_bytes().decode()
    assert text.startswith(after)
    assert "hooli" in yaml.safe_load(text)["tenants"]
    assert yaml.safe_load(text)["version"] == 1


@pytest.mark.parametrize(
    "name", ["Hooli: the best", "no", "0123", "'quoted'", "#1", "Ünïcödé 両", "a" * 190, "{}, [x]"]
)
def test_what_it_writes_is_read_as_it_was_meant(write, name):
    file = write(BLOCK)
    url = "postgres://hooli_app:${HOOLI_DB_PASSWORD}@db1.internal/hooli?sslmode=verify-full"
    labels = {"plan": "gold, really", "no": "yes"}
    put(file, Entry("hooli", name, url, labels), environ={"HOOLI_DB_PASSWORD": "x"})
    entry = yaml.safe_load(file.read_text())["tenants"]["hooli"]
    assert (entry["name"], entry["url"], entry["labels"]) == (name, url, labels)


def test_twice_the_same_changes_nothing(write):
    file = write(BLOCK)
    put(file)
    before = file.stat()
    assert put(file) is False
    assert file.stat().st_ino == before.st_ino


@pytest.mark.parametrize(
    ("entry", "error", "words"),
    [
        (Entry("acme", "Other", "sqlite:///acme.sqlite3"), EntryRefused, "has an entry already"),
        (Entry("acme", "Acme", "sqlite:///other.sqlite3"), EntryRefused, "has an entry already"),
        (
            Entry("hooli", "Hooli", "sqlite:///acme.sqlite3"),
            TenantsFileError,
            "the same database as tenant 'acme'",
        ),
        (Entry("Hooli", "Hooli", "sqlite:///h.sqlite3"), TenantsFileError, "an id has 2 to 40 characters"),
        (Entry("no", "No", "sqlite:///h.sqlite3"), TenantsFileError, "not as text"),
        (Entry("hooli", "", "sqlite:///h.sqlite3"), TenantsFileError, "empty"),
        (Entry("hooli", "Two\nlines", "sqlite:///h.sqlite3"), TenantsFileError, "line break"),
        (Entry("hooli", "Hooli", "nosql://x"), TenantsFileError, "unknown scheme"),
        (Entry("hooli", "Hooli", "postgres://a:${NOT_SET}@h/d"), TenantsFileError, "NOT_SET"),
        (
            Entry("hooli: {name: x, url: y}\n  evil", "E", "sqlite:///e.sqlite3"),
            TenantsFileError,
            "tenants.yaml:",
        ),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(write, entry, error, words):
    file = write(BLOCK)
    with pytest.raises(error, match=words):
        put(file, entry)
    assert file.read_text() == BLOCK
    assert [path.name for path in file.parent.iterdir()] == ["tenants.yaml"]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("version: 1\ntenants: {acme: {name: A, url: 'sqlite:///a'}}\n", EntryRefused, "stand in braces"),
        ("version: 1\n", TenantsFileError, "missing; add `tenants:`"),
        ("version: 1\ntenants:\n", TenantsFileError, "nothing where a map"),
        ("version: 1\ntenants: [\n", TenantsFileError, "not valid YAML"),
    ],
)
def test_a_file_without_a_place_for_it_stays_as_it_is(write, text, error, words):
    file = write(text)
    with pytest.raises(error, match=words):
        put(file)
    assert file.read_text() == text


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(TenantsFileError, match="create it with"):
        put(tmp_path / "tenants.yaml")


def test_a_file_that_would_be_too_large_is_refused(write):
    with pytest.raises(EntryRefused, match="TENANCY_MAX_FILE_BYTES"):
        put(write(BLOCK), max_bytes=len(BLOCK) + 10)


def test_it_keeps_the_mode_and_writes_where_a_link_leads(write, tmp_path):
    file = write(BLOCK, "real.yaml")
    file.chmod(0o640)
    link = tmp_path / "tenants.yaml"
    link.symlink_to(file)
    put(link)
    assert link.is_symlink()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert "hooli" in file.read_text()


def test_many_at_once_are_all_there(write):
    file = write(BLOCK)
    entries = [Entry(f"t{number}-x", f"T {number}", f"sqlite:///t{number}.sqlite3") for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda entry: put(file, entry), entries))
    found = yaml.safe_load(file.read_text())["tenants"]
    assert set(found) == {"acme", "globex", *(entry.id for entry in entries)}
    assert [path.name for path in Path(file).parent.iterdir()] == ["tenants.yaml"]
