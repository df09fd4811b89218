from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus", "0031_room")]
    operations = [
        migrations.RunSQL(
            "INSERT INTO corpus_room (id, name) SELECT id, code FROM corpus_case",
            reverse_sql="DELETE FROM corpus_room",
        ),
    ]
