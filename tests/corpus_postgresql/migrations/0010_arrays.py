import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus_postgresql", "0009_indexes")]
    operations = [
        migrations.AlterField(
            "event", "numbers", django.contrib.postgres.fields.ArrayField(models.BigIntegerField(), default=list)
        ),
        migrations.AlterField(
            "event",
            "tags",
            django.contrib.postgres.fields.ArrayField(models.CharField(max_length=20), default=list, size=5),
        ),
        migrations.AddField(
            "event",
            "matrix",
            django.contrib.postgres.fields.ArrayField(
                django.contrib.postgres.fields.ArrayField(models.IntegerField()), default=list
            ),
        ),
    ]
