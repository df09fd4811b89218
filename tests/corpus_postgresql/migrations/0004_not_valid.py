from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus_postgresql", "0003_concurrently")]
    operations = [
        AddConstraintNotValid(
            "event", models.CheckConstraint(condition=~models.Q(name__startswith="100%"), name="event_has_name")
        ),
        AddConstraintNotValid("event", models.CheckConstraint(condition=models.Q(id__gt=0), name="event_has_id")),
    ]
