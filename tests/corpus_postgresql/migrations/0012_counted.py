from django.db import migrations


class Migration(migrations.Migration):
    """The sequence of the identity counts."""

    dependencies = [("corpus_postgresql", "0011_identity")]
    operations = [
        migrations.RunSQL(
            [
                "SELECT setval(pg_get_serial_sequence('corpus_postgresql_event', 'id'), 10)",
                (
                    "INSERT INTO corpus_postgresql_event (name, tags, numbers, data, label, matrix) "
                    "VALUES (%s, %s, '{}', %s, '', '{}')",
                    ["100 %", ["c"], '{"%": "%s"}'],
                ),
            ],
            reverse_sql=[("DELETE FROM corpus_postgresql_event WHERE name = %s", ["100 %"])],
        ),
    ]
