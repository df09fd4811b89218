from django.contrib.postgres.operations import CreateExtension
from django.db import migrations


class Migration(migrations.Migration):
    """One that is there already, wherever PostgreSQL is, and one that the tests' server has."""

    dependencies = [("corpus_postgresql", "0006_exclusion")]
    operations = [
        CreateExtension("vector"),
        migrations.RunSQL(
            "ALTER TABLE corpus_postgresql_event ADD COLUMN place vector(2)",
            reverse_sql="ALTER TABLE corpus_postgresql_event DROP COLUMN place",
        ),
    ]
