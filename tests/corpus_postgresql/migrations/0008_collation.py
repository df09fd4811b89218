from django.contrib.postgres.operations import CreateCollation
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus_postgresql", "0007_extension")]
    operations = [
        CreateCollation("corpus_plain", locale="C"),
        CreateCollation("corpus_plainer", locale="C"),
        migrations.AddField("event", "label", models.CharField(max_length=10, default="x", db_collation="corpus_plain")),
        migrations.AlterField("event", "label", models.CharField(max_length=20, default="x", db_collation="C")),
    ]
