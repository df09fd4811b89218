"""Uploaded files: each tenant's in a folder of its own, ``<MEDIA_ROOT>/<tenant id>``.

The folder is found at every call. Django keeps the root of a storage, which lives as long as the process,
from its first use on, and the tenant that came first would lend its folder to all.

Read in Django 5.2.19 (``django/core/files/storage/``): every method that touches a file asks ``path`` where
it is, except ``url`` and, where overwriting is allowed, the two that look for a name that is free.
"""

from __future__ import annotations

import os
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage
from django.urls import get_script_prefix

from tenancy import memory
from tenancy.context import current_tenant_id, require_tenant


class TenantFile(File):  # type: ignore[type-arg]  # generic for types only
    """An open file. Once closed, it is opened again in its tenant's context only: it knows its path.

    While it is open it can be read anywhere, as a text can that was read from it.
    """

    def __init__(self, file: IO[Any]) -> None:
        super().__init__(file)
        self._tenant_id = current_tenant_id()

    def open(self, *args: Any, **kwargs: Any) -> Any:
        memory.require_context("This file", self._tenant_id)
        return super().open(*args, **kwargs)


class TenantFileSystemStorage(FileSystemStorage):
    """The files of the tenant in context, in its folder below ``location`` or else ``MEDIA_ROOT``.

    Raises ``NoTenant`` without a tenant, ``SuspiciousFileOperation`` for a name that leads out of the
    tenant's folder, be it through a link, and ``ImproperlyConfigured`` without a root. Names are relative,
    have no ``..``, no backslash and no NUL.

    Files are made with mode 0600 and folders with 0700, unless options say otherwise. ``url()`` needs a
    ``base_url`` or ``MEDIA_URL``; whoever serves that must ask whose the file is.
    """

    def __init__(
        self,
        location: str | os.PathLike[str] | None = None,
        base_url: str | None = None,
        file_permissions_mode: int = 0o600,
        directory_permissions_mode: int = 0o700,
        allow_overwrite: bool = False,
    ) -> None:
        super().__init__(
            location, base_url, file_permissions_mode, directory_permissions_mode, allow_overwrite
        )
        self._root = location
        self._root_url = base_url
        self._mode = file_permissions_mode

    # Django's three are cached, which is what they must not be.

    @property
    def base_location(self) -> str:
        root = os.fspath(settings.MEDIA_ROOT if self._root is None else self._root)
        if not root:
            # Django would take the folder that the process happens to run in.
            raise ImproperlyConfigured("MEDIA_ROOT is empty. Set it to a folder that holds nothing else.")
        return f"{os.path.realpath(root)}/{require_tenant('A file').id}"

    @property
    def location(self) -> str:
        return self.base_location

    @property
    def base_url(self) -> str | None:  # type: ignore[override]  # Django's, too, may be None
        tenant = require_tenant("A file's URL")
        url = settings.MEDIA_URL if self._root_url is None else self._root_url
        # Django reads a MEDIA_URL that is not set as the root of the site.
        if not url or url == get_script_prefix():
            return None
        return f"{url.rstrip('/')}/{tenant.id}/"

    def path(self, name: str | os.PathLike[str]) -> str:
        home = self.location
        name = os.fspath(name)
        # Links may lead to MEDIA_ROOT, and about in a tenant's folder. The folder itself must not be one.
        if not _is_plain(name) or not f"{os.path.realpath(f'{home}/{name}')}/".startswith(f"{home}/"):
            raise SuspiciousFileOperation(f"The name {name!r} leads out of the tenant's folder.")
        # With its links: what is removed is the link, not what it leads to.
        return os.path.normpath(f"{home}/{name}")

    def _open(self, name: str, mode: str = "rb") -> TenantFile:
        def private(path: str, flags: int) -> int:
            return os.open(path, flags, self._mode)

        return TenantFile(open(self.path(name), mode, opener=private))

    def save(self, name: str | None, content: Any, max_length: int | None = None) -> str:
        self.path(content.name if name is None else name)
        return super().save(name, content, max_length)

    def url(self, name: str | None) -> str:
        self.path(name or "")
        return super().url(name)

    def generate_filename(self, filename: str | os.PathLike[str]) -> str:
        self.path(filename)
        return super().generate_filename(filename)

    def get_available_name(self, name: str | os.PathLike[str], max_length: int | None = None) -> str:
        self.path(name)
        return super().get_available_name(os.fspath(name), max_length)

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        self.path(name)
        return super().is_name_available(name, max_length)


def _is_plain(name: str) -> bool:
    # A backslash: Django takes it for a slash in some methods and for a letter in others.
    return not ("\0" in name or "\\" in name or name.startswith("/") or ".." in name.split("/"))
