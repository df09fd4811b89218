from django.apps import AppConfig


class CorpusPostgreSQLConfig(AppConfig):
    """Migrations of the kinds that PostgreSQL alone has."""

    name = "tests.corpus_postgresql"
    label = "corpus_postgresql"
    default_auto_field = "django.db.models.BigAutoField"
