from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0017_apart")]
    operations = [
        migrations.AlterModelOptions(
            "book", {"ordering": ["-title"], "verbose_name": "tome", "get_latest_by": "length"}
        ),
        migrations.AlterModelManagers("book", [("tomes", models.Manager())]),
        migrations.AlterModelManagers("book", []),
    ]
