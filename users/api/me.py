"""Who the caller is, and where they belong."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tenancy.rest.views import ApiViewMixin
from users.authentication import Access
from users.entry import own_tenants
from users.models import Role
from users.permissions import IsPerson


class TenantSerializer(serializers.Serializer[object]):
    """A tenant."""

    id = serializers.CharField()
    name = serializers.CharField()


class OwnTenantSerializer(TenantSerializer):
    """A tenant you belong to, and what you are there."""

    role = serializers.ChoiceField(choices=Role.choices)


class MeSerializer(serializers.Serializer[object]):
    """You, as the service knows you."""

    id = serializers.UUIDField()
    email = serializers.EmailField()
    name = serializers.CharField()
    tenant = TenantSerializer()
    role = serializers.ChoiceField(choices=Role.choices)


class MeView(ApiViewMixin, APIView):
    permission_classes = (IsPerson,)

    @extend_schema(
        operation_id="me",
        summary="Who am I",
        description="Who the token belongs to, the tenant it is bound to, and your role there now.",
        responses=MeSerializer,
    )
    def get(self, request: Request) -> Response:
        access: Access = request.auth  # type: ignore[assignment]
        user = request.user
        return Response(
            {
                "id": str(user.pk),
                "email": user.email,
                "name": user.name,
                "tenant": {"id": access.tenant.id, "name": access.tenant.name},
                "role": access.role.value,
            }
        )


class MyTenantsView(ApiViewMixin, APIView):
    permission_classes = (IsPerson,)

    @extend_schema(
        operation_id="my_tenants",
        summary="My tenants",
        description="Every tenant you belong to. Change to one with *Switch tenant*.",
        responses=OwnTenantSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        return Response(own_tenants(request.user))
