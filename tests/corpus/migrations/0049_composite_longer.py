from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0048_composite")]
    operations = [
        migrations.AddField("place", "is_free", models.BooleanField(default=True)),
        migrations.AlterField("place", "number", models.BigIntegerField()),
        migrations.RemoveField("place", "is_free"),
    ]
