"""Inviting people to the caller's tenant, and accepting."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from tenancy.rest.serializers import ChoiceField, StrictSerializer
from tenancy.rest.views import ApiViewMixin
from users import invitations, tasks
from users.api.me import TenantSerializer
from users.api.passwords import NewPasswordField
from users.api.tokens import OpenTokenView
from users.authentication import Access
from users.brakes import attempt_invitation
from users.email import validate_one_line
from users.later import later
from users.models import Invitation, Role
from users.origin import Origin
from users.people import caller
from users.permissions import MayManagePeople


class InvitationSerializer(serializers.ModelSerializer[Invitation]):
    """Somebody who was invited, and has not come yet."""

    invited_by = serializers.CharField(
        source="invited_by.email", default="", help_text="Empty for one who is gone."
    )

    class Meta:
        model = Invitation
        fields = ("id", "email", "role", "invited_by", "created_at", "expires_at")
        read_only_fields = fields


class InviteSerializer(StrictSerializer):
    """Whom to invite, as what."""

    email = serializers.EmailField(max_length=254)
    role = ChoiceField(choices=Role.choices, default=Role.MEMBER)


class AcceptSerializer(StrictSerializer):
    """What stands behind the `#` of the link. Whoever has no password yet chooses one."""

    token = serializers.CharField(max_length=200)
    password = NewPasswordField(required=False)
    name = serializers.CharField(
        max_length=150, required=False, allow_blank=True, default="", validators=[validate_one_line]
    )


class AcceptedSerializer(serializers.Serializer[object]):
    """Where you belong to now. Sign in next."""

    email = serializers.EmailField()
    tenant = TenantSerializer()
    role = serializers.ChoiceField(choices=Role.choices)


class InvitationsView(ApiViewMixin, ListModelMixin, GenericAPIView[Invitation]):  # type: ignore[misc]
    is_braked = True
    has_rules = True
    permission_classes = (MayManagePeople,)
    serializer_class = InvitationSerializer
    queryset = Invitation.objects.none()

    def get_queryset(self) -> Any:
        return invitations.pending(self.request.auth.tenant.id)

    def known_parameters(self) -> set[str]:
        return {"page", "page_size"} if self.request.method == "GET" else set()

    @extend_schema(
        operation_id="invitations",
        summary="List invitations",
        description="Who was invited to your tenant and has not come yet. For owners and admins.",
        responses=InvitationSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="invite",
        summary="Invite somebody",
        description=(
            "Sends a mail with a link that is good once, for a week. Invited again, only the new one is good."
        ),
        request=InviteSerializer,
        responses={201: InvitationSerializer},
    )
    def post(self, request: Request) -> Response:
        access: Access = request.auth  # type: ignore[assignment]
        serializer = InviteSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        role = Role(serializer.validated_data["role"])
        attempt_invitation(request.user.pk, access.tenant.id, serializer.validated_data["email"])
        try:
            invitation = invitations.invite(
                access.tenant.id,
                serializer.validated_data["email"],
                role,
                inviter=request.user,
                by=access.role,
                who=caller(request),
            )
        except DjangoValidationError as exc:
            raise ValidationError({"email": exc.messages}) from exc
        later(tasks.invitation_mail, str(invitation.pk))
        return Response(InvitationSerializer(invitation).data, status=201)


class InvitationView(ApiViewMixin, GenericAPIView[Invitation]):  # type: ignore[misc]
    permission_classes = (MayManagePeople,)
    serializer_class = InvitationSerializer
    queryset = Invitation.objects.none()

    @extend_schema(
        operation_id="revoke_invitation",
        summary="Take an invitation back",
        description="Its link is no good any more.",
        responses={204: None},
    )
    def delete(self, request: Request, id: Any) -> Response:  # noqa: A002
        access: Access = request.auth  # type: ignore[assignment]
        invitation = invitations.pending(access.tenant.id, id).first()
        if invitation is None:
            raise Http404
        invitations.revoke(invitation, by=access.role, who=caller(request))
        return Response(status=204)


class AcceptView(OpenTokenView):
    serializer_class = AcceptSerializer

    @extend_schema(
        operation_id="accept_invitation",
        summary="Accept an invitation",
        description=(
            "Spends the link of a mail. Whoever has no password yet is answered 400 `password_required` "
            "until they choose one; whoever has one leaves it out."
        ),
        request=AcceptSerializer,
        responses=AcceptedSerializer,
        tags=["invitations"],
        auth=[],
    )
    def post(self, request: Request) -> Response:
        body = self.body(request)
        user, tenant, role = invitations.accept(
            body["token"], body.get("password"), body["name"], Origin.of(request)
        )
        answer = {"email": user.email, "tenant": {"id": tenant.id, "name": tenant.name}, "role": role}
        return Response(answer)
