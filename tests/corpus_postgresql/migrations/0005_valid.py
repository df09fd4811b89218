from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus_postgresql", "0004_not_valid")]
    operations = [ValidateConstraint("event", "event_has_name")]
