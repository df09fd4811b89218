"""The files of a tenant model's rows remember their tenant.

A row keeps a file's name only, and its file is opened when it is first read. Read in another tenant's
context, the same name would lead to that tenant's file.

Private API, read in Django 5.2.19 (``django/db/models/fields/files.py``): a ``FieldFile`` reaches its file
through ``self.storage`` only, and ``FileField.attr_class`` is what a row's attribute is made of.
"""

from __future__ import annotations

from typing import Any

from django.core.files.storage import Storage
from django.db.models import FileField, Model
from django.db.models.fields.files import FieldFile, ImageFieldFile

from tenancy import memory
from tenancy.memory import remembered_by


class TenantFileMixin:
    """For an ``attr_class`` of one's own: raises ``WrongTenant`` or ``NoTenant`` outside the row's tenant."""

    instance: Model
    _storage: Storage

    @property
    def storage(self) -> Storage:
        memory.require_context(self.instance, remembered_by(self.instance))
        return self._storage

    @storage.setter
    def storage(self, storage: Storage) -> None:
        self._storage = storage


class TenantFieldFile(TenantFileMixin, FieldFile):
    pass


class TenantImageFieldFile(TenantFileMixin, ImageFieldFile):
    pass


_GUARDED: dict[type[Any], type[Any]] = {FieldFile: TenantFieldFile, ImageFieldFile: TenantImageFieldFile}


def guard_file_fields(model: type[Model]) -> None:
    """Make the file fields of a tenant model remember. Migrations do not show it.

    Raises ``TypeError`` for a field whose ``attr_class`` is neither Django's nor a ``TenantFileMixin``.
    """
    fields: list[Any] = [field for field in model._meta.local_fields if isinstance(field, FileField)]
    for field in fields:
        if not issubclass(field.attr_class, TenantFileMixin):
            guarded = _GUARDED.get(field.attr_class)
            if guarded is None:
                raise TypeError(
                    f"The files of '{model._meta.label}.{field.name}' do not remember their tenant. Derive "
                    f"'{field.attr_class.__name__}' from tenancy.files.TenantFileMixin, named first."
                )
            field.attr_class = guarded
