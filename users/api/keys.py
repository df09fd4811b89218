"""The public keys by which others verify our tokens."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenancy.rest.views import ApiViewMixin
from users.keys import key_ring
from users.permissions import Anyone


class KeySetSerializer(serializers.Serializer[object]):
    """A JSON Web Key Set (RFC 7517)."""

    keys = serializers.ListField(child=serializers.DictField())


class KeySetView(ApiViewMixin, APIView):
    #: Others may keep it for less than a key is published before it signs.
    cache_control = "public, max-age=300"
    authentication_classes: ClassVar[list[Any]] = []  # type: ignore[misc]
    permission_classes = (Anyone,)

    @extend_schema(
        operation_id="key_set",
        summary="Public keys",
        description=(
            "What other services verify our access tokens with. A key is here before it signs, and until the "
            "last token that it signed is over. Empty where tokens are signed with a shared secret."
        ),
        responses=KeySetSerializer,
        tags=["token"],
        auth=[],
    )
    def get(self, request: Request) -> Response:
        return Response(key_ring().jwks())
