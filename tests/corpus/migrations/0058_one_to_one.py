from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0057_python_not_atomic")]
    operations = [
        migrations.AlterField(
            "reader",
            "favourite",
            models.OneToOneField("corpus.Book", models.SET_NULL, null=True, related_name="+"),
        ),
        migrations.AddField(
            "loan",
            "giver",
            models.ForeignKey(
                "corpus.Writer", models.DO_NOTHING, null=True, related_name="+", db_constraint=False
            ),
        ),
        migrations.AddField(
            "loan",
            "kind",
            models.ForeignKey(
                "corpus.Kind", models.CASCADE, null=True, to_field="name", related_name="+", db_index=False
            ),
        ),
        migrations.AlterField("kind", "name", models.CharField(max_length=60, unique=True)),
    ]
