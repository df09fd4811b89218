"""The two planes: the control plane, and the tenants' databases."""

from __future__ import annotations

import enum

from django.conf import settings

from tenancy.tenant import TENANT_ID

#: The alias of the control plane's database.
CONTROL_ALIAS = "control"


class Plane(enum.Enum):
    CONTROL = "control"
    TENANT = "tenant"


def plane_of_app(app_label: str) -> Plane:
    """The plane an app's tables live on: the apps of ``TENANT_APPS`` with the tenants, all others
    in the control plane."""
    return Plane.TENANT if app_label in settings.TENANT_APPS else Plane.CONTROL


def plane_of_alias(alias: str) -> Plane | None:
    """The plane a database alias belongs to; None for ``default``, which is no database here."""
    if alias == CONTROL_ALIAS:
        return Plane.CONTROL
    if alias == "default" or not TENANT_ID.fullmatch(alias):
        return None
    return Plane.TENANT
