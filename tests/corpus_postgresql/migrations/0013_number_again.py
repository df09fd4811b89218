from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus_postgresql", "0012_counted")]
    operations = [migrations.AlterField("event", "id", models.BigIntegerField(primary_key=True))]
