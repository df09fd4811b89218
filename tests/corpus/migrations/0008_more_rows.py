from django.db import migrations

MORE = """
INSERT INTO corpus_genre (id, name, slug) VALUES (3, 'Letters; and more', 'letters');
-- 100% of the genres
INSERT INTO corpus_genre (id, name, slug) VALUES (4, '100%% sure', 'sure');
INSERT INTO corpus_book_genres (book_id, genre_id) SELECT b.id, g.id FROM corpus_book b, corpus_genre g
    WHERE b.id < g.id ORDER BY b.id, g.id;
"""


class Migration(migrations.Migration):
    dependencies = [("corpus", "0007_reader")]
    operations = [
        migrations.RunSQL(
            [
                ("INSERT INTO corpus_genre (id, name, slug) VALUES (%s, %s, %s)", [1, "Poetry", "poetry"]),
                ("INSERT INTO corpus_genre (id, name, slug) VALUES (%s, %s, %s)", [2, "10 % off", "off"]),
                "INSERT INTO corpus_reader (id, name, email) VALUES (1, 'Rosa', 'rosa@example.com')",
                "INSERT INTO corpus_reader (id, name, email) VALUES (2, 'Sina', 'sina@example.com')",
                "INSERT INTO corpus_loan (book_id, reader_id, since) VALUES (1, 1, '2026-01-02')",
                "INSERT INTO corpus_loan (book_id, reader_id, since) VALUES (2, 2, '2026-01-03')",
            ],
            reverse_sql="DELETE FROM corpus_loan; DELETE FROM corpus_reader; DELETE FROM corpus_genre;",
        ),
        migrations.RunSQL(MORE, reverse_sql=[("DELETE FROM corpus_book_genres WHERE id > %s", [0])]),
    ]
