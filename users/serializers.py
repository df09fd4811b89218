from __future__ import annotations

from rest_framework import serializers

from tenancy.rest.serializers import StrictSerializer
from users.models import Role


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
