"""What the description says of a view by itself, and what the view may say instead."""

from __future__ import annotations

import pytest
from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import OpenApiResponse, extend_schema
from openapi_schema_validator import OAS31Validator
from rest_framework import generics, serializers
from rest_framework.decorators import action
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from catalog.views import CategoryViewSet
from tenancy.rest.filters import BoundedSearchFilter, StableOrderingFilter
from tenancy.rest.serializers import StrictSerializer
from users.models import User
from users.permissions import Anyone


class Greeting(APIView):
    permission_classes = (Anyone,)

    @extend_schema(responses={200: None, 400: OpenApiResponse(description="Own words.")})
    def get(self, request):
        return Response()


def responses():
    schema = SchemaGenerator(patterns=[path("hello/", Greeting.as_view())]).get_schema(public=True)
    return schema["paths"]["/hello/"]["get"]["responses"]


def test_what_a_view_says_of_an_error_stays():
    assert responses()["400"] == {"description": "Own words."}


def test_the_errors_that_every_view_can_answer_are_added():
    assert list(responses()) == ["200", "400", "401", "403", "406", "503"]
    assert "application/json" in responses()["503"]["content"]


class Form(StrictSerializer):
    text = serializers.CharField(max_length=9)
    secret = serializers.CharField(trim_whitespace=False)
    note = serializers.CharField(allow_blank=True)
    price = serializers.DecimalField(max_digits=5, decimal_places=2, min_value=0)
    change = serializers.DecimalField(max_digits=5, decimal_places=2)
    made = serializers.DateTimeField(read_only=True)


class Desk(APIView):
    permission_classes = (Anyone,)

    @extend_schema(request=Form, responses=Form)
    def post(self, request):
        return Response()

    @extend_schema(responses={204: None})
    def delete(self, request):
        return Response()


class Shelf(generics.ListAPIView):
    permission_classes = (Anyone,)
    queryset = User.objects.all()
    serializer_class = Form
    filter_backends = (BoundedSearchFilter, StableOrderingFilter)
    ordering_fields = ("email", "name")


@pytest.fixture(scope="module")
def schema():
    patterns = [path("desk/", Desk.as_view()), path("shelf/", Shelf.as_view())]
    return SchemaGenerator(patterns=patterns).get_schema(public=True)


def is_described(schema, value):
    return OAS31Validator(schema).is_valid(value)


def parameters(schema):
    return {each["name"]: each for each in schema["paths"]["/shelf/"]["get"]["parameters"]}


GOOD = {"text": "x", "secret": " ", "note": "", "price": "1.50", "change": "-1.50"}


@pytest.mark.parametrize("value", [GOOD, GOOD | {"made": None}, GOOD | {"made": {"any": ["thing"]}}], ids=str)
def test_a_body_that_is_taken_is_described(schema, value):
    assert is_described(schema["components"]["schemas"]["FormRequest"], value)
    assert Form(data=value).is_valid()


@pytest.mark.parametrize(
    "change",
    [
        {"other": 1},
        {"mad": None},
        {"made_": None},
        *({"text": text} for text in ("", " ", "\n", "\x1c", "\x85", "\u2003 ")),
        *({"price": text} for text in ("", "-", ".", "-1.50", "1.", ".5", "1234", "1.234", "1e2")),
        *({"change": text} for text in ("", "-", "-.", "+1", "1.234")),
    ],
    ids=ascii,
)
def test_a_body_that_is_refused_or_odd_is_not_described(schema, change):
    assert not is_described(schema["components"]["schemas"]["FormRequest"], GOOD | change)


def test_an_answer_may_hold_more_than_a_body(schema):
    answer = schema["components"]["schemas"]["Form"]
    assert "additionalProperties" not in answer
    assert "pattern" not in answer["properties"]["text"]
    assert answer["properties"]["price"]["pattern"] == "^[0-9]{1,3}(\\.[0-9]{1,2})?$"


@pytest.mark.parametrize("link", [None, "http://testserver/shelf/?page=2"])
def test_a_page_has_links_or_null(schema, link):
    page = schema["components"]["schemas"]["PaginatedFormList"]["properties"]
    for name in ("next", "previous"):
        assert is_described(page[name], link)
        assert not is_described(page[name], 2)
        assert "nullable" not in page[name]


def test_pages_are_counted_from_one(schema):
    for name in ("page", "page_size"):
        assert parameters(schema)[name]["schema"]["minimum"] == 1
    assert parameters(schema)["page"]["allowEmptyValue"]
    assert "allowEmptyValue" not in parameters(schema)["page_size"]


def test_filters_say_what_they_take(schema):
    described = parameters(schema)
    assert described["search"]["schema"]["maxLength"] == BoundedSearchFilter.max_length
    assert described["search"]["allowEmptyValue"]
    ordering = described["ordering"]["schema"]
    for text in ("email", "-email", "name,-email"):
        assert is_described(ordering, text)
    for text in ("price", "--email", "email,", "email -name", "emails"):
        assert not is_described(ordering, text)


def test_a_body_in_chunks_is_refused_wherever_a_body_may_be(schema):
    methods = schema["paths"]["/desk/"]
    assert "411" in methods["post"]["responses"]
    assert "411" in methods["delete"]["responses"]


def test_an_action_of_an_apps_own_is_described():
    class Described(CategoryViewSet):
        @action(detail=True)
        def tree(self, request, pk=None):
            """Show the whole tree."""

    router = SimpleRouter()
    router.register("described", Described)
    schema = SchemaGenerator(patterns=router.urls).get_schema(request=None, public=True)
    operation = next(path for name, path in schema["paths"].items() if name.endswith("/tree/"))["get"]
    assert operation["description"] == "Show the whole tree."
