from django.db import migrations, models
from django.db.models.functions import Upper


class Migration(migrations.Migration):
    dependencies = [("corpus", "0036_db_default_changed")]
    operations = [
        migrations.AddField(
            "book",
            "shout",
            models.GeneratedField(
                expression=Upper("title"), output_field=models.CharField(max_length=100), db_persist=True
            ),
        ),
        migrations.CreateModel(
            "Square",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("side", models.IntegerField()),
                (
                    "area",
                    models.GeneratedField(
                        expression=models.F("side") * models.F("side"),
                        output_field=models.BigIntegerField(),
                        db_persist=True,
                    ),
                ),
            ],
        ),
    ]
