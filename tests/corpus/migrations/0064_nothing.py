from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus", "0063_deleted")]
    operations = [
        migrations.RunPython(migrations.RunPython.noop, migrations.RunPython.noop),
        migrations.RunSQL(migrations.RunSQL.noop, migrations.RunSQL.noop),
        migrations.SeparateDatabaseAndState(),
    ]
