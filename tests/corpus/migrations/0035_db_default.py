from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [("corpus", "0034_keys")]
    operations = [
        migrations.AddField("reader", "level", models.IntegerField(db_default=3)),
        migrations.AddField("reader", "note", models.CharField(max_length=20, db_default="it's 100%")),
        migrations.AddField("reader", "seen", models.DateTimeField(db_default=Now())),
    ]
