from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0029_plain")]
    operations = [
        migrations.AlterField(
            "book", "isbn", models.CharField(max_length=20, null=True, db_column="ISBN-13", db_comment="It's 13.")
        ),
        migrations.AlterField(
            "reader", "name", models.CharField(max_length=30, db_comment="First one, all of it.")
        ),
    ]
