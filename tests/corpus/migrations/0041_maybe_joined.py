from django.db import migrations, models


class Migration(migrations.Migration):
    """Undone, it calls a default that is no longer in the code, for each row without a value."""

    dependencies = [("corpus", "0040_called_removed")]
    operations = [migrations.AlterField("reader", "joined", models.DateTimeField(null=True))]
