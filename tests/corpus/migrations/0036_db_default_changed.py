from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0035_db_default")]
    operations = [
        migrations.AlterField("reader", "level", models.IntegerField(db_default=5)),
        migrations.AlterField("reader", "note", models.CharField(max_length=20, default="none")),
    ]
