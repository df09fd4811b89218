from django.db import migrations, models


class Migration(migrations.Migration):
    """A table gets another name, and in the code another model stands for it."""

    dependencies = [("corpus", "0052_swappable")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.AlterModelTable("room", "corpus_hall")],
            state_operations=[
                migrations.CreateModel(
                    "Hall",
                    fields=[
                        ("id", models.BigAutoField(primary_key=True)),
                        ("name", models.CharField(max_length=10)),
                    ],
                    options={"db_table": "corpus_hall"},
                ),
                migrations.AlterField(
                    "book", "shelf", models.ForeignKey("corpus.Hall", models.SET_NULL, null=True)
                ),
                migrations.AlterField("place", "room", models.ForeignKey("corpus.Hall", models.CASCADE)),
                migrations.DeleteModel("Room"),
            ],
        ),
        migrations.AddField("hall", "floor", models.SmallIntegerField(default=0)),
    ]
