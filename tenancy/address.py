"""Where a tenant keeps its data, as tenants.yaml writes it: the URL with its placeholders unexpanded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tenancy.database_url import parse_database_url
from tenancy.exceptions import DatabaseURLError


@dataclass(frozen=True, slots=True)
class Address:
    """A database URL before its secrets are filled in. ``repr()`` shows none of it."""

    #: The URL itself, or the name of the environment variable that holds it.
    text: str = field(repr=False)
    from_environment: bool
    #: What a relative path of SQLite's is relative to.
    folder: Path = field(repr=False)
    environ: Mapping[str, str] = field(repr=False, compare=False, default_factory=lambda: os.environ)

    def resolve(self, *, production: bool = False) -> dict[str, Any]:
        """Django's settings for it, complete. ``production`` refuses a password in plain text in the file.

        Raises ``DatabaseURLError``.
        """
        url = self._url()
        if not url:
            raise DatabaseURLError(f"environment variable {self.text} is unset or empty; set it")
        settings = parse_database_url(
            url,
            folder=self.folder,
            environ=self.environ,
            # What comes from the environment is a secret as a whole: nothing in it is expanded or refused.
            placeholders=not self.from_environment,
            production=production and not self.from_environment,
        )
        return completed(settings)

    def is_in_folder(self) -> bool:
        """Whether it may depend on the folder where it leads: it is a file."""
        return self._url().lower().startswith("sqlite:")

    def _url(self) -> str:
        return self.environ.get(self.text, "") if self.from_environment else self.text


def completed(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with every default that Django would fill in when it walks ``DATABASES``; it walks no
    tenants. Source: ``ConnectionHandler.configure_settings`` in ``django/db/utils.py``, 5.2.19."""
    defaults = {"AUTOCOMMIT": True, "TIME_ZONE": None, "USER": "", "PASSWORD": "", "HOST": "", "PORT": ""}
    test = {"CHARSET": None, "COLLATION": None, "MIGRATE": True, "MIRROR": None, "NAME": None}
    return {**defaults, **settings, "TEST": {**test, **settings.get("TEST", {})}}
