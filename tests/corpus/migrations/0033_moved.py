from django.db import migrations, models


class Migration(migrations.Migration):
    """A foreign key leads to another table."""

    dependencies = [("corpus", "0032_rooms")]
    operations = [
        migrations.AlterField("book", "shelf", models.ForeignKey("corpus.Room", models.SET_NULL, null=True)),
    ]
