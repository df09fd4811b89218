"""``/api/categories/``: every verb, the exact fields, and the tree."""

from __future__ import annotations

import uuid

import pytest

from catalog.models import Category
from tenancy.context import tenant_context
from tenancy.testing import databases

pytestmark = databases("control", "acme")

URL = "/api/categories/"
FIELDS = {"id", "name", "description", "parent"}


def stored(pk):
    with tenant_context("acme"):
        return Category.objects.filter(pk=pk).values("name", "description", "parent_id").first()


def test_it_creates_one(ada):
    response = ada.post(URL, {"name": "Saws", "description": "Toothed."}, format="json")
    body = response.json()
    assert response.status_code == 201
    assert set(body) == FIELDS
    assert str(uuid.UUID(body["id"])) == body["id"]
    assert response["Location"] == f"{URL}{body['id']}/"
    assert ada.get(response["Location"]).json() == body
    assert ada.get(response["Location"])["ETag"] == response["ETag"]
    assert stored(body["id"]) == {"name": "Saws", "description": "Toothed.", "parent_id": None}


def test_it_creates_one_below_another(ada, category):
    body = ada.post(URL, {"name": "Saws", "parent": str(category.pk)}, format="json").json()
    assert body["parent"] == str(category.pk)
    assert stored(body["id"])["parent_id"] == category.pk


def test_it_reads_one(ada, category):
    response = ada.get(f"{URL}{category.pk}/")
    assert response.status_code == 200
    assert response.json() == {"id": str(category.pk), "name": "Tools", "description": "", "parent": None}


def test_it_lists_them_by_name(ada):
    for name in ("b", "a", "c"):
        ada.post(URL, {"name": name}, format="json")
    body = ada.get(URL).json()
    assert set(body) == {"count", "next", "previous", "results"}
    assert [row["name"] for row in body["results"]] == ["a", "b", "c"]
    assert [row["name"] for row in ada.get(f"{URL}?ordering=-name").json()["results"]] == ["c", "b", "a"]


def test_it_searches_name_and_description(ada, category):
    ada.post(URL, {"name": "Paint", "description": "Not a TOOL."}, format="json")
    ada.post(URL, {"name": "Springs"}, format="json")
    names = {row["name"] for row in ada.get(f"{URL}?search=tool").json()["results"]}
    assert names == {"Tools", "Paint"}


def test_it_replaces_one(ada, category):
    response = ada.put(f"{URL}{category.pk}/", {"name": "New", "description": "D"}, format="json")
    assert response.status_code == 200
    assert response.json() == {"id": str(category.pk), "name": "New", "description": "D", "parent": None}
    assert stored(category.pk) == {"name": "New", "description": "D", "parent_id": None}


def test_it_changes_one_field(ada, category):
    response = ada.patch(f"{URL}{category.pk}/", {"description": "D"}, format="json")
    assert response.status_code == 200
    assert stored(category.pk) == {"name": "Tools", "description": "D", "parent_id": None}


def test_it_deletes_one(ada, category):
    response = ada.delete(f"{URL}{category.pk}/")
    assert (response.status_code, response.content) == (204, b"")
    assert stored(category.pk) is None
    assert ada.delete(f"{URL}{category.pk}/").status_code == 404


def test_what_was_read_can_be_written_back(ada, category):
    url = f"{URL}{category.pk}/"
    read = ada.get(url)
    written = ada.put(url, read.json(), format="json")
    assert written.status_code == 200
    assert written.json() == read.json()
    assert written["ETag"] == read["ETag"]


@pytest.mark.parametrize("method", ["post", "put", "patch"])
def test_an_id_in_the_body_is_ignored(ada, category, method):
    wanted = str(uuid.uuid4())
    url = URL if method == "post" else f"{URL}{category.pk}/"
    body = getattr(ada, method)(url, {"id": wanted, "name": "N"}, format="json").json()
    assert body["id"] != wanted
    assert stored(wanted) is None


def test_it_moves_one_and_back_to_the_top(ada, category):
    child = ada.post(URL, {"name": "Saws"}, format="json").json()
    url = f"{URL}{child['id']}/"
    assert ada.patch(url, {"parent": str(category.pk)}, format="json").json()["parent"] == str(category.pk)
    assert ada.patch(url, {"name": "Saw"}, format="json").json()["parent"] == str(category.pk)
    assert ada.patch(url, {"parent": None}, format="json").json()["parent"] is None


def test_a_head_request_has_the_headers_and_no_body(ada, category):
    get, head = ada.get(f"{URL}{category.pk}/"), ada.head(f"{URL}{category.pk}/")
    assert head.status_code == 200
    assert head.content == b""
    assert head["ETag"] == get["ETag"]
    assert head["Content-Length"] == get["Content-Length"]


def test_str_is_its_name(category):
    assert str(category) == "Tools"
