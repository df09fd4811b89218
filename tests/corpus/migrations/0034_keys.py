from django.db import migrations, models


class Migration(migrations.Migration):
    """The types of primary keys, and with them those of the foreign keys that point there."""

    dependencies = [("corpus", "0033_moved")]
    operations = [
        migrations.AlterField("room", "id", models.BigAutoField(primary_key=True)),
        migrations.AlterField("writer", "id", models.BigAutoField(primary_key=True)),
        migrations.AlterField("shelf", "id", models.BigIntegerField(primary_key=True)),
    ]
