from django.contrib.postgres.operations import RemoveCollation
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus_postgresql", "0017_removed_concurrently")]
    operations = [
        migrations.RemoveConstraint("event", "event_alone"),
        migrations.RemoveConstraint("event", "event_has_id"),
        migrations.RemoveIndex("event", "event_gist"),
        migrations.RemoveIndex("event", "event_data"),
        migrations.RenameIndex("event", new_name="event_by_label", old_name="event_btree"),
        RemoveCollation("corpus_plainer", locale="C"),
    ]
