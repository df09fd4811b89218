from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus", "0037_generated")]
    operations = [migrations.RemoveField("book", "shout"), migrations.DeleteModel("Square")]
