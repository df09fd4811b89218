"""What the description says of a view by itself, and what the view may say instead."""

from __future__ import annotations

from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

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
