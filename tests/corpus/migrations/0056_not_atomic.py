from django.db import migrations, models

from tests.corpus import rows


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("corpus", "0055_column_moved")]
    operations = [
        migrations.AddField("kind", "rank", models.IntegerField(default=7)),
        migrations.RunPython(rows.count_books, rows.uncount_books, atomic=True),
        migrations.RunSQL(
            "UPDATE corpus_kind SET rank = 8 WHERE id = 1", reverse_sql=migrations.RunSQL.noop
        ),
        migrations.AddIndex("kind", models.Index(fields=["rank"], name="kind_by_rank")),
    ]
