from django.db import migrations


class Migration(migrations.Migration):
    """The index had no name in the code, so the database is asked for it."""

    dependencies = [("corpus", "0015_length")]
    operations = [
        migrations.RenameIndex("book", new_name="book_by_title", old_fields=("title", "length")),
        migrations.AlterIndexTogether("book", set()),
    ]
