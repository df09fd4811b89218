from django.db import migrations, models


class Migration(migrations.Migration):
    """Written after the first four were squashed."""

    dependencies = [("corpus", "0021_kind"), ("corpus", "0001_squashed_0004_isbn")]
    operations = [migrations.AlterField("book", "length", models.IntegerField(default=99))]
