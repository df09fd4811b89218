"""Uploaded files: another tenant's are out of reach, by every method and whatever the name."""

from __future__ import annotations

import io
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.test import override_settings
from django.urls import set_script_prefix
from django.utils.functional import cached_property
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from project import settings as project_settings
from tenancy.context import current_tenant, enter_request, request_scope, require_tenant, tenant_context
from tenancy.exceptions import NoTenant, WrongTenant
from tenancy.registry import get_registry
from tenancy.storage import TenantFileSystemStorage
from tests.project.test_settings import manage

#: The same name for everybody, and what each keeps under it. Their lengths and times differ too.
NAME = "a/k.txt"
CONTENTS = {"acme": b"acme's", "globex": b"the one of globex"}
TIMES = {"acme": 1_000, "globex": 2_000}


@pytest.fixture
def media(tmp_path):
    with override_settings(MEDIA_ROOT=tmp_path / "media", MEDIA_URL="/media/"):
        yield tmp_path / "media"


@pytest.fixture
def storage(media):
    return TenantFileSystemStorage()


def write(storage, *tenants):
    """Each tenant's own file, through the storage, with its own time."""
    for tenant_id in tenants:
        with tenant_context(tenant_id):
            if storage.exists(NAME):
                storage.delete(NAME)
            assert storage.save(NAME, ContentFile(CONTENTS[tenant_id])) == NAME
            os.utime(storage.path(NAME), (TIMES[tenant_id], TIMES[tenant_id]))
            storage.url(NAME)  # whoever comes first must not decide for the others


def everything(media, but=""):
    """Every file below ``media`` with its content, mode and time, but those of one tenant."""
    return {
        path.relative_to(media).as_posix(): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime)
        for path in media.rglob("*")
        if path.is_file() and path.relative_to(media).parts[0] != but
    }


@dataclass(frozen=True, eq=False)
class Call:
    """A method's use, what it gives where the file is there, and where it is not."""

    use: Any
    found: Any
    missing: Any

    def result(self, storage, name=NAME):
        try:
            return self.use(storage, name)
        except FileNotFoundError:
            return FileNotFoundError


def read(storage, name):
    with storage.open(name) as file:
        return file.read()


def files_in(storage, name):
    try:
        return storage.listdir(str(name).rpartition("/")[0])
    except FileNotFoundError:
        return [], []


def at(tenant_id):
    return datetime.fromtimestamp(TIMES[tenant_id], UTC)


def made_at(tenant_id):
    # A file's ctime is the kernel's to set.
    path = settings.MEDIA_ROOT / tenant_id / NAME
    return datetime.fromtimestamp(path.stat().st_ctime, UTC) if path.exists() else None


def always(value):
    return lambda _tenant_id: value


CALLS = {
    "open": Call(read, CONTENTS.get, FileNotFoundError),
    "save": Call(lambda s, name: s.save(name, ContentFile(b"new")).startswith(NAME[:3]), always(True), True),
    "delete": Call(lambda s, name: (s.delete(name), s.exists(name)), always((None, False)), (None, False)),
    "exists": Call(lambda s, name: s.exists(name), always(True), False),
    "listdir": Call(files_in, always(([], ["k.txt"])), ([], [])),
    "size": Call(lambda s, name: s.size(name), lambda t: len(CONTENTS[t]), FileNotFoundError),
    "get_accessed_time": Call(lambda s, name: s.get_accessed_time(name), at, FileNotFoundError),
    "get_created_time": Call(lambda s, name: s.get_created_time(name), made_at, FileNotFoundError),
    "get_modified_time": Call(lambda s, name: s.get_modified_time(name), at, FileNotFoundError),
    "path": Call(
        lambda s, name: s.path(name),
        lambda t: str(settings.MEDIA_ROOT.resolve() / t / NAME),
        str,  # checked by its own tests: it is the same whether there is a file or not
    ),
    "url": Call(lambda s, name: s.url(name), lambda t: f"/media/{t}/{NAME}", str),
    "generate_filename": Call(lambda s, name: s.generate_filename(name), always(NAME), NAME),
    "get_available_name": Call(lambda s, name: s.get_available_name(name) == NAME, always(False), True),
    "is_name_available": Call(lambda s, name: s.is_name_available(name), always(False), True),
}
#: These look at a text and at nothing else.
OTHERS = {"get_valid_name", "get_alternative_name", "deconstruct"}
every_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
every_tenant = pytest.mark.parametrize("tenant_id", CONTENTS)


def test_no_public_method_was_forgotten():
    public = {
        name
        for name in dir(TenantFileSystemStorage)
        if callable(getattr(TenantFileSystemStorage, name)) and not name.startswith("_")
    }
    assert public == {*CALLS, *OTHERS}


def check_own_file(storage, media, call, tenant_id):
    """With a file of each tenant: a method works on the tenant's, and on no other's."""
    write(storage, *CONTENTS)
    before = everything(media, but=tenant_id)
    with tenant_context(tenant_id):
        assert call.result(storage) == call.found(tenant_id)
    assert everything(media, but=tenant_id) == before


def check_no_file(storage, media, call, tenant_id):
    """With files of all other tenants: a method finds nothing, and leaves theirs alone."""
    write(storage, *(CONTENTS.keys() - {tenant_id}))
    before = everything(media, but=tenant_id)
    assert before
    with tenant_context(tenant_id):
        result = call.result(storage)
    assert result == (call.found(tenant_id) if call.missing is str else call.missing)
    assert everything(media, but=tenant_id) == before


@every_call
@every_tenant
def test_a_method_works_on_its_tenants_file(storage, media, call, tenant_id):
    check_own_file(storage, media, call, tenant_id)


@every_call
@every_tenant
def test_a_method_finds_no_other_tenants_file(storage, media, call, tenant_id):
    check_no_file(storage, media, call, tenant_id)


class ObviousStorage(FileSystemStorage):
    """How one would write it: Django keeps what the first tenant to come made of it."""

    @cached_property
    def base_location(self):
        return str(settings.MEDIA_ROOT / require_tenant().id)

    @cached_property
    def base_url(self):
        return f"/media/{require_tenant().id}/"


@pytest.mark.parametrize("made", [FileSystemStorage, ObviousStorage])
@pytest.mark.parametrize("call", [CALLS[name] for name in CALLS if name != "generate_filename"])
def test_without_our_storage_every_method_would_leak(media, call, made):
    """Negative control: the checks above fail for a storage that is not ours. (``generate_filename`` looks
    at no file.)"""
    with pytest.raises(AssertionError):  # noqa: PT012 - one of the two, which differs
        check_own_file(made(), media, call, "globex")
        check_no_file(made(), media, call, "globex")


@every_call
def test_a_method_needs_a_tenant(storage, media, call):
    write(storage, "acme")
    before = everything(media)
    with pytest.raises(NoTenant, match=r"A file('s URL)? needs a tenant"):
        call.result(storage)
    with request_scope(), pytest.raises(NoTenant):
        call.result(storage)
    assert everything(media) == before
    assert current_tenant() is None


@pytest.mark.parametrize("name", ["base_location", "location", "base_url"])
def test_an_attribute_is_the_tenants_at_each_reading(storage, media, name):
    for tenant_id in (*CONTENTS, *CONTENTS):
        with tenant_context(tenant_id):
            expected = f"/media/{tenant_id}/" if name == "base_url" else str(media.resolve() / tenant_id)
            assert getattr(storage, name) == expected
    with pytest.raises(NoTenant):
        getattr(storage, name)


def test_a_method_that_looks_at_texts_only_needs_no_tenant(storage):
    assert storage.get_valid_name("../a b") == "..a_b"
    assert storage.get_alternative_name("a", ".txt").startswith("a_")
    assert storage.deconstruct() == ("tenancy.storage.TenantFileSystemStorage", (), {})


# Names


def links(media):
    """In acme's folder: links out of it, and around in it."""
    home = media / "acme"
    (home / "folder").symlink_to(media / "globex" / "a")
    (home / "file").symlink_to(media / "globex" / NAME)
    (home / "root").symlink_to("..")
    (home / "host").symlink_to("/")
    (home / "twice").symlink_to("folder")
    (home / "inside").symlink_to("a")
    # A tenant whose id begins as this one's does.
    neighbour = media / "acme-2" / NAME
    neighbour.parent.mkdir(parents=True)
    neighbour.write_bytes(b"the neighbour's")
    (home / "neighbour").symlink_to(neighbour.parent)


HOSTILE = {
    "up": "../globex/a/k.txt",
    "down and up": "a/../../globex/a/k.txt",
    "up and back": "../acme/a/k.txt",
    "absolute": "/globex/a/k.txt",
    "absolute and its own": "{media}/acme/a/k.txt",
    "absolute and another's": "{media}/globex/a/k.txt",
    "two slashes": "//globex/a/k.txt",
    "NUL": "a/k.txt\0.png",
    "backslashes up": "..\\globex\\a\\k.txt",
    "a backslash": "a\\k.txt",
    "dots": "..",
    "a link to a folder": "folder/k.txt",
    "a link to a file": "file",
    "a link to all tenants": "root/globex/a/k.txt",
    "a link to the host": "host/etc/passwd",
    "a link to a link": "twice/k.txt",
    "a link to a neighbour": "neighbour/k.txt",
    "a neighbour": "../acme-2/a/k.txt",
    "below a link to a file that is not there": "folder/new/k.txt",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
@every_call
def test_a_name_that_leads_out_is_refused(storage, media, call, name):
    write(storage, *CONTENTS)
    links(media)
    before = everything(media)
    # "listdir" takes the folder of its name; here the name itself is what leads out.
    use = TenantFileSystemStorage.listdir if call is CALLS["listdir"] else call.result
    with tenant_context("acme"), pytest.raises(SuspiciousFileOperation, match="leads out of the tenant's"):
        use(storage, name.format(media=media))
    assert everything(media) == before


@pytest.mark.parametrize("name", ["folder/k.txt", "file", "root/globex/a/k.txt", "twice/k.txt"])
def test_django_would_follow_a_link_to_another_tenant(storage, media, name):
    """Negative control: these names do lead there."""
    write(storage, *CONTENTS)
    links(media)
    assert read(FileSystemStorage(location=media / "acme"), name) == CONTENTS["globex"]


def test_djangos_url_would_lead_to_another_tenant():
    """Negative control: ``url()`` does not ask ``path()``."""
    storage = FileSystemStorage(location="anywhere", base_url="/media/acme/")
    assert storage.url("../globex/a/k.txt") == "/media/globex/a/k.txt"


def test_a_link_inside_is_followed_and_removed_itself(storage, media):
    write(storage, *CONTENTS)
    links(media)
    (media / "acme" / "also").symlink_to(NAME)
    with tenant_context("acme"):
        assert read(storage, "inside/k.txt") == read(storage, "also") == CONTENTS["acme"]
        storage.delete("also")
        assert not storage.exists("also")
        assert read(storage, NAME) == CONTENTS["acme"]


@pytest.mark.parametrize("where", ["{media}/globex", "globex", "{media}", "."])
def test_a_folder_that_is_a_link_is_refused(storage, media, where):
    write(storage, "globex")
    (media / "acme").symlink_to(where.format(media=media))
    with tenant_context("acme"):
        for name in (NAME, "", "globex/a/k.txt"):
            with pytest.raises(SuspiciousFileOperation):
                storage.exists(name)


def test_a_root_that_is_a_link_is_followed(media, tmp_path):
    media.mkdir()
    (tmp_path / "link").symlink_to(media)
    with override_settings(MEDIA_ROOT=tmp_path / "link"):
        write(TenantFileSystemStorage(), *CONTENTS)
        with tenant_context("acme"):
            assert read(TenantFileSystemStorage(), NAME) == CONTENTS["acme"]
    assert (media / "acme" / NAME).exists()


@given(
    name=st.text() | st.lists(st.sampled_from(["..", ".", "", "a", "globex", "%2e%2e", "~"])).map("/".join)
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_name_leads_into_the_tenants_folder_or_nowhere(media, name):
    storage = TenantFileSystemStorage()
    with tenant_context("acme"):
        try:
            path, url = storage.path(name), storage.url(name)
        except SuspiciousFileOperation:
            return
    assert Path(path) == media.resolve() / "acme" or media.resolve() / "acme" in Path(path).parents
    assert ".." not in Path(path).parts
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("", "", "", "")
    assert parts.path.startswith("/media/acme/")
    assert ".." not in parts.path.split("/")


# Modes, options, URLs


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077], ids=oct)
def test_files_and_folders_are_the_services_alone(storage, media, mask):
    before = os.umask(mask)
    try:
        with tenant_context("acme"):
            storage.save(NAME, ContentFile(b"x"))
            with TemporaryUploadedFile("big", "text/plain", 1, None) as upload:
                Path(upload.temporary_file_path()).chmod(0o644)
                storage.save("a/b/big.txt", upload)
            with storage.open("a/opened.txt", "wb") as file:
                file.write(b"x")
    finally:
        os.umask(before)
    home = media / "acme"
    assert {mode(home / name) for name in (NAME, "a/b/big.txt", "a/opened.txt")} == {0o600}
    assert {mode(folder) for folder in (media, home, home / "a", home / "a" / "b")} == {0o700}


def test_django_would_let_everybody_on_the_host_read(media):
    """Negative control."""
    before = os.umask(0o022)
    try:
        FileSystemStorage().save(NAME, ContentFile(b"x"))
    finally:
        os.umask(before)
    assert (mode(media / NAME), mode(media / "a")) == (0o644, 0o755)


def test_options_say_otherwise(tmp_path):
    storage = TenantFileSystemStorage(
        location=tmp_path / "other", base_url="https://files.example.com/m", file_permissions_mode=0o640
    )
    write(storage, *CONTENTS)
    for tenant_id in CONTENTS:
        with tenant_context(tenant_id):
            assert storage.path(NAME) == str(tmp_path.resolve() / "other" / tenant_id / NAME)
            assert storage.url("a b?.txt") == f"https://files.example.com/m/{tenant_id}/a%20b%3F.txt"
            assert mode(Path(storage.path(NAME))) == 0o640


def test_overwriting_stays_at_home(media):
    storage = TenantFileSystemStorage(allow_overwrite=True)
    write(storage, *CONTENTS)
    with tenant_context("acme"):
        assert storage.save(NAME, io.BytesIO(b"new")) == NAME
        assert read(storage, NAME) == b"new"
    assert (media / "globex" / NAME).read_bytes() == CONTENTS["globex"]
    for method in (storage.get_available_name, storage.is_name_available):
        with pytest.raises(NoTenant):
            method(NAME)


def test_a_file_that_brings_its_name(storage, media):
    with tenant_context("acme"):
        assert storage.save(None, ContentFile(b"x", name="b.txt")) == "b.txt"
        with pytest.raises(SuspiciousFileOperation):
            storage.save(None, ContentFile(b"x", name="../globex/b.txt"))
        assert storage.get_available_name(Path("b.txt")) != "b.txt"
        assert storage.generate_filename(Path("c d.txt")) == "c_d.txt"
    assert list(everything(media)) == ["acme/b.txt"]


@pytest.mark.parametrize("url", ["", None, "/"])
@pytest.mark.parametrize("prefix", ["/", "/below/"])
def test_without_a_media_url_there_is_no_url(storage, url, prefix):
    set_script_prefix(prefix)
    try:
        with override_settings(MEDIA_URL=url if url != "/" else prefix), tenant_context("acme"):
            assert storage.base_url is None
            with pytest.raises(ValueError, match="not accessible via a URL"):
                storage.url(NAME)
    finally:
        set_script_prefix("/")


@pytest.mark.parametrize("root", ["", None])
def test_without_a_root_nothing_is_written(root):
    storage = TenantFileSystemStorage(location=root)
    refused = pytest.raises(ImproperlyConfigured, match="MEDIA_ROOT is empty")
    with override_settings(MEDIA_ROOT=""), tenant_context("acme"), refused:
        storage.save(NAME, ContentFile(b"x"))


# An open file


def test_a_closed_file_is_opened_again_for_its_tenant_only(storage):
    write(storage, *CONTENTS)
    with tenant_context("acme"):
        file = storage.open(NAME)
        file.close()
    with tenant_context("globex"), pytest.raises(WrongTenant, match="belongs to tenant 'acme'"):
        file.open()
    with pytest.raises(NoTenant, match="This file"):
        file.open()
    with tenant_context("acme"), file.open() as again:
        assert again.read() == CONTENTS["acme"]


def test_djangos_file_would_be_opened_again_by_anybody(storage, media):
    """Negative control."""
    write(storage, *CONTENTS)
    file = FileSystemStorage().open(f"acme/{NAME}")
    file.close()
    with tenant_context("globex"), file.open() as again:
        assert again.read() == CONTENTS["acme"]


def test_a_file_that_is_open_is_read_to_its_end(storage):
    """A server sends it after the request."""
    write(storage, "acme")
    with request_scope():
        enter_request(get_registry().get("acme"))
        file = storage.open(NAME)
    with file:
        assert file.read() == CONTENTS["acme"]


# Threads, and the project's own


def test_two_threads_with_the_same_name_keep_their_own(storage):
    both = threading.Barrier(2, timeout=10)

    def work(tenant_id):
        with tenant_context(tenant_id):
            both.wait()
            name = storage.save(NAME, ContentFile(CONTENTS[tenant_id]))
            both.wait()
            return name, read(storage, NAME)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(work, CONTENTS)) == [(NAME, content) for content in CONTENTS.values()]


def test_a_thread_of_its_own_has_no_files(storage):
    write(storage, "acme")
    with tenant_context("acme"), ThreadPoolExecutor(1) as pool, pytest.raises(NoTenant):
        pool.submit(storage.exists, NAME).result()


def test_the_projects_files_are_the_tenants():
    assert project_settings.STORAGES["default"] == {"BACKEND": "tenancy.storage.TenantFileSystemStorage"}
    assert project_settings.MEDIA_ROOT.relative_to(project_settings.BASE_DIR).as_posix() == "var/media"
    done = manage("diffsettings", DEBUG="1")
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("STORAGES"))
    assert "'default': {'BACKEND': 'tenancy.storage.TenantFileSystemStorage'}" in line
