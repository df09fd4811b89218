"""The control plane's admin: people and their memberships. What staff change is in the audit trail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm

from tenancy.audit.models import Actor
from tenancy.audit.trail import Who, record
from tenancy.registry import get_registry
from users.errors import LastOwner, TooManyAttempts
from users.members import last_owners
from users.models import ApiKey, Membership, Role, TokenFamily, User
from users.origin import Origin
from users.people import person


class SignInForm(AdminAuthenticationForm):
    """The admin's, which says it in its own way when somebody has to wait."""

    def clean(self) -> Any:
        try:
            return super().clean()
        except TooManyAttempts as exc:
            raise forms.ValidationError(
                "%(detail)s (%(seconds)s s)",
                code="throttled",
                params={"detail": exc.detail, "seconds": exc.retry_after},
            ) from exc


admin.site.login_form = SignInForm


class MembershipForm(forms.ModelForm):
    """Offers the tenants there are. A membership of one that is gone can still be seen, and removed."""

    tenant_id = forms.ChoiceField(label="Tenant")

    class Meta:
        model = Membership
        fields = ("user", "tenant_id", "role")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = {tenant.id: f"{tenant.name} ({tenant.id})" for tenant in get_registry()}
        if self.instance.tenant_id and self.instance.tenant_id not in choices:
            choices[self.instance.tenant_id] = f"{self.instance.tenant_id} (not in tenants.yaml)"
        self.fields["tenant_id"].choices = list(choices.items())

    def clean(self) -> Any:
        cleaned: Any = super().clean()
        # At this point the instance is as it was.
        stays = (cleaned.get("role"), cleaned.get("tenant_id")) == (Role.OWNER, self.instance.tenant_id)
        if self.instance.role == Role.OWNER and not stays and last_owners([self.instance]):
            raise forms.ValidationError(LastOwner.default_detail)
        return cleaned


class MembershipFormSet(forms.BaseInlineFormSet):
    def clean(self) -> None:
        super().clean()
        # A form that is to go is not asked itself.
        going = [form.instance for form in self.initial_forms if self._should_delete_form(form)]
        if last_owners(going):
            raise forms.ValidationError(LastOwner.default_detail)


class MembershipInline(admin.TabularInline):
    model = Membership
    form = MembershipForm
    formset = MembershipFormSet
    extra = 0


def _staff(request: Any) -> Who:
    """To a tenant's owners staff are operators, and nobody by name."""
    return replace(person(request.user, Origin.of(request)), kind=Actor.OPERATOR)


class AuditedAdmin(admin.ModelAdmin):
    """Records every addition, change and deletion, where Django tells its own log, and who belongs to which
    tenant where its owners see it."""

    def log_addition(self, request: Any, obj: Any, message: Any) -> Any:
        self._record(request, "admin.added", obj, message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: Any, obj: Any, message: Any) -> Any:
        self._record(request, "admin.changed", obj, message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: Any, queryset: Any) -> Any:
        for obj in queryset:
            self._record(request, "admin.deleted", obj)
        return super().log_deletions(request, queryset)

    def memberships(self, objs: Any) -> Any:
        """Those that go when these objects do."""
        return ()

    def get_deleted_objects(self, objs: Any, request: Any) -> Any:
        deleted, counts, forbidden, protected = super().get_deleted_objects(objs, request)
        owners = last_owners(self.memberships(objs))
        return deleted, counts, forbidden, [*protected, *(f"{one}, its last owner" for one in owners)]

    def _record(self, request: Any, action: str, obj: Any, message: Any = ()) -> None:
        who = _staff(request)
        details = {"model": obj._meta.label, "changes": message or []}  # names of fields, and no contents
        record(action, who, tenant_id="", target=str(obj), details=details)


def _joined(request: Any, membership: Membership) -> None:
    _tell(request, "member.added", membership, {"role": membership.role})


def _left(request: Any, membership: Membership) -> None:
    _tell(request, "member.removed", membership, {})


def _changed(request: Any, membership: Membership, before: dict[str, Any]) -> None:
    """``before`` is what the form began with. One for another tenant leaves the first."""
    if before["tenant_id"] != membership.tenant_id:
        _left(request, Membership(user=membership.user, tenant_id=before["tenant_id"]))
        _joined(request, membership)
    elif before["role"] != membership.role:
        details = {"from": before["role"], "to": membership.role}
        _tell(request, "member.role_changed", membership, details)


def _tell(request: Any, action: str, membership: Membership, details: dict[str, str]) -> None:
    who = _staff(request)
    facts = {"target": membership.user.email, "details": details}
    record(action, who, tenant_id=membership.tenant_id, **facts)


@admin.register(User)
class UserAdmin(AuditedAdmin, StockUserAdmin):
    add_form = AdminUserCreationForm
    ordering = ("email_canonical",)
    list_display = ("email", "name", "is_active", "is_staff", "last_login")
    search_fields = ("email", "name")
    readonly_fields = ("last_login", "date_joined")
    inlines = (MembershipInline,)
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("Permissions", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("email", "name", "usable_password", "password1", "password2"),
            },
        ),
    )

    def memberships(self, objs: Any) -> Any:
        return Membership.objects.filter(user__in=objs).select_related("user")

    def save_formset(self, request: Any, form: Any, formset: Any, change: Any) -> None:
        before = {each.instance.pk: each.initial for each in formset.initial_forms}
        super().save_formset(request, form, formset, change)
        for membership in formset.new_objects:
            _joined(request, membership)
        for membership, _ in formset.changed_objects:
            _changed(request, membership, before[membership.pk])
        for membership in formset.deleted_objects:
            _left(request, membership)

    def log_deletions(self, request: Any, queryset: Any) -> Any:
        for membership in self.memberships(queryset):
            _left(request, membership)
        return super().log_deletions(request, queryset)


@admin.register(Membership)
class MembershipAdmin(AuditedAdmin):
    form = MembershipForm
    list_display = ("user", "tenant_id", "role", "created_at")
    list_filter = ("role", "tenant_id")
    search_fields = ("user__email", "tenant_id")
    autocomplete_fields = ("user",)
    list_select_related = ("user",)

    def memberships(self, objs: Any) -> Any:
        return objs

    def get_readonly_fields(self, request: Any, obj: Any = None) -> Any:
        return ("user",) if obj else ()  # somebody else's membership is another one

    def save_model(self, request: Any, obj: Membership, form: Any, change: Any) -> None:
        super().save_model(request, obj, form, change)
        if change:
            _changed(request, obj, form.initial)
        else:
            _joined(request, obj)

    def log_deletions(self, request: Any, queryset: Any) -> Any:
        for membership in queryset:
            _left(request, membership)
        return super().log_deletions(request, queryset)


@admin.register(TokenFamily)
class TokenFamilyAdmin(AuditedAdmin):
    """Who is signed in where. To look at; deleting one ends that session."""

    list_display = ("user", "tenant_id", "created_at", "used_at", "expires_at", "revoked_at")
    search_fields = ("user__email", "tenant_id")
    list_select_related = ("user",)
    fields = ("user", "tenant_id", "created_at", "used_at", "expires_at", "revoked_at")

    def has_add_permission(self, *args: Any) -> bool:
        return False

    def has_change_permission(self, *args: Any) -> bool:
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(AuditedAdmin):
    """How machines get in. To look at; deleting one ends it."""

    list_display = ("prefix", "name", "tenant_id", "role", "created_by", "expires_at", "last_used_at")
    search_fields = ("prefix", "name", "tenant_id", "created_by__email")
    list_select_related = ("created_by",)
    exclude = ("secret_hash",)

    def lookup_allowed(self, lookup: str, value: Any, request: Any) -> bool:
        return not lookup.startswith("secret_hash") and super().lookup_allowed(lookup, value, request)

    def log_deletions(self, request: Any, queryset: Any) -> Any:
        for key in queryset:
            if key.revoked_at is None:
                facts = {"target": key.prefix, "details": {"name": key.name}}
                record("key.revoked", _staff(request), tenant_id=key.tenant_id, **facts)
        return super().log_deletions(request, queryset)

    def has_add_permission(self, *args: Any) -> bool:
        return False

    def has_change_permission(self, *args: Any) -> bool:
        return False
