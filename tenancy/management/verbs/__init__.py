"""What ``manage.py tenants`` can do: a module for each verb."""

from __future__ import annotations
