from django.db import migrations


class Migration(migrations.Migration):
    """A model to which foreign keys point, one of them its own; its table has a name of its own."""

    dependencies = [("corpus", "0019_writer")]
    operations = [
        migrations.RenameModel("Author", "Writer"),
        migrations.AlterModelTable("writer", None),
    ]
