from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0003_rows")]
    operations = [
        migrations.AddField("book", "isbn", models.CharField(max_length=20, null=True)),
        migrations.AddField("book", "is_lent", models.BooleanField(default=False)),
    ]
