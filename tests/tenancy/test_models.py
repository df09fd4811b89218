"""Objects remember their tenant: what that means for equality, sets, pickles and saving."""

from __future__ import annotations

import copy
import pickle
import uuid

import pytest
from django.core import serializers
from django.db import models
from django.db.models.signals import post_init
from django.test.utils import isolate_apps

from tenancy import memory
from tenancy.context import tenant_context
from tenancy.exceptions import NoTenant, WrongTenant
from tenancy.models import TenantModel
from tenancy.querysets import TenantManager, TenantQuerySet
from tenancy.testing import databases, twins
from tests.workshop.models import Label, Maker, SharpTool, Tool

pytestmark = databases("acme", "globex")


@pytest.fixture
def labels(db):
    return twins(Label, ["acme", "globex"], name=lambda tenant_id: f"of {tenant_id}")


def test_two_tenants_objects_are_never_equal(labels):
    ours, theirs = labels
    assert ours.pk == theirs.pk
    assert ours != theirs
    assert len({ours, theirs}) == 2
    assert hash(ours) == hash(theirs)


def test_without_memory_they_would_be(labels):
    """The negative control: Django compares the model and the key."""
    ours, theirs = labels
    assert models.Model.__eq__(ours, theirs)


def test_one_tenants_objects_are_equal_by_key(labels):
    ours, _ = labels
    with tenant_context("acme"):
        again = Label.objects.get(pk=ours.pk)
        unsaved = Label(pk=ours.pk)
    assert ours == again == unsaved == copy.copy(ours) == pickle.loads(pickle.dumps(ours))
    assert ours != Maker(pk=ours.pk)
    assert ours != "a text"


def test_an_object_is_found_in_a_set_after_it_was_saved():
    with tenant_context("acme"):
        label = Label(name="x")
        kept = {label}
        label.save()
        assert label in kept


def test_an_object_of_nobody_belongs_to_who_saves_it():
    label = Label(name="x")
    assert label._tenant_id is None
    with tenant_context("acme"):
        label.save()
    assert label._tenant_id == "acme"
    with tenant_context("globex"), pytest.raises(WrongTenant):
        label.save()


def test_an_object_belongs_to_the_database_it_was_read_from(labels):
    ours, _ = labels
    assert Label.objects.using("acme").get(pk=ours.pk)._tenant_id == "acme"


def test_an_object_saved_by_alias_belongs_to_it():
    label = Label(name="x")
    label.save(using="globex")
    assert label._tenant_id == "globex"
    with pytest.raises(WrongTenant, match="This Label belongs to tenant 'globex'"):
        label.save(using="acme")
    with pytest.raises(WrongTenant):
        label.delete(using="acme")
    with pytest.raises(WrongTenant):
        label.refresh_from_db(using="acme")


def test_it_is_validated_in_its_own_context_only(labels):
    ours, _ = labels
    for validate in (ours.validate_unique, ours.validate_constraints, ours.full_clean):
        with tenant_context("acme"):
            validate()
        with tenant_context("globex"), pytest.raises(WrongTenant):
            validate()
        with pytest.raises(NoTenant):
            validate()


def test_it_is_refreshed_from_a_queryset_of_its_own(labels):
    ours, _ = labels
    with tenant_context("acme"):
        Label.objects.update(name="changed")
        ours.refresh_from_db(from_queryset=Label.objects.all())
    assert ours.name == "changed"


@pytest.mark.parametrize("model", [Label, Tool, SharpTool])
def test_django_follows_and_saves_with_a_manager_that_remembers(model):
    """Also where the app has given the model managers of its own."""
    assert model._base_manager._queryset_class is TenantQuerySet
    assert model._base_manager is model._base_manager
    assert model._base_manager.model is model


@isolate_apps("tests.workshop")
def test_a_base_manager_of_the_apps_own_is_kept():
    class Own(TenantManager):
        pass

    class Managed(TenantModel):
        objects = TenantManager()
        own = Own()

        class Meta:
            app_label = "workshop"
            base_manager_name = "own"

    assert isinstance(Managed._base_manager, Own)


def test_the_tenant_is_in_no_migration():
    assert "_tenant_id" not in {field.name for field in Label._meta.get_fields()}
    assert Label._meta.base_manager_name is None


def test_without_memory_an_object_made_for_one_tenant_is_saved_in_another(monkeypatch):
    """The negative control: the router has nothing to compare, for the object was never in a database."""
    with tenant_context("acme"):
        label = Label(name="secret of acme")
    with tenant_context("globex"), pytest.raises(WrongTenant):
        label.save()
    monkeypatch.setattr(memory, "require_database", lambda *_: None)
    with tenant_context("globex"):
        label.save()
        assert Label.objects.get().name == "secret of acme"


def test_an_object_that_is_nobodys_is_equal_by_key(labels):
    ours, theirs = labels
    nobodys = Label(pk=ours.pk, name="any")
    assert nobodys == ours
    assert nobodys == theirs
    with tenant_context("acme"):
        assert nobodys in list(Label.objects.all())


@isolate_apps("tests.workshop")
def test_a_method_remove_of_an_apps_own_is_its_own():
    class Own(TenantManager):
        def remove(self, *names):
            return names

    class Thing(TenantModel):
        objects = Own()

        class Meta:
            app_label = "workshop"

    assert Thing.objects.remove("a", "b") == ("a", "b")


class Tracked(models.Model):
    """A model to mix in, as other libraries have them: it may stand before or after ours."""

    class Meta:
        abstract = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.made = True

    @classmethod
    def from_db(cls, *args, **kwargs):
        read = super().from_db(*args, **kwargs)
        read.was_read = True
        return read


@isolate_apps("tests.workshop")
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_mixin_is_asked_wherever_it_stands(labels, before):
    bases = (Tracked, TenantModel) if before else (TenantModel, Tracked)
    meta = type("Meta", (), {"app_label": "workshop", "managed": False, "db_table": Label._meta.db_table})
    fields = {"name": models.CharField(max_length=50), "__module__": __name__, "Meta": meta}
    fields["id"] = models.UUIDField(primary_key=True)
    tracking = type("Tracking", bases, fields)
    with tenant_context("acme"):
        assert tracking(name="new").made
        read = tracking.objects.get()
        assert (read.made, read.was_read, read.name) == (True, True, "of acme")


def as_read(model):
    with tenant_context("acme"):
        return model.objects.get()


def as_django_reads(model):
    """The same row, made by Django's own ``from_db``."""
    with tenant_context("acme"):
        values = model.objects.values_list(*(field.attname for field in model._meta.concrete_fields)).get()
    fields = [field.attname for field in model._meta.concrete_fields]
    return models.Model.from_db.__func__(model, "acme", fields, values)


@pytest.fixture
def tool(labels):
    (maker, _) = twins(Maker, ["acme", "globex"], name="m")
    with tenant_context("acme"):
        return SharpTool.objects.create(name="saw", maker=maker, note="n")


@pytest.mark.parametrize("model", [Label, Maker, Tool, SharpTool])
def test_an_object_that_is_read_is_what_django_would_have_made(tool, model):
    ours, theirs = as_read(model), as_django_reads(model)
    left, right = ({**vars(one), "_state": dict(vars(one._state))} for one in (ours, theirs))
    right.pop("_made_for", None)
    right["_state"].pop("fields_cache", None)  # made where it is first asked for, and empty
    assert left == right
    assert list(vars(ours)) == [name for name in vars(theirs) if name != "_made_for"]


def test_receivers_are_told_of_objects_that_are_read(labels):
    told = []

    def receive(sender, instance, **kwargs):
        told.append((sender, instance.name))

    post_init.connect(receive, sender=Label)
    try:
        as_read(Label)
    finally:
        post_init.disconnect(receive, sender=Label)
    assert told == [(Label, "of acme")]


@isolate_apps("tests.workshop")
@pytest.mark.parametrize("name", ["__new__", "__setattr__"])
def test_a_class_that_has_a_say_in_how_its_objects_are_made_is_asked(labels, name):
    asked = []

    def new(cls, *args, **kwargs):
        asked.append(cls)
        return object.__new__(cls)

    def set_attribute(self, attribute, value):
        asked.append(attribute)
        object.__setattr__(self, attribute, value)

    meta = type("Meta", (), {"app_label": "workshop", "managed": False, "db_table": Label._meta.db_table})
    fields = {"name": models.CharField(max_length=50), "__module__": __name__, "Meta": meta}
    fields["id"] = models.UUIDField(primary_key=True)
    fields[name] = {"__new__": new, "__setattr__": set_attribute}[name]
    asking = type("Asking", (TenantModel,), fields)
    asked.clear()
    assert as_read(asking).name == "of acme"
    assert asked


@isolate_apps("tests.workshop")
def test_a_field_that_is_set_in_a_way_of_its_own_is_set_so(labels):
    class Shouted:
        def __get__(self, instance, owner=None):
            return self if instance is None else vars(instance)["name"]

        def __set__(self, instance, value):
            vars(instance)["name"] = value.upper()

    class ShoutedField(models.CharField):
        def descriptor_class(self, field):
            return Shouted()

    meta = type("Meta", (), {"app_label": "workshop", "managed": False, "db_table": Label._meta.db_table})
    fields = {"name": ShoutedField(max_length=50), "id": models.UUIDField(primary_key=True)}
    shouting = type("Shouting", (TenantModel,), fields | {"__module__": __name__, "Meta": meta})
    assert as_read(shouting).name == "OF ACME"


def test_a_deserialised_object_is_saved_for_its_own_tenant_only(labels):
    ours, _ = labels
    with tenant_context("acme"):
        text = serializers.serialize("json", [ours])
        made, again = (next(serializers.deserialize("json", text)) for _ in range(2))
    with tenant_context("globex"):
        with pytest.raises(WrongTenant):
            made.save()  # not saved before: it knows no database, only for whom it was made
        assert Label.objects.get().name == "of globex"
    with tenant_context("acme"):
        again.save()


def test_what_was_made_for_another_tenant_is_related_to_nothing_here(labels):
    with tenant_context("acme"):
        maker = Maker(pk=uuid.uuid4(), name="new of acme")
        saw = Tool.objects.create(name="saw", maker=Maker.objects.create(pk=maker.pk, name="anna"))
        label = Label.objects.get()
        saw.labels.add(label)
    with tenant_context("globex"):
        Maker.objects.create(pk=maker.pk, name="anna of globex")
        with pytest.raises((WrongTenant, ValueError)):
            Tool.objects.create(name="axe", maker=maker)
        axe = Tool.objects.create(name="axe", maker=Maker.objects.get())
        axe.labels.add(Label.objects.get())
        with pytest.raises(WrongTenant):
            axe.labels.set([label])
        axe.labels.set(one for one in Label.objects.all())
        assert axe.labels.count() == 1


def test_links_remember_their_tenant(labels):
    links = Tool.labels.through
    maker_id, tool_id, link_id = uuid.uuid4(), uuid.uuid4(), 7_000_000

    def link():
        tool = Tool.objects.create(
            pk=tool_id, name="saw", maker=Maker.objects.create(pk=maker_id, name="anna")
        )
        return links.objects.create(pk=link_id, tool=tool, label=Label.objects.get())

    with tenant_context("acme"):
        ours = link()
        lazy, fetched = links.objects.all(), links.objects.all()
        new = links(tool=ours.tool, label=ours.label)
        assert len(fetched) == 1
    with tenant_context("globex"):
        theirs = link()
        assert ours != theirs
        for use in (
            lazy.delete,
            lambda: list(fetched),
            new.save,
            ours.delete,
            lambda: links.objects.filter(tool=ours.tool),
            lambda: links._base_manager.filter(pk=link_id).update(label=ours.label),
        ):
            with pytest.raises(WrongTenant):
                use()
        assert links.objects.count() == 1
