from django.db import migrations, models


class Migration(migrations.Migration):
    """A number becomes an identity, and that another one."""

    dependencies = [("corpus_postgresql", "0010_arrays")]
    operations = [
        migrations.AlterField("event", "id", models.AutoField(primary_key=True)),
        migrations.AlterField("event", "id", models.BigAutoField(primary_key=True)),
    ]
