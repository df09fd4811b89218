from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0059_one_to_one_again")]
    operations = [
        migrations.CreateModel(
            "Friend",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("friends", models.ManyToManyField("self")),
                ("readers", models.ManyToManyField("corpus.Reader", db_table="corpus_friendship")),
            ],
        ),
        migrations.AlterField(
            "friend", "readers", models.ManyToManyField("corpus.Reader", db_table="corpus_fellowship")
        ),
    ]
