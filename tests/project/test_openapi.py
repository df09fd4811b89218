"""The description of the API: valid, complete, and read without any other host."""

from __future__ import annotations

import json
import re

import pytest
from django.core.management import call_command
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from rest_framework.test import APIClient

from tests.project.test_urls import API_PATHS, OPEN_TO_ANYONE

UNDESCRIBED = {"api/schema/", "api/docs/"}
DESCRIBED = [path for path in API_PATHS if path.route not in UNDESCRIBED]
BEARER, KEYS = [{"bearerToken": []}], [{"apiKey": []}]


@pytest.fixture(scope="module")
def schema():
    response = APIClient().get("/api/schema/")
    assert response.status_code == 200
    return json.loads(response.content)


def operations(schema):
    return {
        (url, method): operation
        for url, methods in schema["paths"].items()
        for method, operation in methods.items()
    }


def test_it_is_valid_openapi_3_1(schema):
    assert schema["openapi"].startswith("3.1.")
    validate(schema, cls=OpenAPIV31SpecValidator)


def test_it_is_made_without_a_warning(tmp_path, capsys):
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yaml"))
    printed = capsys.readouterr()
    assert "Warning" not in printed.err + printed.out
    assert (tmp_path / "schema.yaml").stat().st_size > 10_000


@pytest.mark.parametrize("path", DESCRIBED, ids=lambda path: path.route)
def test_it_describes_every_path_and_method(schema, path):
    assert set(schema["paths"][path.url("{id}")]) == set(path.methods)


def test_it_describes_nothing_else(schema):
    assert set(schema["paths"]) == {path.url("{id}") for path in DESCRIBED}


def test_every_call_needs_the_token_but_those_open_to_anyone(schema):
    scheme = schema["components"]["securitySchemes"]["bearerToken"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    open_urls = {f"/{route}" for route in OPEN_TO_ANYONE}
    for (url, method), operation in operations(schema).items():
        if url in open_urls:
            assert operation.get("security", [{}]) in ([], [{}]), (url, method)
        else:
            assert operation["security"] in (BEARER, BEARER + KEYS), (url, method)


def test_it_describes_signing_in(schema):
    operation = schema["paths"]["/api/token/"]["post"]
    assert operation["summary"] == "Sign in"
    name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert set(schema["components"]["schemas"][name]["properties"]) == {"email", "password", "tenant_id"}
    assert set(schema["components"]["schemas"][name]["required"]) == {"email", "password"}
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert set(schema["components"]["schemas"][answer]["properties"]) == {"access", "refresh", "tenant_id"}


def test_it_speaks_json_only(schema):
    """But for exports, which are JSON line by line; their errors are not."""
    for operation in operations(schema).values():
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in bodies:
            lines = (
                operation["operationId"].endswith("_export_retrieve")
                and body is operation["responses"]["200"]
            )
            assert set(body.get("content", {})) <= {"application/x-ndjson" if lines else "application/json"}


def test_operations_have_ids_of_their_own(schema):
    ids = [operation["operationId"] for operation in operations(schema).values()]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("url", "method", "statuses"),
    [
        ("/api/products/", "get", {"200", "304", "400", "401", "403", "404", "406", "503"}),
        ("/api/products/", "post", {"201", "400", "401", "403", "406", "409", "413", "415", "503"}),
        ("/api/products/{id}/", "get", {"200", "304", "400", "401", "403", "404", "406", "503"}),
        ("/api/products/{id}/", "put", {"200", "404", "409", "412", "413", "415"}),
        ("/api/products/{id}/", "delete", {"204", "404", "409", "412"}),
        ("/api/me/", "get", {"200", "401", "403", "503"}),
        ("/api/token/", "post", {"200", "400", "401", "403", "413", "415", "503"}),
        ("/api/token/revoke/", "post", {"204", "400", "401"}),
    ],
)
def test_it_describes_the_answers(schema, url, method, statuses):
    assert set(schema["paths"][url][method]["responses"]) >= statuses


def test_it_describes_every_parameter_of_the_product_list(schema):
    parameters = schema["paths"]["/api/products/"]["get"]["parameters"]
    assert {each["name"] for each in parameters if each["in"] == "query"} == {
        *("category", "min_price", "max_price", "in_stock", "is_active"),
        *("search", "ordering", "page", "page_size"),
    }
    types = {each["name"]: each["schema"]["type"] for each in parameters}
    assert types["in_stock"] == types["is_active"] == "boolean"


def test_it_describes_the_conditional_headers(schema):
    methods = schema["paths"]["/api/products/{id}/"]
    headers = {
        method: {each["name"] for each in operation["parameters"] if each["in"] == "header"}
        for method, operation in methods.items()
    }
    assert headers == {
        "get": {"If-None-Match"},
        "put": {"If-Match"},
        "patch": {"If-Match"},
        "delete": {"If-Match"},
    }


def test_errors_have_the_shape_of_the_contract(schema):
    error = schema["components"]["schemas"]["Error"]
    assert set(error["properties"]) == {"detail", "code", "errors"}
    assert set(error["required"]) == {"detail", "code"}


def test_ids_and_times_are_read_only_and_money_is_text(schema):
    properties = schema["components"]["schemas"]["Product"]["properties"]
    for name in ("id", "created_at", "updated_at"):
        assert properties[name]["readOnly"]
    assert (properties["price"]["type"], properties["price"]["format"]) == ("string", "decimal")
    assert not {"id", "created_at"} & set(schema["components"]["schemas"]["ProductRequest"]["properties"])


@pytest.fixture(scope="module")
def page():
    response = APIClient().get("/api/docs/")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/html")
    return response.content.decode()


def links(page):
    return re.findall(r"""(?:src|href)\s*=\s*["']([^"']+)["']""", page)


def test_the_page_names_no_other_host(page):
    assert len(links(page)) >= 4
    assert all(link.startswith("/static/") for link in links(page))
    assert not re.search(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", page)
    assert "@import" not in page


def test_the_page_shows_this_description(page):
    assert '"/api/schema/"' in page


def test_what_the_page_needs_is_served(page):
    for link in links(page):
        response = APIClient().get(link)
        assert response.status_code == 200, link
        assert len(b"".join(response.streaming_content)) > 100
        response.close()


def test_a_link_to_another_host_would_be_seen():
    assert links('<script src="https://cdn.example/x.js"></script>') == ["https://cdn.example/x.js"]


@pytest.mark.parametrize("path", ["/api/schema/", "/api/docs/"])
def test_their_errors_are_json_too(path):
    for response, status in (
        (APIClient().post(path, {}, format="json"), 405),
        (APIClient().get(path, headers={"Accept": "image/png"}), 406),
    ):
        assert response.status_code == status
        assert response["Content-Type"] == "application/json"
        assert set(response.json()) == {"detail", "code"}


def test_every_call_is_in_a_group_that_is_introduced(schema):
    introduced = {tag["name"] for tag in schema["tags"]}
    found = {tag for operation in operations(schema).values() for tag in operation["tags"]}
    assert found == introduced
