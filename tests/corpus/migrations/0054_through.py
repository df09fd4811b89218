from django.db import migrations, models


class Migration(migrations.Migration):
    """The table between two models gets a model of its own, and a column."""

    dependencies = [("corpus", "0053_hall")]
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    "BookKind",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True)),
                        ("book", models.ForeignKey("corpus.Book", models.CASCADE)),
                        ("kind", models.ForeignKey("corpus.Kind", models.CASCADE)),
                    ],
                    options={"db_table": "corpus_book_kinds", "unique_together": {("book", "kind")}},
                ),
                migrations.AlterField(
                    "book",
                    "kinds",
                    models.ManyToManyField("corpus.Kind", related_name="books", through="corpus.BookKind"),
                ),
            ],
        ),
        migrations.AddField("bookkind", "is_main", models.BooleanField(default=False)),
    ]
