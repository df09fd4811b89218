from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0024_longer")]
    operations = [migrations.AlterField("writer", "name", models.TextField(blank=True))]
