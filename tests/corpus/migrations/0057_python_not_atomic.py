from django.db import migrations, models

from tests.corpus import rows


class Migration(migrations.Migration):
    dependencies = [("corpus", "0056_not_atomic")]
    operations = [
        migrations.RunPython(rows.shout_kinds, rows.whisper_kinds, atomic=False),
        migrations.AddField("writer", "is_alive", models.BooleanField(null=True)),
        migrations.AddField(
            "reader", "favourite", models.ForeignKey("corpus.Book", models.SET_NULL, null=True, related_name="+")
        ),
    ]
