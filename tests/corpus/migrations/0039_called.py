import datetime
import uuid

from django.db import migrations, models
from django.utils import timezone


class Migration(migrations.Migration):
    """Defaults that are called: each database has its own values, but the last two."""

    dependencies = [("corpus", "0038_generated_removed")]
    operations = [
        migrations.AddField("reader", "token", models.UUIDField(default=uuid.uuid4)),
        migrations.AddField("reader", "joined", models.DateTimeField(default=timezone.now)),
        migrations.AddField(
            "reader",
            "made",
            models.DateTimeField(
                auto_now_add=True, default=datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
            ),
            preserve_default=False,
        ),
        migrations.AddField("reader", "tags", models.JSONField(default=dict)),
    ]
