from django.db import migrations


class Migration(migrations.Migration):
    """A model at the end of a relation of many to many, and that relation."""

    dependencies = [("corpus", "0020_writers")]
    operations = [
        migrations.RenameModel("Genre", "Kind"),
        migrations.RenameField("book", "genres", "kinds"),
    ]
