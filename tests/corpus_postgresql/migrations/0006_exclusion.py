import django.contrib.postgres.constraints
import django.contrib.postgres.fields.ranges
from django.db import migrations, models


class Migration(migrations.Migration):
    """Of ranges only: anything else beside them needs an extension."""

    dependencies = [("corpus_postgresql", "0005_valid")]
    operations = [
        migrations.AddField(
            "event", "period", django.contrib.postgres.fields.ranges.DateTimeRangeField(null=True)
        ),
        migrations.AddConstraint(
            "event",
            django.contrib.postgres.constraints.ExclusionConstraint(
                name="event_alone",
                expressions=[("span", django.contrib.postgres.fields.ranges.RangeOperators.OVERLAPS)],
            ),
        ),
        migrations.AddConstraint(
            "event",
            django.contrib.postgres.constraints.ExclusionConstraint(
                name="event_alone_in_time",
                expressions=[("period", django.contrib.postgres.fields.ranges.RangeOperators.ADJACENT_TO)],
                index_type="SPGIST",
                condition=models.Q(name__contains="%"),
                deferrable=models.Deferrable.DEFERRED,
                include=["id"],
            ),
        ),
    ]
