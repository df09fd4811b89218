"""Migrations of one plane only.

Stock Django applies, per database, only what the router allows, but *records* every migration as applied
everywhere. A database's ``django_migrations`` would then claim tables it does not have, and moving an app
between planes later would do nothing.

Private API: ``MigrationLoader.load_disk`` fills ``disk_migrations``, ``migrated_apps`` and
``unmigrated_apps`` before the graph is built (read in Django 5.2.19).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState

from tenancy.planes import Plane, plane_of_alias, plane_of_app

MigrationKey = tuple[str, str]


class PlaneMigrationLoader(MigrationLoader):
    """A loader that knows only the apps of its connection's plane (or of ``plane``)."""

    def __init__(self, connection: Any, *args: Any, plane: Plane | None = None, **kwargs: Any) -> None:
        self.plane = plane or plane_of_alias(connection.alias)
        super().__init__(connection, *args, **kwargs)

    def load_disk(self) -> None:
        super().load_disk()
        self.disk_migrations = {
            key: migration
            for key, migration in self.disk_migrations.items()
            if plane_of_app(key[0]) is self.plane
        }
        self.migrated_apps = self._of_plane(self.migrated_apps)
        self.unmigrated_apps = self._of_plane(self.unmigrated_apps)

    def project_state(self, nodes: Any = None, at_end: bool = True) -> Any:
        """The plane's state, and the other plane's models as they are now.

        Stock ``migrate`` compares this with *all* models to say whether some have no migration yet, and
        would take the other plane's for new.
        """
        state = super().project_state(nodes, at_end)
        for model in apps.get_models(include_swapped=True):
            if plane_of_app(model._meta.app_label) is not self.plane:
                state.add_model(ModelState.from_model(model))
        return state

    def _of_plane(self, labels: Iterable[str]) -> set[str]:
        return {label for label in labels if plane_of_app(label) is self.plane}


@functools.cache
def tenant_heads() -> tuple[tuple[frozenset[MigrationKey], ...], ...]:
    """The last migration of each tenant app, as code: read from disk once per process.

    Each head is given as the sets of applied migrations any of which satisfies it: the migration
    itself or, for a squashed one, all that it replaces.
    """
    loader = PlaneMigrationLoader(None, plane=Plane.TENANT)
    heads = []
    for key in sorted(loader.graph.leaf_nodes()):
        ways = [frozenset({key})]
        if replaces := loader.disk_migrations[key].replaces:
            ways.append(frozenset((app, name) for app, name in replaces))
        heads.append(tuple(ways))
    return tuple(heads)


def is_behind(applied: frozenset[MigrationKey]) -> bool:
    """Whether a tenant database with these applied migrations lacks one that the code needs."""
    return not all(any(way <= applied for way in ways) for ways in tenant_heads())
