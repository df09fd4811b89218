from django.db import migrations


class Migration(migrations.Migration):
    """A foreign key, in a constraint."""

    dependencies = [("corpus", "0018_options")]
    operations = [migrations.RenameField("book", "author", "writer")]
