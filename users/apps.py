from django.apps import AppConfig


class UsersConfig(AppConfig):
    name = "users"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Late: drf-spectacular finds the sign-in scheme when this module is imported, and the module
        # needs models.
        from users import openapi  # noqa: F401
