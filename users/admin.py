"""The control plane's admin: people and their memberships."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.admin import UserAdmin as StockUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm

from tenancy.registry import get_registry
from users.errors import TooManyAttempts
from users.models import Membership, TokenFamily, User


class SignInForm(AdminAuthenticationForm):
    """The admin's, which says it in its own way when somebody has to wait."""

    def clean(self) -> Any:
        try:
            return super().clean()
        except TooManyAttempts as exc:
            raise forms.ValidationError(
                "%(detail)s (%(seconds)s s)",
                code="throttled",
                params={"detail": exc.default_detail, "seconds": exc.retry_after},
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


class MembershipInline(admin.TabularInline):
    model = Membership
    form = MembershipForm
    extra = 0


@admin.register(User)
class UserAdmin(StockUserAdmin):
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


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin):
    form = MembershipForm
    list_display = ("user", "tenant_id", "role", "created_at")
    list_filter = ("role", "tenant_id")
    search_fields = ("user__email", "tenant_id")
    autocomplete_fields = ("user",)
    list_select_related = ("user",)


@admin.register(TokenFamily)
class TokenFamilyAdmin(admin.ModelAdmin):
    """Who is signed in where. To look at; deleting one ends that session."""

    list_display = ("user", "tenant_id", "created_at", "used_at", "expires_at", "revoked_at")
    search_fields = ("user__email", "tenant_id")
    list_select_related = ("user",)
    fields = ("user", "tenant_id", "created_at", "used_at", "expires_at", "revoked_at")

    def has_add_permission(self, *args: Any) -> bool:
        return False

    def has_change_permission(self, *args: Any) -> bool:
        return False
