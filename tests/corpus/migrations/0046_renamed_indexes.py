from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus", "0045_indexes")]
    operations = [
        migrations.RenameIndex("book", new_name="book_longest", old_name="book_long_first"),
        migrations.RenameIndex("book", new_name="book_lowest", old_name="book_lower"),
    ]
