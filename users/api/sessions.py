"""Where the caller is signed in, and signing out there."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from tenancy.audit.trail import record
from tenancy.exceptions import TenantNotFound
from tenancy.registry import get_registry
from tenancy.rest.views import ApiViewMixin
from tenancy.transactions import control_atomic
from users.authentication import Access
from users.families import end_families
from users.models import TokenFamily
from users.people import caller
from users.permissions import IsPerson


class SessionTenantSerializer(serializers.Serializer[object]):
    """The tenant a session is bound to."""

    id = serializers.CharField(source="tenant_id")
    name = serializers.SerializerMethodField(help_text="Empty for one that is gone.")

    def get_name(self, family: TokenFamily) -> str:
        try:
            return get_registry().get(family.tenant_id).name
        except TenantNotFound:
            return ""


class SessionSerializer(serializers.ModelSerializer[TokenFamily]):
    """Somewhere you are signed in."""

    tenant = SessionTenantSerializer(source="*")
    ends_at = serializers.DateTimeField(help_text="If it is not used before.")
    address = serializers.CharField(allow_null=True, help_text="Where you signed in from.")
    is_current = serializers.SerializerMethodField(help_text="Whether you ask with a token of this one.")

    class Meta:
        model = TokenFamily
        fields = ("id", "tenant", "created_at", "used_at", "ends_at", "address", "user_agent", "is_current")
        read_only_fields = fields

    def get_is_current(self, family: TokenFamily) -> bool:
        return family.pk == self.context["request"].auth.session_id


class OwnSessionsView(ApiViewMixin, GenericAPIView[TokenFamily]):  # type: ignore[misc]
    """Base of the calls about the caller's sessions: nobody else's are ever there."""

    permission_classes = (IsPerson,)
    serializer_class = SessionSerializer
    queryset = TokenFamily.objects.none()

    def get_queryset(self) -> Any:
        return TokenFamily.objects.living(self.request.user)


class SessionsView(ListModelMixin, OwnSessionsView):
    def known_parameters(self) -> set[str]:
        return {"keep_current"} if self.request.method == "DELETE" else {"page", "page_size"}

    @extend_schema(
        operation_id="sessions",
        summary="My sessions",
        description="Wherever you are signed in, in whatever tenant; the one used last comes first.",
        responses=SessionSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="revoke_sessions",
        summary="Sign out everywhere",
        description="Ends all your sessions at once, this one too unless you keep it.",
        parameters=[OpenApiParameter("keep_current", bool, description="Stay signed in here.")],
        responses={204: None},
    )
    def delete(self, request: Request) -> Response:
        families = self.get_queryset()
        if serializers.BooleanField().run_validation(request.query_params.get("keep_current", False)):
            access: Access = request.auth  # type: ignore[assignment]
            families = families.exclude(pk=access.session_id)
        with control_atomic():
            count = end_families(families)
            record("session.revoked", caller(request), details={"sessions": count})
        return Response(status=204)


class SessionView(OwnSessionsView):
    @extend_schema(
        operation_id="revoke_session",
        summary="Sign out somewhere",
        description="Ends one of your sessions; its access tokens die at once.",
        responses={204: None},
    )
    def delete(self, request: Request, id: Any) -> Response:  # noqa: A002
        family = self.get_queryset().filter(pk=id).first()
        if family is None:
            raise Http404
        with control_atomic():
            end_families(TokenFamily.objects.filter(pk=family.pk))
            record("session.revoked", caller(request), tenant_id=family.tenant_id, target=str(family.pk))
        return Response(status=204)
