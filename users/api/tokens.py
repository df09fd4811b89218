"""Signing in, staying in, and signing out: the calls that hand out tokens."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any, ClassVar

from django.contrib.auth import authenticate
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import TokenError

from tenancy.audit.models import Actor, Outcome
from tenancy.audit.trail import Who, record
from tenancy.registry import get_registry
from tenancy.rest.serializers import StrictSerializer
from tenancy.rest.views import ApiViewMixin
from tenancy.transactions import control_atomic
from users import families
from users.entry import choose_tenant, refuse_other_host, tenant_of_host
from users.errors import InvalidCredentials, TenantForbidden, TenantSuspended, TokenNotValid
from users.models import User
from users.origin import Origin
from users.people import person
from users.permissions import Anyone, IsPerson
from users.tokens import Claims, TenantRefreshToken

_RETRY_KEY = re.compile(r"[!-~]{16,128}")


class SignInSerializer(StrictSerializer):
    """Who you are and, if you belong to several, which tenant you want."""

    # Not an EmailField: a malformed address is one more wrong credential, answered like the rest.
    email = serializers.CharField(max_length=254)
    # Bounded, for the hasher reads all of it.
    password = serializers.CharField(max_length=1024, trim_whitespace=False, style={"input_type": "password"})
    tenant_id = serializers.CharField(
        max_length=64, required=False, help_text="Needed by those who belong to several tenants."
    )


class RefreshSerializer(StrictSerializer):
    """The refresh token of the last pair you were given."""

    refresh = serializers.CharField(max_length=16_384)


class SwitchSerializer(StrictSerializer):
    """The tenant you want to work in."""

    tenant_id = serializers.CharField(max_length=64)


class PairSerializer(serializers.Serializer[object]):
    """A pair of tokens, both bound to one tenant."""

    access = serializers.CharField(help_text="For `Authorization: Bearer …`, five minutes.")
    refresh = serializers.CharField(help_text="Good once, for the next pair.")


class SignedInSerializer(PairSerializer):
    """A pair of tokens, and the tenant they are bound to."""

    tenant_id = serializers.CharField()


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


def signed_in(request: Request, user: User, tenant_id: str | None, action: str = "sign_in") -> Response:
    """A pair for somebody who has proven who they are, in the tenant they ask for. A refusal is recorded."""
    origin = Origin.of(request)
    of_host = tenant_of_host(request)
    try:
        if of_host is not None and tenant_id not in (None, of_host):
            raise TenantForbidden
        tenant = choose_tenant(user, of_host or tenant_id)
    except (TenantForbidden, TenantSuspended) as exc:
        # For staff only: who is no member of a tenant must be able to write nothing into its trail. Its id
        # only as far as there is one: what was typed may be anything.
        asked = tenant_id if tenant_id is not None and tenant_id in get_registry() else ""
        details = {"code": exc.default_code}
        who = person(user, origin)
        record(action, who, tenant_id="", target=asked, outcome=Outcome.REFUSED, details=details)
        raise
    pair = families.open_family(user, tenant.id, origin, action=action)
    return Response(asdict(pair) | {"tenant_id": tenant.id})


class SignInView(OpenTokenView):
    serializer_class = SignInSerializer
    is_braked = True

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
        return signed_in(request, user, body.get("tenant_id"))


class RefreshView(OpenTokenView):
    serializer_class = RefreshSerializer

    @extend_schema(
        operation_id="refresh_token",
        summary="Refresh",
        description=(
            "Spend a refresh token for the next pair. A second use ends the whole session: somebody has a "
            "copy. A client that may have to ask again, because an answer can get lost, names each refresh: "
            "with the same `Idempotency-Key` it gets the same refresh token again, for half a minute."
        ),
        request=RefreshSerializer,
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                {"type": "string", "pattern": f"^{_RETRY_KEY.pattern}$"},
                OpenApiParameter.HEADER,
                description="16 to 128 characters that nobody can guess; a random UUID will do.",
            )
        ],
        responses=PairSerializer,
        auth=[],
    )
    def post(self, request: Request) -> Response:
        retry_key = request.headers.get("Idempotency-Key")
        if retry_key is not None and not _RETRY_KEY.fullmatch(retry_key):
            raise ValidationError({"Idempotency-Key": ["16 to 128 printable characters without a space."]})
        try:
            claims = self.refresh_claims(request)
            asked_at = timezone.now()  # with all of the body here: a slow one must not look early
            refuse_other_host(request, claims.tenant_id)
            pair = families.refresh_family(
                claims,
                asked_at=asked_at,
                retry_key=retry_key or "",
                origin=Origin.of(request),
            )
        except (families.FamilyEnded, families.TokenSpent) as exc:
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
        claims = self.refresh_claims(request)
        with control_atomic():
            if families.end_family(claims):
                who = Who(
                    Actor.PERSON,
                    str(claims.user_id),
                    address=Origin.of(request).address,
                    token_id=str(claims.family_id),
                )
                record("sign_out", who, tenant_id=claims.tenant_id)
        return Response(status=204)


class SwitchView(TokenView):
    serializer_class = SwitchSerializer
    permission_classes = (IsPerson,)

    @extend_schema(
        operation_id="switch_tenant",
        summary="Switch tenant",
        description="A pair of tokens for another tenant you belong to. Send your access token as Bearer.",
        request=SwitchSerializer,
        responses=SignedInSerializer,
    )
    def post(self, request: Request) -> Response:
        return signed_in(request, request.user, self.body(request)["tenant_id"], "tenant.switched")
