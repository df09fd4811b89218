from django.db import migrations, models


class Migration(migrations.Migration):
    """A foreign key that may be many's again, and one that the database now holds to."""

    dependencies = [("corpus", "0058_one_to_one")]
    operations = [
        migrations.AlterField(
            "reader", "favourite", models.ForeignKey("corpus.Book", models.SET_NULL, null=True, related_name="+")
        ),
        migrations.AlterField(
            "loan",
            "giver",
            models.ForeignKey("corpus.Writer", models.CASCADE, null=True, related_name="loans"),
        ),
    ]
