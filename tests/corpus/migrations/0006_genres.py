from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0005_genre")]
    operations = [
        migrations.AddField("book", "genres", models.ManyToManyField("corpus.Genre", related_name="books")),
        migrations.AlterModelTable("genre", None),
    ]
