"""Changing and resetting one's password."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from tenancy.audit.models import Actor, Outcome, Severity
from tenancy.audit.trail import Who, record
from tenancy.rest.serializers import StrictSerializer
from users import passwords, tasks
from users.api.tokens import OpenTokenView, SignedInSerializer, TokenView
from users.authentication import Access
from users.brakes import attempt_reset, attempt_sign_in
from users.families import open_family
from users.later import later
from users.origin import Origin
from users.people import caller
from users.permissions import IsPerson


class NewPasswordField(serializers.CharField):
    """Bounded, for the hasher reads all of it; what else is asked of one, the validators say."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=1024, trim_whitespace=False, style={"input_type": "password"}, **options)


class ChangePasswordSerializer(StrictSerializer):
    """The password you have, and the one you want."""

    current_password = NewPasswordField()
    new_password = NewPasswordField()


class AskForResetSerializer(StrictSerializer):
    """Whose password is to be reset."""

    email = serializers.CharField(max_length=254)


class AskedForResetSerializer(serializers.Serializer[object]):
    """The same, whoever it was."""

    detail = serializers.CharField()


class ResetPasswordSerializer(StrictSerializer):
    """What stands behind the `#` of the link, and the password you want."""

    token = serializers.CharField(max_length=200)
    password = NewPasswordField()


class ChangePasswordView(TokenView):
    serializer_class = ChangePasswordSerializer
    permission_classes = (IsPerson,)
    is_braked = True

    @extend_schema(
        operation_id="change_password",
        summary="Change my password",
        description="Ends all your sessions, and gives you a pair of tokens of a new one here.",
        request=ChangePasswordSerializer,
        responses=SignedInSerializer,
    )
    def post(self, request: Request) -> Response:
        body, user, origin = self.body(request), request.user, Origin.of(request)
        access: Access = request.auth  # type: ignore[assignment]
        # Whoever found an open session may not guess its password here.
        attempt = attempt_sign_in(user.email, origin)
        if not user.check_password(body["current_password"]):
            record("password.changed", caller(request), outcome=Outcome.REFUSED, severity=Severity.WARNING)
            raise ValidationError({"current_password": ["This is not your password."]})
        attempt.succeeded()
        passwords.change_password(user, body["new_password"], origin, str(access.session_id))
        later(tasks.changed_mail, str(user.pk))
        pair = open_family(user, access.tenant.id, origin)
        return Response(asdict(pair) | {"tenant_id": access.tenant.id})


class AskForResetView(OpenTokenView):
    serializer_class = AskForResetSerializer
    is_braked = True

    @extend_schema(
        operation_id="ask_for_password_reset",
        summary="Forgotten password",
        description=(
            "Sends a mail with a link to whoever has an account with this address, also to one who never "
            "had a password. The answer is the same for everybody."
        ),
        request=AskForResetSerializer,
        responses={202: AskedForResetSerializer},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        email, origin = self.body(request)["email"], Origin.of(request)
        # Nothing here depends on whether there is such an account: the worker looks.
        attempt_reset(email, origin)
        record("password.reset_asked", Who(Actor.UNKNOWN, address=origin.address), tenant_id="")
        later(tasks.reset_mail, email)
        return Response({"detail": "If there is an account with this address, a mail is on its way."}, 202)


class ResetPasswordView(OpenTokenView):
    serializer_class = ResetPasswordSerializer

    @extend_schema(
        operation_id="reset_password",
        summary="Set a password with a link",
        description="Spends the token of a mail, ends all sessions. Sign in with the new password then.",
        request=ResetPasswordSerializer,
        responses={204: None},
        auth=[],
    )
    def post(self, request: Request) -> Response:
        body = self.body(request)
        user = passwords.reset_password(body["token"], body["password"], Origin.of(request))
        later(tasks.changed_mail, str(user.pk))
        return Response(status=204)
