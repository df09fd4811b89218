"""What happened in the caller's tenant, for its owners."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import django_filters
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.generics import ListAPIView

from tenancy.audit.models import Actor, Event, Outcome
from tenancy.audit.trail import ACTIONS
from tenancy.rest.views import ApiViewMixin
from users.permissions import IsOwner


class EventSerializer(serializers.ModelSerializer[Event]):
    """Something that somebody did in your tenant, or tried to."""

    address = serializers.CharField(allow_null=True, help_text="Where they were.")
    details = serializers.DictField(help_text="What else there is to say, by what was done.")

    def to_representation(self, event: Event) -> Any:
        shown = super().to_representation(event)
        if event.actor_kind == Actor.OPERATOR:  # who and where they are is nobody's business outside
            shown |= {"actor_id": "", "actor": "", "address": None}
        return shown

    class Meta:
        model = Event
        fields = (
            *("id", "at", "action", "outcome", "severity", "actor_kind", "actor_id", "actor"),
            *("target", "address", "request_id", "details"),
        )
        read_only_fields = fields


#: In UTC, moments beyond have no place in a database.
_EARLIEST, _LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


class MomentFilter(django_filters.IsoDateTimeFilter):  # type: ignore[misc]  # untyped library
    """A moment with its offset from UTC. One that UTC has no year for is as good as the last."""

    def filter(self, queryset: Any, value: datetime | None) -> Any:
        return super().filter(queryset, value and min(max(value, _EARLIEST), _LATEST))


class EventFilter(django_filters.FilterSet):
    action = django_filters.ChoiceFilter(choices=[(action, action) for action in sorted(ACTIONS)])
    outcome = django_filters.ChoiceFilter(choices=Outcome.choices)
    actor_id = django_filters.CharFilter(max_length=64, method="by_somebody_shown")
    since = MomentFilter("at", "gte")
    until = MomentFilter("at", "lt")

    class Meta:
        model = Event
        fields = ("action", "outcome", "actor_id", "since", "until")

    def by_somebody_shown(self, queryset: Any, name: str, value: str) -> Any:
        """An operator is not, and must not be found by guessing either."""
        return queryset.filter(actor_id=value).exclude(actor_kind=Actor.OPERATOR)


@extend_schema_view(
    get=extend_schema(
        operation_id="audit_events",
        summary="Audit trail",
        description="What was done in your tenant, the newest first. For owners. Nobody can change it.",
    )
)
class EventsView(ApiViewMixin, ListAPIView[Event]):  # type: ignore[misc]
    permission_classes = (IsOwner,)
    serializer_class = EventSerializer
    filter_backends = (DjangoFilterBackend,)
    filterset_class = EventFilter
    queryset = Event.objects.none()

    def get_queryset(self) -> Any:
        return Event.objects.filter(tenant_id=self.request.auth.tenant.id)

    def known_parameters(self) -> set[str]:
        return {*EventFilter.base_filters, "page", "page_size"}
