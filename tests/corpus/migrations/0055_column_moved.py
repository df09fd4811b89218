from django.db import migrations, models


class Migration(migrations.Migration):
    """A column goes from one table to another; SQL and operations inside the same bracket."""

    dependencies = [("corpus", "0054_through")]
    operations = [
        migrations.AddField("reader", "phone", models.CharField(max_length=20, default="110")),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.SeparateDatabaseAndState(
                    database_operations=[
                        migrations.AddField("loan", "phone", models.CharField(max_length=20, null=True))
                    ]
                ),
                migrations.RunSQL(
                    "UPDATE corpus_loan SET phone = (SELECT phone FROM corpus_reader r WHERE r.id = reader_id)",
                    reverse_sql=migrations.RunSQL.noop,
                ),
            ],
            state_operations=[
                migrations.AddField("loan", "phone", models.CharField(max_length=20, null=True)),
            ],
        ),
        migrations.RemoveField("reader", "phone"),
    ]
