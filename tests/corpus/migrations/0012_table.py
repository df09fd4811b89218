from django.db import migrations


class Migration(migrations.Migration):
    """Of a model to which foreign keys point."""

    dependencies = [("corpus", "0011_unordered")]
    operations = [
        migrations.AlterModelTable("shelf", "corpus_case"),
        migrations.AlterModelTable("author", "corpus_person"),
    ]
