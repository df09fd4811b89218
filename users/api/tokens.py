"""Signing in, staying in, and asking who one is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from django.contrib.auth import authenticate
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import TokenError

from tenancy.rest.views import ApiViewMixin
from users import families
from users.authentication import Access
from users.entry import choose_tenant, own_tenants
from users.errors import InvalidCredentials, TenantForbidden, TokenNotValid
from users.models import User
from users.permissions import Anyone, IsSignedIn
from users.serializers import (
    MeSerializer,
    OwnTenantSerializer,
    PairSerializer,
    RefreshSerializer,
    SignedInSerializer,
    SignInSerializer,
    SwitchSerializer,
)
from users.tokens import Claims, TenantRefreshToken


class TokenView(ApiViewMixin, APIView):
    """Base of the calls that hand out tokens: nobody may keep an answer."""

    cache_control = "no-store"
    serializer_class: type[Any]

    def body(self, request: Request) -> dict[str, Any]:
        serializer = self.serializer_class(data=request.data)
        serializer.is_valid(raise_exception=True)
        data: dict[str, Any] = serializer.validated_data
        return data


class OpenTokenView(TokenView):
    """For callers who have no access token yet, or no longer: an old one in the header is not read."""

    authentication_classes: ClassVar[list[Any]] = []  # type: ignore[misc]
    permission_classes = (Anyone,)

    def refresh_claims(self, request: Request) -> Claims:
        try:
            claims: Claims = TenantRefreshToken.read(self.body(request)["refresh"])
        except TokenError as exc:
            raise TokenNotValid from exc
        return claims


class SignInView(OpenTokenView):
    serializer_class = SignInSerializer

    @extend_schema(
        operation_id="sign_in",
        summary="Sign in",
        description="Exchange e-mail and password for a pair of tokens that is bound to one tenant.",
        request=SignInSerializer,
        responses=SignedInSerializer,
        examples=[
            OpenApiExample(
                "One tenant",
                value={"email": "ada@example.com", "password": "correct-horse-battery"},
                request_only=True,
            ),
            OpenApiExample(
                "Several tenants",
                value={
                    "email": "grace@example.com",
                    "password": "correct-horse-battery",
                    "tenant_id": "globex",
                },
                request_only=True,
            ),
        ],
        auth=[],
    )
    def post(self, request: Request) -> Response:
        body = self.body(request)
        # Takes its time for an unknown address too (ModelBackend hashes anyway).
        user = authenticate(request, username=body["email"], password=body["password"])
        if not isinstance(user, User):
            raise InvalidCredentials
        tenant = choose_tenant(user, body.get("tenant_id"))
        return Response(asdict(families.open_family(user, tenant.id)) | {"tenant_id": tenant.id})


class RefreshView(OpenTokenView):
    serializer_class = RefreshSerializer

    @extend_schema(
        operation_id="refresh_token",
        summary="Refresh",
        description="Spend a refresh token for the next pair. A second use ends the whole session.",
        request=RefreshSerializer,
        responses=PairSerializer,
        auth=[],
    )
    def post(self, request: Request) -> Response:
        try:
            pair = families.refresh_family(self.refresh_claims(request))
        except families.FamilyEnded as exc:
            raise TokenNotValid from exc
        except families.MembershipGone as exc:
            raise TenantForbidden from exc
        return Response(asdict(pair))


class RevokeView(OpenTokenView):
    serializer_class = RefreshSerializer

    @extend_schema(
        operation_id="revoke_token",
        summary="Sign out",
        description="End the session a refresh token belongs to; its access tokens die at once.",
        request=RefreshSerializer,
        responses={204: None},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        families.end_family(self.refresh_claims(request))
        return Response(status=204)


class SwitchView(TokenView):
    serializer_class = SwitchSerializer
    permission_classes = (IsSignedIn,)

    @extend_schema(
        operation_id="switch_tenant",
        summary="Switch tenant",
        description="A pair of tokens for another tenant you belong to. Send your access token as Bearer.",
        request=SwitchSerializer,
        responses=SignedInSerializer,
    )
    def post(self, request: Request) -> Response:
        tenant = choose_tenant(request.user, self.body(request)["tenant_id"])
        return Response(asdict(families.open_family(request.user, tenant.id)) | {"tenant_id": tenant.id})


class MeView(ApiViewMixin, APIView):
    permission_classes = (IsSignedIn,)

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
    permission_classes = (IsSignedIn,)

    @extend_schema(
        operation_id="my_tenants",
        summary="My tenants",
        description="Every tenant you belong to. Change to one with *Switch tenant*.",
        responses=OwnTenantSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        return Response(own_tenants(request.user))
