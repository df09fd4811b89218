from django.db import migrations


class Migration(migrations.Migration):
    """A column with indexes, and in a constraint."""

    dependencies = [("corpus", "0014_together")]
    operations = [migrations.RenameField("book", "pages", "length")]
