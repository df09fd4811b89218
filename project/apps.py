import sys
from importlib import import_module

from django.apps import AppConfig
from django.conf import settings


class ProjectConfig(AppConfig):
    """Installed for its ``demo`` command, which needs people and catalogues both."""

    name = "project"

    def ready(self) -> None:
        # Django imports views when somebody first asks for a URL. In a job that may be inside a tenant's
        # context, whose the querysets in their classes would then be for good; here they are nobody's.
        import_module(settings.ROOT_URLCONF)
        if settings.CELERY_BROKER_URL or "celery" in sys.modules:
            # What sends tasks has to know the project's broker, or that it has none. Where there are neither
            # tasks nor a broker, Celery's import is saved.
            import_module("project.celery")
