from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.db.migrations.state import ModelState, ProjectState


def models(package: str, label: str) -> dict[str, ModelState]:
    """What an app's first migration makes; the app need not be installed."""
    migration = import_module(f"{package}.migrations.0001_initial").Migration("0001_initial", label)
    state = migration.mutate_state(ProjectState())
    return {name: model for (app, name), model in state.models.items() if app == label}


def columns(model: ModelState) -> list[tuple[Any, ...]]:
    return [
        (name, type(field), field.null, field.max_length, getattr(field, "unique", None))
        for name, field in model.fields.items()
    ]


@pytest.mark.parametrize("name", ["category", "product"])
def test_a_comparators_catalogue_has_our_columns_indexes_and_constraints(name: str):
    mine = models("catalog", "catalog")[name]
    theirs = models("benchmarks.comparators.catalog", "catalog")[name]
    assert columns(theirs) == columns(mine)
    assert theirs.options["ordering"] == mine.options["ordering"]
    assert theirs.options["indexes"] == mine.options["indexes"]
    assert sorted(one.name for one in theirs.options["constraints"]) == sorted(
        one.name for one in mine.options["constraints"]
    )


@pytest.mark.parametrize("name", ["user", "membership", "tokenfamily"])
def test_a_comparators_people_have_our_columns_and_indexes(name: str):
    mine = models("users", "users")[name]
    theirs = models("benchmarks.comparators.people", "people")[name]
    assert {column[:3] for column in columns(theirs)} == {column[:3] for column in columns(mine)}
    assert theirs.options.get("indexes", []) == mine.options.get("indexes", [])
