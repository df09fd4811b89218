from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus_postgresql", "0018_removed")]
    operations = [
        migrations.AlterField("event", "id", models.BigAutoField(primary_key=True)),
        migrations.AlterField("older", "id", models.IntegerField(primary_key=True)),
        migrations.AlterModelTable("event", "corpus_postgresql_affair"),
    ]
