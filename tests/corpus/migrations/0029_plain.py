from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0028_indexed")]
    operations = [migrations.AlterField("book", "isbn", models.CharField(max_length=20, null=True))]
