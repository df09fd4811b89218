from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus", "0062_types")]
    operations = [
        migrations.RemoveField("friend", "readers"),
        migrations.DeleteModel("Friend"),
        migrations.DeleteModel("Tome"),
        migrations.DeleteModel("Elsewhere"),
        migrations.DeleteModel("Category"),
        migrations.RemoveField("kind", "category"),
    ]
