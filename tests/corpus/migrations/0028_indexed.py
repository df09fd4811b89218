from django.db import migrations, models


class Migration(migrations.Migration):
    """No longer unique: the database is asked for the constraint's name."""

    dependencies = [("corpus", "0027_unique")]
    operations = [
        migrations.AlterField("book", "isbn", models.CharField(max_length=20, null=True, db_index=True))
    ]
