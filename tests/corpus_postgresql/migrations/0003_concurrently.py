from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("corpus_postgresql", "0002_rows")]
    operations = [
        AddIndexConcurrently("event", models.Index(fields=["name"], name="event_by_name")),
        AddIndexConcurrently("event", models.Index(fields=["-name", "id"], name="event_by_name_desc")),
    ]
