import django.contrib.postgres.indexes
from django.db import migrations, models
from django.db.models.functions import Lower


class Migration(migrations.Migration):
    dependencies = [("corpus_postgresql", "0015_serial_changed")]
    operations = [
        migrations.AddConstraint("event", constraint)
        for constraint in [
            models.UniqueConstraint(
                fields=["name", "label"], name="event_unique_late", deferrable=models.Deferrable.DEFERRED
            ),
            models.UniqueConstraint(
                fields=["label", "id"], name="event_unique_now", deferrable=models.Deferrable.IMMEDIATE
            ),
            models.UniqueConstraint(
                fields=["name", "span"], nulls_distinct=False, include=["label"], name="event_unique_nulls"
            ),
            models.UniqueConstraint(
                django.contrib.postgres.indexes.OpClass(Lower("name"), name="text_pattern_ops"),
                name="event_unique_opclass",
            ),
        ]
    ]
