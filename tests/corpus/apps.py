from django.apps import AppConfig


class CorpusConfig(AppConfig):
    """Migrations of every kind that Django has, and no models: whatever they make is compared, not used."""

    name = "tests.corpus"
    label = "corpus"
    default_auto_field = "django.db.models.BigAutoField"
