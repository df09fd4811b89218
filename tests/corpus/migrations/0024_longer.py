from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0023_bigger")]
    operations = [
        migrations.AlterField("writer", "name", models.CharField(max_length=200)),
        migrations.AlterField("kind", "slug", models.SlugField(max_length=80)),
    ]
