import django.contrib.postgres.fields
import django.contrib.postgres.search
from django.db import migrations, models


class Migration(migrations.Migration):
    """Between two migrations of the other app."""

    initial = True
    dependencies = [("corpus", "0005_genre")]
    run_before = [("corpus", "0048_composite")]
    operations = [
        migrations.CreateModel(
            "Event",
            fields=[
                ("id", models.IntegerField(primary_key=True)),
                ("name", models.CharField(max_length=40)),
                ("tags", django.contrib.postgres.fields.ArrayField(models.CharField(max_length=10), default=list)),
                ("numbers", django.contrib.postgres.fields.ArrayField(models.IntegerField(), null=True)),
                ("data", models.JSONField(default=dict)),
                ("span", django.contrib.postgres.fields.IntegerRangeField(null=True)),
                ("search", django.contrib.postgres.search.SearchVectorField(null=True)),
            ],
        ),
    ]
