"""The two planes: the control plane, and the tenants' databases."""

from __future__ import annotations

import enum
import functools
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from tenancy.tenant import TENANT_ID

#: The alias of the control plane's database.
CONTROL_ALIAS = "control"


class Plane(enum.Enum):
    CONTROL = "control"
    TENANT = "tenant"


@functools.cache
def tenant_apps() -> frozenset[str]:
    """``TENANT_APPS``. Kept, for the router asks of every query, and settings cost a call each time."""
    return frozenset(settings.TENANT_APPS)


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "TENANT_APPS":  # a test overrides it
        tenant_apps.cache_clear()


setting_changed.connect(_forget)


def plane_of_app(app_label: str) -> Plane | None:
    """The plane an app's tables live on: ``TENANT_APPS`` or ``CONTROL_APPS`` names it.

    None for an app that neither names. Its tables are made nowhere and its queries raise: which plane data
    belongs to is decided by somebody, never by default.
    """
    if app_label in tenant_apps():
        return Plane.TENANT
    return Plane.CONTROL if app_label in settings.CONTROL_APPS else None


def plane_of_alias(alias: str) -> Plane | None:
    """The plane a database alias belongs to; None for ``default``, which is no database here."""
    if alias == CONTROL_ALIAS:
        return Plane.CONTROL
    if alias == "default" or not TENANT_ID.fullmatch(alias):
        return None
    return Plane.TENANT
