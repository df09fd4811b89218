from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("corpus_postgresql", "0016_unique")]
    operations = [
        RemoveIndexConcurrently("event", "event_by_name_desc"),
        migrations.AddField("event", "note", models.TextField(db_default="none")),
        AddIndexConcurrently("event", models.Index(fields=["note"], name="event_by_note")),
    ]
