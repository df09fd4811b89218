from django.db import migrations, models


class Migration(migrations.Migration):
    """A table beside another's, the same table by another name, and one that is not ours to make."""

    dependencies = [("corpus", "0049_composite_longer")]
    operations = [
        migrations.CreateModel(
            "Novel",
            fields=[
                (
                    "book_ptr",
                    models.OneToOneField(
                        "corpus.Book", models.CASCADE, auto_created=True, parent_link=True, primary_key=True
                    ),
                ),
                ("hero", models.CharField(max_length=20)),
            ],
            bases=("corpus.book",),
        ),
        migrations.CreateModel("Tome", fields=[], options={"proxy": True}, bases=("corpus.book",)),
        migrations.CreateModel(
            "Elsewhere",
            fields=[("id", models.BigAutoField(primary_key=True)), ("name", models.TextField())],
            options={"managed": False},
        ),
        migrations.RunSQL(
            "INSERT INTO corpus_novel (book_ptr_id, hero) VALUES (1, 'Nobody')",
            reverse_sql="DELETE FROM corpus_novel",
        ),
    ]
