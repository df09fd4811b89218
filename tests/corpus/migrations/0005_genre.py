from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0004_isbn")]
    operations = [
        migrations.CreateModel(
            "Genre",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("name", models.CharField(max_length=30, unique=True)),
                ("slug", models.SlugField()),
            ],
            options={"ordering": ["name"], "verbose_name": "kind of book", "db_table": "corpus Genre"},
        ),
    ]
