"""Where Django follows a relation from several objects at once, and looks at one of them or at none.

Private API, read in Django 5.2.19 (``django/db/models/fields/related_descriptors.py``): a forward relation
is prefetched by its descriptor, from ``instances[0]`` and the keys of all; the manager of a relation is a
subclass of the related model's default manager, and its ``remove()`` and ``set()`` look at keys only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.db.models import Model
from django.db.models.fields.related import ForeignObject

from tenancy import memory
from tenancy.context import current_tenant_id
from tenancy.memory import remembered_by


class _PrefetchesOneTenants:
    """Mixed into the descriptors of forward relations."""

    def get_prefetch_querysets(self, instances: list[Any], querysets: Any = None) -> Any:
        memory.require_databases(instances, remembered_by(instances[0]) or current_tenant_id())
        base: Any = super()
        return base.get_prefetch_querysets(instances, querysets)


def guard_forward_relations(model: type[Model]) -> None:
    """Let ``prefetch_related_objects()`` refuse objects of several tenants. Migrations do not show it."""
    for field in model._meta.local_fields:
        descriptor = model.__dict__.get(field.name)
        if isinstance(field, ForeignObject) and descriptor is not None:
            kind = type(descriptor)
            guarded = type(kind.__name__, (_PrefetchesOneTenants, kind), {"__module__": __name__})
            setattr(model, field.name, guarded(field))


def guard_related_manager(manager: type) -> None:
    """Let ``remove()`` and ``set()`` refuse another tenant's objects (``add()`` asks the router itself)."""
    for name in ("remove", "set"):
        if name in manager.__dict__:
            setattr(manager, name, _refusing(manager.__dict__[name]))


def _refusing(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def guarded(self: Any, *objs: Any, **kwargs: Any) -> Any:
        if method.__name__ == "set" and not objs and "objs" in kwargs:
            objs = (kwargs.pop("objs"),)
        if (owner := getattr(self, "instance", None)) is not None:  # else it is a method of an app's own
            if method.__name__ == "set" and objs:
                objs = (tuple(objs[0]), *objs[1:])  # it may be a generator
            given = objs[0] if method.__name__ == "set" and objs else objs
            memory.require_databases(given, remembered_by(owner))
        return method(self, *objs, **kwargs)

    return guarded
