"""A field of the project's, and migrations of the catalogue that keep one in its models."""

from __future__ import annotations

from django.db import models


class Sealed(models.CharField):
    """The values that it writes are the tenant's."""

    def get_db_prep_save(self, value, connection):
        return f"{connection.alias}:{value}"
