from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0022_not_null")]
    operations = [
        migrations.AlterField("book", "length", models.BigIntegerField(default=99)),
        migrations.AlterField("writer", "born", models.PositiveSmallIntegerField(null=True)),
    ]
