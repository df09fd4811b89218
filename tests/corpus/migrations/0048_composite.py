from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0047_fewer")]
    operations = [
        migrations.CreateModel(
            "Place",
            fields=[
                ("pk", models.CompositePrimaryKey("room", "number", blank=True, editable=False, primary_key=True)),
                ("room", models.ForeignKey("corpus.Room", models.CASCADE)),
                ("number", models.IntegerField()),
            ],
        ),
        migrations.RunSQL(
            "INSERT INTO corpus_place (room_id, number) VALUES (1, 1)",
            reverse_sql="DELETE FROM corpus_place",
        ),
    ]
