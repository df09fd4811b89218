from django.db import migrations, models


class Migration(migrations.Migration):
    """A column as Django made it before there were identities, with a sequence beside it."""

    dependencies = [("corpus_postgresql", "0013_number_again")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    "CREATE TABLE corpus_postgresql_old (id serial PRIMARY KEY, name text NOT NULL);"
                    "INSERT INTO corpus_postgresql_old (name) VALUES ('old'), ('older');",
                    reverse_sql="DROP TABLE corpus_postgresql_old",
                )
            ],
            state_operations=[
                migrations.CreateModel(
                    "Old", fields=[("id", models.AutoField(primary_key=True)), ("name", models.TextField())]
                )
            ],
        ),
    ]
