"""Which tenants a command works on."""

from __future__ import annotations

import pytest

from tenancy.registry import Registry
from tenancy.selection import Selection, SelectionError
from tenancy.tenant import Tenant

REGISTRY = Registry(
    {
        tenant_id: Tenant(tenant_id, tenant_id, labels=labels)
        for tenant_id, labels in {
            "eu-acme": {"plan": "gold", "region": "eu"},
            "eu-globex": {"plan": "free", "region": "eu"},
            "us-acme": {"plan": "gold", "region": "us"},
            "hooli": {},
        }.items()
    }
)


@pytest.mark.parametrize(
    ("selection", "ids"),
    [
        (Selection(everybody=True), ["eu-acme", "eu-globex", "us-acme", "hooli"]),
        (Selection(["hooli", "eu-acme"]), ["eu-acme", "hooli"]),
        (Selection(["eu-*"]), ["eu-acme", "eu-globex"]),
        (Selection(["*-acme", "hooli"]), ["eu-acme", "us-acme", "hooli"]),
        (Selection(labels={"plan": "gold"}), ["eu-acme", "us-acme"]),
        (Selection(labels={"plan": "gold", "region": "us"}), ["us-acme"]),
        (Selection(["eu-*"], labels={"plan": "gold"}), ["eu-acme"]),
        (Selection(everybody=True, exclude=["eu-*"]), ["us-acme", "hooli"]),
        (Selection(everybody=True, labels={"plan": "gold"}, exclude=["us-acme"]), ["eu-acme"]),
    ],
)
def test_it_finds_them_in_the_order_of_the_file(selection, ids):
    assert [tenant.id for tenant in selection.of(REGISTRY)] == ids


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(), "Name tenants"),
        (Selection(["hooli"], everybody=True), "not both"),
        (Selection(["holi"]), "'holi' fits no tenant. Did you mean 'hooli'?"),
        (Selection(["xx-*"]), "'xx-*' fits no tenant."),
        (Selection(everybody=True, exclude=["holi"]), "'holi' fits no tenant"),
        (Selection(["hooli"], exclude=["hooli"]), "No tenant is selected"),
        (Selection(labels={"plan": "silver"}), "No tenant is selected"),
    ],
)
def test_nothing_and_what_is_not_there_are_refused(selection, words):
    with pytest.raises(SelectionError) as caught:
        selection.of(REGISTRY)
    assert words in str(caught.value)
