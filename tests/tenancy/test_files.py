"""A row's file is read, written and removed in the row's own tenant only."""

from __future__ import annotations

import copy

import pytest
from django.core.files.base import ContentFile
from django.db import models
from django.db.models.fields.files import FieldFile, ImageFieldFile
from django.http import FileResponse
from django.test import override_settings
from django.test.utils import isolate_apps

from tenancy.context import enter_request, request_scope, tenant_context
from tenancy.exceptions import NoTenant, WrongTenant
from tenancy.files import TenantFieldFile, TenantFileMixin, TenantImageFieldFile, guard_file_fields
from tenancy.models import TenantModel
from tenancy.registry import get_registry
from tenancy.storage import TenantFileSystemStorage

NAME = "k.txt"
CONTENTS = {"acme": b"acme's", "globex": b"the one of globex"}


class OwnFieldFile(FieldFile):
    pass


class OwnTenantFieldFile(TenantFileMixin, FieldFile):
    pass


def make_model(attr_class=FieldFile, guarded=True):
    """A tenant model with a file and an image. Of no database: what it does with files needs none."""
    with isolate_apps("tests.workshop"):

        class Document(TenantModel):
            file = models.FileField(storage=TenantFileSystemStorage())
            image = models.ImageField(storage=TenantFileSystemStorage())
            title = models.CharField(max_length=10)

            class Meta:
                app_label = "workshop"

    Document._meta.get_field("file").attr_class = attr_class
    Document._meta.get_field("image").attr_class = ImageFieldFile
    if guarded:
        guard_file_fields(Document)
    return Document


@pytest.fixture
def media(tmp_path):
    with override_settings(MEDIA_ROOT=tmp_path, MEDIA_URL="/media/"):
        yield tmp_path


def rows(model, field="file"):
    """A row in each tenant, with a file of the same name."""
    made = {}
    for tenant_id, content in CONTENTS.items():
        with tenant_context(tenant_id):
            made[tenant_id] = model()
            getattr(made[tenant_id], field).save(NAME, ContentFile(content), save=False)
    return made


def read(file):
    with file.open() as opened:
        return opened.read()


USES = {
    "open": read,
    "read": lambda file: file.read(),
    "iterate": lambda file: b"".join(file),
    "chunks": lambda file: b"".join(file.chunks()),
    "size": lambda file: file.size,
    "path": lambda file: file.path,
    "url": lambda file: file.url,
    "delete": lambda file: file.delete(save=False),
    "save": lambda file: file.save("new.txt", ContentFile(b"new"), save=False),
}


def everything(media):
    return {path.relative_to(media).as_posix(): path.read_bytes() for path in media.glob("*/*")}


@pytest.mark.parametrize("field", ["file", "image"])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_file_is_its_rows_tenants(media, field, use):
    made = rows(make_model(), field)
    before = everything(media)
    assert before == {f"{tenant_id}/{NAME}": content for tenant_id, content in CONTENTS.items()}
    file = getattr(made["acme"], field)
    with (
        tenant_context("globex"),
        pytest.raises(WrongTenant, match="This Document belongs to tenant 'acme'"),
    ):
        use(file)
    with pytest.raises(NoTenant):
        use(file)
    assert everything(media) == before
    with tenant_context("acme"):
        use(file)
    file.close()
    assert {name: content for name, content in everything(media).items() if "globex" in name} == {
        f"globex/{NAME}": CONTENTS["globex"]
    }


def test_django_would_take_another_tenants_file(media):
    """Negative control: the storage alone cannot know whose row asks."""
    made = rows(make_model(guarded=False))
    with tenant_context("globex"):
        assert read(made["acme"].file) == CONTENTS["globex"]
        made["acme"].file.delete(save=False)
    assert everything(media) == {f"acme/{NAME}": CONTENTS["acme"]}


def test_a_copy_remembers_too(media):
    file = copy.copy(rows(make_model())["acme"].file)
    with tenant_context("globex"), pytest.raises(WrongTenant):
        read(file)
    with tenant_context("acme"):
        assert read(file) == CONTENTS["acme"]


def test_an_open_file_is_closed_and_opened_in_its_tenant(media):
    file = rows(make_model())["acme"].file
    with tenant_context("acme"):
        read(file)
    with tenant_context("globex"), pytest.raises(WrongTenant):
        read(file)
    with tenant_context("acme"):
        assert read(file) == CONTENTS["acme"]


def test_a_row_of_nobody_goes_by_the_context(media):
    row = make_model()()
    row.file = NAME
    rows(make_model())
    for tenant_id, content in CONTENTS.items():
        with tenant_context(tenant_id):
            assert read(copy.copy(row.file)) == content
    with pytest.raises(NoTenant):
        read(copy.copy(row.file))


def test_a_response_is_sent_after_the_request(media):
    row = rows(make_model())["acme"]
    with request_scope():
        enter_request(get_registry().get("acme"))
        response = FileResponse(row.file)
    assert b"".join(response) == CONTENTS["acme"]
    response.close()


def test_the_guard_replaces_djangos_two_classes():
    model = make_model(guarded=False)
    file, image = model._meta.get_field("file"), model._meta.get_field("image")
    assert (file.attr_class, image.attr_class) == (FieldFile, ImageFieldFile)
    before = file.deconstruct()
    for _ in range(2):
        guard_file_fields(model)
        assert (file.attr_class, image.attr_class) == (TenantFieldFile, TenantImageFieldFile)
    assert file.deconstruct()[:3] == before[:3]
    assert file.deconstruct()[3].keys() == before[3].keys()


def test_a_class_of_ones_own_must_remember():
    with pytest.raises(TypeError, match=r"'workshop.Document.file' do not remember .* 'OwnFieldFile' from"):
        make_model(OwnFieldFile)
    assert make_model(OwnTenantFieldFile)._meta.get_field("file").attr_class is OwnTenantFieldFile
