from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus_postgresql", "0014_serial")]
    operations = [
        migrations.AlterField("old", "id", models.BigAutoField(primary_key=True)),
        migrations.RenameField("old", "name", "title"),
        migrations.RenameModel("Old", "Older"),
    ]
