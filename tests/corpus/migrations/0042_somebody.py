from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus", "0041_maybe_joined")]
    operations = [
        migrations.RunSQL(
            [
                (
                    "INSERT INTO corpus_reader (id, name, email, note, made, tags) VALUES (%s, %s, %s, %s, %s, %s)",
                    [3, "Tina", "tina@example.com", "", "2026-01-02 00:00:00", "{}"],
                )
            ],
            # Who stays behind has no date of joining.
            reverse_sql=migrations.RunSQL.noop,
        ),
    ]
