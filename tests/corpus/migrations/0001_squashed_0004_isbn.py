from django.db import migrations, models

from tests.corpus import rows


class Migration(migrations.Migration):
    initial = True
    replaces = [
        ("corpus", "0001_initial"),
        ("corpus", "0002_shelf"),
        ("corpus", "0003_rows"),
        ("corpus", "0004_isbn"),
    ]
    dependencies = []
    operations = [
        migrations.CreateModel(
            "Author",
            fields=[
                ("id", models.AutoField(primary_key=True)),
                ("name", models.CharField(max_length=40)),
                ("born", models.IntegerField(null=True)),
            ],
        ),
        migrations.CreateModel(
            "Shelf",
            fields=[
                ("id", models.AutoField(primary_key=True)),
                ("code", models.CharField(max_length=10, unique=True)),
            ],
        ),
        migrations.CreateModel(
            "Book",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("title", models.CharField(max_length=100)),
                ("pages", models.IntegerField(null=True)),
                ("author", models.ForeignKey("corpus.Author", models.CASCADE, related_name="books")),
                ("shelf", models.ForeignKey("corpus.Shelf", models.SET_NULL, null=True)),
                ("isbn", models.CharField(max_length=20, null=True)),
                ("is_lent", models.BooleanField(default=False)),
            ],
        ),
        # Erased, they would be waited for: PostgreSQL drops no table on which a change of rows is pending.
        migrations.RunPython(rows.write_library, migrations.RunPython.noop),
    ]
