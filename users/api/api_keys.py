"""API keys of the caller's tenant, for those who look after its people."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from tenancy.rest.serializers import ChoiceField, StrictSerializer
from tenancy.rest.views import ApiViewMixin
from users import api_keys
from users.authentication import Access
from users.email import validate_one_line
from users.models import ApiKey, Role
from users.people import caller
from users.permissions import MayManagePeople


class ApiKeySerializer(serializers.ModelSerializer[ApiKey]):
    """An API key. What it opens is never shown again."""

    created_by = serializers.CharField(
        source="created_by.email", default="", help_text="Empty for one who is gone."
    )
    is_active = serializers.SerializerMethodField(
        help_text="Whether it opens anything: it is over when it expires, is revoked, or its maker is gone."
    )

    class Meta:
        model = ApiKey
        fields = (
            "id",
            "name",
            "prefix",
            "role",
            "is_active",
            "created_by",
            "created_at",
            "expires_at",
            "last_used_at",
            "revoked_at",
        )
        read_only_fields = fields
        extra_kwargs = {
            "prefix": {"help_text": "What the key begins with, after `fh_`."},
            "last_used_at": {"help_text": "To the minute."},
        }

    def get_is_active(self, key: ApiKey) -> bool:
        return key.is_alive()


class NewApiKeySerializer(ApiKeySerializer):
    """A key that was just made, with its text: keep it now."""

    key = serializers.CharField(help_text="For `Authorization: Api-Key …`. It is shown this once.")

    class Meta(ApiKeySerializer.Meta):
        fields = (*ApiKeySerializer.Meta.fields, "key")
        read_only_fields = fields


class CreateApiKeySerializer(StrictSerializer):
    """What the key is for, what it may do, and until when."""

    name = serializers.CharField(max_length=100, validators=[validate_one_line])
    role = ChoiceField(
        choices=[(role.value, role.label) for role in api_keys.ROLES], default=Role.VIEWER.value
    )
    expires_at = serializers.DateTimeField(
        required=False, help_text="Without it in 90 days, and at most in a year."
    )

    def validate_expires_at(self, value: datetime) -> datetime:
        if not timezone.now() < value <= timezone.now() + settings.API_KEY_MAX_LIFETIME:
            days = settings.API_KEY_MAX_LIFETIME.days
            raise serializers.ValidationError(f"Between now and {days} days from now.")
        return value


class ApiKeysView(ApiViewMixin, ListModelMixin, GenericAPIView[ApiKey]):  # type: ignore[misc]
    has_rules = True
    cache_control = "no-store"
    permission_classes = (MayManagePeople,)
    serializer_class = ApiKeySerializer
    queryset = ApiKey.objects.none()

    def get_queryset(self) -> Any:
        return api_keys.keys_of(self.request.auth.tenant.id)

    def known_parameters(self) -> set[str]:
        return {"page", "page_size"} if self.request.method == "GET" else set()

    @extend_schema(
        operation_id="api_keys",
        summary="List API keys",
        description="The keys of your tenant, also those that are over. For owners and admins.",
        responses=ApiKeySerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="create_api_key",
        summary="Make an API key",
        description=(
            "For a machine, as a job that reports: it works in your tenant alone, with "
            "`Authorization: Api-Key …`, and never does more than you may. It is over when you leave."
        ),
        request=CreateApiKeySerializer,
        responses={201: NewApiKeySerializer},
    )
    def post(self, request: Request) -> Response:
        access: Access = request.auth  # type: ignore[assignment]
        serializer = CreateApiKeySerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        key, text = api_keys.create(
            access.tenant.id,
            asked["name"],
            Role(asked["role"]),
            asked.get("expires_at"),
            maker=request.user,
            who=caller(request),
        )
        key.maker_role = access.role
        return Response(ApiKeySerializer(key).data | {"key": text}, status=201)


class ApiKeyView(ApiViewMixin, GenericAPIView[ApiKey]):  # type: ignore[misc]
    permission_classes = (MayManagePeople,)
    serializer_class = ApiKeySerializer
    queryset = ApiKey.objects.none()

    @extend_schema(
        operation_id="revoke_api_key",
        summary="Revoke an API key",
        description="It opens nothing any more, from the next request on.",
        responses={204: None},
    )
    def delete(self, request: Request, id: Any) -> Response:  # noqa: A002
        access: Access = request.auth  # type: ignore[assignment]
        key = api_keys.keys_of(access.tenant.id, id).first()
        if key is None:
            raise Http404
        api_keys.revoke(key, who=caller(request))
        return Response(status=204)
