from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0008_more_rows")]
    operations = [
        migrations.AddField(
            "author", "teacher", models.ForeignKey("self", models.SET_NULL, null=True, related_name="pupils")
        ),
        migrations.RunSQL(
            "UPDATE corpus_author SET teacher_id = 1 WHERE id > 1", reverse_sql=migrations.RunSQL.noop
        ),
    ]
