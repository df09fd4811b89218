from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0030_column")]
    operations = [
        migrations.CreateModel(
            "Room",
            fields=[
                ("id", models.SmallAutoField(primary_key=True)),
                ("name", models.CharField(max_length=10)),
            ],
        ),
    ]
