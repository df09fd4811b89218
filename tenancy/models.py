"""The base of every model that lives in the tenants' databases."""

from __future__ import annotations

import inspect
from typing import Any

from django.db import models, router
from django.db.models.base import ModelBase, ModelState
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import class_prepared, post_init, pre_init, pre_save
from django.dispatch import receiver

from tenancy import memory
from tenancy.context import current_tenant_id
from tenancy.files import guard_file_fields
from tenancy.memory import remembered_by
from tenancy.querysets import TenantManager, TenantQuerySet
from tenancy.relations import guard_forward_relations


class TenantModelBase(ModelBase):
    """Gives each tenant model a base manager of ours.

    Django follows foreign keys, saves and refreshes with ``_base_manager``, which is a plain one unless
    ``Meta.base_manager_name`` says otherwise; that option would show in every tenant app's migrations.
    Private API, read in Django 5.2.19 (``django/db/models/base.py``, ``ModelBase._base_manager``).
    """

    @property
    def _base_manager(cls: Any) -> Any:  # noqa: N805  # of a metaclass
        manager: Any = cls.__dict__.get("_tenant_base_manager")
        if manager is None:
            manager = ModelBase._base_manager.fget(cls)  # type: ignore[attr-defined]  # a property's getter
            if not issubclass(manager._queryset_class, TenantQuerySet):
                manager = TenantManager()
                manager.name = "_base_manager"
                manager.model = cls
                manager.auto_created = True
            cls._tenant_base_manager = manager
        return manager


class TenantModel(models.Model, metaclass=TenantModelBase):
    """An object that remembers for which tenant it was made.

    In another tenant's context it cannot be saved, deleted, refreshed, followed or stand in a condition:
    its key may be somebody else's there. Two objects of different tenants are never equal, whatever their
    keys; the hash is Django's, for a key may exist before ``save()`` and sets must find it again.

    An object made outside any context belongs to nobody until it is saved.
    """

    objects = TenantManager()

    #: Of an object that was made, and not read.
    _made_for: str | None = None

    class Meta:
        abstract = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._made_for = current_tenant_id()
        super().__init__(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        equal = super().__eq__(other)
        if equal is not True:
            return equal
        ours, theirs = self._tenant_id, remembered_by(other)
        return ours == theirs or ours is None or theirs is None  # what is nobody's is like any

    __hash__ = models.Model.__hash__

    @classmethod
    def from_db(cls, db: str | None, field_names: Any, values: Any) -> Any:
        """As Django's, which would note for every row what its ``_state.db`` says already. Most classes get
        one of their own (``_read_rows_fast``)."""
        new = super().from_db(db, field_names, values)
        new._made_for = None
        return new

    @property
    def _tenant_id(self) -> str | None:
        """The tenant this object was made for, or read from. Saving it changes nothing: it is refused in any
        other."""
        return self._made_for or self._state.db

    def save_base(
        self,
        raw: bool = False,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Any = None,
    ) -> None:
        using = using or router.db_for_write(type(self), instance=self)
        memory.require_database(self, self._tenant_id, using)
        super().save_base(raw, force_insert, force_update, using, update_fields)

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        using = using or router.db_for_write(type(self), instance=self)
        memory.require_database(self, self._tenant_id, using)
        return super().delete(using=using, keep_parents=keep_parents)

    def refresh_from_db(
        self, using: str | None = None, fields: Any = None, from_queryset: Any = None
    ) -> None:
        memory.require_database(self, self._tenant_id, using)
        if from_queryset is not None:
            from_queryset = from_queryset.all()
            from_queryset._add_hints(instance=self)
        super().refresh_from_db(using=using, fields=fields, from_queryset=from_queryset)

    def validate_unique(self, exclude: Any = None) -> None:
        memory.require_context(self, self._tenant_id)
        super().validate_unique(exclude=exclude)

    def validate_constraints(self, exclude: Any = None) -> None:
        memory.require_context(self, self._tenant_id)
        super().validate_constraints(exclude=exclude)


#: What of a class has a say in how its objects come to be and to their values.
_MAKING = {"__init__", "__new__", "__setattr__"}


def _is_plain(model: type[models.Model]) -> bool:
    """Whether no class but ours and Django's says how its objects are made. Only then may the way from ours
    to Django's be cut short: a mixin may stand in between."""
    if type(model).__call__ is not type.__call__:
        return False
    own = {TenantModel, *models.Model.__mro__}
    for base in model.__mro__:
        made = vars(base).get("from_db")
        if base not in own and (_MAKING & vars(base).keys() or (made and not isinstance(made, _FastRows))):
            return False
    return True


class _FastRows(classmethod):  # type: ignore[type-arg]
    """A ``from_db`` of ours, made for one class."""


# Found once: to look one up on a class with a metaclass costs as much as a call, and ``from_db`` runs for
# every row.
_new: Any = object.__new__
_stock_init: Any = models.Model.__init__


def _read_rows_fast(model: Any) -> None:
    """Give a class a ``from_db`` that knows it, and its columns. What that spares for each row pays for the
    guard that looks at each.

    Django sets a row's values one by one, for each may be set in a way of its own. Where all are of the plain
    kind, which puts them into ``__dict__``, and nobody is told of new objects, they go there at once.
    """
    names: list[str] = []
    is_simple = False

    def from_db(cls: Any, db: str | None, field_names: Any, values: Any) -> Any:
        nonlocal names, is_simple
        if cls is not model or len(values) != len(names):
            if names or cls is not model:
                return super(model, cls).from_db(db, field_names, values)
            # Only now: relations have to be resolved for it.
            names = [field.attname for field in model._meta.concrete_fields]
            is_simple = all(_is_set_simply(model, name) for name in names)
            return from_db(cls, db, field_names, values)
        new = _new(cls)
        if is_simple and not pre_init.receivers and not post_init.receivers:
            own = new.__dict__
            own["_state"] = state = ModelState()
            own.update(zip(names, values, strict=True))
        else:
            _stock_init(new, *values)
            state = new._state
        state.adding = False
        state.db = db
        return new

    model.from_db = _FastRows(from_db)


def _is_set_simply(model: Any, name: str) -> bool:
    """Whether to set the attribute of a new object is to put the value into its ``__dict__``. Private API,
    read in Django 5.2.19 (``django/db/models/query_utils.py``, ``fields/related_descriptors.py``)."""
    return type(inspect.getattr_static(model, name)) in (DeferredAttribute, ForeignKeyDeferredAttribute)


@receiver(class_prepared)
def _make_links_remember(sender: Any, **kwargs: Any) -> None:
    """The table of a many-to-many field becomes a tenant model as well. Django makes its class of ``Model``
    (``create_many_to_many_intermediary_model``, read in 5.2.19) and lets nobody say otherwise."""
    owner = sender._meta.auto_created
    if owner and issubclass(owner, TenantModel) and not issubclass(sender, TenantModel):
        sender.__class__ = TenantModelBase
        sender.__bases__ = (TenantModel,)
        sender._meta.local_managers.clear()
        manager = TenantManager()
        manager.auto_created = True
        sender.add_to_class("objects", manager)


@receiver(class_prepared)
def _prepare(sender: type[models.Model], **kwargs: Any) -> None:
    """Also for models that are made later; migrations do not show it."""
    if issubclass(sender, TenantModel):
        guard_file_fields(sender)
        guard_forward_relations(sender)
        if _is_plain(sender):
            _read_rows_fast(sender)


@receiver(pre_save)
def _require_own_database(sender: type[models.Model], instance: Any, using: str, **kwargs: Any) -> None:
    """Also where ``save_base`` of ours is jumped over, as ``loaddata`` and deserialised objects do."""
    if isinstance(instance, TenantModel):
        memory.require_database(instance, instance._tenant_id, using)
