"""The people of the caller's tenant, for those who look after them."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import GenericAPIView
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from tenancy.rest.serializers import ChoiceField, StrictSerializer
from tenancy.rest.views import ApiViewMixin
from users import members
from users.authentication import Access
from users.models import Membership, Role
from users.people import caller
from users.permissions import MayManagePeople


class MemberSerializer(serializers.ModelSerializer[Membership]):
    """Somebody who belongs to the tenant. `id` is the person's."""

    id = serializers.UUIDField(source="user.pk")
    email = serializers.EmailField(source="user.email")
    name = serializers.CharField(source="user.name")
    is_active = serializers.BooleanField(source="user.is_active", help_text="Whether they may sign in.")

    class Meta:
        model = Membership
        fields = ("id", "email", "name", "role", "is_active", "created_at")
        read_only_fields = fields


class ChangeMemberSerializer(StrictSerializer):
    """What a member is to be from now on."""

    role = ChoiceField(choices=Role.choices)


class MembersView(ApiViewMixin, ListModelMixin, GenericAPIView[Membership]):  # type: ignore[misc]
    permission_classes = (MayManagePeople,)
    serializer_class = MemberSerializer
    queryset = Membership.objects.none()

    def get_queryset(self) -> Any:
        return members.members_of(self.request.auth.tenant.id)

    def known_parameters(self) -> set[str]:
        return {"page", "page_size"}

    @extend_schema(
        operation_id="members",
        summary="List members",
        description="Everybody who belongs to your tenant. For owners and admins.",
        responses=MemberSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        return self.list(request)


class MemberView(ApiViewMixin, GenericAPIView[Membership]):  # type: ignore[misc]
    has_rules = True
    permission_classes = (MayManagePeople,)
    serializer_class = ChangeMemberSerializer
    queryset = Membership.objects.none()

    @extend_schema(
        operation_id="change_member",
        summary="Change a member's role",
        description="Acts on their next request. The last owner stays one: 409 `last_owner`.",
        request=ChangeMemberSerializer,
        responses=MemberSerializer,
    )
    def patch(self, request: Request, id: Any) -> Response:  # noqa: A002
        access: Access = request.auth  # type: ignore[assignment]
        if not members.members_of(access.tenant.id).filter(user_id=id).exists():
            raise Http404  # before anything is said of the body
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        role = Role(serializer.validated_data["role"])
        try:
            member = members.change_role(access.tenant.id, id, role, by=access.role, who=caller(request))
        except members.NoSuchMember:
            raise Http404 from None
        return Response(MemberSerializer(member).data)

    @extend_schema(
        operation_id="remove_member",
        summary="Remove a member",
        description="Acts on their next request. The last owner stays: 409 `last_owner`.",
        responses={204: None},
    )
    def delete(self, request: Request, id: Any) -> Response:  # noqa: A002
        access: Access = request.auth  # type: ignore[assignment]
        try:
            members.remove(access.tenant.id, id, by=access.role, who=caller(request))
        except members.NoSuchMember:
            raise Http404 from None
        return Response(status=204)
