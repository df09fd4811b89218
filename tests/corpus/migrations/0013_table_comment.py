from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus", "0012_table")]
    operations = [
        migrations.AlterModelTableComment("author", "Who writes; all of \"them\", and it's theirs."),
        migrations.AlterModelTableComment("book", "What they write."),
        migrations.AlterModelTableComment("book", None),
    ]
