from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.core import checks


class UsersConfig(AppConfig):
    name = "users"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Late: drf-spectacular finds the sign-in scheme when this module is imported, and the module
        # needs models.
        from tenancy.provisioning import tenant_created
        from users import openapi  # noqa: F401
        from users.checks import check_account_url, check_secret_key, check_signing_keys
        from users.observers import note_admin_sign_in, note_failed_sign_in
        from users.owners import make_owner

        checks.register(check_account_url)
        checks.register(check_secret_key)
        checks.register(check_signing_keys, deploy=True)
        tenant_created.connect(make_owner)
        user_login_failed.connect(note_failed_sign_in)
        user_logged_in.connect(note_admin_sign_in)
