from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0065_borrowed")]
    operations = [
        migrations.AlterField("book", "borrowed", models.PositiveIntegerField(default=0, db_index=True)),
        migrations.AddConstraint(
            "book", models.CheckConstraint(condition=models.Q(borrowed__lt=1000), name="book_is_not_worn")
        ),
        migrations.AddField("loan", "until", models.DateField(null=True)),
    ]
