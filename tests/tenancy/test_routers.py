"""Each query goes to the database of the tenant in context, or nowhere."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group
from django.db import router
from django.db.migrations.state import ProjectState
from django.test import override_settings

from catalog.models import Category, Product
from tenancy import memory
from tenancy.context import tenant_context
from tenancy.exceptions import NoPlane, NoTenant, WrongTenant
from tenancy.routers import TenantRouter
from tenancy.testing import databases
from users.models import Membership, User

pytestmark = databases("control", "acme", "globex")


@pytest.fixture
def twins(twin_products):
    """acme's and globex's product, which differ in nothing but the name."""
    ours, theirs = twin_products()
    assert ours.pk == theirs.pk
    return ours, theirs


def name_in(tenant_id, pk):
    with tenant_context(tenant_id):
        return Product.objects.get(pk=pk).name


# What a tenant model needs: a context.


@pytest.mark.parametrize(
    "operation",
    [
        lambda: Product.objects.count(),
        lambda: list(Product.objects.all()),
        lambda: Product.objects.filter(name="x").exists(),
        lambda: Product.objects.filter(name="x").update(name="y"),
        lambda: Product.objects.all().delete(),
        lambda: Category(name="x").save(),
        lambda: Category.objects.create(name="x"),
        lambda: Category.objects.bulk_create([Category(name="x")]),
        lambda: Category.objects.get_or_create(name="x"),
    ],
    ids=["count", "list", "exists", "update", "delete", "save", "create", "bulk_create", "get_or_create"],
)
def test_without_a_tenant_it_raises(operation):
    with pytest.raises(NoTenant, match=r"catalog\.(Product|Category)"):
        operation()


def test_each_tenant_reads_its_own_twin(twins):
    ours, theirs = twins
    assert name_in("acme", ours.pk) == "canary-acme"
    assert name_in("globex", theirs.pk) == "canary-globex"


# An object of one tenant in the context of another.


def read_in_acme(pk):
    with tenant_context("acme"):
        return Product.objects.defer("description").get(pk=pk)


@pytest.mark.parametrize(
    "use",
    [
        lambda product: product.save(),
        lambda product: product.save(update_fields=["name"]),
        lambda product: product.delete(),
        lambda product: product.refresh_from_db(),
        lambda product: product.category,
        lambda product: product.description,
    ],
    ids=["save", "save some fields", "delete", "refresh_from_db", "foreign key", "deferred field"],
)
def test_an_object_of_another_tenant_is_refused(twins, use):
    product = read_in_acme(twins[0].pk)
    product.name = "overwritten"
    with tenant_context("globex"), pytest.raises(WrongTenant, match="belongs to tenant 'acme'") as raised:
        use(product)
    assert (raised.value.belongs_to, raised.value.current) == ("acme", "globex")
    assert name_in("acme", product.pk) == "canary-acme"
    assert name_in("globex", product.pk) == "canary-globex"


def test_a_reverse_foreign_key_of_another_tenant_is_refused(twins):
    with tenant_context("acme"):
        category = Category.objects.get()
        assert [product.name for product in category.products.all()] == ["canary-acme"]
    with tenant_context("globex"), pytest.raises(WrongTenant):
        list(category.products.all())


def test_an_object_is_refused_outside_any_context(twins):
    with pytest.raises(NoTenant):
        twins[0].save()


@pytest.fixture
def without_the_comparison(monkeypatch):
    """The obvious router, which looks at the context alone, and models that remember nothing."""
    monkeypatch.setattr(memory, "require_database", lambda *_: None)
    careful = TenantRouter.db_for_read
    for name in ("db_for_read", "db_for_write"):
        monkeypatch.setattr(TenantRouter, name, lambda self, model, **_: careful(self, model))


def test_without_the_comparison_the_wrong_row_is_written(twins, without_the_comparison):
    """Negative control: the danger that `test_an_object_of_another_tenant_is_refused[save]` guards."""
    product = read_in_acme(twins[0].pk)
    product.name = "overwritten"
    with tenant_context("globex"):
        product.save()
    assert name_in("globex", product.pk) == "overwritten"
    assert name_in("acme", product.pk) == "canary-acme"


def test_without_the_comparison_the_wrong_row_is_read(twins, without_the_comparison):
    """Negative control: the danger that the foreign key and refresh_from_db cases guard."""
    product = read_in_acme(twins[0].pk)
    with tenant_context("globex"):
        assert product.category.name == "Things of globex"
        product.refresh_from_db()
    assert product.name == "canary-globex"


def test_without_the_comparison_the_wrong_row_is_deleted(twins, without_the_comparison):
    product = read_in_acme(twins[0].pk)
    with tenant_context("globex"):
        product.delete()
        assert not Product.objects.exists()
    assert name_in("acme", twins[0].pk) == "canary-acme"


# Relations.


def test_objects_of_two_tenants_cannot_be_related(twins):
    _, theirs = twins
    with tenant_context("acme"):
        category = Category.objects.get()
    with tenant_context("globex"), pytest.raises(ValueError, match="the current database router prevents"):
        theirs.category = category
    with tenant_context("globex"), pytest.raises(WrongTenant, match="This Category belongs to tenant 'acme'"):
        Product(name="x", sku="x", category=category)


def known(model, alias):
    instance = model()
    instance._state.db = alias
    return instance


@pytest.mark.parametrize(
    ("one", "other", "context", "allowed"),
    [
        (known(Product, "acme"), known(Category, "acme"), "acme", True),
        (known(Product, "acme"), known(Category, None), "acme", True),
        (known(Product, None), known(Category, None), "acme", True),
        (known(Product, "acme"), known(Category, "acme"), None, True),
        (known(Product, "acme"), known(Category, "globex"), "acme", False),
        (known(Product, "acme"), known(Category, "globex"), None, False),
        (known(Product, "acme"), known(Category, "acme"), "globex", False),
        (known(Product, None), known(Category, "acme"), "globex", False),
        (known(Product, "acme"), known(User, "control"), "acme", False),
        (known(Product, None), known(User, None), "acme", False),
        (known(Membership, "control"), known(User, "control"), None, True),
        (known(Membership, None), known(User, "control"), "acme", True),
    ],
    ids=[
        "of one tenant",
        "one of them new",
        "both new",
        "of one tenant, no context",
        "of two tenants",
        "of two tenants, no context",
        "of one tenant, in another's context",
        "new, with another tenant's",
        "across the planes",
        "across the planes, both new",
        "of the control plane",
        "of the control plane, one new, in a context",
    ],
)
def test_objects_may_be_related_when_one_database_holds_both(one, other, context, allowed):
    def ask():
        return router.allow_relation(one, other), router.allow_relation(other, one)

    if context is None:
        assert ask() == (allowed, allowed)
    else:
        with tenant_context(context):
            assert ask() == (allowed, allowed)


# The planes.


@pytest.mark.parametrize("model", [User, Membership], ids=["User", "Membership"])
@pytest.mark.parametrize("context", ["acme", "globex", None])
def test_control_models_always_live_in_the_control_plane(model, context):
    def ask():
        return {router.db_for_read(model), router.db_for_write(model, instance=known(model, "acme"))}

    if context is None:
        assert ask() == {"control"}
    else:
        with tenant_context(context):
            assert ask() == {"control"}


@pytest.mark.parametrize("label", sorted(config.label for config in apps.get_app_configs()))
@pytest.mark.parametrize(
    ("alias", "labels"),
    [
        ("acme", settings.TENANT_APPS),
        ("control", ["admin", "audit", "auth", "contenttypes", "ledger", "sessions", "users"]),
        ("default", []),
        ("Acme", []),
    ],
)
def test_an_app_is_migrated_on_its_own_plane_only(label, alias, labels):
    assert TenantRouter().allow_migrate(alias, label) is (label in labels)


@override_settings(CONTROL_APPS=["users"])
def test_a_model_that_no_plane_claims_lives_nowhere():
    with tenant_context("acme"), pytest.raises(NoPlane, match=r"'auth\.Group' lives nowhere"):
        Group.objects.count()
    assert not any(TenantRouter().allow_migrate(alias, "auth") for alias in ("acme", "control"))


def test_no_model_is_ever_routed_to_default():
    with tenant_context("acme"):
        aliases = {
            choose(model)
            for model in apps.get_models()
            for choose in (router.db_for_read, router.db_for_write)
        }
    assert aliases == {"acme", "control"}


def test_a_model_of_a_migration_is_routed_as_the_model_it_stands_for():
    """In data migrations Django makes stand-in classes, which have no manager of ours."""
    state = ProjectState.from_apps(apps)
    stand_in = state.apps.get_model("catalog", "Product")
    with tenant_context("acme"):
        assert router.db_for_write(stand_in) == "acme"
    with pytest.raises(NoTenant):
        router.db_for_write(stand_in)


@pytest.mark.parametrize("choose", [router.db_for_read, router.db_for_write])
def test_the_router_alone_refuses_another_tenants_object(choose):
    with tenant_context("acme"):
        assert choose(Product, instance=known(Product, "acme")) == "acme"
        assert choose(Product, instance=known(Product, None)) == "acme"
        with pytest.raises(WrongTenant):
            choose(Product, instance=known(Product, "globex"))
