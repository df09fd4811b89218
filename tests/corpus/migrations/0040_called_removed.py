from django.db import migrations


class Migration(migrations.Migration):
    """Undone, it calls the default again."""

    dependencies = [("corpus", "0039_called")]
    operations = [migrations.RemoveField("reader", "token")]
