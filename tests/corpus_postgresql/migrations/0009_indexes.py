import django.contrib.postgres.indexes
from django.db import migrations, models
from django.db.models.functions import Upper


class Migration(migrations.Migration):
    dependencies = [("corpus_postgresql", "0008_collation")]
    operations = [
        migrations.AddIndex("event", index)
        for index in [
            django.contrib.postgres.indexes.GinIndex(fields=["tags"], name="event_tags", fastupdate=False),
            django.contrib.postgres.indexes.GinIndex(
                fields=["data"], opclasses=["jsonb_path_ops"], name="event_data"
            ),
            django.contrib.postgres.indexes.GinIndex(fields=["search"], name="event_search"),
            django.contrib.postgres.indexes.BrinIndex(
                fields=["id"], pages_per_range=4, autosummarize=True, name="event_brin"
            ),
            django.contrib.postgres.indexes.HashIndex(fields=["name"], name="event_hash", fillfactor=80),
            django.contrib.postgres.indexes.GistIndex(fields=["period"], name="event_gist", buffering=True),
            django.contrib.postgres.indexes.SpGistIndex(fields=["span"], name="event_spgist"),
            django.contrib.postgres.indexes.BTreeIndex(fields=["label"], name="event_btree", fillfactor=70),
            models.Index(
                django.contrib.postgres.indexes.OpClass(Upper("name"), name="varchar_pattern_ops"),
                name="event_opclass",
                condition=models.Q(name__contains="%"),
            ),
        ]
    ]
