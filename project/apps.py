from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Installed for its ``demo`` command, which needs people and catalogues both."""

    name = "project"
