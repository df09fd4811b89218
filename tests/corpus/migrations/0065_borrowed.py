from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0064_nothing")]
    operations = [
        migrations.AddField("book", "borrowed", models.PositiveIntegerField(default=0)),
        migrations.AddIndex("book", models.Index(fields=["borrowed"], name="book_by_borrowed")),
    ]
