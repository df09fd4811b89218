from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus_postgresql", "0001_initial")]
    operations = [
        migrations.RunSQL(
            """
            INSERT INTO corpus_postgresql_event (id, name, tags, numbers, data, span, search) VALUES
                (1, 'One', '{a,b}', '{1,2}', '{"a": 1}', '[1,5)', 'one');
            INSERT INTO corpus_postgresql_event (id, name, tags, numbers, data, span, search) VALUES
                (2, 'Two; too', '{}', NULL, '[]', '[5,9)', to_tsvector('simple', 'two too'));
            """,
            reverse_sql="TRUNCATE corpus_postgresql_event",
        ),
    ]
